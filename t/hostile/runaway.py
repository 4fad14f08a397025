#!/usr/bin/env python3
"""Plugins that run away: in every phase, and what their neighbours on the worker feel of it.

Endless loops (plain, in pcall, in a trace that is compiled already, in a coroutine), memory hogs,
recursions of all kinds, error, error(nil), huge strings. 1,000 neighbours on the same worker ask
all the time: none may fail, none may wait longer than the watchdog's budget and 50 ms. Then a
looping plugin gets 10 requests a second for a while: after 10 s the neighbours are as fast as before.
"""

import asyncio
import re
import time

import lib

PLUGIN = r'''
local ngx = ngx
local pcall = pcall
local core = require("apisix.core")

local function spin(limit)
    local n = 0
    while n ~= limit do
        n = n + 1
    end
    return n
end

local function deep(n)
    return 1 + deep(n + 1)
end

local function deep_pcall(n)
    local ok, err = pcall(deep_pcall, n + 1)
    if not ok then error(err, 0) end
    return n
end

local function deep_gsub(text)
    return (text:gsub(".", deep_gsub)) .. "x"
end

local function deep_sort(n)
    local list = {3, 2, 1}
    table.sort(list, function(a, b) deep_sort(n + 1) return a < b end)
    return n
end

local function deep_coroutine(n)
    local ok, err = coroutine.resume(coroutine.create(deep_coroutine), n + 1)
    if not ok then error(err, 0) end
    return n
end

local looping = setmetatable({}, {__tostring = function(self) return tostring(self) .. "x" end})
looping.index = setmetatable({}, {__index = function(self, key) return self[key .. "x"] end})

local function deep_load(n)
    local parts = {"return ", string.rep("(", n), "1", string.rep(")", n)}
    return assert(load(table.concat(parts)))()
end

local function deep_reader(n)
    return load(function() deep_reader(n + 1) return nil end)
end

local kinds = {}

function kinds.loop() spin(-1) end

function kinds.pcall_loop()
    while true do
        pcall(spin, -1)
    end
end

function kinds.compiled_loop()
    for _ = 1, 200 do spin(1000) end
    spin(-1)
end

function kinds.coroutine_loop()
    coroutine.wrap(function()
        while true do pcall(spin, -1) end
    end)()
end

function kinds.hog()
    local all = {}
    for n = 1, 1e9 do all[n] = string.rep("x", 1000) .. n end
end

function kinds.pcall_hog()
    while true do
        pcall(kinds.hog)
    end
end

function kinds.host_hog()
    local part = string.rep("x", 2 ^ 20)
    local all = {}
    for n = 1, 4096 do all[n] = ngx.encode_base64(part .. n) end
end

function kinds.print_hog()
    -- Leaves as it is printed, in turns with the neighbours.
    local part = string.rep("x", 16 * 2 ^ 20)
    for _ = 1, 8 do ngx.print(part) end
end

function kinds.huge() return #string.rep("x", 2 ^ 31 - 100) end
function kinds.recursion() deep(1) end
function kinds.pcall_recursion() deep_pcall(1) end
function kinds.gsub_recursion() deep_gsub("abc") end
function kinds.sort_recursion() deep_sort(1) end
function kinds.coroutine_recursion() deep_coroutine(1) end
function kinds.tostring_recursion() return tostring(looping) end
function kinds.index_recursion() return looping.index.a end
function kinds.parser_recursion() deep_load(100000) end
function kinds.reader_recursion() deep_reader(1) end

function kinds.json_recursion()
    assert(core.json.decode(string.rep("[", 1000000) .. string.rep("]", 1000000)))
end

function kinds.pattern_recursion()
    local text = string.rep("a", 500000)
    string.find(text, string.rep("a?", 5000) .. "b")
    string.find(text, "(.-)*b")
    error("patterns came back")
end

-- A debugger's hook, and a loop under it; what it was is told to the next request.
local function debugger() end

function kinds.hooked_loop()
    debug.sethook(debugger, "", 1000000)
    spin(-1)
end

function kinds.hooked_still()
    local found, mask, count = debug.gethook()
    debug.sethook()
    assert(found == debugger and mask == "" and count == 1000000, "the hook was lost")
end

function kinds.error() error("on purpose") end
function kinds.error_nil() error(nil) end
function kinds.error_table() error({ code = 1 }) end

local function misbehave(conf, phase)
    if conf.phase == phase then
        kinds[conf.kind]()
    end
end

local _M = {
    version = 0.1,
    priority = 1234,
    name = "runaway",
    schema = {
        type = "object",
        properties = { phase = { type = "string" }, kind = { type = "string" } },
    },
}

function _M.check_schema(conf)
    misbehave(conf, "check_schema")
    if conf.phase == "worker_check_schema" and ngx.worker.id() < ngx.worker.count() then
        kinds[conf.kind]()
    end
    return core.schema.check(_M.schema, conf)
end

for _, phase in ipairs({"rewrite", "access", "before_proxy", "balancer", "header_filter",
                        "body_filter", "delayed_body_filter", "log"}) do
    _M[phase] = function(conf)
        misbehave(conf, phase)
        if phase == "access" and conf.phase == "timer" then
            ngx.timer.at(0, function() kinds[conf.kind]() end)
        end
    end
end

return _M
'''

# Its init goes wrong when the line says so.
LATE = r'''
local function spin() while true do end end
local function init()
    %s
end
return { version = 0.1, priority = 1200, name = "late", schema = { type = "object" }, init = init }
'''

INITS = {
    "loop": "spin()",
    "pcall_loop": "while true do pcall(spin) end",
    "error": "error('on purpose')",
    "error_nil": "error(nil)",
    "hog": "local all = {} for n = 1, 1e9 do all[n] = string.rep('x', 1000) .. n end",
    "huge": "local all = string.rep('x', 2 ^ 31 - 100)",
    "recursion": "local function deep(n) return 1 + deep(n) end deep(1)",
}

# Whatever it is that a filter_func or a pre_function does.
INLINE = dict(INITS)
for name in ("loop", "pcall_loop"):
    INLINE[name] = "local function spin() while true do end end " + INITS[name]

PHASES = ["rewrite", "access", "before_proxy", "balancer", "header_filter", "body_filter",
          "delayed_body_filter", "log", "timer", "worker_check_schema"]
LOOPS = ["loop", "pcall_loop", "compiled_loop", "coroutine_loop"]
OTHERS = ["hog", "huge", "recursion", "error", "error_nil", "error_table"]
# Once is enough for these: they differ in what they do to the VM, not in when.
IN_ACCESS = ["pcall_hog", "host_hog", "print_hog", "pcall_recursion", "gsub_recursion",
             "sort_recursion", "coroutine_recursion", "tostring_recursion", "index_recursion",
             "parser_recursion", "reader_recursion", "json_recursion", "pattern_recursion"]
# These need not fail: the interpreter may do them without nesting, or within its bounds.
HARMLESS = {"reader_recursion", "print_hog"}

ROUTE = """
  - id: {id}
    uri: /{id}
    upstream: {{type: roundrobin, nodes: {{"127.0.0.1:{port}": 1}}}}
"""


def objects(upstream, cases):
    """apisix.yaml with one route per case."""
    text = """routes:
  - id: neighbour
    uri: /neighbour
    plugins: {mocking: {content_type: text/plain, response_example: ok}}
"""
    for phase, kind in cases:
        text += ROUTE.format(id="%s-%s" % (phase, kind), port=upstream)
        if phase == "filter_func":
            text += "    filter_func: |\n      function(vars) %s return true end\n" % INLINE[kind]
        elif phase == "filter_func_load":
            text += "    filter_func: |\n      function() return true end, (function() " \
                    "if ngx.worker.id() < ngx.worker.count() then %s end end)()\n" % INLINE[kind]
        elif phase == "pre_function":
            text += "    plugins: {runaway: {_meta: {pre_function: \"return function() %s end\"}}}\n" \
                % INLINE[kind].replace('"', '\\"')
        else:
            text += "    plugins: {runaway: {phase: %s, kind: %s}}\n" % (phase, kind)
    return text


async def upstream(port):
    """Answers everything with `ok`."""
    async def serve(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
    return await asyncio.start_server(serve, "127.0.0.1", port)


class Test:
    """The gateway, its neighbours, and what is asked of it."""

    def __init__(self, args):
        self.args = args
        self.report = lib.Report("runaway")
        self.base = lib.port_base()
        self.budget = 0.25 if args.short else 1.0
        self.cases = [(phase, kind) for phase in PHASES for kind in LOOPS + OTHERS]
        self.cases += [("access", kind) for kind in IN_ACCESS]
        self.cases += [(phase, kind) for phase in ("filter_func", "filter_func_load", "pre_function")
                       for kind in INLINE]
        self.routes = self.cases + [("access", "hooked_loop"), ("access", "hooked_still")]
        self.cases = [case for case in self.cases if args.only in "-".join(case)]
        plugins = {"runaway": PLUGIN, "late": LATE % "return"}
        moongate = "  watchdog: {budget: %dms}\n  reload: {rollback_on_error: false}" % (self.budget * 1000)
        self.gateway = lib.Gateway(self.base, objects(self.base + 5, self.routes), plugins, moongate=moongate)

    async def run(self):
        """All of it."""
        server = await upstream(self.base + 5)
        self.gateway.start()
        self.neighbours = lib.Neighbours(self.base, 1000, pause=1.0)
        await self.neighbours.start()
        began = time.perf_counter()
        await asyncio.sleep(2)
        self.report.check("1,000 neighbours are served", not self.neighbours.failures
                          and len(self.neighbours.since(began)) > 500,
                          "worst %.0f ms" % (1000 * max(self.neighbours.since(began), default=9)))
        for phase, kind in self.cases:
            await self.one(phase, kind)
            if not self.gateway.alive():
                self.report.check("the process survived %s in %s" % (kind, phase), False,
                                  self.gateway.output()[-300:])
                return self.finish()
        if self.args.only in "access-hooked_loop":
            await self.one("access", "hooked_loop")
            answer = await lib.ask(self.base, lib.get("/access-hooked_still"))
            self.report.check("a debugger's hook is back after that", answer and answer.status == 200,
                              " ".join(self.gateway.log().split())[-300:])
        for kind, code in INITS.items():
            if self.args.only in "init-" + kind:
                await self.init(kind, code)
        for kind in LOOPS[:2] + OTHERS:
            if self.args.only in "check_schema-" + kind:
                await self.check_schema(kind)
        self.report.check("no neighbour failed", not self.neighbours.failures,
                          "; ".join(self.neighbours.failures[:3]))
        await self.neighbours.stop()
        if not self.args.only or "sustained" in self.args.only:
            for phase in ("access",) if self.args.short else ("access", "log", "filter_func"):
                await self.sustained(phase)
        server.close()
        return self.finish()

    def finish(self):
        """The last checks, and the end."""
        self.report.gateway(self.gateway)
        self.report.check("memory came back", self.gateway.alive() and self.gateway.rss() < 400,
                          "%.0f MiB" % (self.gateway.rss() if self.gateway.alive() else 0))
        self.gateway.stop(self.args.keep)
        self.report.end()

    def worst(self, began):
        """The longest wait of a neighbour since then, and whether it is short enough."""
        worst = max(self.neighbours.since(began), default=0)
        # How fast a shared machine is says nothing: short runs only show that all are served.
        return worst, self.args.short or worst <= self.budget + 0.05

    async def one(self, phase, kind):
        """One request to one plugin that runs away."""
        name = "%s in %s" % (kind, phase)
        expected = (200,) if phase in ("log", "timer", "worker_check_schema") else (500,)
        if phase == "pre_function":
            # It is called in a pcall; running out of time passes that.
            expected = (500,) if kind in LOOPS else (200, 500)
        # The machine may be busy with something else: what is too long must be so three times.
        for attempt in range(3):
            size = len(self.gateway.log())
            began = time.perf_counter()
            try:
                answer = await lib.ask(self.base, lib.get("/%s-%s" % (phase, kind)), 20)
            except asyncio.TimeoutError:
                self.report.check(name, False, "no answer within 20 s")
                return
            took = time.perf_counter() - began
            await asyncio.sleep(self.budget + 0.05 if phase in ("log", "timer") else 0.05)
            worst, good = self.worst(began)
            if good:
                break
        status = answer.status if answer else "closed"
        text = self.gateway.log()[size:]
        fits = status in expected or kind in HARMLESS and status == 200
        named = kind in HARMLESS and status == 200 or attempt > 0 and phase == "worker_check_schema" \
            or self.named(text, phase, kind)
        detail = "%s, %.0f ms, neighbours %.0f ms" % (status, 1000 * took, 1000 * worst)
        if not named:
            detail += " | log: " + " ".join(text.split())[-600:]
        self.report.check(name, fits and good and named, detail)

    def named(self, text, phase, kind):
        """Whether the log tells where it happened: plugin, route, file, line."""
        if phase == "pre_function":
            # Who holds all the memory there is may not even find out where it is.
            place = r"plugin runaway (failed in|.*pre_function:1: )" if kind == "hog" else r"plugin runaway.*pre_function:1: "
            return bool(re.search(place, text)) and "pre_function-" + kind in text
        if phase in ("filter_func", "filter_func_load"):
            return "filter_func:1" in text and "%s-%s" % (phase, kind) in text
        place = r"runaway\.lua:\d+"
        if phase in ("timer", "worker_check_schema"):
            return bool(re.search(place, text)) and (phase == "timer" or "plugin runaway" in text)
        return bool(re.search(r"plugin runaway failed in \w+ on route %s-%s" % (phase, kind), text)) \
            and bool(re.search(place, text))

    async def init(self, kind, code):
        """A new version whose `init` runs away."""
        for _ in range(3):
            size = len(self.gateway.log())
            began = time.perf_counter()
            self.gateway.write("plugins/late.lua", LATE % code + "-- %f" % began)
            text = await self.wait_for(size, r"reload refused", 15)
            await asyncio.sleep(0.1)
            worst, good = self.worst(began)
            if good:
                break
        named = bool(re.search(r"late\.lua:\d+", text))
        self.report.check("%s in init" % kind, "reload refused" in text and good and named,
                          "neighbours %.0f ms %s" % (1000 * worst, "" if named else " ".join(text.split())[-400:]))

    async def check_schema(self, kind):
        """A configuration whose check runs away: refused, the rest applies."""
        size = len(self.gateway.log())
        began = time.perf_counter()
        text = objects(self.base + 5, self.routes + [("check_schema", kind)])
        text += ROUTE.format(id="beside-" + kind, port=self.base + 5)
        self.gateway.write("conf/apisix.yaml", text + "\n#END\n")
        log = await self.wait_for(size, r"check_schema-%s.*" % kind, 10)
        await asyncio.sleep(0.2)
        worst, good = self.worst(began)
        beside = await lib.ask(self.base, lib.get("/beside-" + kind))
        refused = await lib.ask(self.base, lib.get("/check_schema-" + kind))
        named = bool(re.search(r"runaway\.lua:\d+", log)) and "check_schema-" + kind in log
        good = good and beside and beside.status == 200 and refused and refused.status != 200
        self.report.check("%s in check_schema" % kind, good and named, "neighbours %.0f ms, beside %s, refused %s%s" % (
            1000 * worst, beside and beside.status, refused and refused.status,
            "" if named else " | log: " + " ".join(log.split())[-500:]))

    async def wait_for(self, size, pattern, within):
        """What the log got since `size`, as soon as it holds `pattern`."""
        end = time.time() + within
        while time.time() < end:
            text = self.gateway.log()[size:]
            if re.search(pattern, text):
                return text
            await asyncio.sleep(0.05)
        return self.gateway.log()[size:]

    async def sustained(self, phase):
        """10 requests a second to a looping plugin: the neighbours recover within 10 s. What is
        normal at that moment tells a second gateway that nobody attacks."""
        beside = lib.Gateway(lib.port_base(60), objects(self.base + 5, []), {"runaway": PLUGIN, "late": LATE % "return"})
        beside.start()
        quiet, other = lib.Neighbours(self.base, 16), lib.Neighbours(beside.http, 16)
        await quiet.start()
        await other.start()
        window = 2 if self.args.short else 5
        await asyncio.sleep(0.5)
        before, normal = await self.rates(quiet, other, 2 * window)
        fair = before / normal
        path = "/%s-loop" % phase
        attack = [asyncio.create_task(self.attack(path, n * 0.1)) for n in range(int((10 + 4 * window) * 10))]
        await asyncio.sleep(10)
        # The machine may be busy with something else for a moment.
        for _ in range(4):
            after, normal = await self.rates(quiet, other, window)
            good = self.args.short or after >= 0.9 * fair * normal
            if good:
                break
        statuses = [task.result() for task in attack if task.done()]
        for task in attack:
            task.cancel()
        await quiet.stop()
        await other.stop()
        beside.stop()
        self.report.check("sustained loop in %s" % phase, good and not quiet.failures,
                          "%.0f %% of the other's rate before, %.0f %% after 10 s (%.0f/s); looping route answered %s" % (
                              100 * fair, 100 * after / normal, after,
                              {status: statuses.count(status) for status in set(statuses)}))

    async def rates(self, some, others, seconds):
        """Requests per second of both, at the same time."""
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        return len(some.since(began)) / took, len(others.since(began)) / took

    async def attack(self, path, delay):
        """One of the requests to the looping plugin."""
        await asyncio.sleep(delay)
        try:
            answer = await lib.ask(self.base, lib.get(path), 30)
            return answer.status if answer else "closed"
        except (OSError, asyncio.TimeoutError):
            return "none"


lib.raise_open_files()
asyncio.run(Test(lib.arguments(__doc__)).run())
