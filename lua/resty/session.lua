--- `resty.session`: what a client is remembered by, sealed in a cookie.
--
--     local session, err, exists = require("resty.session").start({ secret = "..." })
--     session:set("user", "ann")
--     session:save()
--
-- The cookie holds everything, sealed with AES-256-GCM, or with `storage` "shm" or "redis" an
-- identifier alone. Cookies of the original library are not read: they count as no session.
-- @module resty.session
local cookies = require("resty.session.cookies")
local headers = require("resty.session.headers")
local seal = require("resty.session.seal")
local host = require("moongate.host")
local settings_module = require("resty.session.settings")
local unsupported = require("moongate.unsupported")

local b64_encode = host.crypto.base64url_encode
local error = error
local ipairs = ipairs
local left = headers.left
local max = math.max
local min = math.min
local random_bytes = host.crypto.random_bytes
local require = require
local setmetatable = setmetatable
local time = ngx.time
local type = type

local ID_BYTES = 32

local _M = { _VERSION = "4.1.5" }
local Session = {}
local mt = { __index = Session }

--- Sets what all sessions have from here on.
_M.init = settings_module.init


local function storage_of(settings)
    local kind = settings.storage
    if kind == nil or kind == "cookie" then
        return nil
    elseif type(kind) == "table" then
        return kind
    elseif kind == "shm" or kind == "redis" then
        return require("resty.session." .. kind).new(settings[kind] or {})
    end
    error("resty.session: storage \"" .. tostring(kind) .. "\" is not supported by moongate: "
          .. "cookie, shm and redis are", 3)
end


--- A session that is not opened.
function _M.new(config)
    local settings = settings_module.of(config)
    return setmetatable({
        state = "new", settings = settings, storage = storage_of(settings),
        keys = seal.keys(settings), remembered = settings.remember == true,
        info = { data = { { data = {}, audience = settings.audience,
                            subject = settings.subject } } },
    }, mt)
end


local function need(self, what)
    if self.state == "closed" then
        error("unable to " .. what .. " on closed session", 3)
    end
end


-- What belongs to the audience at hand; made if there is nothing yet.
local function own(self)
    local audience = self.settings.audience
    for _, part in ipairs(self.info.data) do
        if part.audience == audience then
            return part
        end
    end
    local part = { data = {}, audience = audience }
    self.info.data[#self.info.data + 1] = part
    return part
end


function Session:set_data(data)
    need(self, "set session data")
    own(self).data = data
end


function Session:get_data()
    need(self, "get session data")
    return own(self).data
end


function Session:set(key, value)
    need(self, "set session data value")
    own(self).data[key] = value
end


function Session:get(key)
    need(self, "get session data value")
    return own(self).data[key]
end


function Session:set_audience(audience)
    need(self, "set audience")
    own(self)
    self.settings.audience = audience
end


function Session:get_audience()
    need(self, "get audience")
    return self.settings.audience
end


function Session:set_subject(subject)
    need(self, "set subject")
    own(self).subject = subject
end


function Session:get_subject()
    need(self, "get subject")
    return own(self).subject
end


function Session:set_remember(remember)
    need(self, "set remember")
    self.remembered = remember == true
end


function Session:get_remember()
    need(self, "get remember")
    return self.remembered
end


--- One of: id, nonce, audience, subject, timeout, idling-timeout, rolling-timeout,
-- absolute-timeout.
function Session:get_property(name)
    need(self, "get session property")
    if name == "id" or name == "nonce" then
        return name == "id" and self.info.id and b64_encode(self.info.id)
               or self.info.id and b64_encode(self.info.id:sub(1, 16))
    elseif name == "audience" or name == "subject" then
        return name == "audience" and self.settings.audience or own(self).subject
    elseif name == "timeout" then
        local least
        for _, kind in ipairs({ "idling", "rolling", "absolute" }) do
            local seconds = left(self, kind)
            least = seconds and min(least or seconds, seconds) or least
        end
        return least
    end
    return left(self, (name:gsub("%-timeout$", "")))
end


local function load_info(self, value)
    local info, err = seal.open(self.keys, value, self.settings)
    if not info then
        return nil, err
    end
    if self.storage then
        local id = info.id
        local stored
        stored, err = self.storage:get(b64_encode(id), self.settings)
        if not stored then
            return nil, err or "unable to load session"
        end
        info, err = seal.open(self.keys, stored, self.settings)
        if not info or info.id ~= id then
            return nil, err or "unable to load session"
        end
    end
    return info
end


--- Reads the client's cookie.
-- @treturn boolean|nil true
-- @treturn nil|string why there is no session
function Session:open()
    local name, value = cookies.read(self.settings)
    if not value then
        return nil, "missing session cookie"
    end
    local info, err = load_info(self, value)
    if not info then
        return nil, err
    end
    self.info = info
    self.remembered = name == "remember"
    for _, kind in ipairs({ "absolute", "rolling", "idling" }) do
        local seconds = left(self, kind)
        if seconds and seconds <= 0 then
            self.info = { data = { { data = {}, audience = self.settings.audience } } }
            return nil, "session " .. kind .. " timeout exceeded"
        end
    end
    self.state = "open"
    local found = false
    for _, part in ipairs(info.data) do
        found = found or part.audience == self.settings.audience
    end
    if not found then
        return nil, "missing session audience"
    end
    return true
end


local function write(self, info)
    local sealed, err = seal.seal(self.keys, info, self.settings)
    if not sealed then
        return nil, err
    end
    if self.storage then
        local ok
        ok, err = self.storage:set(b64_encode(info.id), sealed, max(1, self:get_property("timeout")
                                                                       or 86400), self.settings)
        if not ok then
            return nil, err or "unable to store session data"
        end
        sealed, err = seal.seal(self.keys, { id = info.id, data = {} }, self.settings)
        if not sealed then
            return nil, err
        end
    end
    return cookies.write(self.settings, sealed, self.remembered)
end


--- Gives the client a new cookie with what is in the session.
-- @treturn boolean|nil true
-- @treturn nil|string error
function Session:save()
    if self.state == "closed" then
        error("unable to save closed session", 2)
    end
    local now, info = time(), self.info
    local old = info.id
    info.id = random_bytes(ID_BYTES)
    info.created = info.created or now
    info.rolled, info.touched = now, now
    local ok, err = write(self, info)
    if not ok then
        return nil, err
    end
    if old and self.storage then
        self.storage:delete(b64_encode(old), self.settings, self.settings.stale_ttl)
    end
    self.state = "open"
    return true
end


--- Notes that the session is used.
function Session:touch()
    if self.state ~= "open" then
        error("unable to touch nonexistent session", 2)
    end
    self.info.touched = time()
    return write(self, self.info)
end


--- Saves, touches or does nothing, by what the clocks say.
function Session:refresh()
    if self.state ~= "open" then
        error("unable to refresh nonexistent session", 2)
    end
    local settings = self.settings
    local rolling, idling = left(self, "rolling"), left(self, "idling")
    if rolling and rolling < settings.rolling_timeout / 4 then
        return self:save()
    elseif idling and settings.idling_timeout - idling >= settings.touch_threshold then
        return self:touch()
    end
    return true
end


--- Takes this audience's part out; the cookie goes with the last part.
function Session:logout()
    if self.state ~= "open" then
        error("unable to logout nonexistent session", 2)
    end
    local kept = {}
    for _, part in ipairs(self.info.data) do
        if part.audience ~= self.settings.audience then
            kept[#kept + 1] = part
        end
    end
    if #kept == 0 then
        return self:destroy()
    end
    self.info.data = kept
    local ok, err = self:save()
    self.state = "closed"
    return ok, err
end


--- Ends the session, for all audiences.
function Session:destroy()
    if self.state ~= "open" then
        error("unable to destroy nonexistent session", 2)
    end
    if self.storage and self.info.id then
        self.storage:delete(b64_encode(self.info.id), self.settings)
    end
    cookies.clear(self.settings)
    self.state = "closed"
    return true
end


function Session:close()
    self.state = "closed"
end


--- The upstream does not see the cookie.
function Session:clear_request_cookie()
    return cookies.hide(self.settings)
end


headers.extend(Session)


--- Opens the session of the request.
-- @treturn table
-- @treturn nil|string why there is none
-- @treturn boolean whether there is one
function _M.open(config)
    local session = _M.new(config)
    local exists, err = session:open()
    return session, err, exists == true
end


--- As `open`, and refreshes it.
-- @treturn table
-- @treturn nil|string
-- @treturn boolean whether there is one
-- @treturn boolean|nil whether it was refreshed
function _M.start(config)
    local session, err, exists = _M.open(config)
    if not exists then
        return session, err, false, false
    end
    local refreshed
    refreshed, err = session:refresh()
    return session, err, true, refreshed
end


local function ending(name)
    return function(config)
        local session, err, exists = _M.open(config)
        if not exists then
            return nil, err, false
        end
        local ok
        ok, err = session[name](session)
        return ok, err, true, ok == true
    end
end


--- Opens the session and takes this audience out of it.
_M.logout = ending("logout")

--- Opens the session and ends it.
_M.destroy = ending("destroy")

return unsupported.fill(_M, "resty.session.", { "__set_ngx_log" },
    "not supported by moongate: it is there for the tests of the original alone")
