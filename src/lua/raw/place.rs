//! Where in Lua something happens: file and line.

use std::ffi::CStr;

use mlua::ffi;

/// Levels of the stack that are looked at.
const LEVELS_MAX: i32 = 64;

/// Our own files that stand between a plugin and what it calls.
const WRAPPERS: &str = "lua/moongate/";

/// `file:line` of the innermost Lua function on the stack of `lua`, of a plugin if there is
/// one. Neither pushes nor raises.
///
/// # Safety
///
/// `lua` is a living coroutine, running or failed, of the calling thread.
pub(super) unsafe fn of(lua: *mut ffi::lua_State) -> Option<String> {
    let mut ours = None;
    for level in 0..LEVELS_MAX {
        // SAFETY: an all-zero value is a valid one for plain integers and pointers.
        let mut frame: ffi::lua_Debug = unsafe { std::mem::zeroed() };
        // SAFETY: `lua` is alive.
        if unsafe { ffi::lua_getstack(lua, level, &raw mut frame) } == 0 {
            break;
        }
        // SAFETY: `frame` was filled by lua_getstack; these two questions push nothing.
        let known = unsafe { ffi::lua_getinfo(lua, c"Sl".as_ptr(), &raw mut frame) };
        // A function of C has no line of definition.
        if known == 0 || frame.currentline <= 0 && frame.linedefined < 0 {
            continue;
        }
        // Compiled code does not tell its line when it runs out of memory: then the function's.
        let line = if frame.currentline > 0 { frame.currentline } else { frame.linedefined };
        // SAFETY: lua_getinfo ends `short_src` with a NUL.
        let source = unsafe { CStr::from_ptr(frame.short_src.as_ptr()) }.to_string_lossy();
        let place = format!("{source}:{line}");
        if !source.starts_with(WRAPPERS) {
            return Some(place);
        }
        ours.get_or_insert(place);
    }
    ours
}
