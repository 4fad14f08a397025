--- The active checks of `resty.healthcheck`: when they are due, and who of all workers does them.
-- @module moongate.health_loop
local store = require("moongate.health_store")

local ipairs = ipairs
local min = math.min
local next = next
local now = ngx.now
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local timer_at = ngx.timer.at

local ERR = ngx.ERR

-- Seconds: between two looks at what is due, for which a worker keeps the checks to itself, and
-- between two removals of nodes that were to go later.
local INTERVAL = 0.1
local OWNED = 1.5
local CLEANUP = 2.5

local GOOD = { healthy = true, mostly_healthy = true }

local _M = {}

-- All checkers of this VM, for as long as somebody else holds them.
local checkers = setmetatable({}, { __mode = "k" })
local ticking = false
local cleaned = 0


-- Checks a list of nodes, so many at a time as is allowed.
local function check_all(premature, self, list)
    if premature then
        return
    end
    local at = 0
    local function work()
        while at < #list do
            at = at + 1
            local target = list[at]
            local ok, err = pcall(self.run_single_check, self, target.ip, target.port,
                                  target.hostname, target.hostheader)
            if not ok then
                self:log(ERR, "check failed: ", err)
            end
        end
    end
    local threads = {}
    for i = 2, min(self.checks.active.concurrency, #list) do
        threads[i - 1] = ngx.thread.spawn(work)
    end
    work()
    for _, thread in ipairs(threads) do
        ngx.thread.wait(thread)
    end
    self.busy = nil
end


-- Removes the nodes whose time has come.
local function clean(self)
    store.change(self, function(list)
        local rest, gone = {}, {}
        for _, target in ipairs(list) do
            local over = target.purge_time and target.purge_time <= now()
            local into = over and gone or rest
            into[#into + 1] = target
        end
        if gone[1] and store.store(self, rest) then
            for _, target in ipairs(gone) do
                store.forget(self, target)
                self:raise_event("remove", target.ip, target.port, target.hostname)
            end
        end
        return true
    end)
end


local function check_due(self, list, health)
    local active = self.checks.active[health]
    if not active.active or active.last_run + active.interval > now() then
        return
    end
    active.last_run = now()
    for _, target in ipairs(store.list(self)) do
        local state = store.state(self, target.ip, target.port, target.hostname)
        if state and (GOOD[state] or false) == (health == "healthy") then
            list[#list + 1] = target
        end
    end
end


local function look(self)
    -- Of all workers one checks; when it is gone, another one takes over.
    local key, own = self.PERIODIC_LOCK, ngx.worker.id() .. ":" .. ngx.worker.pid()
    if not self.shm:add(key, own, OWNED) then
        if self.shm:get(key) ~= own then
            return
        end
        self.shm:set(key, own, OWNED)
    end
    if cleaned + CLEANUP <= now() then
        clean(self)
    end
    local list = {}
    if not self.busy then
        check_due(self, list, "healthy")
        check_due(self, list, "unhealthy")
    end
    if list[1] then
        self.busy = timer_at(0, check_all, self, list)
    end
end


local function tick(premature)
    ticking = false
    if premature then
        return
    end
    for self in pairs(checkers) do
        local ok, err = pcall(look, self)
        if not ok then
            self:log(ERR, "active checks failed: ", err)
        end
    end
    if cleaned + CLEANUP <= now() then
        cleaned = now()
    end
    if next(checkers) then
        ticking = timer_at(INTERVAL, tick) and true
    end
end


--- Looks after a checker from now on.
function _M.add(checker)
    checkers[checker] = true
    if not ticking then
        ticking = timer_at(INTERVAL, tick) and true
    end
end


return _M
