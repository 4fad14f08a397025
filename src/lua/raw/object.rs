//! Rust values that Lua holds: userdata that a host function reads without mlua.
//!
//! [`class`] names the methods of a type once per VM; [`create`] and `Frame::push_object`
//! make values of it, `Frame::object` reads them. Lua's collector drops them.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use mlua::ffi;

/// A type that Lua may hold.
pub(crate) trait Object: 'static {
    /// Names the type: its address must be that of a `static` of this type alone.
    fn tag() -> &'static u8;
}

/// What a userdata holds.
#[repr(C)]
struct Slot<T> {
    /// Names the type to those who have only the address: see [`of_block`].
    tag: *const u8,
    /// Nothing any more once the collector was there, which Lua code may see from the finalizers
    /// of other values.
    value: Option<T>,
}

fn tag<T: Object>() -> *mut c_void {
    ptr::from_ref(T::tag()).cast_mut().cast()
}

/// Declares `T` to the VM, with `methods` as its `__index`.
///
/// # Errors
///
/// When Lua has no memory for it.
pub(crate) fn class<T: Object>(lua: &mlua::Lua, methods: mlua::Table) -> mlua::Result<()> {
    // What Lua aligns a userdata to.
    const { assert!(align_of::<Slot<T>>() <= 8) };
    let meta = lua.create_table()?;
    meta.raw_set(1, mlua::LightUserData(tag::<T>()))?;
    meta.raw_set("__index", methods)?;
    meta.raw_set("__metatable", false)?;
    // SAFETY: `collect` checks what it is called with.
    meta.raw_set("__gc", unsafe { lua.create_c_function(collect::<T>) }?)?;
    let put = |state| {
        // SAFETY: there is room for LUA_MINSTACK values.
        unsafe { ffi::lua_pushlightuserdata(state, tag::<T>()) };
        // SAFETY: `meta` and the key are on the stack.
        unsafe { ffi::lua_insert(state, -2) };
        // SAFETY: takes both.
        unsafe { ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX) };
    };
    // SAFETY: exec_raw pushes exactly `meta`, which `put` takes.
    unsafe { lua.exec_raw(meta, put) }
}

/// Gives `value` to Lua. `T` must have been declared with [`class`].
///
/// # Errors
///
/// When Lua has no memory for it.
pub(crate) fn create<T: Object>(lua: &mlua::Lua, value: T) -> mlua::Result<mlua::Value> {
    let mut value = Some(value);
    // SAFETY: exec_raw makes room and runs this protected.
    let push = |state| unsafe { fill(state, || value.take()) };
    // SAFETY: a memory error passes no frame of ours with a destructor: `value` is taken only
    // when the userdata is there.
    unsafe { lua.exec_raw((), push) }
}

/// Pushes a userdata with what `value` returns.
///
/// # Safety
///
/// The stack has room for three values. Lua may raise for want of memory before `value` is
/// called, unless the heap refuses nothing.
pub(super) unsafe fn fill<T: Object>(lua: *mut ffi::lua_State, value: impl FnOnce() -> Option<T>) {
    // SAFETY: see above.
    let block: *mut Slot<T> = unsafe { ffi::lua_newuserdata(lua, size_of::<Slot<T>>()) }.cast();
    // SAFETY: fresh memory of that size; Lua aligns it to 8, see `class`.
    unsafe { block.write(Slot { tag: T::tag(), value: value() }) };
    // SAFETY: there is room.
    unsafe { ffi::lua_pushlightuserdata(lua, tag::<T>()) };
    // SAFETY: the key is on top, the registry is a table.
    unsafe { ffi::lua_rawget(lua, ffi::LUA_REGISTRYINDEX) };
    // SAFETY: the class, or nil which leaves the userdata bare, so that nobody reads it.
    unsafe { ffi::lua_setmetatable(lua, -2) };
}

/// The value at `at`, if it is a `T` that is still there.
///
/// # Safety
///
/// The stack has room for two values, and the value stays on it for all of `'f`.
pub(super) unsafe fn read<'f, T: Object>(lua: *mut ffi::lua_State, at: c_int) -> Option<&'f T> {
    // SAFETY: passed on.
    let block = unsafe { slot::<T>(lua, at) }?;
    // SAFETY: `slot` checked the type; nobody writes but the collector, which does not come
    // while the value is on the stack.
    unsafe { (*block).value.as_ref() }
}

/// The value in the memory of a userdata, if it is a `T` that is still there.
///
/// # Safety
///
/// `block` is the memory of a userdata made here, which lives for all of `'f`.
pub(super) unsafe fn of_block<'f, T: Object>(block: *const c_void) -> Option<&'f T> {
    let block: *const Slot<T> = block.cast();
    // SAFETY: the caller's promise; every slot begins with its tag.
    let found = unsafe { (*block).tag };
    if !ptr::eq(found, T::tag()) {
        return None;
    }
    // SAFETY: the tag names the type.
    unsafe { (*block).value.as_ref() }
}

/// # Safety
///
/// The stack has room for two values.
unsafe fn slot<T: Object>(lua: *mut ffi::lua_State, at: c_int) -> Option<*mut Slot<T>> {
    // SAFETY: any index is acceptable.
    let block: *mut Slot<T> = unsafe { ffi::lua_touserdata(lua, at) }.cast();
    // SAFETY: any index is acceptable; pushes the metatable if there is one.
    if block.is_null() || unsafe { ffi::lua_getmetatable(lua, at) } == 0 {
        return None;
    }
    // SAFETY: the metatable is on top and there is room.
    unsafe { ffi::lua_rawgeti(lua, -1, 1) };
    // SAFETY: any value is acceptable.
    let found = unsafe { ffi::lua_touserdata(lua, -1) };
    // SAFETY: two values were pushed above.
    unsafe { ffi::lua_pop(lua, 2) };
    (found == tag::<T>()).then_some(block)
}

/// `__gc`.
///
/// # Safety
///
/// Called by Lua with a valid state only.
unsafe extern "C-unwind" fn collect<T: Object>(lua: *mut ffi::lua_State) -> c_int {
    // SAFETY: a C function has room for LUA_MINSTACK values.
    if let Some(block) = unsafe { slot::<T>(lua, 1) } {
        // SAFETY: `slot` checked the type; the assignment leaves a valid empty slot.
        unsafe { (*block).value = None };
    }
    0
}
