--- What `resty.healthcheck` is told: defaults, and what is wrong with options.
-- @module moongate.health_settings
local assert = assert
local concat = table.concat
local error = error
local ipairs = ipairs
local pairs = pairs
local tostring = tostring
local type = type

-- The largest number that an option may have, and the largest count that makes a state change.
local NUMBER_MAX = 2 ^ 31 - 1
local COUNT_MAX = 254

-- An option that has no default: any value, and any table as it is.
local ANY = {}

local TYPES = { http = true, https = true, tcp = true }

local COUNTS = { successes = true, tcp_failures = true, http_failures = true, timeouts = true }

local _M = {}


local function defaults()
    return {
        name = ANY, shm_name = ANY, type = ANY, events_module = "resty.worker.events",
        ssl_cert = ANY, ssl_key = ANY,
        checks = {
            active = {
                type = "http", timeout = 1, concurrency = 10, http_path = "/",
                http_req_headers = ANY, req_headers = ANY, headers = ANY, host = ANY, port = ANY,
                https_sni = ANY, https_verify_certificate = true, http_method = ANY,
                http_req_body = ANY,
                healthy = { interval = 0, http_statuses = { 200, 302 }, successes = 2 },
                unhealthy = {
                    interval = 0, http_statuses = { 429, 404, 500, 501, 502, 503, 504, 505 },
                    tcp_failures = 2, timeouts = 3, http_failures = 5,
                },
            },
            passive = {
                type = "http",
                healthy = {
                    http_statuses = { 200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301,
                                      302, 303, 304, 305, 306, 307, 308 },
                    successes = 5,
                },
                unhealthy = {
                    http_statuses = { 429, 500, 503 },
                    tcp_failures = 2, timeouts = 7, http_failures = 5,
                },
            },
        },
    }
end


local function wrong(path, name, what)
    path[#path + 1] = name
    error(concat(path, ".") .. ": " .. what, 0)
end


local function merge(given, known, path)
    local merged = {}
    for name, default in pairs(known) do
        local value = given[name]
        if value == nil then
            if type(default) == "table" and default ~= ANY and not default[1] then
                value = merge({}, default, path)
            else
                value = default ~= ANY and default or nil
            end
        elseif default ~= ANY and type(value) ~= type(default) then
            wrong(path, name, "invalid value")
        elseif type(value) == "table" and default ~= ANY and not default[1] then
            path[#path + 1] = name
            value = merge(value, default, path)
            path[#path] = nil
        elseif type(value) == "number" and (value < 0 or value > NUMBER_MAX) then
            wrong(path, name, "must be between 0 and " .. NUMBER_MAX)
        end
        merged[name] = value
    end
    return merged
end


local function check_type(name, value)
    assert(TYPES[value], name .. " can only be 'http', 'https' or 'tcp', got '" .. tostring(value)
                         .. "'")
end


local function check_counts(kind, checks)
    for _, health in ipairs({ "healthy", "unhealthy" }) do
        for name, value in pairs(checks[health]) do
            assert(not COUNTS[name] or value <= COUNT_MAX, "checks." .. kind .. "." .. health .. "."
                   .. name .. " must be at most " .. COUNT_MAX)
        end
        local statuses = {}
        for _, status in ipairs(checks[health].http_statuses) do
            statuses[status] = true
        end
        checks[health].http_statuses = statuses
    end
end


--- The options of a checker with all defaults; statuses are sets.
-- @tparam table opts
-- @treturn table
-- @raise a text that names the option that is wrong
function _M.read(opts)
    opts = opts or {}
    local settings = merge(opts, defaults(), {})
    local checks, given = settings.checks, opts.checks or {}
    if settings.type then
        check_type("type", settings.type)
        for _, kind in ipairs({ "active", "passive" }) do
            checks[kind].type = given[kind] and given[kind].type or settings.type
        end
    end
    for _, kind in ipairs({ "active", "passive" }) do
        check_counts(kind, checks[kind])
        check_type("checks." .. kind .. ".type", checks[kind].type)
    end
    assert(settings.name, "required option 'name' is missing")
    assert(settings.shm_name, "required option 'shm_name' is missing")
    return settings
end


return _M
