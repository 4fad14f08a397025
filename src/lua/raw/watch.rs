//! The watchdog: ends a resume that runs too long.
//!
//! Each VM has a [`Watch`] with a serial number that is odd while a resume runs. One
//! thread looks at all of them every few milliseconds; a number that stayed odd and
//! unchanged for the budget is flagged, and the worker's thread gets a signal whose
//! handler sets a LuaJIT hook. The hook raises while the flagged resume is still the
//! running one, so a plugin's `pcall` cannot swallow it for good. LuaJIT is built with
//! CHECKHOOK, so compiled loops look at the hook too.
//!
//! A resume costs two increments for this and reads no clock.

use std::{
    cell::Cell,
    ffi::c_int,
    ptr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mlua::ffi;

use super::state::State;

/// How often the thread looks.
const LOOK: Duration = Duration::from_millis(10);

/// What the watchdog's thread sees of one VM.
#[derive(Debug)]
struct Shared {
    /// Odd while a resume runs.
    serial: AtomicU64,
    /// The serial of the resume that must end; 0 for none.
    flagged: AtomicU64,
    thread: libc::pthread_t,
    budget: Duration,
}

/// The worker's half.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    lua: *mut ffi::lua_State,
    overran: Cell<bool>,
    budget: Duration,
}

thread_local! {
    /// What the signal handler needs; plain pointers, so that reading them is safe there.
    static FLAGGED: Cell<(*mut ffi::lua_State, *const Shared)> =
        const { Cell::new((ptr::null_mut(), ptr::null())) };
}

fn watched() -> &'static Mutex<Vec<Weak<Shared>>> {
    static WATCHED: OnceLock<Mutex<Vec<Weak<Shared>>>> = OnceLock::new();
    WATCHED.get_or_init(Mutex::default)
}

impl Watch {
    /// Watches the resumes of `state`, which belongs to the calling thread.
    pub(crate) fn new(state: &State, budget: Duration) -> Self {
        start_thread();
        let shared = Arc::new(Shared {
            serial: AtomicU64::new(0),
            flagged: AtomicU64::new(0),
            // SAFETY: no preconditions.
            thread: unsafe { libc::pthread_self() },
            budget,
        });
        watched().lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&shared));
        Self { shared, lua: state.raw(), overran: Cell::new(false), budget }
    }

    /// Marks a resume as running until the guard is dropped.
    pub(super) fn begin(&self) -> Running<'_> {
        let outer = FLAGGED.replace((self.lua, Arc::as_ptr(&self.shared)));
        // Resumes nest only when a finalizer or `check_schema` runs inside one: the
        // outer keeps its serial then.
        let nested = self.shared.serial.load(Ordering::Relaxed) % 2 == 1;
        if !nested {
            self.shared.serial.fetch_add(1, Ordering::Relaxed);
        }
        Running { watch: self, outer, nested }
    }

    /// Whether the last resume was ended by the watchdog; asking resets it.
    pub(crate) fn take_overrun(&self) -> bool {
        self.overran.take()
    }

    /// What one resume may take.
    pub(crate) fn budget(&self) -> Duration {
        self.budget
    }
}

/// A resume that runs.
pub(super) struct Running<'w> {
    watch: &'w Watch,
    outer: (*mut ffi::lua_State, *const Shared),
    nested: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        FLAGGED.set(self.outer);
        if self.nested {
            return;
        }
        let shared = &self.watch.shared;
        let serial = shared.serial.fetch_add(1, Ordering::SeqCst);
        if shared.flagged.swap(0, Ordering::SeqCst) == serial && serial != 0 {
            self.watch.overran.set(true);
            // SAFETY: our own state, no resume runs now.
            unsafe { ffi::lua_sethook(self.watch.lua, None, 0, 0) };
        }
    }
}

fn start_thread() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        install_handler();
        // Without the thread no loop is ever ended; a process that cannot start one
        // thread cannot start its workers either, and says so there.
        let _ = thread::Builder::new().name("watchdog".into()).spawn(look_forever);
    });
}

fn signal_number() -> c_int {
    libc::SIGRTMIN() + 4
}

fn install_handler() {
    let handler: extern "C" fn(c_int) = on_signal;
    // SAFETY: an all-zero sigaction is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is valid; the handler only touches thread-locals and lua_sethook.
    unsafe { libc::sigaction(signal_number(), &raw const action, ptr::null_mut()) };
}

/// Sets the hook on the thread's VM. `lua_sethook` is documented as callable from a handler.
extern "C" fn on_signal(_signal: c_int) {
    let (lua, shared) = FLAGGED.get();
    if lua.is_null() || shared.is_null() {
        return;
    }
    // SAFETY: `FLAGGED` holds the VM of the resume that this signal interrupted.
    unsafe { ffi::lua_sethook(lua, Some(hook), ffi::LUA_MASKCOUNT, 1) };
}

/// Raises as long as the flagged resume runs.
///
/// # Safety
///
/// Called by Lua only.
unsafe extern "C-unwind" fn hook(lua: *mut ffi::lua_State, _ar: *mut ffi::lua_Debug) {
    let (_, shared) = FLAGGED.get();
    // SAFETY: set for as long as a resume runs, and a hook runs within one.
    let still = unsafe { shared.as_ref() }.is_some_and(|shared| {
        let flagged = shared.flagged.load(Ordering::SeqCst);
        flagged != 0 && flagged == shared.serial.load(Ordering::SeqCst)
    });
    if !still {
        // SAFETY: switching the hook off is allowed inside it.
        unsafe { ffi::lua_sethook(lua, None, 0, 0) };
        return;
    }
    // SAFETY: pushes the position of the running function.
    unsafe { ffi::luaL_where(lua, 0) };
    // SAFETY: a literal; the text below has no destructor.
    unsafe { ffi::lua_pushstring(lua, c"time budget exceeded".as_ptr()) };
    // SAFETY: two strings are on top.
    unsafe { ffi::lua_concat(lua, 2) };
    // SAFETY: the message is on top; nothing with a destructor is alive here.
    unsafe { ffi::lua_error(lua) };
}

/// What the thread remembers of a VM between two looks.
struct Seen {
    shared: Weak<Shared>,
    serial: u64,
    since: Instant,
}

fn look_forever() {
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        thread::sleep(LOOK);
        for shared in watched().lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            seen.push(Seen { shared, serial: 0, since: Instant::now() });
        }
        seen.retain_mut(look);
    }
}

/// One look at one VM; false when it is gone.
fn look(seen: &mut Seen) -> bool {
    let Some(shared) = seen.shared.upgrade() else { return false };
    let serial = shared.serial.load(Ordering::SeqCst);
    if serial != seen.serial || serial % 2 == 0 {
        seen.serial = serial;
        seen.since = Instant::now();
        return true;
    }
    if seen.since.elapsed() >= shared.budget {
        shared.flagged.store(serial, Ordering::SeqCst);
        // SAFETY: the worker owns an `Arc` of `shared`, upgraded above, and drops it
        // before its thread ends.
        unsafe { libc::pthread_kill(shared.thread, signal_number()) };
    }
    true
}
