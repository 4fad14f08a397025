"""Measures moongate against nginx and prints Markdown tables. Started by t/bench/run.

BENCH_ROUNDS (15), BENCH_SECONDS (1) per measurement, BENCH_ONLY (regular expression over the
names of the parts: cpu, bridge, tars, signed, shared, workers, routes, idle, start, live),
BENCH_ROUTES (100000). A measurement beside which the machine was slow is made again.
"""

import asyncio
import os
import re
import statistics
import sys
import tempfile
import time

import bridge
import load
import shared
import signed
import tars

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))
# How often a measurement is tried that the machine was too slow for.
TRIES = 60
SECONDS = int(os.environ.get("BENCH_SECONDS", "1"))
ONLY = os.environ.get("BENCH_ONLY", ".")
MANY = int(os.environ.get("BENCH_ROUTES", "100000"))
# So long that every one of MANY routes is asked for about six times.
WARM_SECONDS = 20
CONSUMERS = 100
IDLE = 10000

# One worker has a core of its own, load and upstream share the others: on both sides alike.
GATEWAY_CPUS = {load.CPUS[0]} if len(load.CPUS) > 1 else None
LOAD_CPUS = set(load.CPUS[1:]) or None
BENCH_HEADER = ("X-Bench: 1",)


def objects():
    """The text of apisix.yaml for all parts but the many routes."""
    with open(load.HERE + "/objects.conf") as source:
        text = source.read()
    text += "consumers:\n"
    for i in range(CONSUMERS):
        text += "  - {username: user%d, plugins: {key-auth: {key: secret-%d}}}\n" % (i, i)
    return text + "#END\n"


def many_routes(kind, count):
    """apisix.yaml with `count` routes that differ in host and uri, or in a :param uri."""
    lines = ["upstreams:", "  - {id: backend, nodes: {'127.0.0.1:9700': 1}}", "routes:"]
    for i in range(1, count + 1):
        if kind == "param":
            where = "uri: '/api%d/users/:id/posts'" % i
        else:
            where = "host: h%d.example.com, uri: '/r%d/*'" % (i, i)
        lines.append("  - {id: '%d', %s, upstream_id: backend}" % (i, where))
    return "\n".join(lines) + "\n#END\n"


class Table:
    """Collects rows and prints them as Markdown at the end."""

    def __init__(self, title, *columns):
        self.title, self.columns, self.rows = title, columns, []

    def add(self, *cells):
        """One row; also shown on stderr at once, since a run takes minutes."""
        self.rows.append([str(cell) for cell in cells])
        print(" | ".join(self.rows[-1]), file=sys.stderr, flush=True)

    def show(self):
        """Prints the table."""
        print("\n**%s**\n" % self.title)
        print("| " + " | ".join(self.columns) + " |")
        print("|" + "---|" * len(self.columns))
        for row in self.rows:
            print("| " + " | ".join(row) + " |")
        sys.stdout.flush()


class Bench:
    """The binary, the working directory, and what runs in it."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, work
        self.running = []
        self.speed, self.measured, self.repeated = load.Speed(), 0, 0

    def moongate(self, **arg):
        """Starts a moongate that ends with the bench."""
        arg.setdefault("objects", objects())
        gateway = load.Moongate(self.binary, self.work, **arg)
        self.running.append(gateway)
        return gateway

    def nginx(self, name, port, cpus):
        """Starts an nginx that ends with the bench."""
        server = load.Nginx(self.work, name, port, cpus)
        self.running.append(server)
        return server

    def stop(self, *which):
        """Stops the given processes, or all."""
        for process in which or reversed(self.running):
            process.stop()
        self.running = [one for one in self.running if one.child.poll() is None]

    def rounds(self, rows):
        """Measures all rows in turn, ROUNDS times; rows: name -> function; returns the lists."""
        values = {name: [] for name in rows}
        for number in range(ROUNDS + 1):
            for name, measure in rows.items():
                value = self.at_full_speed(measure)
                # The first round warms caches and compiles traces on both sides.
                if number:
                    values[name].append(value)
        return values

    def at_full_speed(self, measure):
        """What `measure` gives while the machine is as fast as it can be, before and after; at
        the last of TRIES whatever it gives."""
        self.measured += 1
        # Takes time of its own, in which the speed may change.
        prepare = getattr(measure, "prepare", lambda: None)
        prepare()
        for left in reversed(range(TRIES)):
            if left and not self.speed.is_full():
                self.repeated += 1
                time.sleep(0.5)
                continue
            value = measure()
            if not left or self.speed.is_full():
                return value
            self.repeated += 1
            prepare()
        raise AssertionError("TRIES is 0")

    def cpu(self):
        """CPU per request: the same work on both sides."""
        nginx = self.nginx("nginx", 9701, GATEWAY_CPUS)
        ours = self.moongate(cpus=GATEWAY_CPUS)
        quiet = self.moongate(access_log=False, cpus=GATEWAY_CPUS)

        def nginx_row(port, path="/plain/x", headers=()):
            return lambda: load.cpu_per_request(nginx, port, path, SECONDS, headers=headers,
                                                cpus=LOAD_CPUS)

        def our_row(path, headers=(), gateway=ours):
            return lambda: load.cpu_per_request(gateway, gateway.port, path, SECONDS,
                                                headers=headers, cpus=LOAD_CPUS)

        values = self.rounds({
            "nginx": nginx_row(9701), "ours": our_row("/plain/x"),
            "nginx quiet": nginx_row(9702), "ours quiet": our_row("/plain/x", gateway=quiet),
            "nginx lua": nginx_row(9703, headers=BENCH_HEADER),
            "ours lua": our_row("/lua/x", BENCH_HEADER),
            "ours key": our_row("/key/x", ("apikey: secret-42",)),
            "ours limit": our_row("/limit/x"),
            "nginx 4k": nginx_row(9701, "/4k"), "ours 4k": our_row("/4k"),
            "nginx 100k": nginx_row(9701, "/100k"), "ours 100k": our_row("/100k"),
        })
        table = Table("CPU µs per request, 1 worker, median (min–max) of %d rounds" % ROUNDS,
                      "row", "nginx", "moongate", "ratio", "bound")
        for title, theirs, mine, bound in (
                ("no plugin", "nginx", "ours", "1.00"),
                ("no plugin, both logs off", "nginx quiet", "ours quiet", "1.00"),
                ("one Lua access plugin", "nginx lua", "ours lua", "0.90"),
                ("key-auth (to plain nginx)", "nginx", "ours key", "1.25"),
                ("limit-count + prometheus (to plain nginx)", "nginx", "ours limit", "1.60"),
                ("4 KiB body", "nginx 4k", "ours 4k", "1.00"),
                ("100 KiB body", "nginx 100k", "ours 100k", "1.00")):
            table.add(title, load.spread(values[theirs]), load.spread(values[mine]),
                      ratio(values[mine], values[theirs]), bound)
        self.stop(nginx, ours, quiet)
        return table

    def bridge(self):
        """Calls from Lua into the host."""
        return bridge.measure(self, Table, GATEWAY_CPUS)

    def tars(self):
        """JSON that becomes a TARS call."""
        return tars.measure(self, Table, SECONDS, GATEWAY_CPUS, LOAD_CPUS)

    def signed(self):
        """Requests whose signature is checked and that get in once."""
        return signed.measure(self, Table, SECONDS, GATEWAY_CPUS, LOAD_CPUS)

    def shared(self):
        """A limit that is counted in Redis."""
        return shared.measure(self, Table, SECONDS, GATEWAY_CPUS, LOAD_CPUS)

    def workers(self):
        """CPU per request of two workers against one, and how connections are shared out."""
        one = self.moongate()
        two = self.moongate(workers=2)

        def row(gateway, path):
            return lambda: load.cpu_per_request(gateway, gateway.port, path, SECONDS)

        values = self.rounds({
            "plain 1": row(one, "/plain/x"), "plain 2": row(two, "/plain/x"),
            "limit 1": row(one, "/limit/x"), "limit 2": row(two, "/limit/x"),
        })
        table = Table("Two workers", "row", "1 worker", "2 workers", "ratio", "bound")
        for title, key in (("plain proxy, µs per request", "plain"),
                           ("limit-count + prometheus, µs per request", "limit")):
            mine, base = values[key + " 2"], values[key + " 1"]
            table.add(title, load.spread(base), load.spread(mine), ratio(mine, base), "1.05")
        for connections in (8, 16, 64):
            shares = [max_share(two.port, connections) for _ in range(ROUNDS)]
            table.add("largest share of a worker, %d connections" % connections, "",
                      load.spread(shares), "", "0.60")
        self.stop(one, two)
        return table

    def routes(self):
        """CPU per request with many routes, every request to a random one."""
        table = Table("Routes, uniformly random over all, µs per request",
                      "kind", "routes", "moongate", "to one route", "bound", "ready after s")
        for kind, router in (("host", "radixtree_host_uri"),
                             ("param", "radixtree_uri_with_parameter")):
            counts = (1, 1000, MANY)
            gateways = [self.moongate(objects=many_routes(kind, count), router=router,
                                      cpus=GATEWAY_CPUS) for count in counts]
            def to_any(gateway, count, seconds):
                return load.cpu_per_request(gateway, gateway.port, "/", seconds,
                                            script="routes.lua", args=(kind, count),
                                            cpus=LOAD_CPUS)

            # A worker prepares a route when it is first asked for it: that is not what is
            # measured. In this time all but a few in a thousand are.
            to_any(gateways[-1], MANY, WARM_SECONDS)
            values = self.rounds({
                count: (lambda gateway=gateway, count=count: to_any(gateway, count, SECONDS))
                for count, gateway in zip(counts, gateways)})
            for count, gateway in zip(counts, gateways):
                table.add("host + uri" if kind == "host" else ":param", count,
                          load.spread(values[count]), ratio(values[count], values[1]), "1.10",
                          "%.2f" % gateway.ready_seconds)
            self.stop(*gateways)
        return table

    def idle(self):
        """Memory of a fresh gateway and of idle keep-alive connections."""
        table = Table("Memory", "row", "value", "bound")
        # All bundled plugins, as without a list of one's own.
        fresh = self.moongate(workers=2, config=lambda text: re.sub(
            r"(?m)^plugins: .*\n", "", text), objects="routes: []\n#END\n")
        time.sleep(1)
        table.add("RSS fresh, 2 workers, all bundled plugins", "%.1f MiB" % (
            fresh.rss_kib() / 1024), "40 MiB")
        self.stop(fresh)
        gateway = self.moongate(workers=2)
        asyncio.run(connections(gateway.port, 64, 10, False))
        time.sleep(1)
        before = gateway.rss_kib()
        grown = asyncio.run(connections(gateway.port, IDLE, 1, gateway.rss_kib))
        table.add("%d idle keep-alive connections, each" % IDLE,
                  "%.2f KiB" % ((grown - before) / IDLE), "8 KiB")
        self.stop(gateway)
        return table

    def start(self):
        """Time from the start of the process to ready."""
        times = []
        for _ in range(ROUNDS):
            gateway = self.moongate(workers=2, config=lambda text: re.sub(
                r"(?m)^plugins: .*\n", "", text), objects="routes: []\n#END\n")
            times.append(gateway.ready_seconds * 1000)
            self.stop(gateway)
        table = Table("Start", "row", "value", "bound")
        table.add("process start to ready, ms", load.spread(times, 0), "150")
        return table

    def live(self):
        """Time from the save of a file to the first answer that shows it."""
        gateway = self.moongate(workers=2)
        config, code = [], []
        base = objects()
        path = gateway.prefix + "/plugins/bench-live.lua"
        with open(path) as source:
            plugin = source.read()
        load.wait_for(lambda: load.get(gateway.port, "/live")[2] == b"version 0\n")
        for number in range(1, 2 * ROUNDS + 2):
            route = "routes:\n  - {id: new, uri: /new-%d, upstream_id: backend}\n" % number
            load.write(gateway.prefix + "/conf/apisix.yaml", base.replace("routes:\n", route, 1))
            config.append(1000 * load.wait_for(
                lambda: load.get(gateway.port, "/new-%d" % number)[0] == 200, pause=0.0005))
            load.write(path, plugin.replace("version 0", "version %d" % number))
            expected = b"version %d\n" % number
            code.append(1000 * load.wait_for(
                lambda: load.get(gateway.port, "/live")[2] == expected, pause=0.0005))
            time.sleep(0.2)
        table = Table("Live edit: from the save of the file to the first new answer, 2 workers",
                      "row", "ms, median (min–max)", "bound")
        table.add("apisix.yaml", load.spread(config, 1), "50")
        table.add("a plugin's code", load.spread(code, 1), "200")
        self.stop(gateway)
        return table


def ratio(mine, base):
    """The ratio of two medians."""
    return "%.3f" % (statistics.median(mine) / statistics.median(base))


async def connections(port, count, requests, then):
    """Opens `count` connections, sends `requests` on each, and returns how many answers each
    worker gave; with `then`, calls it while all connections are idle and returns its result."""
    served = {}
    gate = asyncio.Semaphore(200)

    async def one():
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests):
            async with gate:
                writer.write(b"GET /worker HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(re.search(r"(?i)content-length: (\d+)", head).group(1))
                await reader.readexactly(length)
                worker = re.search(r"(?i)x-worker: (\d+)", head)
                served[worker.group(1)] = served.get(worker.group(1), 0) + 1
        return writer

    writers = await asyncio.gather(*[one() for _ in range(count)])
    result = served
    if then:
        await asyncio.sleep(2)
        result = then()
    for writer in writers:
        writer.close()
    await asyncio.sleep(0.2)
    return result


def max_share(port, count):
    """The largest part of all requests that one worker served."""
    served = asyncio.run(connections(port, count, 20, None))
    return max(served.values()) / sum(served.values())


def main():
    """Runs the chosen parts and prints their tables."""
    load.allow_many_files()
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="moongate-bench-") as work:
        os.chmod(work, 0o755)
        os.makedirs(work + "/temp")
        os.makedirs(work + "/data")
        for name, size in (("4k", 4096), ("100k", 102400)):
            with open("%s/data/%s" % (work, name), "w") as out:
                out.write("x" * size)
        bench = Bench(binary, work)
        try:
            bench.nginx("upstream", 9700, LOAD_CPUS)
            tables = []
            for part in ("cpu", "bridge", "tars", "signed", "shared", "workers", "routes", "idle",
                         "start", "live"):
                if re.search(ONLY, part):
                    print("== " + part, file=sys.stderr, flush=True)
                    tables.append(getattr(bench, part)())
            for table in tables:
                table.show()
            print("\n%d measurements; %d tries more, since a fixed loop beside them took over "
                  "%.2f times its best." % (bench.measured, bench.repeated, load.Speed.SLOW))
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
