//! Cosockets.
use std::rc::Rc;
use crate::lua::core::Core;
pub(super) fn register(_core: &Rc<Core>, _table: &mlua::Table) -> mlua::Result<()> { Ok(()) }
