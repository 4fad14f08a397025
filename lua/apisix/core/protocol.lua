--- `core.protocol`: protocols beside HTTP that upstreams speak.
--
-- A plugin makes a dialect once for a conf, and hands it to `core.upstream.set_protocol` with
-- every request. `core.transcode` does both for plugins that turn HTTP into another protocol.
-- @module apisix.core.protocol
local host = require("moongate.host")

local error = error
local protocol_new = host.protocol_new
local type = type

local _M = {}


--- The names of all protocols but "http".
-- @treturn table an array
_M.names = host.protocol_names


--- Makes a dialect: a protocol with options and an interface description, checked.
-- This takes time; a dialect is meant to be kept as long as its conf.
-- @tparam string name such as "tars"
-- @tparam[opt] table options what the protocol knows, by name
-- @tparam[opt] table sources files of the interface description, `{ name = , text = }` each; the
--   first one is the main one, the others are there to be included by their names
-- @return[1] the dialect, which is opaque
-- @treturn[2] nil
-- @treturn[2] string which option is wrong and why, or file, line, column and what is wrong there
function _M.new(name, options, sources)
    if type(name) ~= "string" then
        error("bad argument #1 to 'new' (string expected, got " .. type(name) .. ")", 2)
    end
    return protocol_new(name, options, sources)
end


return _M
