//! The watchdog: ends a resume that runs too long.
//!
//! Each VM has a [`Watch`] with a serial number that is odd while a resume runs. One
//! thread looks at all of them every few milliseconds; a number that stayed odd and
//! unchanged for the budget is flagged, and the worker's thread gets a signal whose
//! handler sets a LuaJIT hook. The hook raises while the flagged resume is still the
//! running one, so a plugin's `pcall` cannot swallow it for good. LuaJIT is built with
//! CHECKHOOK, so compiled loops look at the hook too.
//!
//! The first raise of a resume notes where it was: what a `pcall` in between makes of the
//! error does not hide the loop. A C function such as `string.find` with a pathological
//! pattern cannot be ended at all; the log names the route that runs it.
//!
//! A hook that plugins have set stands aside meanwhile and is put back afterwards.
//!
//! A resume costs two increments for this and reads no clock.

use std::{
    cell::{Cell, RefCell},
    ffi::c_int,
    ptr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mlua::ffi;

use super::{co, current, place, state::State};
use crate::log::error_log::{self, Level};

/// How often the thread looks.
const LOOK: Duration = Duration::from_millis(10);

/// How long after its budget a resume that does not end is reported.
const STUCK: Duration = Duration::from_secs(2);

/// A resume that ran so much longer than its budget was in a C function.
const LATE: Duration = Duration::from_millis(200);

/// Longest route id that the report of a stuck resume can hold.
const ROUTE_BYTES_MAX: usize = 64;

/// What LuaJIT keeps of a hook.
type Hook = (Option<ffi::lua_Hook>, c_int, c_int);

/// What the watchdog's thread sees of one VM.
#[derive(Debug)]
struct Shared {
    /// Odd while a resume runs.
    serial: AtomicU64,
    /// The serial of the resume that must end; 0 for none.
    flagged: AtomicU64,
    /// How long the flagged resume ran when it was looked at last, in milliseconds.
    ran_ms: AtomicU64,
    /// The route of the flagged resume: written by the signal handler, read by the thread.
    route: [AtomicU8; ROUTE_BYTES_MAX],
    route_len: AtomicUsize,
    thread: libc::pthread_t,
    budget: Duration,
}

/// A resume that the watchdog ended.
#[derive(Debug)]
pub(crate) struct Overrun {
    /// Where it was and what happened.
    pub(crate) message: String,
    /// The stack at that moment; empty if a C function kept it from being seen.
    pub(crate) traceback: String,
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
    /// The VM whose own hook had to stand aside, and that hook: function, mask and count.
    static ASIDE: Cell<(*mut ffi::lua_State, Hook)> =
        const { Cell::new((ptr::null_mut(), (None, 0, 0))) };
    /// Where the resume with this serial was when the hook raised first.
    static FIRST: RefCell<(u64, Overrun)> = const {
        RefCell::new((0, Overrun { message: String::new(), traceback: String::new() }))
    };
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
            ran_ms: AtomicU64::new(0),
            route: [const { AtomicU8::new(0) }; ROUTE_BYTES_MAX],
            route_len: AtomicUsize::new(0),
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

    /// How the watchdog ended the last resume, if it did; asking resets it. `own` is the message
    /// and the traceback that the resume ended with.
    pub(crate) fn take_overrun(&self, own: (&str, &str)) -> Option<Overrun> {
        if !self.overran.take() {
            return None;
        }
        let nothing = Overrun { message: String::new(), traceback: String::new() };
        let mut overrun = FIRST.replace((0, nothing)).1;
        if overrun.message.is_empty() {
            // It failed by itself when its time was over, before it was told.
            overrun = Overrun { message: own.0.to_owned(), traceback: own.1.to_owned() };
        }
        let (ran, budget) = (self.shared.ran_ms.load(Ordering::Relaxed), self.budget.as_millis());
        if Duration::from_millis(ran) > self.budget + LATE {
            overrun.message.push_str(&format!(
                " ({ran} ms in one go, {budget} ms allowed: a C function, such as string.find \
                 with a pathological pattern, cannot be interrupted)"
            ));
        } else {
            overrun.message.push_str(&format!(" (more than {budget} ms in one go)"));
        }
        Some(overrun)
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
            unsafe { stand_down(self.watch.lua) };
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
    // SAFETY: `FLAGGED` holds what belongs to the resume that this signal interrupted.
    let shared = unsafe { &*shared };
    if shared.route_len.load(Ordering::Relaxed) == 0 {
        let mut route = [0; ROUTE_BYTES_MAX];
        let len = current::route_into(&mut route);
        for (to, from) in shared.route.iter().zip(&route[..len]) {
            to.store(*from, Ordering::Relaxed);
        }
        shared.route_len.store(len, Ordering::Release);
    }
    // SAFETY: as above.
    unsafe { step_in(lua) };
}

/// Sets our hook on a VM, and keeps the one it has.
///
/// # Safety
///
/// `lua` belongs to this thread and lives.
unsafe fn step_in(lua: *mut ffi::lua_State) {
    // SAFETY: these three only read.
    let found = unsafe { ffi::lua_gethook(lua) };
    if found.is_none_or(|found| found as usize != hook as *const () as usize) {
        // SAFETY: as above.
        let mask = unsafe { ffi::lua_gethookmask(lua) };
        // SAFETY: as above.
        let count = unsafe { ffi::lua_gethookcount(lua) };
        ASIDE.set((lua, (found, mask, count)));
    }
    // SAFETY: `lua_sethook` may be called at any time.
    unsafe { ffi::lua_sethook(lua, Some(hook), ffi::LUA_MASKCOUNT, 1) };
}

/// Takes our hook off a VM, and puts back the one it had.
///
/// # Safety
///
/// As for [`step_in`].
unsafe fn stand_down(lua: *mut ffi::lua_State) {
    let (whose, kept) = ASIDE.replace((ptr::null_mut(), (None, 0, 0)));
    let (found, mask, count) = if whose == lua { kept } else { (None, 0, 0) };
    // SAFETY: what was read from this VM may be set on it again.
    unsafe { ffi::lua_sethook(lua, found, mask, count) };
}

/// Raises as long as the flagged resume runs.
///
/// # Safety
///
/// Called by Lua only.
unsafe extern "C-unwind" fn hook(lua: *mut ffi::lua_State, _ar: *mut ffi::lua_Debug) {
    let (vm, shared) = FLAGGED.get();
    // SAFETY: set for as long as a resume runs, and a hook runs within one.
    let still = unsafe { shared.as_ref() }.is_some_and(|shared| {
        let flagged = shared.flagged.load(Ordering::SeqCst);
        flagged != 0 && flagged == shared.serial.load(Ordering::SeqCst)
    });
    if !still {
        // SAFETY: switching the hook off is allowed inside it.
        unsafe { stand_down(if vm.is_null() { lua } else { vm }) };
        return;
    }
    // SAFETY: set for as long as a resume runs.
    let serial = unsafe { shared.as_ref() }.map_or(0, |s| s.serial.load(Ordering::Relaxed));
    let heap = current::core().map(|core| core.heap());
    // A resume that has used up its memory, too, must still be able to raise.
    if let Some(heap) = heap {
        heap.enter_host();
    }
    if FIRST.with_borrow(|first| first.0 != serial) {
        // SAFETY: the coroutine runs.
        unsafe { note_first(lua, serial) };
    }
    // SAFETY: pushes the position of the running function.
    unsafe { ffi::luaL_where(lua, 0) };
    // SAFETY: a literal; the text below has no destructor.
    unsafe { ffi::lua_pushstring(lua, c"time budget exceeded".as_ptr()) };
    // SAFETY: two strings are on top.
    unsafe { ffi::lua_concat(lua, 2) };
    if let Some(heap) = heap {
        heap.leave_host();
    }
    // SAFETY: the message is on top; nothing with a destructor is alive here.
    unsafe { ffi::lua_error(lua) };
}

/// Notes where the flagged resume is.
///
/// # Safety
///
/// Called by the hook only, while the heap refuses nothing.
unsafe fn note_first(lua: *mut ffi::lua_State, serial: u64) {
    // SAFETY: `lua` runs.
    let place = unsafe { place::of(lua) };
    let mut message = place.map(|place| place + ": ").unwrap_or_default();
    message.push_str("time budget exceeded");
    let mut traceback = String::new();
    // SAFETY: room for the text and what is needed to make it.
    if unsafe { ffi::lua_checkstack(lua, 20) } != 0 {
        // SAFETY: there is room, and the heap refuses nothing.
        unsafe { ffi::luaL_traceback(lua, lua, ptr::null(), 0) };
        // SAFETY: the text was pushed right before.
        traceback = unsafe { co::top_text(lua) };
        // SAFETY: one value was pushed.
        unsafe { ffi::lua_pop(lua, 1) };
    }
    FIRST.set((serial, Overrun { message, traceback }));
}

/// What the thread remembers of a VM between two looks.
struct Seen {
    shared: Weak<Shared>,
    serial: u64,
    since: Instant,
    /// Whether it was reported that this resume does not end.
    reported: bool,
}

fn look_forever() {
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        thread::sleep(LOOK);
        for shared in watched().lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            seen.push(Seen { shared, serial: 0, since: Instant::now(), reported: false });
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
        seen.reported = false;
        return true;
    }
    let ran = seen.since.elapsed();
    if ran >= shared.budget {
        if shared.flagged.load(Ordering::Relaxed) != serial {
            shared.route_len.store(0, Ordering::Relaxed);
        }
        shared.ran_ms.store(u64::try_from(ran.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        shared.flagged.store(serial, Ordering::SeqCst);
        // SAFETY: the worker owns an `Arc` of `shared`, upgraded above, and drops it
        // before its thread ends.
        unsafe { libc::pthread_kill(shared.thread, signal_number()) };
        if ran >= shared.budget + STUCK && !seen.reported {
            seen.reported = true;
            report_stuck(&shared, ran);
        }
    }
    true
}

/// Names a resume that cannot be ended, while it runs: nobody else can.
fn report_stuck(shared: &Shared, ran: Duration) {
    let len = shared.route_len.load(Ordering::Acquire).min(ROUTE_BYTES_MAX);
    let route: Vec<u8> = shared.route[..len].iter().map(|b| b.load(Ordering::Relaxed)).collect();
    let route = if len == 0 { "-".into() } else { String::from_utf8_lossy(&route) };
    let line = format!(
        "[lua] a worker is stuck in Lua for {} ms on route {route}: a C function, such as \
         string.find with a pathological pattern, cannot be interrupted",
        ran.as_millis()
    );
    error_log::log(Level::Alert, &error_log::Context::default(), line.as_bytes());
}
