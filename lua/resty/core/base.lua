--- `resty.core.base`: the few helpers that libraries take from it.
-- @module resty.core.base
local ffi = require("ffi")

local error = error
local ffi_new = ffi.new

local STRING_BUF_BYTES = 4096

local _M = {
    version = "0.1.28",
    new_tab = require("table.new"),
    clear_tab = require("table.clear"),
    FFI_OK = 0,
    FFI_NO_REQ_CTX = -100,
    FFI_BAD_CONTEXT = -101,
    FFI_ERROR = -1,
    FFI_AGAIN = -2,
    FFI_BUSY = -3,
    FFI_DONE = -4,
    FFI_DECLINED = -5,
}

local shared_buf = ffi_new("unsigned char[?]", STRING_BUF_BYTES)
local size_ptr = ffi_new("size_t[1]")


function _M.get_size_ptr()
    return size_ptr
end


--- A buffer for the next FFI call; the caller copies what it needs before it yields.
function _M.get_string_buf(size, must_alloc)
    if size > STRING_BUF_BYTES or must_alloc then
        return ffi_new("unsigned char[?]", size)
    end
    return shared_buf
end


function _M.get_string_buf_size()
    return STRING_BUF_BYTES
end


function _M.get_request()
    error("resty.core.base.get_request is not available in moongate: "
          .. "there is no nginx request behind a Lua request", 2)
end


-- Where a table of references keeps the first free place; nil before there was one.
local FREE = 0


--- Keeps a value in a table and names its place; nil is kept nowhere.
-- @treturn number the place, -1 for nil
function _M.ref_in_table(refs, value)
    if value == nil then
        return -1
    end
    local place = refs[FREE]
    if place and place ~= 0 then
        refs[FREE] = refs[place]
    else
        place = #refs + 1
    end
    refs[place] = value
    return place
end


--- Names of subsystems this one is; OpenResty's own modules ask before they load.
function _M.allows_subsystem()
    return true
end


return _M
