//! Coroutines that Rust resumes, and values that Rust keeps.

use std::{ffi::c_int, rc::Rc, slice};

use mlua::ffi;

use super::{
    current::{self, Phase},
    place,
    state::{MARK, State},
};
use crate::{exchange::Exchange, lua::core::Core};

/// A Lua value kept alive by the registry until dropped.
#[derive(Debug)]
pub(crate) struct Ref {
    state: State,
    index: c_int,
}

impl Ref {
    /// `index` came from `luaL_ref` on the registry of `state`.
    pub(super) fn new(state: State, index: c_int) -> Self {
        Self { state, index }
    }

    pub(super) fn index(&self) -> c_int {
        self.index
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        // SAFETY: the state lives as long as `self.state`.
        unsafe { ffi::luaL_unref(self.state.raw(), ffi::LUA_REGISTRYINDEX, self.index) };
    }
}

/// How a resume ended.
#[derive(Debug)]
pub(crate) enum Resumed {
    /// The function returned; its results are on the stack.
    Done,
    /// A host function waits: see `Core::take_pending`.
    Waits,
    /// The plugin's own `coroutine.yield` reached the top.
    Yielded,
    /// An uncaught error.
    Failed(LuaError),
}

/// An error that nothing in Lua caught.
#[derive(Debug)]
pub(crate) struct LuaError {
    /// The error value as text, with a position.
    pub(crate) message: String,
    /// Where it came from.
    pub(crate) traceback: String,
    /// The value itself; an error object of mlua's as its text.
    pub(crate) value: Value,
}

/// A value handed to or from a coroutine.
#[derive(Debug)]
pub(crate) enum Value {
    /// `nil`.
    Nil,
    /// A boolean.
    Bool(bool),
    /// A number.
    Num(f64),
    /// A string.
    Str(Vec<u8>),
    /// `ngx.null`.
    Null,
    /// Anything, kept by the registry.
    Ref(Rc<Ref>),
    /// An array.
    List(Vec<Value>),
    /// An array of records with string keys, as DNS answers are.
    Records(Vec<Vec<(&'static str, Value)>>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.as_bytes().to_vec())
    }
}

/// A coroutine.
#[derive(Debug)]
pub(crate) struct Co {
    lua: *mut ffi::lua_State,
    /// Keeps the thread object from being collected.
    anchor: Rc<Ref>,
}

impl Co {
    /// Makes a coroutine of `state`.
    pub(crate) fn create(state: &State) -> Self {
        // SAFETY: the state is alive; a thread is pushed on its stack.
        let lua = unsafe { ffi::lua_newthread(state.raw()) };
        // SAFETY: pops the thread just pushed.
        let index = unsafe { ffi::luaL_ref(state.raw(), ffi::LUA_REGISTRYINDEX) };
        Self { lua, anchor: Rc::new(Ref::new(state.clone(), index)) }
    }

    pub(super) fn state(&self) -> *mut ffi::lua_State {
        self.lua
    }

    /// The thread object.
    pub(crate) fn anchor(&self) -> &Rc<Ref> {
        &self.anchor
    }

    /// Names the coroutine among the living ones.
    pub(crate) fn id(&self) -> usize {
        self.lua as usize
    }

    pub(super) fn room(&self, count: c_int) {
        // SAFETY: the coroutine is alive and not running.
        unsafe { ffi::lua_checkstack(self.lua, count + 4) };
    }

    /// Pushes a kept value.
    pub(crate) fn push_ref(&self, value: &Ref) {
        self.room(1);
        // SAFETY: there is room; the registry is a table.
        unsafe { ffi::lua_rawgeti(self.lua, ffi::LUA_REGISTRYINDEX, value.index.into()) };
    }

    /// Pushes a number.
    pub(crate) fn push_num(&self, value: f64) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnumber(self.lua, value) };
    }

    /// Pushes nil.
    pub(crate) fn push_nil(&self) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnil(self.lua) };
    }

    /// Pushes a boolean.
    pub(crate) fn push_bool(&self, value: bool) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.lua, c_int::from(value)) };
    }

    /// Pushes a string.
    pub(crate) fn push_str(&self, value: &[u8]) {
        self.room(1);
        // SAFETY: there is room; Lua copies. No resume runs, so nothing is refused.
        unsafe { ffi::lua_pushlstring(self.lua, value.as_ptr().cast(), value.len()) };
    }

    /// Pushes any value.
    pub(crate) fn push(&self, value: &Value) {
        match value {
            Value::Nil => self.push_nil(),
            Value::Bool(value) => self.push_bool(*value),
            Value::Num(value) => self.push_num(*value),
            Value::Str(value) => self.push_str(value),
            Value::Null => self.push_null(),
            Value::Ref(value) => self.push_ref(value),
            Value::List(values) => self.push_list(values),
            Value::Records(records) => self.push_records(records),
        }
    }

    fn push_null(&self) {
        self.room(1);
        // SAFETY: there is room.
        unsafe { ffi::lua_pushlightuserdata(self.lua, std::ptr::null_mut()) };
    }

    fn push_list(&self, values: &[Value]) {
        self.room(2);
        // SAFETY: there is room.
        unsafe { ffi::lua_createtable(self.lua, c_int::try_from(values.len()).unwrap_or(0), 0) };
        for (value, n) in values.iter().zip(1..) {
            self.push(value);
            // SAFETY: the stack ends with the array and the value.
            unsafe { ffi::lua_rawseti(self.lua, -2, n) };
        }
    }

    fn push_records(&self, records: &[Vec<(&'static str, Value)>]) {
        self.room(4);
        // SAFETY: there is room.
        unsafe { ffi::lua_createtable(self.lua, c_int::try_from(records.len()).unwrap_or(0), 0) };
        for (record, n) in records.iter().zip(1..) {
            self.room(4);
            // SAFETY: there is room.
            unsafe { ffi::lua_createtable(self.lua, 0, 4) };
            for (key, value) in record {
                self.push_str(key.as_bytes());
                self.push(value);
                // SAFETY: the stack ends with table, key, value.
                unsafe { ffi::lua_rawset(self.lua, -3) };
            }
            // SAFETY: the stack ends with the array and the record.
            unsafe { ffi::lua_rawseti(self.lua, -2, n) };
        }
    }

    /// How many values lie on the stack.
    pub(crate) fn count(&self) -> c_int {
        // SAFETY: the coroutine is alive and not running.
        unsafe { ffi::lua_gettop(self.lua) }
    }

    /// The number at `at`, if it is one.
    pub(crate) fn num(&self, at: c_int) -> Option<f64> {
        // SAFETY: any index is acceptable.
        if unsafe { ffi::lua_type(self.lua, at) } != ffi::LUA_TNUMBER {
            return None;
        }
        // SAFETY: it is a number.
        Some(unsafe { ffi::lua_tonumber(self.lua, at) })
    }

    /// Whether the value at `at` is a function.
    pub(crate) fn is_function(&self, at: c_int) -> bool {
        // SAFETY: any index is acceptable.
        unsafe { ffi::lua_type(self.lua, at) == ffi::LUA_TFUNCTION }
    }

    /// Lua's truth of the value at `at`.
    pub(crate) fn truth(&self, at: c_int) -> bool {
        // SAFETY: any index is acceptable.
        unsafe { ffi::lua_toboolean(self.lua, at) != 0 }
    }

    /// The string at `at`, if it is one.
    pub(crate) fn str(&self, at: c_int) -> Option<Vec<u8>> {
        // SAFETY: any index is acceptable.
        if unsafe { ffi::lua_type(self.lua, at) } != ffi::LUA_TSTRING {
            return None;
        }
        let mut len = 0;
        // SAFETY: it is a string.
        let bytes = unsafe { ffi::lua_tolstring(self.lua, at, &raw mut len) };
        // SAFETY: Lua keeps the string while it is on the stack; it is copied at once.
        Some(unsafe { slice::from_raw_parts(bytes.cast::<u8>(), len) }.to_vec())
    }

    /// Keeps the value at `at` beyond the life of the stack.
    pub(crate) fn keep(&self, at: c_int) -> Ref {
        self.room(1);
        // SAFETY: there is room and `at` is on the stack.
        unsafe { ffi::lua_pushvalue(self.lua, at) };
        // SAFETY: pops the copy.
        let index = unsafe { ffi::luaL_ref(self.lua, ffi::LUA_REGISTRYINDEX) };
        Ref::new(self.anchor.state.clone(), index)
    }

    /// Empties the stack.
    pub(crate) fn clear(&self) {
        // SAFETY: the coroutine is alive and not running.
        unsafe { ffi::lua_settop(self.lua, 0) };
    }

    /// Runs the coroutine with the top `args` values until it returns, waits or fails.
    pub(crate) fn resume(
        &self,
        args: c_int,
        core: &Core,
        exchange: Option<&mut Exchange>,
        phase: Phase,
    ) -> Resumed {
        let outer = core.heap().begin();
        let code = {
            let _current = current::enter(core, exchange, phase);
            let _watched = core.watch().begin();
            // SAFETY: the function and its `args` arguments, or the results of the last
            // yield, are on the stack.
            unsafe { ffi::lua_resume_(self.lua, args) }
        };
        core.heap().end(outer);
        match code {
            ffi::LUA_OK => Resumed::Done,
            ffi::LUA_YIELD => self.yielded(),
            _ => self.failed(),
        }
    }

    fn yielded(&self) -> Resumed {
        if self.count() == 0 {
            return Resumed::Yielded;
        }
        let mark = (&raw const MARK).cast_mut().cast();
        // SAFETY: any index is acceptable; the result is only compared.
        let top = unsafe { ffi::lua_touserdata(self.lua, -1) };
        self.clear();
        if top == mark { Resumed::Waits } else { Resumed::Yielded }
    }

    fn failed(&self) -> Resumed {
        let mut message = self.error_text();
        // SAFETY: any index is acceptable.
        let value = match unsafe { ffi::lua_type(self.lua, -1) } {
            ffi::LUA_TUSERDATA => Value::from(message.as_str()),
            _ => Value::Ref(Rc::new(self.keep(-1))),
        };
        if !has_place(&message)
            // SAFETY: the failed coroutine's frames are intact.
            && let Some(place) = unsafe { place::of(self.lua) }
        {
            message.insert_str(0, &format!("{place}: "));
        }
        Resumed::Failed(LuaError { message, traceback: self.traceback(), value })
    }

    /// The stack of the failed coroutine. It may be full: the text is made on the main thread.
    fn traceback(&self) -> String {
        let main = self.anchor.state.raw();
        // SAFETY: room for the text and what is needed to make it.
        if unsafe { ffi::lua_checkstack(main, 20) } == 0 {
            return String::new();
        }
        // SAFETY: the failed coroutine's frames are intact; the text is pushed on `main`.
        unsafe { ffi::luaL_traceback(main, self.lua, std::ptr::null(), 0) };
        // SAFETY: the text was pushed right before.
        let text = unsafe { top_text(main) };
        // SAFETY: one value was pushed.
        unsafe { ffi::lua_pop(main, 1) };
        text
    }

    /// The error value on top as text; error objects of mlua are printed.
    fn error_text(&self) -> String {
        // SAFETY: any index is acceptable.
        match unsafe { ffi::lua_type(self.lua, -1) } {
            ffi::LUA_TSTRING => {
                String::from_utf8_lossy(&self.str(-1).unwrap_or_default()).into_owned()
            }
            ffi::LUA_TNIL => "nil".to_owned(),
            ffi::LUA_TNUMBER => self.num(-1).map_or_else(String::new, |number| number.to_string()),
            ffi::LUA_TBOOLEAN => self.truth(-1).to_string(),
            ffi::LUA_TTABLE => "(error object is a table value)".to_owned(),
            _ => self.mlua_error_text(),
        }
    }

    fn mlua_error_text(&self) -> String {
        match self.anchor.state.value(&self.keep(-1)) {
            // Its own traceback repeats ours.
            Ok(mlua::Value::Error(error)) => {
                let text = error.to_string();
                text.split("\nstack traceback:").next().unwrap_or_default().to_owned()
            }
            Ok(other) => format!("(error object is a {} value)", other.type_name()),
            Err(error) => error.to_string(),
        }
    }
}

/// The string on top of the stack of `lua`; empty if it is none.
///
/// # Safety
///
/// `lua` is alive and has a value on its stack.
pub(super) unsafe fn top_text(lua: *mut ffi::lua_State) -> String {
    let mut len = 0;
    // SAFETY: the caller's promise.
    if unsafe { ffi::lua_type(lua, -1) } != ffi::LUA_TSTRING {
        return String::new();
    }
    // SAFETY: it is a string.
    let bytes = unsafe { ffi::lua_tolstring(lua, -1, &raw mut len) };
    // SAFETY: Lua keeps the string while it is on the stack; it is copied at once.
    let bytes = unsafe { slice::from_raw_parts(bytes.cast::<u8>(), len) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether an error message begins with `file:line: `.
fn has_place(message: &str) -> bool {
    let Some((place, _)) = message.split_once(": ") else { return false };
    place.rsplit_once(':').is_some_and(|(file, line)| {
        !file.is_empty() && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())
    })
}
