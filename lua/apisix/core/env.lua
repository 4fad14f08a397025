--- `core.env`: environment variables, and references to them in configuration.
-- @module apisix.core.env
local json = require("apisix.core.json")
local log = require("apisix.core.log")

local find = string.find
local getenv = os.getenv
local sub = string.sub
local type = type
local upper = string.upper

local PREFIX = "$ENV://"

local _M = { PREFIX = PREFIX }


--- Nothing to prepare: the environment is read when it is asked for.
function _M.init() end


_M.get = getenv


local function parse(reference)
    if type(reference) ~= "string" then
        return nil, nil, "error env_uri type: " .. type(reference)
    end
    if upper(sub(reference, 1, #PREFIX)) ~= PREFIX then
        return nil, nil, "error env_uri prefix: " .. reference
    end

    local path = sub(reference, #PREFIX + 1)
    local slash = find(path, "/", 1, true)
    if not slash then
        return path, ""
    end
    return sub(path, 1, slash - 1), sub(path, slash + 1)
end


--- The value behind `$ENV://NAME` or `$ENV://NAME/key`, the variable then being JSON.
-- @treturn string|nil
-- @treturn nil|string error
function _M.fetch_by_uri(reference)
    log.info("fetching data from env uri: ", reference)
    local name, key, err = parse(reference)
    if not name then
        return nil, err
    end

    local value = getenv(name)
    if not value or key == "" then
        return value
    end

    local object
    object, err = json.decode(value)
    if type(object) ~= "table" then
        return nil, "decode failed, err: " .. (err or "") .. ", value: " .. value
    end
    return object[key]
end


return _M
