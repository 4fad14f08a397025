"""What the four scripts of this folder share: the gateway under test, an upstream, a load.

Upstream and load run in processes of their own, so that the editor's work does not slow the
clock that measures. A client of the load never retries: what fails is counted. Everything is
bounded and ends by itself; only processes started here are signalled.
"""

import argparse
import asyncio
import base64
import bisect
import hashlib
import http.client
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

PLUGINS = """real-ip client-control request-id fault-injection mocking serverless-pre-function
cors ip-restriction ua-restriction referer-restriction uri-blocker request-validation basic-auth
key-auth consumer-restriction proxy-rewrite limit-conn limit-count limit-req traffic-split redirect
response-rewrite public-api prometheus error-page echo http-logger file-logger log-rotate
serverless-post-function""".split()

CONFIG = """deployment:
  role: data_plane
  role_data_plane: {{config_provider: yaml}}
apisix:
  node_listen: [{port}]
  enable_ipv6: false
  status: {{ip: 127.0.0.1, port: {status}}}
  control: {{ip: 127.0.0.1, port: {control}}}
nginx_config:
  worker_processes: {workers}
  shutdown_delay: {delay}
  worker_shutdown_timeout: 20s
  error_log_level: info
  http: {{keepalive_requests: 1000000, access_log: logs/access.log}}
plugin_attr:
  prometheus: {{export_addr: {{ip: 127.0.0.1, port: {metrics}}}}}
plugins: [{plugins}]
"""


def now():
    return time.monotonic()


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(HOME, "target"))
    for path in (os.environ.get("MOONGATE_BIN"), os.path.join(target, "release", "moongate")):
        if path and os.access(path, os.X_OK):
            return path
    sys.exit("no moongate: build it (cargo build --release) or set MOONGATE_BIN")


def write(path, text):
    """Writes a file under its final name at once, as editors and ConfigMaps do."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new~", "w") as out:
        out.write(text)
    os.rename(path + ".new~", path)


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * q))] if values else 0.0


def arguments(about, port, short, **numbers):
    """Options with their defaults; `short` has those of a short run."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--short", action="store_true",
                        help="for CI: fewer rounds, and times are told, not judged")
    parser.add_argument("--port", type=int, default=port, help="first of 10 ports")
    parser.add_argument("--workers", type=int, default=0, help="0: as many as CPUs, at least 2")
    parser.add_argument("--keep", action="store_true", help="keep the prefix directory")
    for name, value in numbers.items():
        parser.add_argument("--" + name, type=type(value), default=None)
    options = parser.parse_args()
    for name, value in numbers.items():
        if getattr(options, name) is None:
            setattr(options, name, short.get(name, value) if options.short else value)
    options.workers = options.workers or max(2, os.cpu_count() or 2)
    return options


class Gateway:
    """A gateway with its own prefix directory."""

    def __init__(self, options, delay="0s", plugins=(), upstream=None):
        self.port = options.port
        self.status, self.control, self.metrics = (options.port + n for n in (1, 2, 3))
        self.upstream = upstream or options.port + 4
        self.prefix = tempfile.mkdtemp(prefix="moongate-live-")
        self.keep = options.keep
        for name in ("conf", "logs", "plugins", "lua"):
            os.mkdir(os.path.join(self.prefix, name))
        # The tree's files instead of those in the binary.
        tree = os.environ.get("MOONGATE_LUA_TREE")
        for name in ("lua", "plugins") if tree else ():
            shutil.copytree(os.path.join(tree, name), os.path.join(self.prefix, name),
                            dirs_exist_ok=True)
        self.write("conf/config.yaml", CONFIG.format(
            port=self.port, status=self.status, control=self.control, metrics=self.metrics,
            workers=options.workers, delay=delay, plugins=", ".join(PLUGINS + list(plugins))))
        self.processes = []

    def path(self, name):
        return os.path.join(self.prefix, name)

    def write(self, name, text):
        write(self.path(name), text)

    def start(self, *more):
        before = self.log().count("is ready")
        out = open(self.path("logs/stdout"), "a")
        process = subprocess.Popen([binary(), "-p", self.prefix, "start", *more],
                                   stdout=out, stderr=out, start_new_session=True)
        out.close()
        self.processes.append(process)
        end = now() + 15
        while now() < end and process.poll() is None:
            # The log, not the status port: after a take-over two processes share that.
            if self.log().count("is ready") > before or "is ready" in self.stdout():
                if more or self.get(self.status, "/status/ready") == 200:
                    return process
            time.sleep(0.02)
        self.stop()
        sys.exit("the gateway does not start:\n" + self.stdout() + self.log()[-2000:])

    def read(self, name):
        try:
            with open(self.path(name), errors="replace") as text:
                return text.read()
        except OSError:
            return ""

    def log(self):
        return self.read("logs/error.log")

    def stdout(self):
        return self.read("logs/stdout")

    @staticmethod
    def ask(port, path, method="GET", timeout=60):
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            conn.request(method, path)
            answer = conn.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            conn.close()

    def get(self, port, path):
        try:
            return self.ask(port, path, timeout=2)[0]
        except OSError:
            return 0

    def plugins(self):
        return json.loads(self.ask(self.control, "/v1/plugins")[1])

    def config(self):
        return json.loads(self.ask(self.control, "/v1/config")[1])

    def reload(self):
        """PUT /v1/plugins/reload: status, body, and when it returned."""
        status, body = self.ask(self.control, "/v1/plugins/reload", "PUT", 130)
        return status, body, now()

    def stop_all(self):
        """Ends the processes; the prefix stays."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def stop(self):
        self.stop_all()
        if self.keep:
            print("kept:", self.prefix)
        else:
            shutil.rmtree(self.prefix, ignore_errors=True)


def memory_kb(pid):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def cpu_s(pid):
    """CPU seconds of threads by name. Not from `stat`: its ticks miss what is shorter."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as comm:
            name = comm.read().strip()
        with open(f"/proc/{pid}/task/{task}/schedstat") as times:
            found[name] = found.get(name, 0) + int(times.read().split()[0]) / 1e9
    return found


def open_files(pid):
    """How many files and how many sockets are open."""
    files = sockets = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            is_socket = os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
        except OSError:
            continue
        files, sockets = files + (not is_socket), sockets + is_socket
    return files, sockets


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


# ---------------------------------------------------------------------------- upstream

class Server(asyncio.Protocol):
    """Answers every request with a few bytes, and echoes WebSocket frames."""

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\nhello\n"

    def connection_made(self, transport):
        self.transport, self.buf, self.socket = transport, b"", False

    def data_received(self, data):
        self.buf += data
        if self.socket:
            return self.frames()
        while (end := self.buf.find(b"\r\n\r\n")) >= 0:
            head, self.buf = self.buf[:end].lower(), self.buf[end + 4:]
            if b"upgrade: websocket" in head:
                return self.switch(head)
            self.transport.write(self.answer)

    def switch(self, head):
        key = next(l.split(b":")[1].strip() for l in head.split(b"\r\n") if b"websocket-key" in l)
        self.socket = True
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                             b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                             + base64.b64encode(hashlib.sha1(key).digest()) + b"\r\n\r\n")
        self.frames()

    def frames(self):
        # Short masked frames only: 2 bytes, 4 of mask, the text.
        while len(self.buf) >= 6 and len(self.buf) >= 6 + (self.buf[1] & 127):
            size = self.buf[1] & 127
            mask, text = self.buf[2:6], self.buf[6:6 + size]
            opcode = self.buf[0]
            self.buf = self.buf[6 + size:]
            plain = bytes(c ^ mask[i % 4] for i, c in enumerate(text))
            self.transport.write(bytes([opcode, size]) + plain)


def serve_upstream(port, ready):
    async def run():
        loop = asyncio.get_running_loop()
        await loop.create_server(Server, "127.0.0.1", port, reuse_address=True)
        ready.send(True)
        await asyncio.Event().wait()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(run())


# -------------------------------------------------------------------------------- load

class Client(asyncio.Protocol):
    """One keep-alive connection: request, answer, pause, request. Never a retry."""

    def __init__(self, load, number):
        self.load, self.number = load, number
        self.buf, self.sent, self.transport, self.timer = b"", 0.0, None, None
        self.last = False

    def connection_made(self, transport):
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request()

    def request(self):
        self.timer = None
        if self.load.stopping or self.load.quiet:
            self.sent = 0.0
            if self.load.stopping:
                self.transport.close()
            return
        self.sent = now()
        self.transport.write(self.load.next_request(self.number))

    def data_received(self, data):
        self.buf += data
        end = self.buf.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buf[:end + 2]
        low = head.lower()
        at = low.find(b"content-length:")
        size = int(low[at + 15:low.find(b"\r", at)]) if at >= 0 else 0
        if len(self.buf) < end + 4 + size:
            return
        body, self.buf = self.buf[end + 4:end + 4 + size], self.buf[end + 4 + size:]
        at = low.find(b"x-live:")
        live = head[at + 7:head.find(b"\r", at)].strip().decode() if at >= 0 else ""
        status = int(head[9:12])
        self.load.record(self.number, self.sent, status, live, body)
        self.sent = 0.0
        if b"connection: close" in low:
            self.last = True
            self.transport.close()
            return
        self.timer = asyncio.get_running_loop().call_later(self.load.pause(), self.request)

    def connection_lost(self, error):
        if self.timer:
            self.timer.cancel()
        if self.sent:
            # A request without an answer.
            self.load.record(self.number, self.sent, 0, "", repr(error).encode())
        elif not self.last and not self.load.stopping and not self.load.quiet:
            self.load.count_idle_close(error)
        self.load.closed(self)


class Load:
    """All clients of one process; results go to the parent in batches."""

    def __init__(self, pipe, spec):
        self.pipe, self.spec = pipe, spec
        self.rows, self.stopping, self.quiet = [], False, False
        self.turn, self.open = 0, set()
        self.idle_closes = self.idle_resets = self.refused = self.reconnects = 0
        self.socket_errors, self.echoes = [], 0
        self.requests = [
            f"GET {path} HTTP/1.1\r\nHost: live\r\n\r\n".encode() for path in spec["paths"]]

    def next_request(self, number):
        self.turn += 1
        return self.requests[(self.turn + number) % len(self.requests)]

    def pause(self):
        self.turn += 1
        return self.spec["pause"] * (0.5 + (self.turn * 7919 % 1000) / 1000)

    def record(self, number, sent, status, live, body):
        keep = body[:200].decode(errors="replace") if status != 200 else ""
        self.rows.append((number, sent, now(), status, live, keep))

    def count_idle_close(self, error):
        self.idle_closes += 1
        self.idle_resets += error is not None

    def closed(self, client):
        self.open.discard(client)
        if not self.stopping and not self.quiet and self.spec["reconnect"]:
            self.reconnects += 1
            asyncio.get_running_loop().create_task(self.connect(client.number))

    async def connect(self, number):
        loop = asyncio.get_running_loop()
        start = now()
        try:
            client = Client(self, number)
            await loop.create_connection(lambda: client, "127.0.0.1", self.spec["port"])
            self.open.add(client)
        except OSError as error:
            if self.spec["closed_port_ok"]:
                return
            self.refused += 1
            self.rows.append((number, start, now(), -1, "", repr(error)))
            await asyncio.sleep(0.05)
            if not self.stopping and not self.quiet:
                await self.connect(number)

    async def short(self):
        """New connections at a steady rate, one request each."""
        while not self.stopping and not self.quiet:
            start = now()
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.spec["port"])
            except OSError as error:
                if self.spec["closed_port_ok"]:
                    return
                self.refused += 1
                self.rows.append((-1, start, now(), -1, "", repr(error)))
                continue
            try:
                writer.write(b"GET /say HTTP/1.1\r\nHost: live\r\nConnection: close\r\n\r\n")
                answer = await asyncio.wait_for(reader.read(), 10)
                status = int(answer[9:12]) if len(answer) > 12 else 0
                self.record(-1, start, status, "", b"" if status else b"closed without an answer")
            except (OSError, asyncio.TimeoutError) as error:
                self.record(-1, start, 0, "", repr(error).encode())
            writer.close()
            await asyncio.sleep(self.spec["short"])

    async def socket(self):
        """A WebSocket held open: a short text to and fro."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.spec["port"])
        writer.write(b"GET /ws HTTP/1.1\r\nHost: live\r\nConnection: Upgrade\r\n"
                     b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            if b" 101 " not in head[:20]:
                raise OSError(f"no upgrade: {head[:80]}")
            count = 0
            while not self.stopping:
                count += 1
                text = b"%06d" % count
                mask = os.urandom(4)
                writer.write(bytes([0x81, 0x80 | 6]) + mask
                             + bytes(c ^ mask[i % 4] for i, c in enumerate(text)))
                if await asyncio.wait_for(reader.readexactly(8), 10) != b"\x81\x06" + text:
                    raise OSError("a wrong echo")
                self.echoes += 1
                await asyncio.sleep(0.1)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            if not self.stopping and not (self.quiet or self.spec["closed_port_ok"]):
                self.socket_errors.append(repr(error))
        writer.close()

    async def report(self):
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        loop.add_reader(self.pipe.fileno(), asked.set)
        while True:
            try:
                await asyncio.wait_for(asked.wait(), 0.02)
            except asyncio.TimeoutError:
                pass
            if self.rows:
                rows, self.rows = self.rows, []
                self.pipe.send(rows)
            if asked.is_set():
                asked.clear()
                word = self.pipe.recv()
                if word == "quiet":
                    self.quiet = True
                elif word == "stop":
                    self.stopping = True
                    await asyncio.sleep(0.3)
                    end = {name: getattr(self, name) for name in (
                        "idle_closes", "idle_resets", "refused", "reconnects", "socket_errors",
                        "echoes")}
                    self.pipe.send(self.rows)
                    self.pipe.send(end)
                    return

    async def run(self):
        tasks = [asyncio.create_task(self.connect(n)) for n in range(self.spec["connections"])]
        tasks += [asyncio.create_task(self.socket()) for _ in range(self.spec["sockets"])]
        if self.spec["short"]:
            tasks.append(asyncio.create_task(self.short()))
        await self.report()
        for task in tasks:
            task.cancel()


def run_load(pipe, spec):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(Load(pipe, spec).run())


class Traffic:
    """The parent's side of a load: rows (connection, sent, received, status, version, body)."""

    def __init__(self, port, connections=64, sockets=4, pause=0.03, short=0.0,
                 paths=("/live", "/say"), reconnect=True, closed_port_ok=False):
        spec = {"port": port, "connections": connections, "sockets": sockets, "pause": pause,
                "short": short, "paths": paths, "reconnect": reconnect,
                "closed_port_ok": closed_port_ok}
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=run_load, args=(theirs, spec), daemon=True)
        self.process.start()
        theirs.close()
        self.rows, self.end = [], None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while self.end is None:
            try:
                got = self.pipe.recv()
            except EOFError:
                self.end = {}
                return
            if isinstance(got, dict):
                self.end = got
            else:
                self.rows.extend(got)

    def say(self, word):
        self.pipe.send(word)

    def stop(self):
        self.say("stop")
        self.reader.join(10)
        self.process.join(5)
        if self.process.is_alive():
            self.process.terminate()
        return self.end

    def since(self, start):
        """Rows received after `start`; they arrive in about this order."""
        rows = self.rows
        at = len(rows)
        # A batch is 20 ms long, and only its order among the batches may be a little off.
        while at > 0 and rows[at - 1][2] > start - 0.1:
            at -= 1
        return [row for row in rows[at:] if row[2] > start]

    def between(self, start, end):
        at = bisect.bisect_left(self.rows, start - 0.5, key=lambda row: row[2])
        to = bisect.bisect_left(self.rows, end + 0.5, key=lambda row: row[2])
        return [row for row in self.rows[at:to] if start <= row[1] and row[2] <= end]


def start_upstream(port):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve_upstream, args=(port, theirs), daemon=True)
    process.start()
    if not ours.poll(10):
        sys.exit("the upstream does not start")
    return process


class Report:
    """The figures, and whether all of them are within their bounds."""

    def __init__(self, title, short):
        self.title, self.short, self.lines, self.bad = title, short, [], 0

    def row(self, name, value, bound="", good=True):
        self.bad += not good
        self.lines.append((name, str(value), bound, "" if good else "VIOLATED"))

    def at_most(self, name, value, bound, unit=""):
        text = f"{value:.1f}{unit}" if isinstance(value, float) else f"{value}{unit}"
        self.row(name, text, f"<= {bound:g}{unit}", value <= bound)

    def in_time(self, name, value, bound, unit):
        """As `at_most`, for times: a short run only tells them, since who else uses the
        machine decides over them."""
        if self.short:
            self.row(name, f"{value:.1f}{unit}", f"({bound:.1f}{unit})")
        else:
            self.row(name, f"{value:.1f}{unit}", f"<= {bound:.1f}{unit}", value <= bound)

    def show(self):
        print(self.title)
        width = max(len(line[0]) for line in self.lines)
        for name, value, bound, verdict in self.lines:
            print(f"  {name:<{width}}  {value:>12}  {bound:<14} {verdict}")
        print("ok" if not self.bad else f"{self.bad} bounds violated", flush=True)

    def finish(self):
        self.show()
        sys.exit(1 if self.bad else 0)
