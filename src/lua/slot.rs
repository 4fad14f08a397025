//! What Lua keeps of one request.

use std::rc::Rc;

use super::{
    host::socket::Owner,
    raw::co::Ref,
    vm::{Plan, Vm},
};
use crate::exchange::Exchange;

/// The Lua side of an [`Exchange`].
#[derive(Default)]
pub(crate) struct Slot {
    /// The `ctx` that plugins get.
    pub(crate) ctx: Option<Ref>,
    /// The table behind `ngx.ctx`.
    pub(crate) ngx_ctx: Option<Ref>,
    /// What runs for this request.
    pub(crate) plan: Option<Rc<Plan>>,
    /// The plan after the consumer's plugins joined.
    pub(crate) merged: Option<Rc<Plan>>,
    /// Whether it has a function for the client's going away.
    pub(crate) on_abort: bool,
    /// Requests inside of it that are about to be asked.
    pub(crate) asks: Vec<Exchange>,
    /// Its sockets: closed with it.
    pub(crate) sockets: Owner,
    /// The VM it runs on, also when a newer one serves by now. Dropped last.
    pub(crate) vm: Option<Rc<Vm>>,
}

impl Slot {
    /// Whether what runs stands in a location of a snippet.
    pub(crate) fn is_local(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.local)
    }
}

/// The slot of `x`, made at first use.
pub(crate) fn of(x: &mut Exchange) -> &mut Slot {
    x.lua.slot::<Slot>()
}
