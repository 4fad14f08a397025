#!/usr/bin/env python3
"""Plugin code edited under load (issue 2, done-when 4).

    t/live/edits.py [--short] [--edits 500] [--port 12100] [--workers 0]

64 keep-alive connections that never retry and 4 WebSockets held open; between them N edits of
a plugin's file, two thirds of them broken in every way we know. See the table it prints.
"""

import bisect
import json
import multiprocessing
import os
import random
import sys
import time

import rig

ROUTES = """routes:
  - id: live
    uris: [/live, /say, /ticks]
    plugins: {moon-live: {tag: a}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:%d": 1}}
  - id: ws
    uri: /ws
    enable_websocket: true
    plugins: {moon-live: {tag: b}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:%d": 1}}
#END
"""

# What an edit can do to it stands between the at-signs.
PLUGIN = """local core = require("apisix.core")
local sub = require("moonlive.sub")
local VERSION = "@VERSION@"
@LOAD@
local _M = {
    version = 0.1,
    priority = 50,
    name = "moon-live",
    schema = {type = "object", properties = {tag = {type = "string"}}@SCHEMA@},
}

function _M.check_schema(conf)
    return core.schema.check(_M.schema, conf)
end

function _M.init()
    local ticks = ngx.shared["plugin-limit-count"]
    @INIT@
    ngx.timer.every(0.1, function(premature)
        if not premature then
            ticks:incr("tick " .. VERSION, 1, 0, 5)
        end
    end)
end

function _M.access(conf, ctx)
    @ACCESS@
    core.response.set_header("X-Live", VERSION .. "." .. sub.version)
    if ctx.var.uri == "/say" then
        return 200, "said\\n"
    end
    if ctx.var.uri == "/ticks" then
        local ticks, all = ngx.shared["plugin-limit-count"], {}
        for _, key in ipairs(ticks:get_keys(0)) do
            all[key] = ticks:get(key)
        end
        return 200, core.json.encode(all)
    end
end

function _M.header_filter(conf, ctx)
    @HEADER@
end

function _M.log(conf, ctx)
    @LOG@
end

return _M
"""

SUB = """local _M = {version = "%s"}
return _M
"""

# Kind of edit: what it puts where, and what must come of it.
KINDS = {
    "valid": ({}, "serves"),
    "valid, then PUT reload": ({}, "serves"),
    "in two halves 20 ms apart": ({}, "serves"),
    "sub-module only": (None, "serves"),
    "syntax error": ({"LOAD": "local = 1"}, "refused"),
    "error at load": ({"LOAD": "error('load trap')"}, "refused"),
    "endless loop at load": ({"LOAD": "while true do end"}, "refused"),
    "huge allocation at load": (
        {"LOAD": "local t = {} for i = 1, 1e9 do t[i] = {i} end"}, "refused"),
    "missing require": ({"LOAD": "require('moonlive.nowhere')"}, "refused"),
    "wrong shape": ({"LOAD": "do return 7 end"}, "refused"),
    "schema rejects a stored conf": ({"SCHEMA": ", required = {'missing'}"}, "refused"),
    "init fails": ({"INIT": "error('init trap')"}, "refused"),
    "init fails on one worker": (
        {"INIT": "if ngx.worker.id() == 1 then error('init trap') end"}, "refused"),
    "error in access": ({"ACCESS": "local nothing; nothing.field = 1"}, "rolled back"),
    "error in header_filter": ({"HEADER": "error('header trap')"}, "rolled back"),
    "error in log": ({"LOG": "error('log trap')"}, "rolled back"),
    "error inside core": ({"ACCESS": "core.string.has_prefix(nil, {})"}, "rolled back"),
}

# Checking these takes one CPU for as long as the watchdog lets it.
BURNING = ("endless loop at load", "huge allocation at load")

EDIT_SECONDS = 10

# Edits between two times without.
BLOCK = 10

# Twice every kind.
SHORT = {"edits": 38, "calm": 1.0, "gap": 0.05, "rest": 0.4}


def text_of(version, holes):
    text = PLUGIN.replace("@VERSION@", version)
    for name in ("LOAD", "SCHEMA", "INIT", "ACCESS", "HEADER", "LOG"):
        text = text.replace(f"@{name}@", holes.get(name, ""))
    return text


class Editor:
    """Does the edits one after another and notes what came of each."""

    def __init__(self, gateway, traffic):
        self.gateway, self.traffic = gateway, traffic
        self.main, self.sub, self.count = "v0", "s0", 0
        self.effects, self.late, self.refused_served, self.wrong = [], 0, [], []
        self.refusals, self.triggers, self.outcomes = [], [], {}
        self.rolled_back = []
        self.spans = []

    def save(self, version, holes, halves=False):
        path, text = self.gateway.path("plugins/moon-live.lua"), text_of(version, holes)
        if not halves:
            rig.write(path, text)
            return
        with open(path, "w") as out:
            out.write(text[:len(text) // 2])
            out.flush()
            time.sleep(0.02)
            out.write(text[len(text) // 2:])

    def wait(self, what, check):
        end = rig.now() + EDIT_SECONDS
        while rig.now() < end:
            if check():
                return True
            # Rarely: who measures needs a CPU, too, and has none of its own.
            time.sleep(0.02)
        self.wrong.append(what)
        return False

    def edit(self, kind):
        holes, outcome = KINDS[kind]
        self.count += 1
        before = self.gateway.plugins()
        start = rig.now()
        main, sub = self.main, self.sub
        if holes is None:
            # A refused main file on disk would be refused again.
            self.save(main, {})
            sub = f"s{self.count}"
            rig.write(self.gateway.path("lua/moonlive/sub.lua"), SUB % sub)
        else:
            main = f"v{self.count}"
            self.save(main, holes, "halves" in kind)
        saved = rig.now()
        version = f"{main}.{sub}"
        if outcome == "serves":
            self.main, self.sub = main, sub
            self.serves(kind, version, saved)
        elif outcome == "refused":
            refused = before["reloads_refused"]
            self.wait(f"{kind} {version}: not refused",
                      lambda: self.gateway.plugins()["reloads_refused"] > refused)
            self.refusals.append((main, saved))
        else:
            rollbacks = before["rollbacks"]
            self.wait(f"{kind} {version}: not rolled back",
                      lambda: self.gateway.plugins()["rollbacks"] > rollbacks)
            self.triggers.append((kind, start, rig.now()))
            self.rolled_back.append(main)
        self.outcomes[kind] = self.outcomes.get(kind, 0) + 1
        self.spans.append((kind, start, rig.now()))

    def serves(self, kind, version, saved):
        returned = None
        if "PUT" in kind:
            status, body, returned = self.gateway.reload()
            if status != 200:
                self.wrong.append(f"{kind} {version}: {status} {body}")
        wanted = self.traffic.connections
        seen = set()

        def everywhere():
            for row in self.traffic.since(saved):
                if row[4] == version:
                    seen.add(row[0])
            return len(seen) >= wanted
        self.wait(f"{kind} {version}: not on all connections", everywhere)
        time.sleep(0.02)
        old = [row for row in self.traffic.since(saved) if row[3] == 200 and row[4] != version]
        self.effects.append(max((row[2] for row in old), default=saved) - saved)
        if returned:
            late = [row for row in old if row[1] > returned]
            self.late += len(late)


def mixed(count, seed=7):
    kinds = [kind for kind in KINDS for _ in range(3 if kind == "valid" else 1)]
    chosen = (kinds * (count // len(kinds) + 1))[:count]
    random.Random(seed).shuffle(chosen)
    return chosen


class State:
    """What must not grow: memory, files, threads, tickers of old plugins, generations."""

    def __init__(self, gateway, pid, version):
        # Old VMs may go on for a moment; what is still there then is kept for ever.
        first = self.ticks(gateway)
        time.sleep(1.2)
        grown = {key for key, value in self.ticks(gateway).items() if value > first.get(key, 0)}
        self.tickers = sorted(grown)
        self.stale = [key for key in grown if key != f"tick {version}"]
        self.memory = rig.memory_kb(pid) / 1024
        self.files, self.sockets = rig.open_files(pid)
        self.threads = rig.threads(pid)
        workers = json.loads(gateway.ask(gateway.control, "/v1/workers")[1])["workers"]
        self.connections = [worker["connections"] for worker in workers]
        facts = gateway.plugins()
        self.vms = facts.get("vms")
        self.timers = facts.get("timers")

    @staticmethod
    def ticks(gateway):
        return json.loads(gateway.ask(gateway.port, "/ticks")[1])


def latency(rows):
    return [(row[2] - row[1]) * 1000 for row in rows if row[3] == 200]


def burn(seconds):
    end = time.time() + seconds
    while time.time() < end:
        pass


def phase(traffic, seconds):
    start = rig.now()
    time.sleep(seconds)
    return traffic.between(start, rig.now())


def beside_a_loop(traffic, seconds):
    """What a loop on one CPU does to requests where it is none of the gateway's."""
    process = multiprocessing.Process(target=burn, args=(seconds,), daemon=True)
    process.start()
    rows = phase(traffic, seconds)
    process.join()
    return rows


def by_burning(editor, rows):
    """Requests, and those beside a check that burns a CPU for a second."""
    spans = [(start, end) for kind, start, end in editor.spans if kind in BURNING]
    starts = [start for start, _ in spans]
    calm, burning = [], []
    for row in rows:
        at = bisect.bisect_right(starts, row[2]) - 1
        inside = at >= 0 and row[1] <= spans[at][1]
        (burning if inside else calm).append(row)
    return calm, burning


def settle(gateway, editor):
    """The last edit is a valid one, so that there is a version to compare with."""
    editor.edit("valid")
    time.sleep(2.5)
    return editor.main


def failed(traffic, editor):
    """Answers that are no 200: those a roll-back may cost, and the others."""
    allowed, others, more = 0, [], []
    by_trigger = {}
    for row in traffic.rows:
        if row[3] == 200:
            continue
        begun = [t for t in editor.triggers if t[1] <= row[2] <= t[2] + 0.5]
        span = begun[-1] if begun else None
        if span and row[3] == 500:
            by_trigger.setdefault(span, []).append(row)
        else:
            others.append(row)
    for span, rows in by_trigger.items():
        allowed += 1
        more.extend((span[0], row) for row in rows[1:])
    return allowed, others, more


def served_refused(traffic, editor):
    refused = {main for main, _ in editor.refusals}
    bad = [row for row in traffic.rows if row[4].split(".")[0] in refused]
    # "moon-live" itself must never be missing either.
    return bad, [row for row in traffic.rows if row[3] == 200 and not row[4] and row[0] >= 0]


def run(options, gateway):
    gateway.write("plugins/moon-live.lua", text_of("v0", {}))
    gateway.write("lua/moonlive/sub.lua", SUB % "s0")
    gateway.write("conf/apisix.yaml", ROUTES % (gateway.upstream, gateway.upstream))
    rig.start_upstream(gateway.upstream)
    process = gateway.start()
    traffic = rig.Traffic(gateway.port, connections=64, sockets=4, pause=options.pause)
    traffic.connections = 64
    editor = Editor(gateway, traffic)
    time.sleep(1)
    calm = phase(traffic, options.calm)
    plan = mixed(options.edits)
    first, rest = plan[:10], plan[10:]
    started = rig.now()
    for kind in first:
        editor.edit(kind)
    before = State(gateway, process.pid, settle(gateway, editor))
    busy, hot = [], []
    for at in range(0, len(rest), BLOCK):
        # With and without edits in turns, so that both see the same of a busy machine.
        begin = rig.now()
        for kind in rest[at:at + BLOCK]:
            editor.edit(kind)
            time.sleep(options.gap)
        busy += traffic.between(begin, rig.now())
        calm += phase(traffic, options.rest)
        hot += beside_a_loop(traffic, options.rest / 2)
    took = rig.now() - started
    after = State(gateway, process.pid, settle(gateway, editor))
    calm += phase(traffic, options.calm)
    alive = process.poll() is None
    end = traffic.stop()
    return editor, traffic, (calm, hot), busy, before, after, end, took, alive


def report(options, result):
    editor, traffic, (calm, hot), busy, before, after, end, took, alive = result
    out = rig.Report(f"{editor.count} edits in {took:.0f} s, {options.workers} workers, "
                     f"{len(traffic.rows)} requests", options.short)
    for kind, count in sorted(editor.outcomes.items()):
        out.row(f"edits: {kind}", count)
    allowed, others, more = failed(traffic, editor)
    served, missing = served_refused(traffic, editor)
    out.row("gateway alive", alive, "", alive)
    out.row("edits without their outcome", len(editor.wrong), "0", not editor.wrong)
    out.row("failed requests (not a roll-back's)", len(others), "0", not others)
    out.row("roll-backs", len(editor.triggers))
    out.row("requests that triggered one", allowed, "<= roll-backs",
            allowed <= len(editor.triggers))
    out.row("further requests that failed with it", len(more), "0", not more)
    out.row("answers of a refused version", len(served), "0", not served)
    out.row("answers without the plugin", len(missing), "0", not missing)
    gone = set(editor.rolled_back)
    tried = [row for row in traffic.rows if row[4].split(".")[0] in gone]
    out.row("answers of a version rolled back", len(tried), "<= roll-backs",
            len(tried) <= len(editor.triggers))
    out.row("connections of each worker", before.connections, "> 0", all(before.connections))
    effects = [value * 1000 for value in editor.effects]
    out.row("effect, median", f"{rig.quantile(effects, .5):.0f} ms")
    out.in_time("effect, p99", rig.quantile(effects, .99), 200, " ms")
    out.row("old answers after reload returned", editor.late, "0", not editor.late)
    busy, burning = by_burning(editor, busy)
    calm_ms, busy_ms = latency(calm), latency(busy)
    out.row("request p50 without / with edits",
            f"{rig.quantile(calm_ms, .5):.2f} / {rig.quantile(busy_ms, .5):.2f}")
    bound = 2 * rig.quantile(calm_ms, .99)
    out.row("request p99 without edits", f"{bound / 2:.2f} ms")
    out.in_time("request p99 with edits", rig.quantile(busy_ms, .99), bound, " ms")
    hot_ms, burning_ms = latency(hot), latency(burning)
    if hot_ms and burning_ms:
        bound = 2 * rig.quantile(hot_ms, .99)
        out.row("request p99 beside a busy process", f"{bound / 2:.2f} ms")
        out.in_time("request p99 while new code burns a CPU", rig.quantile(burning_ms, .99),
                    bound, " ms")
    out.row("request max without / with edits", f"{max(calm_ms):.1f} / {max(busy_ms):.1f}")
    out.row("idle connections closed by the gateway", end["idle_closes"], "0",
            not end["idle_closes"])
    out.row("refused connects", end["refused"], "0", not end["refused"])
    out.row("WebSocket echoes", end["echoes"], "> 0", end["echoes"] > 0)
    out.row("WebSockets lost", len(end["socket_errors"]), "0", not end["socket_errors"])
    out.row("RSS after 10 edits", f"{before.memory:.1f} MB")
    out.at_most("RSS at the end", after.memory, before.memory + 10, " MB")
    out.at_most("open files", after.files, before.files + 2)
    # 68 of clients, as many to the upstream from each worker that had a burst.
    out.at_most("sockets", after.sockets, 68 * (1 + options.workers) + 20)
    # The runtime ends a thread that waits for work after 10 s.
    out.at_most("threads", after.threads, before.threads + 2)
    out.row("tickers of old versions", len(after.stale), "0", not after.stale)
    out.row("VMs per worker", after.vms, f"as {before.vms}", after.vms == before.vms)
    out.row("timers", after.timers, f"as {before.timers}", after.timers == before.timers)
    for line in editor.wrong[:10]:
        print("wrong:", line)
    for row in others[:10]:
        print("failed:", row)
    for kind, row in more[:10]:
        print("failed with a roll-back:", kind, row)
    for error in end["socket_errors"]:
        print("WebSocket:", error)
    if options.worst:
        worst(editor, busy, options.worst)
    return out


def worst(editor, busy, count):
    """Which kinds of edits the slowest requests fell into."""
    for row in sorted(busy, key=lambda row: row[1] - row[2])[:count]:
        kinds = [(kind, round((row[1] - start) * 1000))
                 for kind, start, end in editor.spans if start <= row[2] and row[1] <= end]
        print(f"  {(row[2] - row[1]) * 1000:.1f} ms {kinds}")


def main():
    options = rig.arguments(__doc__.splitlines()[0], 12100, SHORT, edits=500, calm=4.0, gap=0.2,
                            rest=1.5, pause=0.03, worst=0)
    options.edits = max(options.edits, 20)
    gateway = rig.Gateway(options, plugins=["moon-live"])
    try:
        result = run(options, gateway)
        log = gateway.log()
    finally:
        gateway.stop()
    out = report(options, result)
    if out.bad and os.environ.get("LIVE_LOG"):
        print(log[-6000:], file=sys.stderr)
    out.finish()


if __name__ == "__main__":
    main()
