//! Lets modules in C find the API of Lua in the gateway, as they find it in nginx.
//!
//! An executable exports nothing by itself, and what it does not call it does not hold: each
//! function is asked for by name, and exported.

/// What `lua.h`, `lauxlib.h`, `lualib.h` and `luajit.h` declare.
const API: &str = "
    luaJIT_profile_dumpstack luaJIT_profile_start luaJIT_profile_stop luaJIT_setmode
    luaL_addlstring luaL_addstring luaL_addvalue luaL_argerror luaL_buffinit luaL_callmeta
    luaL_checkany luaL_checkinteger luaL_checklstring luaL_checknumber luaL_checkoption
    luaL_checkstack luaL_checktype luaL_checkudata luaL_error luaL_execresult luaL_fileresult
    luaL_findtable luaL_getmetafield luaL_gsub luaL_loadbuffer luaL_loadbufferx luaL_loadfile
    luaL_loadfilex luaL_loadstring luaL_newmetatable luaL_newstate luaL_openlib luaL_openlibs
    luaL_optinteger luaL_optlstring luaL_optnumber luaL_prepbuffer luaL_pushmodule
    luaL_pushresult luaL_ref luaL_register luaL_setfuncs luaL_setmetatable luaL_testudata
    luaL_traceback luaL_typerror luaL_unref luaL_where lua_atpanic lua_call lua_checkstack
    lua_close lua_concat lua_copy lua_cpcall lua_createtable lua_dump lua_equal lua_error lua_gc
    lua_getallocf lua_getfenv lua_getfield lua_gethook lua_gethookcount lua_gethookmask
    lua_getinfo lua_getlocal lua_getmetatable lua_getstack lua_gettable lua_gettop
    lua_getupvalue lua_insert lua_iscfunction lua_isnumber lua_isstring lua_isuserdata
    lua_isyieldable lua_lessthan lua_load lua_loadx lua_newstate lua_newthread lua_newuserdata
    lua_next lua_objlen lua_pcall lua_pushboolean lua_pushcclosure lua_pushfstring
    lua_pushinteger lua_pushlightuserdata lua_pushlstring lua_pushnil lua_pushnumber
    lua_pushstring lua_pushthread lua_pushvalue lua_pushvfstring lua_rawequal lua_rawget
    lua_rawgeti lua_rawset lua_rawseti lua_remove lua_replace lua_resume lua_setallocf
    lua_setfenv lua_setfield lua_sethook lua_setlocal lua_setmetatable lua_settable lua_settop
    lua_setupvalue lua_status lua_toboolean lua_tocfunction lua_tointeger lua_tointegerx
    lua_tolstring lua_tonumber lua_tonumberx lua_topointer lua_tothread lua_touserdata lua_type
    lua_typename lua_upvalueid lua_upvaluejoin lua_version lua_xmove lua_yield luaopen_base
    luaopen_bit luaopen_debug luaopen_ffi luaopen_io luaopen_jit luaopen_math luaopen_os
    luaopen_package luaopen_string luaopen_string_buffer luaopen_table
";

/// What libraries and plugins reach of nginx through `ffi.C`: `src/lua/raw/symbols.rs`.
const NGINX: &str = "
    ngx_hex_dump ngx_atoi ngx_hextoi ngx_stat_accepted ngx_stat_active ngx_stat_handled
    ngx_stat_reading ngx_stat_requests ngx_stat_waiting ngx_stat_writing
";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in API.split_whitespace().chain(NGINX.split_whitespace()) {
        println!("cargo:rustc-link-arg-bins=-Wl,--undefined={name}");
        println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol={name}");
    }
}
