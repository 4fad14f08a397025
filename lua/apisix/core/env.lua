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


local function is_ref(text)
    return upper(sub(text, 1, #PREFIX)) == PREFIX
end


--- Whether a text is a reference to the environment, in any case of letters.
_M.is_ref = is_ref


local function parse(reference)
    if type(reference) ~= "string" then
        return nil, nil, "error env_uri type: " .. type(reference)
    end
    if not is_ref(reference) then
        return nil, nil, "error env_uri prefix: " .. reference
    end

    local path = sub(reference, #PREFIX + 1)
    local slash = find(path, "/", 1, true)
    if not slash then
        return path, ""
    end
    return sub(path, 1, slash - 1), sub(path, slash + 1)
end


-- The value, or an error that does not tell it; then also the value that is no JSON.
local function look_up(reference)
    local name, key, err = parse(reference)
    if not name then
        return nil, err
    end
    -- What is no reference may be a secret, and is not logged.
    log.info("fetching data from env uri: ", reference)

    local value = getenv(name)
    if not value or key == "" then
        return value
    end

    local object
    object, err = json.decode(value)
    if type(object) ~= "table" then
        return nil, "decode failed, err: " .. (err or ""), value
    end
    return object[key]
end


--- The value behind `$ENV://NAME` or `$ENV://NAME/key`, the variable then being JSON.
-- @treturn string|nil
-- @treturn nil|string error, which tells no value: it may be logged
function _M.look_up(reference)
    local value, err = look_up(reference)
    return value, err
end


--- As `look_up`, with APISIX's errors: one of a variable that is no JSON quotes its value.
-- @treturn string|nil
-- @treturn nil|string error, not to be logged
function _M.fetch_by_uri(reference)
    local value, err, quoted = look_up(reference)
    if quoted then
        err = err .. ", value: " .. quoted
    end
    return value, err
end


return _M
