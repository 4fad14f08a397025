//! The memory of one VM: the system allocator with two bounds.
//!
//! * What the *current resume* may add: refused here, so the error hits the plugin
//!   that asks for too much and nobody else.
//! * What the VM holds in all: only reported ([`Heap::over_soft_limit`]); the worker
//!   collects garbage and, if that does not help, starts a fresh VM.

use std::{cell::Cell, ffi::c_void, ptr};

/// What one coroutine can use of the C stack before LuaJIT's own bound ends it, in bytes:
/// 28 MiB were measured for a recursion through `gsub`.
const COROUTINE_BYTES_MAX: usize = 48 << 20;

/// Bounds and counters of one VM's memory, in bytes.
#[derive(Debug)]
pub(crate) struct Heap {
    used: Cell<usize>,
    /// `used` may not pass this during the current resume.
    ceiling: Cell<usize>,
    resume_bytes_max: usize,
    soft_bytes_max: usize,
    /// Depth of host functions now running; above 0 nothing is refused.
    in_host: Cell<u32>,
    refused: Cell<bool>,
    /// A clean-up is under way.
    cleaning: Cell<bool>,
    /// Below this address the C stack may not be when Lua asks for memory. LuaJIT bounds the
    /// depth of one coroutine only: without this, coroutines that start coroutines from C
    /// functions would end the process.
    stack_floor: usize,
}

impl Heap {
    pub(crate) fn new(resume_bytes_max: usize, soft_bytes_max: usize) -> Self {
        Self {
            used: Cell::new(0),
            ceiling: Cell::new(usize::MAX),
            resume_bytes_max,
            soft_bytes_max,
            in_host: Cell::new(0),
            refused: Cell::new(false),
            cleaning: Cell::new(false),
            stack_floor: stack_floor(),
        }
    }

    /// Bytes the VM holds.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }

    /// Whether an allocation was refused since the last clean-up. Asking begins one.
    pub(crate) fn wants_cleaning(&self) -> bool {
        self.refused.get() && !self.cleaning.replace(true)
    }

    /// Garbage was collected: hands what is free to the system.
    pub(crate) fn cleaned(&self) {
        self.refused.set(false);
        self.cleaning.set(false);
        // SAFETY: no preconditions.
        unsafe { libc::malloc_trim(0) };
    }

    pub(crate) fn over_soft_limit(&self) -> bool {
        self.used.get() > self.soft_bytes_max
    }

    /// A resume begins: it may add `resume_bytes_max` to what is held now.
    pub(super) fn begin(&self) -> usize {
        self.ceiling.replace(self.used.get().saturating_add(self.resume_bytes_max))
    }

    /// A resume ended; `outer` is what [`Heap::begin`] returned.
    pub(super) fn end(&self, outer: usize) {
        self.ceiling.set(outer);
    }

    pub(super) fn enter_host(&self) {
        self.in_host.set(self.in_host.get() + 1);
    }

    /// Whether a host function runs.
    pub(super) fn is_in_host(&self) -> bool {
        self.in_host.get() > 0
    }

    pub(super) fn leave_host(&self) {
        self.in_host.set(self.in_host.get().saturating_sub(1));
    }

    /// Whether the current resume has taken more than it may: what host functions made for
    /// it was not refused.
    pub(super) fn is_exhausted(&self) -> bool {
        self.used.get() > self.ceiling.get()
    }

    fn allows(&self, old: usize, new: usize) -> bool {
        if new <= old || self.in_host.get() > 0 {
            return true;
        }
        let here = std::hint::black_box(0_u8);
        self.used.get() - old + new <= self.ceiling.get()
            && (&raw const here).addr() > self.stack_floor
    }
}

/// The lowest address of the calling thread's stack plus what one coroutine can use of it, or
/// half of a smaller stack; 0 if that is unknown.
fn stack_floor() -> usize {
    let mut low = ptr::null_mut();
    let mut bytes = 0;
    // SAFETY: an all-zero value is only passed to be filled.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    // SAFETY: no preconditions.
    let own = unsafe { libc::pthread_self() };
    // SAFETY: `own` is alive; the attributes are filled.
    if unsafe { libc::pthread_getattr_np(own, &raw mut attributes) } != 0 {
        return 0;
    }
    // SAFETY: the attributes were filled.
    let known =
        unsafe { libc::pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut bytes) };
    // SAFETY: filled by pthread_getattr_np, not used any more.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    if known != 0 { 0 } else { low.addr() + (bytes / 2).min(COROUTINE_BYTES_MAX) }
}

/// The allocator Lua calls. `ud` is the VM's [`Heap`].
///
/// # Safety
///
/// As Lua's manual has it for `lua_Alloc`: `block` is null or came from here with
/// size `old`; `ud` points to a [`Heap`] that outlives the state.
pub(super) unsafe extern "C" fn alloc(
    ud: *mut c_void,
    block: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: `State::new` passes a pointer to its boxed heap, which it frees after the state.
    let heap = unsafe { &*ud.cast::<Heap>() };
    let old = if block.is_null() { 0 } else { old };
    if new == 0 {
        if old > 0 {
            // SAFETY: `block` came from here with this size.
            unsafe { std::alloc::dealloc(block.cast(), layout(old)) };
        }
        heap.used.set(heap.used.get().saturating_sub(old));
        return ptr::null_mut();
    }
    if new > BLOCK_BYTES_MAX || !heap.allows(old, new) {
        heap.refused.set(true);
        return ptr::null_mut();
    }
    let moved = if old == 0 {
        // SAFETY: `new` is not 0.
        unsafe { std::alloc::alloc(layout(new)) }
    } else {
        // SAFETY: `block` came from here with size `old`; `new` is not 0.
        unsafe { std::alloc::realloc(block.cast(), layout(old), new) }
    };
    if !moved.is_null() {
        heap.used.set((heap.used.get() + new).saturating_sub(old));
    }
    moved.cast()
}

/// A layout may not be larger than this.
const BLOCK_BYTES_MAX: usize = isize::MAX as usize - 4096;

/// What Lua needs of a block: it aligns nothing beyond 16 bytes.
fn layout(bytes: usize) -> std::alloc::Layout {
    const ALIGN: usize = 16;
    // Larger ones than `BLOCK_BYTES_MAX` are refused before, so this never falls back.
    std::alloc::Layout::from_size_align(bytes, ALIGN).unwrap_or(std::alloc::Layout::new::<u128>())
}
