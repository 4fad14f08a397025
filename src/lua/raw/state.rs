//! One LuaJIT state: made, fenced, and closed.

use std::{ffi::c_int, ptr::NonNull, rc::Rc};

use mlua::ffi;

use super::{
    co::Ref,
    frame::{Called, Frame, c_function},
    heap::{self, Heap},
    moment::Moment,
};

/// Its address marks a yield of a host function; never read.
pub(super) static MARK: u8 = 0;

/// The size of a small step of the garbage collector.
const STEP_KIB: c_int = 40;

/// A LuaJIT state with its memory; closed when the last value kept of it is gone.
#[derive(Debug, Clone)]
pub(crate) struct State(Rc<Owned>);

#[derive(Debug)]
struct Owned {
    lua: NonNull<ffi::lua_State>,
    heap: Box<Heap>,
    /// Outlives the state, whose finalizers may ask for the time.
    moment: Box<Moment>,
}

impl State {
    /// Makes a state with all standard libraries, `ffi` among them: plugins are files
    /// the operator installed, and nothing a client sends is ever loaded as Lua.
    ///
    /// # Errors
    ///
    /// When the system has no memory for it.
    pub(crate) fn new(resume_bytes_max: usize, soft_bytes_max: usize) -> Result<Self, String> {
        let heap = Box::new(Heap::new(resume_bytes_max, soft_bytes_max));
        let ud = (&raw const *heap).cast_mut().cast();
        // SAFETY: `heap` is boxed and dropped after the state (see `Drop`).
        let lua = unsafe { ffi::lua_newstate(heap::alloc, ud) };
        let lua = NonNull::new(lua).ok_or("cannot create a Lua state: out of memory")?;
        // SAFETY: a fresh state; opening libraries only fails without memory.
        unsafe { ffi::luaL_openlibs(lua.as_ptr()) };
        let state = Self(Rc::new(Owned { lua, heap, moment: Box::default() }));
        state.lua();
        Ok(state)
    }

    /// The state as mlua sees it: for set-up and for functions that are not hot.
    pub(crate) fn lua(&self) -> &mlua::Lua {
        // SAFETY: the state is alive as long as `self`.
        unsafe { mlua::Lua::get_or_init_from_ptr(self.raw()) }
    }

    /// The state's memory.
    pub(crate) fn heap(&self) -> &Heap {
        &self.0.heap
    }

    /// The time as this VM knows it.
    pub(super) fn moment(&self) -> &Moment {
        &self.0.moment
    }

    /// Where Lua finds that time: seconds as a double, 0 if it has to ask for them.
    pub(crate) fn moment_address(&self) -> mlua::LightUserData {
        mlua::LightUserData(self.moment().address().cast_mut().cast())
    }

    /// The main thread.
    pub(super) fn raw(&self) -> *mut ffi::lua_State {
        self.0.lua.as_ptr()
    }

    /// Puts host function `body` into `table` under `name`.
    ///
    /// # Errors
    ///
    /// When Lua has no memory for it.
    pub(crate) fn host_function<F>(
        &self,
        table: &mlua::Table,
        name: &str,
        body: F,
    ) -> mlua::Result<()>
    where
        F: Fn(&mut Frame<'_>) -> Called + Copy + 'static,
    {
        host_function(self.lua(), table, name, body)
    }

    /// The value that host functions yield, for Lua code that resumes coroutines itself.
    pub(crate) fn mark() -> mlua::LightUserData {
        mlua::LightUserData((&raw const MARK).cast_mut().cast())
    }

    /// Keeps a value of mlua's as a [`Ref`] that the hot path can push.
    ///
    /// # Errors
    ///
    /// When Lua has no memory for it.
    pub(crate) fn keep(&self, value: impl mlua::IntoLua) -> mlua::Result<Ref> {
        let value = value.into_lua(self.lua())?;
        let mut index = 0;
        // SAFETY: the value is on the stack.
        let take = |state| index = unsafe { ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX) };
        // SAFETY: exec_raw pushes exactly `value`, which `take` pops.
        let kept: mlua::Result<()> = unsafe { self.lua().exec_raw(value, take) };
        kept?;
        Ok(Ref::new(self.clone(), index))
    }

    /// The value behind `kept`, for mlua.
    ///
    /// # Errors
    ///
    /// When Lua has no memory for it.
    pub(crate) fn value(&self, kept: &Ref) -> mlua::Result<mlua::Value> {
        let index = kept.index().into();
        let push = |state| {
            // SAFETY: exec_raw made room.
            unsafe { ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, index) };
        };
        // SAFETY: `push` pushes one value, which exec_raw takes.
        unsafe { self.lua().exec_raw((), push) }
    }

    /// Keeps the garbage collector from running, or lets it run again.
    pub(crate) fn hold_garbage(&self, hold: bool) {
        let what = if hold { ffi::LUA_GCSTOP } else { ffi::LUA_GCRESTART };
        // LuaJIT's own: -1 lets a cycle begin when there is twice as much, not at once.
        // SAFETY: changes a setting of the state; nothing runs.
        unsafe { ffi::lua_gc(self.raw(), what, -1) };
    }

    /// Forgets all modules, so that the collector may free them. Nothing runs after this but
    /// finalizers; they keep what they use, and the globals.
    ///
    /// # Errors
    ///
    /// When Lua has no memory for it.
    pub(crate) fn unload(&self) -> mlua::Result<()> {
        let package: mlua::Table = self.lua().globals().raw_get("package")?;
        for name in ["preload", "loaders", "loaded"] {
            package.raw_get::<mlua::Table>(name)?.clear()?;
        }
        Ok(())
    }

    /// A small step of the garbage collector; whether a cycle ended with it.
    ///
    /// # Errors
    ///
    /// What a finalizer raised.
    pub(crate) fn step(&self) -> mlua::Result<bool> {
        let mut ended = false;
        // SAFETY: no resume runs; nothing is pushed or popped.
        let step = |state| ended = unsafe { ffi::lua_gc(state, ffi::LUA_GCSTEP, STEP_KIB) } != 0;
        // SAFETY: as `step` has it.
        let done: mlua::Result<()> = unsafe { self.lua().exec_raw((), step) };
        done.map(|()| ended)
    }

    /// One step of the garbage collector, or a full cycle.
    pub(crate) fn collect(&self, full: bool) -> bool {
        let what: c_int = if full { ffi::LUA_GCCOLLECT } else { ffi::LUA_GCSTEP };
        // SAFETY: no resume runs, so finalizers run as plain calls on the main thread.
        unsafe { ffi::lua_gc(self.raw(), what, 200) != 0 }
    }
}

/// Puts host function `body` into `table` under `name`, for functions that need no [`State`].
///
/// # Errors
///
/// When Lua has no memory for it.
pub(crate) fn host_function<F>(
    lua: &mlua::Lua,
    table: &mlua::Table,
    name: &str,
    body: F,
) -> mlua::Result<()>
where
    F: Fn(&mut Frame<'_>) -> Called + Copy + 'static,
{
    // SAFETY: `c_function` makes functions that keep every rule of `raw`.
    let function = unsafe { lua.create_c_function(c_function(body)) }?;
    table.raw_set(name, function)
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: every `Ref` holds a `State`, so none is left. mlua was attached to the
        // state without owning it, and its handles do not outlive set-up calls.
        unsafe { ffi::lua_close(self.lua.as_ptr()) };
    }
}
