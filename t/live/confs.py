#!/usr/bin/env python3
"""apisix.yaml changed under load (issue 2, done-when 4 and "Configuration").

    t/live/confs.py [--short] [--edits 1000] [--routes 100000] [--port 12110] [--workers 0]

64 keep-alive connections that never retry and 4 WebSockets held open; between them N changes of
apisix.yaml: valid ones, files that do not parse, objects that are refused; then changes of a
file of 1 MB, and a file with 100,000 routes that is swapped in and out. See the table it prints.
"""

import random
import time

import rig

HEAD = """upstreams:
  - id: up
    type: roundrobin
    nodes: {"127.0.0.1:%d": 1}
routes:
  - id: live
    uris: [/live, /say]
    upstream_id: up
    plugins:
      response-rewrite: {headers: {set: {X-Live: "%s"}}}
  - id: ws
    uri: /ws
    enable_websocket: true
    upstream_id: up
"""

BULK = """  - {id: r%d, uri: /bulk/%d/*, host: h%d.example.com, upstream_id: up}
"""

EXTRA = """  - id: extra%d
    uri: /extra/%d/*
    plugins: {cors: {}}
    upstream_id: up
"""

# What stands behind the head, and what must come of it.
KINDS = {
    "valid": ("#END\n", "serves"),
    "valid, 20 routes more": ("".join(EXTRA % (n, n) for n in range(20)) + "#END\n", "serves"),
    "valid, written in two halves": ("#END\n", "serves"),
    "one object refused": ("  - {id: bad, uri: no-slash}\n#END\n", "serves"),
    "one plugin conf refused":
        ("  - {id: bad, uri: /bad, plugins: {cors: {max_age: many}}}\n#END\n", "serves"),
    "no YAML": ("  - {id: bad, uri\n: [\n#END\n", "refused"),
    "no end flag": ("", "kept"),
}

EDIT_SECONDS = 10

# Changes between two times without.
BLOCK = 20

MEGABYTE = 1 << 20

SHORT = {"edits": 70, "routes": 20000, "calm": 1.0, "large": 5, "rest": 0.3}


class Editor:
    def __init__(self, gateway, traffic):
        self.gateway, self.traffic = gateway, traffic
        self.count, self.version = 0, "c0"
        self.effects, self.wrong, self.refused, self.outcomes = [], [], set(), {}

    def save(self, version, tail, halves=False):
        text = HEAD % (self.gateway.upstream, version) + tail
        path = self.gateway.path("conf/apisix.yaml")
        if not halves:
            rig.write(path, text)
            return
        with open(path, "w") as out:
            out.write(text[:len(text) // 2])
            out.flush()
            time.sleep(0.02)
            out.write(text[len(text) // 2:])

    def wait(self, what, check, seconds=EDIT_SECONDS):
        end = rig.now() + seconds
        while rig.now() < end:
            if check():
                return True
            time.sleep(0.01)
        self.wrong.append(what)
        return False

    def edit(self, kind):
        tail, outcome = KINDS[kind]
        self.count += 1
        version = f"c{self.count}"
        self.save(version, tail, "halves" in kind)
        saved = rig.now()
        self.outcomes[kind] = self.outcomes.get(kind, 0) + 1
        if outcome == "serves":
            self.version = version
            self.effects.append(self.effect(version, saved))
            return
        self.refused.add(version)
        if outcome == "refused":
            self.wait(f"{kind} {version}: not refused",
                      lambda: self.gateway.config()["error"] is not None)
        else:
            time.sleep(0.1)

    def effect(self, version, saved, seconds=EDIT_SECONDS):
        """Until the last answer of an old version, to whichever request."""
        seen = set()

        def everywhere():
            seen.update(row[0] for row in self.traffic.since(saved) if row[4] == version)
            return len(seen) >= self.traffic.connections
        self.wait(f"{version}: not on all connections", everywhere, seconds)
        old = [row for row in self.traffic.since(saved) if row[3] == 200 and row[4] != version]
        return max((row[2] for row in old), default=saved) - saved


def mixed(count, seed=11):
    kinds = [kind for kind in KINDS for _ in range(3 if kind == "valid" else 1)]
    chosen = (kinds * (count // len(kinds) + 1))[:count]
    random.Random(seed).shuffle(chosen)
    return chosen


def latency(rows):
    return [(row[2] - row[1]) * 1000 for row in rows if row[3] == 200]


def calm(traffic, seconds):
    start = rig.now()
    time.sleep(seconds)
    return traffic.between(start, rig.now())


def large(options, editor):
    """A file of 1 MB put in place of a small one, and then changed in one place: effects."""
    lines, size = [], 0
    while size < MEGABYTE - len(HEAD) - 200:
        lines.append(BULK % (3 * (len(lines),)))
        size += len(lines[-1])
    tail, effects = "".join(lines) + "#END\n", []
    for _ in range(options.large):
        editor.count += 1
        version = f"c{editor.count}"
        editor.save(version, tail)
        effects.append(editor.effect(version, rig.now()) * 1000)
        time.sleep(0.2)
    editor.edit("valid")
    return effects


class Bulk:
    """100,000 routes swapped in, changed in one place, and swapped out again."""

    def __init__(self, options, gateway, traffic, editor):
        self.applied, self.rows, self.quiet = [], [], []
        bulk = "".join(BULK % (n, n, n) for n in range(options.routes))
        # Slow readers of the clock: a stall of the measuring process itself shows here too.
        self.quiet = calm(traffic, options.calm)
        for name, tail in (("in", bulk), ("changed", bulk), ("out", "")):
            editor.count += 1
            version = f"c{editor.count}"
            start = rig.now()
            editor.save(version, tail + "#END\n")
            saved = rig.now()
            took = editor.effect(version, saved, 60)
            time.sleep(1.0)
            self.rows += traffic.between(start, rig.now())
            self.applied.append((name, took))


def run(options, gateway):
    gateway.write("conf/apisix.yaml", HEAD % (gateway.upstream, "c0") + "#END\n")
    rig.start_upstream(gateway.upstream)
    process = gateway.start()
    traffic = rig.Traffic(gateway.port, connections=64, sockets=4, pause=options.pause)
    traffic.connections = 64
    editor = Editor(gateway, traffic)
    time.sleep(1)
    quiet = calm(traffic, options.calm)
    plan = mixed(options.edits)
    for kind in plan[:10]:
        editor.edit(kind)
    time.sleep(1.5)
    before = figures(gateway, process.pid)
    busy = []
    for at in range(10, len(plan), BLOCK):
        # With and without changes in turns, so that both see the same of a busy machine.
        begin = rig.now()
        for kind in plan[at:at + BLOCK]:
            editor.edit(kind)
            time.sleep(0.01)
        busy += traffic.between(begin, rig.now())
        quiet += calm(traffic, options.rest)
    editor.edit("valid")
    time.sleep(1.5)
    after = figures(gateway, process.pid)
    quiet += calm(traffic, options.calm)
    effects = large(options, editor)
    bulk = Bulk(options, gateway, traffic, editor) if options.routes else None
    alive = process.poll() is None
    return editor, traffic, quiet, busy, before, after, (effects, bulk), alive, traffic.stop()


def figures(gateway, pid):
    facts = gateway.plugins()
    return {"memory": rig.memory_kb(pid) / 1024, "files": rig.open_files(pid)[0],
            "threads": rig.threads(pid), "timers": facts.get("timers"), "vms": facts.get("vms")}


def report(options, result):
    editor, traffic, quiet, busy, before, after, (mega, bulk), alive, end = result
    out = rig.Report(f"{editor.count} changes of apisix.yaml, {options.workers} workers, "
                     f"{len(traffic.rows)} requests", options.short)
    for kind, count in sorted(editor.outcomes.items()):
        out.row(f"changes: {kind}", count)
    failed = [row for row in traffic.rows if row[3] != 200]
    refused = [row for row in traffic.rows if row[4] in editor.refused]
    bare = [row for row in traffic.rows if row[3] == 200 and not row[4] and row[0] >= 0]
    out.row("gateway alive", alive, "", alive)
    out.row("changes without their outcome", len(editor.wrong), "0", not editor.wrong)
    out.row("failed requests", len(failed), "0", not failed)
    out.row("answers of a refused file", len(refused), "0", not refused)
    out.row("answers without the plugin", len(bare), "0", not bare)
    effects = [value * 1000 for value in editor.effects]
    out.row("effect, median", f"{rig.quantile(effects, .5):.0f} ms")
    out.in_time("effect, p99", rig.quantile(effects, .99), 50, " ms")
    out.in_time("effect of 1 MB, all objects new", mega[0], 50, " ms")
    out.row("effect of 1 MB, one object changed: median", f"{rig.quantile(mega[1:], .5):.0f} ms")
    out.in_time("effect of 1 MB, one object changed: p99", rig.quantile(mega[1:], .99), 50, " ms")
    quiet_ms, busy_ms = latency(quiet), latency(busy)
    bound = 2 * rig.quantile(quiet_ms, .99)
    out.row("request p99 without changes", f"{bound / 2:.2f} ms")
    out.in_time("request p99 with changes", rig.quantile(busy_ms, .99), bound, " ms")
    out.row("WebSocket echoes", end["echoes"], "> 0", end["echoes"] > 0)
    out.row("WebSockets lost", len(end["socket_errors"]), "0", not end["socket_errors"])
    out.row("idle connections closed", end["idle_closes"], "0", not end["idle_closes"])
    out.row("RSS after 10 changes", f"{before['memory']:.1f} MB")
    out.at_most("RSS at the end", after["memory"], before["memory"] + 10, " MB")
    out.at_most("open files", after["files"], before["files"] + 2)
    out.at_most("threads", after["threads"], before["threads"] + 2)
    for name in ("timers", "vms"):
        out.row(name, after[name], f"as {before[name]}", after[name] == before[name])
    if bulk:
        bulk_rows(out, options, bulk)
    for line in editor.wrong[:10]:
        print("wrong:", line)
    for row in failed[:10]:
        print("failed:", row)
    return out


def bulk_rows(out, options, bulk):
    for name, took in bulk.applied:
        out.in_time(f"{options.routes} routes {name}: applied within", took, 5.0, " s")
    quiet, busy = latency(bulk.quiet), latency(bulk.rows)
    out.row("request max before, p99.9",
            f"{max(quiet):.1f}, {rig.quantile(quiet, .999):.1f} ms")
    # What the machine does to a request anyway is not the gateway's stall.
    stall = 5.0 + rig.quantile(quiet, .999)
    out.in_time(f"request p99.9 with {options.routes} routes", rig.quantile(busy, .999), stall, " ms")
    out.row(f"request max with {options.routes} routes", f"{max(busy):.1f} ms")


def main():
    options = rig.arguments(__doc__.splitlines()[0], 12110, SHORT, edits=1000, routes=100000,
                            calm=5.0, pause=0.03, large=20, rest=1.0)
    options.edits = max(options.edits, 20)
    gateway = rig.Gateway(options)
    try:
        result = run(options, gateway)
    finally:
        gateway.stop()
    report(options, result).finish()


if __name__ == "__main__":
    main()
