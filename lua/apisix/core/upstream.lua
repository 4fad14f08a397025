--- `core.upstream`: which protocol the upstream of a request speaks.
--
-- Which upstream that is, `apisix.upstream` and `ctx.upstream_id` say as ever: nodes, balancer,
-- retries, timeouts and TLS (scheme `https`) are the same for all protocols.
-- @module apisix.core.upstream
local host = require("moongate.host")

local pairs = pairs
local protocol_reset = host.protocol_reset
local protocol_set = host.protocol_set
local tostring = tostring
local type = type

-- Filled anew for each call; the host copies at once.
local flat_args = {}
local flat_metadata = {}

local _M = {}


local function put(flat, length, name, value)
    if type(value) == "table" then
        for i = 1, #value do
            length = put(flat, length, name, value[i])
        end
        return length
    end
    flat[length + 1] = tostring(name)
    flat[length + 2] = value == true and "" or tostring(value)
    return length + 2
end


local function flatten(values, flat)
    if not values then
        return nil
    end
    local length = 0
    for name, value in pairs(values) do
        length = put(flat, length, name, value)
    end
    flat[length + 1] = nil
    return flat
end


--- Lets the request go upstream as a call in another protocol. What the call answers is the
-- response, with header_filter, body_filter and log as ever.
-- To be called in `rewrite`, `access` or `before_proxy`. A later call replaces an earlier one.
-- @tparam table ctx
-- @tparam string name a protocol; "http" takes an earlier choice back
-- @tparam[opt] table opts for protocols but "http":
--   `dialect` (from `core.protocol.new`), `service` and `["function"]` (if the dialect's options
--   do not name them), `body` (JSON text, such as `core.request.get_body()` gives) or `args`
--   (names and values as of a query), `metadata` (names and values that travel beside the
--   arguments), `timeout` (seconds for the answer; without it `timeout.read` of the upstream)
-- @treturn[1] boolean true
-- @treturn[2] nil
-- @treturn[2] string what is wrong: for 4xx with the path of the field, to be told to the client
-- @treturn[2] number the HTTP status that says so; 500 is a mistake in the call of this function
function _M.set_protocol(ctx, name, opts)
    if not ctx then
        return nil, "missing argument ctx", 500
    end
    if name == "http" then
        protocol_reset()
        return true
    end

    opts = opts or {}
    return protocol_set(tostring(name), opts.dialect, opts.service, opts["function"], opts.body,
                        flatten(opts.args, flat_args), flatten(opts.metadata, flat_metadata),
                        opts.timeout)
end


return _M
