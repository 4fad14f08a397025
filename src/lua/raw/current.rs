//! What the VM of this thread works for right now.
//!
//! Set before every resume, taken away after it. A host function called from
//! anywhere else finds nothing and raises "API disabled in the current context".

use std::{cell::Cell, ptr};

use super::moment;
use crate::{exchange::Exchange, lua::core::Core};

/// The phase a plugin function runs in, as `ngx.get_phase()` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Modules are being loaded, `check_schema` and `filter_func` run.
    Init,
    /// A plugin's `init()`.
    InitWorker,
    /// `rewrite_by_lua` of a location.
    Rewrite,
    /// `rewrite`, `access` and `before_proxy`, as in APISIX.
    Access,
    /// `content_by_lua` of a location.
    Content,
    /// `before_proxy` again, on a retry.
    Balancer,
    /// `header_filter`.
    HeaderFilter,
    /// `body_filter` and `delayed_body_filter`.
    BodyFilter,
    /// `log`.
    Log,
    /// A timer's function.
    Timer,
}

impl Phase {
    /// The name `ngx.get_phase()` returns.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::InitWorker => "init_worker",
            Self::Rewrite => "rewrite",
            Self::Access => "access",
            Self::Content => "content",
            Self::Balancer => "balancer",
            Self::HeaderFilter => "header_filter",
            Self::BodyFilter => "body_filter",
            Self::Log => "log",
            Self::Timer => "timer",
        }
    }
}

#[derive(Clone, Copy)]
struct Running {
    exchange: *mut Exchange,
    core: *const Core,
    phase: Phase,
}

thread_local! {
    static RUNNING: Cell<Running> = const {
        Cell::new(Running { exchange: ptr::null_mut(), core: ptr::null(), phase: Phase::Init })
    };
}

/// Restores what was current before, also when a panic unwinds.
pub(super) struct Guard(Running);

impl Drop for Guard {
    fn drop(&mut self) {
        let ended = RUNNING.replace(self.0);
        // SAFETY: as in `core`: the guard ends before what `enter` was given.
        if let Some(core) = unsafe { ended.core.as_ref() } {
            core.state().moment().forget();
        }
    }
}

/// Makes `core` and `exchange` current until the guard is dropped.
pub(super) fn enter(core: &Core, exchange: Option<&mut Exchange>, phase: Phase) -> Guard {
    let exchange = exchange.map_or(ptr::null_mut(), ptr::from_mut);
    Guard(RUNNING.replace(Running { exchange, core: ptr::from_ref(core), phase }))
}

/// The phase now running.
pub(super) fn phase() -> Phase {
    RUNNING.get().phase
}

/// Calls `f` with the current VM, if one runs.
pub(super) fn core<'a>() -> Option<&'a Core> {
    // SAFETY: `enter` stored a reference that outlives the guard, and the guard
    // outlives every host function: both end with the resume.
    unsafe { RUNNING.get().core.as_ref() }
}

/// Milliseconds since 1970: the time that stands while Lua runs, as it knows it.
pub(crate) fn wall_ms() -> u64 {
    core().map_or_else(moment::wall_ms, |core| core.state().moment().millis())
}

/// Makes Lua's time the present one.
pub(crate) fn update_time() {
    if let Some(core) = core() {
        core.state().moment().forget();
    }
}

/// The current request.
///
/// # Safety
///
/// The caller must not hold the result beyond the host function call, nor ask twice
/// while the first result is alive.
pub(super) unsafe fn exchange<'a>() -> Option<&'a mut Exchange> {
    // SAFETY: `enter` got a `&mut` that nobody uses until the guard is dropped, and
    // the caller keeps one result at a time.
    unsafe { RUNNING.get().exchange.as_mut() }
}

/// Copies the id of the current request's route into `to`, cut to its size; the length.
///
/// Made for the watchdog's signal handler: it allocates nothing, and what it reads does not
/// change while Lua runs.
pub(super) fn route_into(to: &mut [u8]) -> usize {
    if core().is_none_or(|core| core.heap().is_in_host()) {
        return 0;
    }
    // SAFETY: `enter` got a `&mut` that outlives the guard; only read here, and no host
    // function runs that could be writing.
    let Some(exchange) = (unsafe { RUNNING.get().exchange.as_ref() }) else { return 0 };
    let Some(id) = exchange.route_id() else { return 0 };
    let len = id.len().min(to.len());
    to[..len].copy_from_slice(&id.as_bytes()[..len]);
    len
}

/// The configuration of the current request.
pub(crate) fn snapshot() -> Option<std::sync::Arc<crate::config::Snapshot>> {
    // SAFETY: callers are functions of mlua, which run inside a resume and hold no other
    // borrow of the request.
    let exchange = unsafe { exchange() }?;
    exchange.snapshot.as_deref().cloned()
}
