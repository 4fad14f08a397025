--- The cookies of a session: one, or several if it is long.
-- @module resty.session.cookies
local concat = table.concat
local find = string.find
local gmatch = string.gmatch
local ipairs = ipairs
local sub = string.sub
local type = type

-- Browsers take cookies of 4096 bytes with name and attributes.
local CHUNK_BYTES = 3700
local CHUNKS_MAX = 9

local EXPIRED = "; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"

local _M = {}


local function full_name(settings, remember)
    local name = remember and settings.remember_cookie_name or settings.cookie_name
    return (settings.cookie_prefix or "") .. name
end


local function all()
    local found = {}
    for name, value in gmatch(ngx.var.http_cookie or "", "([^=%s;]+)=([^;]*)") do
        found[name] = found[name] or value
    end
    return found
end


--- The client's cookie.
-- @treturn string|nil "session" or "remember"
-- @treturn nil|string value
function _M.read(settings)
    local found = all()
    for _, kind in ipairs({ "session", "remember" }) do
        local name = full_name(settings, kind == "remember")
        local value = found[name]
        if value and value ~= "" then
            local parts = { value }
            for i = 2, CHUNKS_MAX do
                parts[i] = found[name .. i]
                if not parts[i] then
                    break
                end
            end
            return kind, concat(parts)
        end
    end
end


local function attributes(settings)
    local text = "; Path=" .. (settings.cookie_path or "/")
    if settings.cookie_domain then
        text = text .. "; Domain=" .. settings.cookie_domain
    end
    local same_site = settings.cookie_same_site
    if same_site and same_site ~= "Default" then
        text = text .. "; SameSite=" .. same_site
    end
    if settings.cookie_priority then
        text = text .. "; Priority=" .. settings.cookie_priority
    end
    local flags = { cookie_secure = "; Secure", cookie_http_only = "; HttpOnly",
                    cookie_same_party = "; SameParty", cookie_partitioned = "; Partitioned" }
    for _, name in ipairs({ "cookie_secure", "cookie_http_only", "cookie_same_party",
                            "cookie_partitioned" }) do
        text = text .. (settings[name] and flags[name] or "")
    end
    return text
end


-- Puts cookies among those of the response, in place of those of the same name.
local function put(list)
    local known = ngx.header["Set-Cookie"]
    if known == nil then
        known = {}
    elseif type(known) ~= "table" then
        known = { known }
    end
    local merged = {}
    for _, cookie in ipairs(known) do
        local keep = true
        for _, new in ipairs(list) do
            local name = sub(new, 1, find(new, "=", 1, true))
            keep = keep and sub(cookie, 1, #name) ~= name
        end
        if keep then
            merged[#merged + 1] = cookie
        end
    end
    for _, new in ipairs(list) do
        merged[#merged + 1] = new
    end
    ngx.header["Set-Cookie"] = #merged == 1 and merged[1] or merged
end


local function write(settings, value, name, more)
    local list, flags = {}, attributes(settings) .. more
    for i = 1, CHUNKS_MAX do
        local part = sub(value, (i - 1) * CHUNK_BYTES + 1, i * CHUNK_BYTES)
        if part == "" then
            break
        end
        list[i] = name .. (i > 1 and i or "") .. "=" .. part .. flags
    end
    local found = all()
    for i = #list + 1, CHUNKS_MAX do
        local old = name .. (i > 1 and i or "")
        if found[old] then
            list[#list + 1] = old .. "=" .. flags .. EXPIRED
        end
    end
    return list
end


--- Gives the client a cookie, and a second one that stays if it is to be remembered.
-- @treturn boolean|nil true
-- @treturn nil|string error
function _M.write(settings, value, remember)
    if #value > CHUNK_BYTES * CHUNKS_MAX then
        return nil, "cookie size limit exceeded"
    end
    put(write(settings, value, full_name(settings), ""))
    if remember then
        local seconds = settings.remember_rolling_timeout
        local expires = ngx.cookie_time(ngx.time() + seconds)
        local more = "; Expires=" .. expires .. "; Max-Age=" .. seconds
        put(write(settings, value, full_name(settings, true), more))
    end
    return true
end


--- Has the client forget.
function _M.clear(settings)
    local found, list = all(), {}
    for _, remember in ipairs({ false, true }) do
        local name = full_name(settings, remember)
        for i = 1, CHUNKS_MAX do
            local old = name .. (i > 1 and i or "")
            if found[old] or (i == 1 and not remember) then
                list[#list + 1] = old .. "=" .. attributes(settings) .. EXPIRED
            end
        end
    end
    put(list)
end


--- Takes the cookies out of the request.
function _M.hide(settings)
    local kept = {}
    for name, value in gmatch(ngx.var.http_cookie or "", "([^=%s;]+)=([^;]*)") do
        local own = false
        for _, remember in ipairs({ false, true }) do
            local prefix = full_name(settings, remember)
            own = own or (sub(name, 1, #prefix) == prefix and find(sub(name, #prefix + 1), "^%d*$"))
        end
        if not own then
            kept[#kept + 1] = name .. "=" .. value
        end
    end
    if #kept == 0 then
        ngx.req.clear_header("Cookie")
    else
        ngx.req.set_header("Cookie", concat(kept, "; "))
    end
    return true
end


return _M
