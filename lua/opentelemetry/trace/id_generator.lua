--- `opentelemetry.trace.id_generator`: identifiers as hexadecimal digits.
-- @module opentelemetry.trace.id_generator
local host = require("moongate.host")
local to_hex = require("resty.string").to_hex

local random_bytes = host.crypto.random_bytes

local _M = {}


--- For a span of a trace that is known.
function _M.new_span_id()
    return to_hex(random_bytes(8))
end


--- For a new trace, and its first span.
function _M.new_ids()
    return to_hex(random_bytes(16)), _M.new_span_id()
end


return _M
