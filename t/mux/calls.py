"""Ten thousand calls at once over at most four connections per worker and node, and what becomes
of calls when a node dies.

Once with tRPC and once with TARS. The nodes are services written from the protocols' descriptions:
they hold calls until they are told to answer, in random order. Each runs in a process of its own,
so that one can be killed.
"""

import asyncio
import multiprocessing
import os
import random
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", name) for name in ("live", "tars")]

import peer  # noqa: E402
import rig  # noqa: E402

LINES_MAX = 4
ROUTES = """protos:
  - id: mux
    name: Mux.tars
    content: "module Mux {{ interface Probe {{ int say(int n); }}; }};"
routes:
  - id: calls
    uri: /*
    plugins:
      {plugin}
    upstream:
      type: roundrobin
      timeout: {{connect: 2, send: 10, read: {read}}}
      nodes: [{nodes}]
#END
"""


# ---------------------------------------------------------------------------- nodes

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


class Line(asyncio.Protocol):
    """One connection of a node."""

    def __init__(self, state):
        self.state = state
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport
        self.state.lines += 1
        self.state.lines_max = max(self.state.lines_max, self.state.lines)

    def connection_lost(self, error):
        self.state.lines -= 1


class Trpc(Line):
    """Of a tRPC service that answers `{"n":…}` with the same."""

    PLUGIN = 'trpc-transcode: {mode: passthrough, service: trpc.test.mux.Probe, "function": Say}'

    @staticmethod
    def expected(number):
        return b'{"n":%d}' % number

    def data_received(self, data):
        self.buffer += data
        while len(self.buffer) >= 16:
            magic, kind, _, total, head, number = struct.unpack_from(">HBBIHI", self.buffer)
            assert magic == 0x0930 and kind == 0 and total >= 16 + head, self.buffer[:32]
            if len(self.buffer) < total:
                break
            frame, self.buffer = self.buffer[:total], self.buffer[total:]
            self.state.called(self, number, frame[16 + head:])

    def answer(self, number, body):
        head = b"\x18" + bytes(self.encode(number)) + b"\x48\x02"
        frame = struct.pack(">HBBIHIBB", 0x0930, 0, 0, 16 + len(head) + len(body), len(head),
                            number, 1, 0)
        self.transport.write(frame + head + body)

    @staticmethod
    def encode(value):
        while value > 0x7f:
            yield value & 0x7f | 0x80
            value >>= 7
        yield value


class Tars(Line):
    """Of a TARS service that returns its argument `n`. It answers pings at once, as all do."""

    PLUGIN = 'tars-transcode: {proto_id: mux, service: Mux.Server.ProbeObj, "function": say}'

    @staticmethod
    def expected(number):
        return b'{"tars_ret":%d}' % number

    def data_received(self, data):
        self.buffer += data
        while len(self.buffer) >= 4:
            total = struct.unpack_from(">I", self.buffer)[0]
            assert 4 < total < 1000, self.buffer[:32]
            if len(self.buffer) < total:
                break
            frame, self.buffer = self.buffer[4:total], self.buffer[total:]
            call = peer.Items(frame).all()
            if call[6] == b"tars_ping":
                self.answer(call[4], 0)
            else:
                assert call[1] == 1 and call[2] == 0 and call[6] == b"say", call
                self.state.called(self, call[4], peer.Items(call[7]).all()[1])

    def answer(self, number, value):
        packet = (peer.number(1, 1) + peer.number(2, 0) + peer.number(3, number)
                  + peer.number(4, 0) + peer.number(5, 0) + peer.blob(6, peer.number(0, value))
                  + peer.pairs(7, {}))
        self.transport.write(struct.pack(">I", len(packet) + 4) + packet)


class State:
    """All connections of one node."""

    def __init__(self):
        self.held = []
        self.holds = True
        self.lines = self.lines_max = self.calls = self.held_max = 0

    def called(self, line, number, body):
        self.calls += 1
        if not self.holds:
            line.answer(number, body)
            return
        self.held.append((line, number, body))
        self.held_max = max(self.held_max, len(self.held))

    def command(self, word):
        """`hold`, `answer` and `facts`; each returns the facts."""
        if word in ("hold", "answer"):
            self.holds = word == "hold"
        if word == "answer":
            random.shuffle(self.held)
            for line, number, body in self.held:
                if not line.transport.is_closing():
                    line.answer(number, body)
            self.held = []
        return {"held": len(self.held), "held_max": self.held_max, "calls": self.calls,
                "lines": self.lines, "lines_max": self.lines_max}


def serve_node(protocol, port, pipe):
    async def serve():
        loop = asyncio.get_running_loop()
        state = State()
        server = await loop.create_server(lambda: protocol(state), "127.0.0.1", port, backlog=1024)
        pipe.send("ready")
        while True:
            while pipe.poll():
                word = pipe.recv()
                if word == "end":
                    server.close()
                    return
                pipe.send(state.command(word))
            await asyncio.sleep(0.005)
    try:
        asyncio.run(serve())
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass


class Service:
    """A node's process, from outside."""

    def __init__(self, protocol, port):
        self.port = port
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve_node, args=(protocol, port, theirs),
                                               daemon=True)
        self.process.start()
        assert self.pipe.recv() == "ready"

    def tell(self, word):
        self.pipe.send(word)
        return self.pipe.recv()

    def facts(self):
        return self.tell("facts")

    def kill(self):
        self.process.kill()
        self.process.join()

    def end(self):
        if self.process.is_alive():
            self.pipe.send("end")
            self.process.join(5)


# ---------------------------------------------------------------------------- clients

async def call(port, number, expected, opened):
    """One POST on a connection of its own: status, and whether the body came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    opened()
    body = b'{"n":%d}' % number
    writer.write(b"POST /x HTTP/1.1\r\nHost: mux\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length:"))
    answer = await reader.readexactly(length)
    writer.close()
    return int(head.split(b" ")[1]), answer == expected


class Calls:
    """Calls that run while the caller looks at the nodes."""

    def __init__(self, options, count):
        self.options = options
        self.tasks = [asyncio.create_task(self.one(n)) for n in range(count)]
        self.gate = asyncio.Semaphore(256)

    async def one(self, number):
        expected = self.options.protocol.expected(number)
        async with self.gate:
            opened = asyncio.Event()
            task = asyncio.create_task(call(self.options.port, number, expected, opened.set))
            waits = asyncio.create_task(opened.wait())
            await asyncio.wait([task, waits], return_when=asyncio.FIRST_COMPLETED)
            waits.cancel()
        try:
            return await task
        except (OSError, asyncio.IncompleteReadError) as error:
            return type(error).__name__, False

    async def results(self):
        found = {}
        for status, same in await asyncio.gather(*self.tasks):
            key = status if status != 200 or same else "200 with another's body"
            found[key] = found.get(key, 0) + 1
        return found


async def until(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        await asyncio.sleep(0.02)
    return False


def gauge(gateway, name):
    """A gauge of the gateway, over all workers."""
    text = gateway.ask(gateway.metrics, "/apisix/prometheus/metrics")[1]
    lines = [line.split() for line in text.splitlines() if line.startswith(f"moongate_{name}{{")]
    return sum(int(value) for _, value in lines)


async def many_at_once(report, options, gateway, node):
    began = time.monotonic()
    calls = Calls(options, options.calls)
    all_held = await until(lambda: node.facts()["held"] == options.calls)
    held = time.monotonic() - began
    told = await until(lambda: gauge(gateway, "mux_calls") == options.calls, 5)
    told_calls, told_lines = gauge(gateway, "mux_calls"), gauge(gateway, "mux_connections")
    facts = node.tell("answer")
    results = await calls.results()
    took = time.monotonic() - began
    report.row("calls in flight at the node at once", f"{facts['held_max']}",
               f"{options.calls}", all_held)
    report.row("which the metrics tell", f"{told_calls} on {told_lines}",
               f"{options.calls} on {facts['lines']}", told and told_lines == facts["lines"])
    report.row("connections to it", f"{facts['lines_max']}",
               f"<= {LINES_MAX} x {options.workers} workers",
               1 <= facts["lines_max"] <= LINES_MAX * options.workers)
    report.row("answered 200, each with its own body", f"{results}", f"{options.calls}",
               results == {200: options.calls})
    report.row("seconds until all were there, and answered", f"{held:.1f}, {took:.1f}")
    over = await until(lambda: gauge(gateway, "mux_calls") == 0, 5)
    report.row("calls that the metrics tell then", f"{gauge(gateway, 'mux_calls')}", "0", over)


async def node_dies(report, options, gateway, dying, living):
    count = options.caught
    dying.tell("hold")
    living.tell("hold")
    calls = Calls(options, count)
    both = await until(lambda: dying.facts()["held"] + living.facts()["held"] == count)
    caught = dying.facts()["held"]
    report.row("calls in flight at two nodes", f"{caught} + {count - caught}",
               f"{count}, both of them", both and 0 < caught < count)
    dying.kill()
    # Those on the dead node fail at once, while the others still wait.
    await until(lambda: sum(task.done() for task in calls.tasks) >= caught, 10)
    failed = sum(task.done() for task in calls.tasks)
    living.tell("answer")
    results = await calls.results()
    gone = results.get(502, 0) + results.get(504, 0)
    report.row("failed with 502 or 504 when one was killed", f"{gone} ({failed} at once)",
               f"{caught}", gone == failed == caught)
    report.row("answered 200 by the other one", f"{results.get(200, 0)}", f"{count - caught}",
               results.get(200) == count - caught and len(results) == 2)
    later = await Calls(options, count).results()
    report.row("the next calls, with one node dead", f"{later}", f"all {count} 200",
               later == {200: count})


async def nobody_answers(report, options, living):
    living.tell("hold")
    before = living.facts()
    results = await Calls(options, 50).results()
    report.row("calls that nobody answers", f"{results}", "50 504", results == {504: 50})
    living.tell("answer")
    results = await Calls(options, 50).results()
    report.row("the next ones, after late answers", f"{results}", "50 200", results == {200: 50})
    after = living.facts()
    report.row("connections meanwhile", f"{after['lines_max']}",
               f"<= {LINES_MAX} x {options.workers}",
               after["lines_max"] <= LINES_MAX * options.workers and after["lines"] > 0
               and before["lines_max"] > 0)


async def run(options, report, gateway, first, second):
    await many_at_once(report, options, gateway, first)
    both = ", ".join(f"{{host: 127.0.0.1, port: {node.port}, weight: 1}}"
                     for node in (first, second))
    gateway.write("conf/apisix.yaml", options.routes(both, 60))
    second.tell("answer")
    await until(lambda: second.facts()["calls"] > 0 or gateway.ask(options.port, "/x")[0] == 0)
    await node_dies(report, options, gateway, first, second)
    only = f"{{host: 127.0.0.1, port: {second.port}, weight: 1}}"
    gateway.write("conf/apisix.yaml", options.routes(only, 1))
    await asyncio.sleep(1)
    await nobody_answers(report, options, second)


def check(options, protocol):
    """All of it with one protocol; how many bounds did not hold."""
    options.protocol = protocol
    options.routes = lambda nodes, read: ROUTES.format(
        nodes=nodes, read=read, plugin=protocol.PLUGIN)
    report = rig.Report(f"calls, {protocol.__name__}", options.short)
    first, second = (Service(protocol, options.port + n) for n in (5, 6))
    gateway = rig.Gateway(options, plugins=["tars-transcode", "trpc-transcode"])
    node = f"{{host: 127.0.0.1, port: {first.port}, weight: 1}}"
    gateway.write("conf/apisix.yaml", options.routes(node, 60))
    try:
        gateway.start()
        asyncio.run(run(options, report, gateway, first, second))
        panics = gateway.log().count("panicked") + gateway.stdout().count("panicked")
        report.row("panics", f"{panics}", "0", panics == 0)
    finally:
        gateway.stop()
        first.end()
        second.end()
    report.show()
    return report.bad


def main():
    options = rig.arguments(__doc__.splitlines()[0], 19460, {"calls": 10_000, "caught": 1000},
                            calls=10_000, caught=2000)
    options.workers = 2
    bad = sum([check(options, protocol) for protocol in (Trpc, Tars)])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
