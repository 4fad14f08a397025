--- Text functions of the `ngx` table: escaping, digests, base64, times.
--
-- The host's functions take and refuse the same arguments as OpenResty's, so most of them
-- only get their names here.
-- @module moongate.api.text
local host = require("moongate.host")

local crypto = host.crypto
local error = error
local find = string.find
local gsub = string.gsub
local time = host.time
local tostring = tostring
local type = type
local uri = host.uri

local SQL_SPECIAL = "[%z\b\n\r\t\26\\'\"]"
local SQL_ESCAPES = {
    ["\0"] = "\\0",
    ["\b"] = "\\b",
    ["\n"] = "\\n",
    ["\r"] = "\\r",
    ["\t"] = "\\t",
    ["\26"] = "\\Z",
    ["\\"] = "\\\\",
    ["'"] = "\\'",
    ['"'] = '\\"',
}

local _M = {
    now = time.now,
    time = time.time,
    update_time = time.update,
    today = time.today,
    localtime = time.localtime,
    utctime = time.utctime,
    http_time = time.http_time,
    cookie_time = time.cookie_time,
    parse_http_time = time.parse_http_time,

    escape_uri = uri.escape,
    unescape_uri = uri.unescape,
    encode_args = uri.encode_args,
    decode_args = uri.decode_args,

    md5 = crypto.md5,
    md5_bin = crypto.md5_bin,
    sha1_bin = crypto.sha1_bin,
    hmac_sha1 = crypto.hmac_sha1,
    -- nginx has two ways to compute the same number, one of them for short texts.
    crc32_long = crypto.crc32,
    crc32_short = crypto.crc32,
    encode_base64 = crypto.base64_encode,
    decode_base64 = crypto.base64_decode,
}


--- Decodes base64 with line breaks and other characters in it.
function _M.decode_base64mime(value)
    if type(value) ~= "string" then
        error("string argument only", 2)
    end
    return crypto.base64_decode((gsub(value, "[^%w+/=]", "")))
end


--- A text as MySQL takes it, with its quotes.
function _M.quote_sql_str(value)
    if type(value) ~= "string" and type(value) ~= "number" then
        error("bad argument #1 to 'quote_sql_str' (string expected, got " .. type(value) .. ")", 2)
    end
    local text = tostring(value)
    if find(text, SQL_SPECIAL) then
        text = gsub(text, SQL_SPECIAL, SQL_ESCAPES)
    end
    return "'" .. text .. "'"
end


return _M
