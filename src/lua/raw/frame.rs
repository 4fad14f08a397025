//! The Lua stack as a host function sees it.
//!
//! A host function is a plain safe Rust function `fn(&mut Frame) -> Outcome`.
//! [`c_function`] makes a C function of it that catches panics, raises Lua errors only
//! after every Rust value of the call was dropped, and yields for functions that wait.

use std::{
    borrow::Cow,
    ffi::{c_int, c_void},
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
};

use mlua::ffi;

use super::{
    co::{Co, Ref},
    current,
    heap::Heap,
    object::{self, Object},
    state::MARK,
};
use crate::{exchange::Exchange, lua::core::Core};

/// Most texts [`Frame::with_texts`] takes.
pub(crate) const TEXTS_MAX: usize = 48;
const TEXTS_SLOTS: c_int = TEXTS_MAX as c_int + 4;

/// What a host function ends with.
pub(crate) enum Outcome {
    /// The last `n` values pushed are the results.
    Return(c_int),
    /// The operation put into [`Core::suspend`] is awaited; its values become the results.
    Yield,
}

/// An error to raise in Lua.
#[derive(Debug)]
pub(crate) struct Raise(pub(crate) String);

impl Raise {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Result of a host function.
pub(crate) type Called = Result<Outcome, Raise>;

/// The type of a value on the stack, as far as host functions tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Nil,
    Bool,
    Number,
    String,
    Table,
    Function,
    Other,
}

/// The stack of one running host function.
pub(crate) struct Frame<'f> {
    lua: *mut ffi::lua_State,
    life: PhantomData<&'f ()>,
}

impl<'f> Frame<'f> {
    /// How many arguments the function got.
    pub(crate) fn count(&self) -> c_int {
        // SAFETY: `lua` is the state this function was called with.
        unsafe { ffi::lua_gettop(self.lua) }
    }

    pub(crate) fn kind(&self, at: c_int) -> Kind {
        // SAFETY: any index is acceptable to lua_type.
        match unsafe { ffi::lua_type(self.lua, at) } {
            ffi::LUA_TNONE => Kind::None,
            ffi::LUA_TNIL => Kind::Nil,
            ffi::LUA_TBOOLEAN => Kind::Bool,
            ffi::LUA_TNUMBER => Kind::Number,
            ffi::LUA_TSTRING => Kind::String,
            ffi::LUA_TTABLE => Kind::Table,
            ffi::LUA_TFUNCTION => Kind::Function,
            _ => Kind::Other,
        }
    }

    /// Whether argument `at` is nil or absent.
    pub(crate) fn is_nil(&self, at: c_int) -> bool {
        matches!(self.kind(at), Kind::None | Kind::Nil)
    }

    /// A string, or a number written as Lua writes it. Lives as long as the call.
    pub(crate) fn str(&self, at: c_int) -> Option<&'f [u8]> {
        if !matches!(self.kind(at), Kind::String | Kind::Number) {
            return None;
        }
        let mut len = 0;
        // SAFETY: the value is a string or number; the heap refuses nothing while a
        // host function runs, so the conversion of a number cannot raise.
        let bytes = unsafe { ffi::lua_tolstring(self.lua, at, &raw mut len) };
        // SAFETY: Lua keeps the string while it is on the stack, and arguments stay.
        Some(unsafe { slice::from_raw_parts(bytes.cast(), len) })
    }

    /// Like [`Frame::str`], raising for anything else.
    pub(crate) fn need_str(&self, at: c_int, name: &str) -> Result<&'f [u8], Raise> {
        self.str(at).ok_or_else(|| {
            Raise(format!(
                "bad argument #{at} to '{name}' (string expected, got {})",
                self.type_name(at)
            ))
        })
    }

    /// A number, or a string that is one.
    pub(crate) fn num(&self, at: c_int) -> Option<f64> {
        match self.kind(at) {
            // SAFETY: the value is a number.
            Kind::Number => Some(unsafe { ffi::lua_tonumber(self.lua, at) }),
            // SAFETY: any index is acceptable.
            Kind::String if unsafe { ffi::lua_isnumber(self.lua, at) } != 0 => {
                // SAFETY: the value is a string that is a number.
                Some(unsafe { ffi::lua_tonumber(self.lua, at) })
            }
            _ => None,
        }
    }

    /// Like [`Frame::num`], raising for anything else.
    pub(crate) fn need_num(&self, at: c_int, name: &str) -> Result<f64, Raise> {
        self.num(at).ok_or_else(|| {
            Raise(format!(
                "bad argument #{at} to '{name}' (number expected, got {})",
                self.type_name(at)
            ))
        })
    }

    /// What `tostring` prints, but for metamethods.
    pub(crate) fn text(&self, at: c_int) -> Cow<'f, [u8]> {
        if let Some(text) = self.str(at) {
            return Cow::Borrowed(text);
        }
        match self.kind(at) {
            Kind::None | Kind::Nil => Cow::Borrowed(b"nil"),
            Kind::Bool => Cow::Borrowed(if self.truth(at) { b"true" } else { b"false" }),
            _ => {
                // SAFETY: any index is acceptable.
                let address = unsafe { ffi::lua_topointer(self.lua, at) };
                Cow::Owned(format!("{}: {address:p}", self.type_name(at)).into_bytes())
            }
        }
    }

    /// The Rust value that argument `at` is.
    pub(crate) fn object<T: Object>(&self, at: c_int) -> Option<&'f T> {
        // SAFETY: host functions have room for LUA_MINSTACK values and push few of them
        // before they read their arguments, which stay on the stack.
        unsafe { object::read(self.lua, at) }
    }

    /// Like [`Frame::object`], raising for anything else.
    pub(crate) fn need_object<T: Object>(&self, at: c_int, name: &str) -> Result<&'f T, Raise> {
        self.object(at).ok_or_else(|| {
            Raise(format!(
                "bad argument #{at} to '{name}' (object expected, got {})",
                self.type_name(at)
            ))
        })
    }

    /// Gives `value` to Lua; its type was declared with [`object::class`].
    pub(crate) fn push_object<T: Object>(&mut self, value: T) {
        self.room();
        // SAFETY: there is room; the heap refuses nothing now.
        unsafe { object::fill(self.lua, || Some(value)) };
    }

    /// Lua's truth of argument `at`.
    pub(crate) fn truth(&self, at: c_int) -> bool {
        // SAFETY: any index is acceptable.
        unsafe { ffi::lua_toboolean(self.lua, at) != 0 }
    }

    /// The name of the type of argument `at`, for messages.
    pub(crate) fn type_name(&self, at: c_int) -> &'static str {
        match self.kind(at) {
            Kind::None => "no value",
            Kind::Nil => "nil",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Other => "userdata",
        }
    }

    pub(crate) fn push_nil(&mut self) {
        self.room();
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnil(self.lua) };
    }

    pub(crate) fn push_bool(&mut self, value: bool) {
        self.room();
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.lua, c_int::from(value)) };
    }

    pub(crate) fn push_num(&mut self, value: f64) {
        self.room();
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnumber(self.lua, value) };
    }

    pub(crate) fn push_str(&mut self, value: &[u8]) {
        self.room();
        // SAFETY: there is room; the heap refuses nothing now; Lua copies the bytes.
        unsafe { ffi::lua_pushlstring(self.lua, value.as_ptr().cast(), value.len()) };
    }

    /// `t[name] = value`, where the stack ends with `t`.
    pub(crate) fn set_text(&mut self, name: &Ref, value: &[u8]) {
        self.push_ref(name);
        // SAFETY: there is room for more than one; the heap refuses nothing now; Lua copies the
        // bytes.
        unsafe { ffi::lua_pushlstring(self.lua, value.as_ptr().cast(), value.len()) };
        self.set_pair();
    }

    /// Pushes the value behind `value`.
    pub(crate) fn push_ref(&mut self, value: &Ref) {
        self.room();
        // SAFETY: there is room; the registry is a table.
        unsafe { ffi::lua_rawgeti(self.lua, ffi::LUA_REGISTRYINDEX, value.index().into()) };
    }

    pub(crate) fn push_table(&mut self, array: usize, hash: usize) {
        self.room();
        let (array, hash) =
            (c_int::try_from(array).unwrap_or(0), c_int::try_from(hash).unwrap_or(0));
        // SAFETY: there is room; the heap refuses nothing now.
        unsafe { ffi::lua_createtable(self.lua, array, hash) };
    }

    /// `t[n] = top`, where `t` lies right below; pops the value.
    pub(crate) fn set_index(&mut self, n: usize) {
        // SAFETY: callers push a table and then one value.
        unsafe { ffi::lua_rawseti(self.lua, -2, i64::try_from(n).unwrap_or(i64::MAX)) };
    }

    /// `t[key] = value`, where the stack ends with `t`, `key`, `value`; pops two.
    pub(crate) fn set_pair(&mut self) {
        // SAFETY: callers push a table, a non-nil key and a value.
        unsafe { ffi::lua_rawset(self.lua, -3) };
    }

    /// Reads `t[n]` of the array at `at` as a string, without metamethods.
    pub(crate) fn item(&mut self, at: c_int, n: usize) -> Option<Vec<u8>> {
        self.room();
        // SAFETY: callers checked that `at` is a table.
        unsafe { ffi::lua_rawgeti(self.lua, at, i64::try_from(n).unwrap_or(i64::MAX)) };
        let value = self.str(-1).map(<[u8]>::to_vec);
        // SAFETY: one value was pushed above.
        unsafe { ffi::lua_pop(self.lua, 1) };
        value
    }

    /// The array part of the table at `at`, as strings; stops at the first gap.
    pub(crate) fn strings(&mut self, at: c_int) -> Vec<Vec<u8>> {
        (1..).map_while(|n| self.item(at, n)).collect()
    }

    /// Calls `then` with the array part of the table at `at` as texts, which are copied only
    /// if they are no strings; stops at the first gap. No table is an empty array.
    ///
    /// # Errors
    ///
    /// What `then` returns, or that there are more than [`TEXTS_MAX`].
    pub(crate) fn with_texts<R>(
        &mut self,
        at: c_int,
        then: impl FnOnce(&[Cow<'_, [u8]>]) -> R,
    ) -> Result<R, Raise> {
        let top = self.count();
        let mut texts: [Cow<'_, [u8]>; TEXTS_MAX] = [const { Cow::Borrowed(&[]) }; TEXTS_MAX];
        let mut len = 0;
        // SAFETY: the stack grows; the heap refuses nothing now.
        unsafe { ffi::lua_checkstack(self.lua, TEXTS_SLOTS) };
        while self.kind(at) == Kind::Table {
            // SAFETY: a table is at `at`, and there is room for TEXTS_MAX + 1 values.
            unsafe { ffi::lua_rawgeti(self.lua, at, len as i64 + 1) };
            if self.kind(-1) == Kind::Nil {
                break;
            }
            let Some(text) = texts.get_mut(len) else {
                return Err(Raise(format!("more than {TEXTS_MAX} values")));
            };
            // Stays on the stack until `then` is through.
            *text = self.text(-1);
            len += 1;
        }
        let result = then(&texts[..len]);
        // SAFETY: drops what was pushed above.
        unsafe { ffi::lua_settop(self.lua, top) };
        Ok(result)
    }

    /// Keeps argument `at` alive beyond the call.
    ///
    /// # Errors
    ///
    /// When no VM is current, which cannot happen inside a resume.
    pub(crate) fn keep(&mut self, at: c_int) -> Result<Ref, Raise> {
        let state = self.core()?.state().clone();
        self.room();
        // SAFETY: there is room and `at` is an argument.
        unsafe { ffi::lua_pushvalue(self.lua, at) };
        // SAFETY: pops the copy just pushed; the heap refuses nothing now.
        let index = unsafe { ffi::luaL_ref(self.lua, ffi::LUA_REGISTRYINDEX) };
        Ok(Ref::new(state, index))
    }

    /// The coroutine at `at`, as [`Co::id`] names it.
    pub(crate) fn thread(&self, at: c_int) -> Option<usize> {
        // SAFETY: any index is acceptable.
        let thread = unsafe { ffi::lua_tothread(self.lua, at) };
        (!thread.is_null()).then_some(thread as usize)
    }

    /// Moves all arguments from `first` on to the end of the stack of `co`.
    pub(crate) fn move_to(&mut self, co: &Co, first: c_int) -> c_int {
        let count = (self.count() - first + 1).max(0);
        co.room(count);
        // SAFETY: both states belong to one VM and `co` has room; the values are on our stack.
        unsafe { ffi::lua_xmove(self.lua, co.state(), count) };
        count
    }

    /// Whether the function may end with [`Outcome::Yield`]: not inside `string.gsub` or the like.
    pub(crate) fn can_yield(&self) -> bool {
        // SAFETY: `lua` is the state this function was called with.
        unsafe { lua_isyieldable(self.lua) != 0 }
    }

    /// The VM this call runs in.
    pub(crate) fn core(&self) -> Result<&'f Core, Raise> {
        current::core().ok_or_else(|| Raise::new("no virtual machine is current"))
    }

    /// The current request.
    ///
    /// # Errors
    ///
    /// Outside of a request, in OpenResty's words.
    pub(crate) fn exchange(&mut self) -> Result<&'f mut Exchange, Raise> {
        // SAFETY: host functions ask once and drop the result before they return.
        unsafe { current::exchange() }.ok_or_else(|| {
            Raise(format!("API disabled in the context of {}", self.phase_context()))
        })
    }

    pub(crate) fn phase(&self) -> current::Phase {
        current::phase()
    }

    fn phase_context(&self) -> &'static str {
        match current::phase() {
            current::Phase::Timer => "ngx.timer",
            current::Phase::InitWorker => "init_worker_by_lua*",
            _ => "init_by_lua*",
        }
    }

    fn room(&mut self) {
        // SAFETY: growing the stack by a few slots; the heap refuses nothing now.
        unsafe { ffi::lua_checkstack(self.lua, 4) };
    }
}

/// Makes a C function of `body`, which must capture nothing.
pub(crate) fn c_function<F>(_body: F) -> ffi::lua_CFunction
where
    F: Fn(&mut Frame<'_>) -> Called + Copy + 'static,
{
    const { assert!(size_of::<F>() == 0, "a host function captures nothing") };
    trampoline::<F>
}

/// What Lua really calls.
///
/// # Safety
///
/// Called by Lua with a valid state only.
unsafe extern "C-unwind" fn trampoline<F>(lua: *mut ffi::lua_State) -> c_int
where
    F: Fn(&mut Frame<'_>) -> Called + Copy + 'static,
{
    // SAFETY: `F` is a zero-sized function item (asserted in `c_function`), so any
    // well-aligned dangling pointer is a valid reference to it.
    let body = unsafe { std::ptr::NonNull::<F>::dangling().as_ref() };
    let outcome = {
        let heap = current::core().map(Core::heap);
        let exhausted = heap.is_some_and(Heap::is_exhausted);
        if let Some(heap) = heap {
            heap.enter_host();
        }
        let called = catch_unwind(AssertUnwindSafe(|| {
            if exhausted {
                return Err(Raise::new("not enough memory"));
            }
            let mut frame = Frame { lua, life: PhantomData };
            body(&mut frame)
        }));
        let outcome = match called {
            Ok(Ok(Outcome::Return(count))) => count,
            Ok(Ok(Outcome::Yield)) => YIELD,
            Ok(Err(Raise(text))) => raise_text(lua, &text),
            Err(_panic) => raise_text(lua, "internal error in a host function, see the log"),
        };
        if let Some(heap) = heap {
            heap.leave_host();
        }
        outcome
    };
    match outcome {
        YIELD => {
            // SAFETY: the function was entered with room for LUA_MINSTACK values.
            unsafe {
                ffi::lua_pushlightuserdata(lua, (&raw const MARK).cast_mut().cast::<c_void>())
            };
            // SAFETY: yields one value; nothing with a destructor is alive here.
            unsafe { ffi::lua_yield(lua, 1) }
        }
        RAISE => {
            // SAFETY: the message is on top; nothing with a destructor is alive here.
            unsafe { ffi::lua_error(lua) }
        }
        count => count,
    }
}

unsafe extern "C" {
    /// LuaJIT has it as Lua 5.2 does; mlua does not name it.
    fn lua_isyieldable(lua: *mut ffi::lua_State) -> c_int;
}

const YIELD: c_int = -1;
const RAISE: c_int = -2;

/// Pushes `where .. text`; the caller raises it.
fn raise_text(lua: *mut ffi::lua_State, text: &str) -> c_int {
    // SAFETY: the heap refuses nothing now; luaL_where pushes one string.
    unsafe { ffi::luaL_where(lua, 1) };
    // SAFETY: as above; Lua copies the bytes.
    unsafe { ffi::lua_pushlstring(lua, text.as_ptr().cast(), text.len()) };
    // SAFETY: two strings are on top.
    unsafe { ffi::lua_concat(lua, 2) };
    RAISE
}
