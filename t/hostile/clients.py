#!/usr/bin/env python3
"""Clients that are slow on purpose, and a normal one beside them.

Slow heads, slow bodies, readers that do not read, 10,000 half-open heads, opened one after the other
or begun all at once: a normal client's p99 stays within twice of what it was, also while they are
ended, which client_header_timeout, client_body_timeout and send_timeout do in time. With no file
descriptor left, accepting pauses and does not spin.
The normal client and the slow ones run in processes of their own, the slow ones with the lowest
priority, and the gateway has a CPU that none of them uses: only what they cost the gateway can slow
the normal one down. What the machine itself costs
is told by the same attack on nginx, where there is one. A short run asserts no latency.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import lib

T = 3

HTTP = """    client_header_timeout: %ds
    client_body_timeout: %ds
    send_timeout: %ds
    keepalive_timeout: 30s""" % (T, T, T)

OBJECTS = """routes:
  - id: neighbour
    uri: /neighbour
    plugins: {mocking: {content_type: text/plain, response_example: ok}}
  - id: up
    uri: /up
    upstream: {type: roundrobin, nodes: {"127.0.0.1:%d": 1}}
  - id: big
    uri: /big
    upstream: {type: roundrobin, nodes: {"127.0.0.1:%d": 1}}
"""


CPUS = sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def alone():
    """What is started here has the last CPU to itself; this process and the others share the rest."""
    if len(CPUS) > 1:
        os.sched_setaffinity(0, CPUS[-1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, CPUS[:-1] or CPUS)


async def upstream(port):
    """Reads bodies; /big answers with 64 MB."""
    async def serve(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                if "content-length: " in head:
                    await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
                if "transfer-encoding: chunked" in head:
                    await reader.readuntil(b"\r\n0\r\n\r\n")
                if "/big" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**26)
                    for _ in range(2**10):
                        writer.write(b"x" * 2**16)
                        await writer.drain()
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
    return await asyncio.start_server(serve, "127.0.0.1", port, limit=2**17)


NORMAL = r"""
import socket, sys, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
sock = socket.create_connection(("127.0.0.1", port))
times, failed, end, count = [], 0, time.perf_counter() + seconds, 0
while time.perf_counter() < end:
    began = time.perf_counter()
    try:
        sock.sendall(b"GET /neighbour HTTP/1.1\r\nHost: a\r\n\r\n")
        data = sock.recv(65536)
        if b" 200 OK" not in data[:20] or not data.endswith(b"ok"):
            failed += 1
    except OSError:
        failed += 1
        sock = socket.create_connection(("127.0.0.1", port))
    times.append(time.perf_counter() - began)
    count += 1
    if count % 500 == 0:
        sock.close()
        sock = socket.create_connection(("127.0.0.1", port))
    time.sleep(0.002)
times.sort()
print(len(times), failed, times[int(len(times) * 0.99)], times[-1])
"""


async def normal(port, seconds):
    """Requests, failures, p99 and worst of a normal client, in seconds."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", NORMAL, str(port), str(seconds),
                                                   stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    count, failed, p99, worst = out.split()
    return int(count), int(failed), float(p99), float(worst)


class Slow:
    """Connections that do `act` and are expected to be ended by the gateway."""

    def __init__(self, port, count, act):
        self.port, self.count, self.act = port, count, act
        self.lives, self.statuses, self.refused, self.connected = [], {}, 0, 0
        self.all_there = asyncio.Event()

    async def one(self):
        """One of them, until the gateway ends it."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**12)
        except OSError:
            self.refused += 1
            return
        finally:
            self.connected += 1
            if self.connected == self.count:
                print("ready", flush=True)
                self.all_there.set()
        if self.act is at_once:
            await self.all_there.wait()
        began = time.perf_counter()
        acting = asyncio.create_task(self.act(reader, writer))
        try:
            await asyncio.wait_for(self.ended(reader, acting), 25)
            self.lives.append(time.perf_counter() - began)
        except asyncio.TimeoutError:
            self.lives.append(99)
        acting.cancel()
        writer.close()

    async def ended(self, reader, acting):
        """Waits for the end of the connection; notes what the gateway said before."""
        try:
            if self.act is not_reading:
                # Reading would be fair play: the action itself notices the end.
                await acting
                return
            data = await reader.read(100)
            if data:
                status = data[9:12].decode("latin-1")
                self.statuses[status] = self.statuses.get(status, 0) + 1
            while data:
                data = await reader.read(4096)
        except ConnectionError:
            pass

    async def run(self):
        """All of them, a few at a time while they connect."""
        tasks = []
        for start in range(0, self.count, 200):
            tasks += [asyncio.create_task(self.one()) for _ in range(min(200, self.count - start))]
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)


async def slow_head(reader, writer):
    """A head, a byte every 100 ms."""
    writer.write(b"GET /neighbour HTTP/1.1\r\nHost: a\r\nX-A: ")
    while True:
        writer.write(b"a")
        await asyncio.sleep(0.1)


async def half_head(reader, writer):
    """Half a head, then nothing."""
    writer.write(b"GET /neighbour HTTP/1.1\r\nHost: a\r\n")
    await asyncio.sleep(60)


async def at_once(reader, writer):
    """Half a head, when all have connected."""
    await half_head(reader, writer)


async def nothing(reader, writer):
    """Not a byte."""
    await asyncio.sleep(60)


async def half_body(reader, writer):
    """Half a body, then nothing."""
    writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello")
    await asyncio.sleep(60)


async def half_chunk(reader, writer):
    """Half a chunk, then nothing."""
    writer.write(b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello")
    await asyncio.sleep(60)


async def unread_body(reader, writer):
    """A body that no plugin wants, and that never ends."""
    writer.write(b"POST /neighbour HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello")
    await asyncio.sleep(60)


async def not_reading(reader, writer):
    """Asks for 64 MB and reads nothing of it."""
    writer.transport.pause_reading()
    writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    while True:
        await asyncio.sleep(0.25)
        # A byte to a connection that the gateway closed is answered by a reset.
        writer.write(b"x")
        try:
            await writer.drain()
        except ConnectionError:
            return
        if writer.transport.is_closing():
            return


async def attack(port, act, count):
    """Starts slow clients in a process of their own; returns when all are connected."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, "--slow", act.__name__, str(count), str(port),
                                                   stdout=subprocess.PIPE, preexec_fn=lambda: os.nice(19))
    await process.stdout.readline()
    return process


async def slow_only(name, count, port):
    """What that process does."""
    lib.raise_open_files()
    slow = Slow(port, count, globals()[name])
    await slow.run()
    print(json.dumps([slow.lives, slow.statuses, slow.refused]))


async def case(report, gateway, quiet, name, act, count, allowed, args):
    """One kind of slow client beside a normal one."""
    open_before = gateway.sockets()
    good = fits = short = False
    for _ in range(3):
        running = await attack(gateway.http, act, count)
        began = gateway.cpu(), time.perf_counter()
        requests, failed, p99, worst = await normal(gateway.http, T - 1.4)
        cpu = (gateway.cpu() - began[0]) / (time.perf_counter() - began[1])
        # And while the gateway ends them all.
        _, failed_then, p99_then, worst_then = await normal(gateway.http, 2.5)
        lives, statuses, refused = json.loads((await running.communicate())[0])
        await asyncio.sleep(0.3)
        longest = max(lives, default=99)
        # Below a millisecond only the machine's own noise is measured.
        bound = max(2 * quiet, 0.001)
        short = not failed_then and (args.short or p99_then <= bound and worst_then < 0.25)
        good = not failed and (args.short or p99 <= bound)
        fits = longest <= allowed + (10 if args.short else 0) and len(lives) == count
        if good and fits and short:
            break
    report.check("%d x %s: a normal client" % (count, name), good,
                 "p99 %.2f ms (alone %.2f ms), worst %.1f ms, %d failed of %d, %.0f %% CPU" % (
                     1000 * p99, 1000 * quiet, 1000 * worst, failed, requests, 100 * cpu))
    report.check("%d x %s: while they end" % (count, name), short,
                 "p99 %.2f ms, worst %.1f ms" % (1000 * p99_then, 1000 * worst_then))
    report.check("%d x %s: ended in time" % (count, name), fits,
                 "after %.1f to %.1f s (%.1f allowed) %s%s" % (min(lives, default=0), longest, allowed, statuses,
                                                             ", %d refused" % refused if refused else ""))
    left = gateway.sockets() - open_before
    report.check("%d x %s: nothing is left open" % (count, name), left <= 4, "%d descriptors" % left)


NGINX = """daemon off;
master_process off;
worker_rlimit_nofile 20480;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 10620; }
http {
    access_log access.log combined buffer=16k;
    client_header_timeout %ds;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server { listen 127.0.0.1:%d backlog=511; location / { return 200 ok; } }
}
"""


async def nginx(port, act, count):
    """What the same attack does to a normal client of nginx: told, not judged."""
    path = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not path:
        return
    prefix = tempfile.mkdtemp(prefix="moongate-hostile-nginx-")
    with open(os.path.join(prefix, "nginx.conf"), "w", encoding="utf-8") as out:
        out.write(NGINX % (T, port))
    with alone():
        server = subprocess.Popen([path, "-p", prefix, "-c", "nginx.conf", "-e", "stderr"], preexec_fn=lib.end_with_parent)
    try:
        await asyncio.sleep(0.5)
        _, _, quiet, _ = await normal(port, 2)
        running = await attack(port, act, count)
        _, failed, p99, worst = await normal(port, T - 1.4)
        _, failed_then, p99_then, worst_then = await normal(port, 2.5)
        await running.communicate()
        print("       %d x %s against nginx: p99 %.2f ms (alone %.2f ms), worst %.1f ms; while they end %.2f ms, worst %.1f ms; "
              "%d failed" % (count, act.__name__, 1000 * p99, 1000 * quiet, 1000 * worst, 1000 * p99_then, 1000 * worst_then,
                             failed + failed_then), flush=True)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(prefix, ignore_errors=True)


async def no_descriptor(report, args):
    """All descriptors are taken by clients: no spinning, and service goes on when some leave."""
    gateway = lib.Gateway(lib.port_base(50), OBJECTS % (1, 1), http_block=HTTP.replace("_timeout: %ds" % T, "_timeout: 60s"),
                          nginx="  worker_rlimit_nofile: 120")
    gateway.start()
    clients = []
    for _ in range(300):
        try:
            clients.append(await asyncio.wait_for(lib.Client.open(gateway.http), 1))
        except (OSError, asyncio.TimeoutError):
            break
    await asyncio.sleep(0.3)
    began = gateway.cpu()
    await asyncio.sleep(2 if args.short else 5)
    share = (gateway.cpu() - began) / (2 if args.short else 5)
    report.check("EMFILE does not spin", share < 0.2, "%.0f %% CPU, %d descriptors, %d clients" % (
        100 * share, gateway.sockets(), len(clients)))
    logged = gateway.log().count("accept() failed")
    report.check("EMFILE is in the log, and does not flood it", 0 < logged < 200, "%d lines" % logged)
    for client in clients:
        client.close()
    await asyncio.sleep(0.5)
    answer = await lib.ask(gateway.http, lib.get("/neighbour"))
    report.check("service goes on", answer and answer.status == 200)
    report.gateway(gateway)
    gateway.stop(args.keep)


async def crawl(report, gateway):
    """A slow reader that does read is served to the end."""
    client = await lib.Client.open(gateway.http, limit=2**12)
    client.writer.get_extra_info("socket").setsockopt(1, 8, 4096)
    client.send(lib.get("/big"))
    await client.reader.readuntil(b"\r\n\r\n")
    began, total = time.perf_counter(), 0
    while time.perf_counter() - began < 3 * T:
        total += len(await client.reader.read(2**16))
        await asyncio.sleep(0.02)
    more = await asyncio.wait_for(client.reader.read(2**16), 2)
    report.check("a slow reader that reads is not ended", total > 0 and more, "%d KiB in %d s" % (total // 1024, 3 * T))
    client.close()


async def main(args):
    """All kinds."""
    report = lib.Report("clients")
    limit = lib.raise_open_files()
    base = lib.port_base(40)
    server = await upstream(base + 5)
    gateway = lib.Gateway(base, OBJECTS % (base + 5, base + 5), http_block=HTTP, level="warn")
    with alone():
        gateway.start()
    await normal(base, 0.5)
    _, failed, quiet, worst = await normal(base, 3)
    report.check("a normal client alone", not failed, "p99 %.2f ms, worst %.1f ms" % (1000 * quiet, 1000 * worst))
    few = 200 if args.short else 1000
    many = min(2000 if args.short else 10000, limit - 500)
    kinds = [("slow heads", slow_head, few, T + 1), ("silent clients", nothing, few, T + 1),
             ("half bodies", half_body, few, T + 1.5), ("half chunks", half_chunk, few, T + 1.5),
             ("bodies that nobody reads", unread_body, few, 2 * T + 6), ("readers that do not read", not_reading, 50, T + 6),
             ("half-open heads", half_head, many, T + 3), ("half-open heads at once", at_once, many, T + 3)]
    for name, act, count, allowed in kinds:
        if args.only in name:
            await case(report, gateway, quiet, name, act, count, allowed, args)
            if act in (slow_head, half_head, at_once) and not args.short:
                await nginx(base + 6, act, count)
    if args.only in "crawl":
        await crawl(report, gateway)
    rss = gateway.rss()
    report.check("memory came back", rss < 200, "%.0f MiB" % rss)
    report.gateway(gateway)
    gateway.stop(args.keep)
    server.close()
    if args.only in "descriptors":
        await no_descriptor(report, args)
    report.end()


if sys.argv[1:2] == ["--slow"]:
    asyncio.run(slow_only(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
else:
    asyncio.run(main(lib.arguments(__doc__)))
