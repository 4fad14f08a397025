"""What the hostile tests share: a gateway of their own, raw sockets, load, a table of results.

Everything listens on the loopback, on ports from MOONGATE_PORT_BASE on, and ends with the test.
The gateway is the one of MOONGATE_BIN, or target/release/moongate.
"""

import argparse
import asyncio
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

CONFIG = """
apisix:
  node_listen: [{{ip: 127.0.0.1, port: {http}}}]
  enable_ipv6: false
  status: {{ip: 127.0.0.1, port: {status}}}
  control: {{ip: 127.0.0.1, port: {control}}}
nginx_config:
  worker_processes: {workers}
  error_log: {error_log}
  error_log_level: {level}
{nginx}
  http:
    access_log: {access_log}
{http_block}
deployment:
  role: data_plane
  role_data_plane: {{config_provider: yaml}}
plugins: [{plugins}]
plugin_attr:
  prometheus: {{export_addr: {{ip: 127.0.0.1, port: {prometheus}}}}}
moongate:
{moongate}
"""


def arguments(text):
    """The arguments every test takes; `text` says what it is about."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--short", action="store_true", help="fewer rounds, for CI")
    parser.add_argument("--keep", action="store_true", help="keep the prefix with its logs")
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    return parser.parse_args()


def binary():
    """The gateway under test."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    path = os.environ.get("MOONGATE_BIN", os.path.join(target, "release", "moongate"))
    if not os.access(path, os.X_OK):
        sys.exit("no moongate: build it (cargo build --release) or set MOONGATE_BIN")
    return path


def port_base(offset=0):
    """The first of the ten ports that one test uses."""
    return int(os.environ.get("MOONGATE_PORT_BASE", "12200")) + offset


def raise_open_files(number=20000):
    """Lets this process hold as many sockets as the system allows, up to `number`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = number if hard == resource.RLIM_INFINITY else min(number, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def end_with_parent():
    """Runs in the child: the kernel ends it should this process die without stopping it."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Gateway:
    """A moongate with a prefix of its own."""

    def __init__(self, base, objects, plugins=None, **config):
        self.http, self.status, self.control = base, base + 1, base + 2
        self.prefix = tempfile.mkdtemp(prefix="moongate-hostile-")
        for folder in ("conf", "logs", "plugins"):
            os.makedirs(os.path.join(self.prefix, folder))
        values = {
            "http": base, "status": base + 1, "control": base + 2, "prometheus": base + 3,
            "workers": 1, "level": "info", "nginx": "", "http_block": "", "moongate": "  readiness_strict: false",
            "error_log": "logs/error.log", "access_log": "logs/access.log",
            "plugins": ", ".join(["mocking", "serverless-pre-function"] + list(plugins or {})),
        }
        values.update(config)
        self.write("conf/config.yaml", CONFIG.format(**values))
        self.write("conf/apisix.yaml", objects + "\n#END\n")
        for name, text in (plugins or {}).items():
            self.write("plugins/%s.lua" % name, text)
        self.process = None

    def write(self, name, text):
        """Writes a file of the prefix as a whole."""
        path = os.path.join(self.prefix, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8") as out:
            out.write(text)
        os.rename(path + ".new", path)

    def start(self, **more):
        """Starts it and waits until it is ready."""
        out = open(os.path.join(self.prefix, "out"), "ab")
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("APISIX_WORKER_PROCESSES", "MOONGATE_WORKERS")}
        self.process = subprocess.Popen([binary(), "-p", self.prefix, "start"], stdout=out, stderr=out,
                                        env=environment, preexec_fn=end_with_parent, **more)
        end = time.time() + 20
        while time.time() < end:
            if self.process.poll() is not None:
                break
            try:
                with __import__("socket").create_connection(("127.0.0.1", self.status), 1) as sock:
                    sock.sendall(b"GET /status/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    if b" 200 " in sock.recv(200):
                        return self
            except OSError:
                pass
            time.sleep(0.02)
        print(self.output(), self.log(), sep="\n", file=sys.stderr)
        sys.exit("the gateway did not start")

    def output(self):
        """What it wrote to its terminal."""
        with open(os.path.join(self.prefix, "out"), encoding="utf-8", errors="replace") as text:
            return text.read()

    def log(self, name="logs/error.log"):
        """The error log so far."""
        try:
            with open(os.path.join(self.prefix, name), encoding="utf-8", errors="replace") as text:
                return text.read()
        except OSError:
            return ""

    def cpu(self):
        """Seconds of CPU it has used."""
        with open("/proc/%d/stat" % self.process.pid, encoding="utf-8") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sockets(self):
        """How many file descriptors it holds."""
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def rss(self):
        """Resident memory in MiB."""
        with open("/proc/%d/statm" % self.process.pid, encoding="utf-8") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def alive(self):
        """Whether the process still runs."""
        return self.process.poll() is None

    def stop(self, keep=False):
        """Ends it at once; returns its exit code, negative for a signal."""
        code = self.process.poll()
        if code is None:
            self.process.send_signal(signal.SIGINT)
            try:
                code = self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                code = self.process.wait()
        if keep:
            print("prefix kept:", self.prefix)
        else:
            shutil.rmtree(self.prefix, ignore_errors=True)
        return code


class Report:
    """A table of checks; the last one decides the exit code."""

    def __init__(self, title):
        self.title, self.failed, self.passed, self.started = title, [], 0, time.time()
        print("== %s" % title, flush=True)

    def check(self, name, good, detail=""):
        """Notes one check and prints its line."""
        if good:
            self.passed += 1
        else:
            self.failed.append(name)
        print("  %-4s %-52s %s" % ("ok" if good else "FAIL", name, detail), flush=True)
        return good

    def gateway(self, gateway):
        """What must hold for every gateway after every test."""
        self.check("the process lives", gateway.alive())
        text = gateway.log() + gateway.output()
        at = text.find("panic")
        self.check("no panic in the logs", at < 0, text[max(0, at - 200):at + 400] if at >= 0 else "")

    def end(self):
        """Prints the sum and exits: 1 after a failed check."""
        took = time.time() - self.started
        print("== %s: %d ok, %d failed, %.1f s" % (self.title, self.passed, len(self.failed), took))
        for name in self.failed:
            print("   failed: %s" % name)
        sys.stdout.flush()
        os._exit(1 if self.failed or not self.passed else 0)


class Answer:
    """One response as it came over the wire."""

    def __init__(self, status, fields, body, raw=b"", whole=True):
        self.status, self.fields, self.body, self.raw, self.whole = status, fields, body, raw, whole

    def field(self, name):
        """The value of a field, or None."""
        name = name.lower()
        return next((value for known, value in self.fields if known.lower() == name), None)


class Client:
    """One connection to the gateway, byte by byte."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port, limit=2**20):
        """Connects."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
        return cls(reader, writer)

    def send(self, data):
        """Queues bytes."""
        self.writer.write(data)

    async def answer(self, within=5, head_only=False):
        """The next response; None if the connection ends before one."""
        return await asyncio.wait_for(self._answer(head_only), within)

    async def _answer(self, head_only):
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        answer = Answer(status, fields, b"", head)
        if status < 200 and status != 101 or status in (204, 304) or head_only:
            return answer
        try:
            if (answer.field("transfer-encoding") or "").lower() == "chunked":
                while True:
                    size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                    if size == 0:
                        answer.trailers = []
                        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                            answer.trailers.append(line)
                        break
                    answer.body += await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
            elif answer.field("content-length") is not None:
                answer.body = await self.reader.readexactly(int(answer.field("content-length")))
            elif status != 101:
                answer.body = await self.reader.read(-1)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            answer.whole = False
            answer.body += getattr(error, "partial", b"")
        return answer

    async def closed(self, within=2):
        """Whether the gateway closes the connection without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), within) == b""
        except asyncio.TimeoutError:
            return False
        except ConnectionError:
            return True

    def close(self):
        """Drops the connection."""
        self.writer.close()


async def ask(port, raw, within=5, head_only=False):
    """One request on a connection of its own."""
    client = await Client.open(port)
    client.send(raw)
    try:
        return await client.answer(within, head_only)
    finally:
        client.close()


async def until(good, within=10):
    """Waits until `good()`, for a while."""
    end = time.time() + within
    while not good() and time.time() < end:
        await asyncio.sleep(0.02)


def get(path, *fields, host="a.test"):
    """A plain GET request."""
    lines = ["GET %s HTTP/1.1" % path, "Host: %s" % host, *fields, "", ""]
    return "\r\n".join(lines).encode()


class Neighbours:
    """Keep-alive clients that ask for something harmless all the time."""

    def __init__(self, port, count, path="/neighbour", pause=0.0):
        self.port, self.count, self.path, self.pause = port, count, path, pause
        self.times, self.failures, self.running, self.tasks = [], [], True, []

    async def start(self):
        """Connects all of them and sends each one's first request."""
        for start in range(0, self.count, 100):
            group = [self._client(at) for at in range(start, min(start + 100, self.count))]
            self.tasks += [asyncio.create_task(one) for one in group]
            await asyncio.sleep(0.02)
        end = time.time() + 20
        while len(self.times) < self.count and time.time() < end and not self.failures:
            await asyncio.sleep(0.02)

    async def _client(self, number):
        request = get(self.path)
        try:
            client = await Client.open(self.port)
            left = 900
            first = True
            while self.running:
                began = time.perf_counter()
                client.send(request)
                answer = await client.answer(30)
                if answer is None or answer.status != 200 or not answer.whole:
                    self.failures.append("client %d: %s" % (number, answer and answer.status))
                    return
                now = time.perf_counter()
                self.times.append((now, now - began))
                left -= 1
                if left == 0:
                    client.close()
                    client, left = await Client.open(self.port), 900
                if self.pause:
                    # Spread over time, whatever the start was like.
                    await asyncio.sleep(self.pause * (number / self.count if first else 1))
                    first = False
            client.close()
        except (OSError, asyncio.TimeoutError) as error:
            self.failures.append("client %d: %r" % (number, error))

    def since(self, moment):
        """Latencies of the requests that ended after `moment` (perf_counter)."""
        return [took for at, took in self.times if at >= moment]

    async def stop(self):
        """Lets every client finish its request."""
        self.running = False
        await asyncio.gather(*self.tasks)


def percentile(values, share):
    """The value that `share` of `values` do not pass."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
