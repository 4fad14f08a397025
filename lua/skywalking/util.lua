--- `skywalking.util`: ids, time, base64 and the paths that are not traced.
-- @module skywalking.util
local new_id = require("resty.jit-uuid").generate_v4
local new_tab = require("table.new")
local random_bytes = require("moongate.host").crypto.random_bytes
local split = require("ngx.re").split

local byte = string.byte
local error = error
local floor = math.floor
local ipairs = ipairs
local ngx = ngx
local sub = string.sub
local type = type

local _M = {
    decode_base64 = ngx.decode_base64,
    encode_base64 = ngx.encode_base64,
    is_ngx_lua = true,
    newID = new_id,
    split = split,
}


--- Milliseconds since 1970, whole: SkyWalking reads them as an integer.
function _M.timestamp()
    return floor(ngx.now() * 1000 + 0.5)
end


--- Seeds `math.random` from the system's randomness.
function _M.set_randomseed()
    local a, b, c, d = byte(random_bytes(4), 1, 4)
    math.randomseed(((a * 256 + b) * 256 + c) * 256 + d)
end


--- Says which requests are not traced: those whose path ends so.
-- @tparam string suffixes separated by commas, as ".js,.css"
function _M.set_ignore_suffix(suffixes)
    _M.ignore_suffix_table = split(suffixes, ",")
end


--- Whether a request for this path is not traced.
function _M.checkIgnoreSuffix(path)
    for _, suffix in ipairs(_M.ignore_suffix_table or {}) do
        if type(path) ~= "string" then
            error("unexpected type: s:" .. type(path) .. ", suffix:" .. type(suffix), 2)
        end
        if #path >= #suffix and sub(path, #path - #suffix + 1) == suffix then
            return true
        end
    end
    return false
end


--- A table for the rest of the request. It is a new one each time: the collector takes tables
-- that live as short as this for less than keeping account of them costs, and nobody finds one
-- emptied who still holds it.
-- @tparam[opt] string name of the pool; there is none
-- @tparam[opt=8] number narr
-- @tparam[opt=8] number nrec
function _M.tablepool_fetch(name, narr, nrec)
    return new_tab(narr or 8, nrec or 8)
end


--- Ends the request's use of its tables: nothing to be done.
function _M.tablepool_release()
end


local function without_pool()
    return {}
end


local function true_without_pool()
    return true
end


--- Leaves tables to the collector, where they are anyway.
function _M.disable_tablepool()
    _M.tablepool_fetch, _M.tablepool_release = without_pool, true_without_pool
end


return _M
