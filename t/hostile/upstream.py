#!/usr/bin/env python3
"""Upstreams that answer badly, and what becomes of the connections to them.

Every case sets a script: what the upstream does with a connection. Each bad answer must become
502 or 504, or a body that visibly breaks off; the request after it must get its own answer, never a
rest of the one before. Then retries, replay of bodies, `retry_timeout`, clients that leave, Expect,
HEAD, chunks, trailers and a WebSocket tunnel.
"""

import asyncio
import time

import lib

ROUTE = """
  - id: {id}
    uri: /{id}{more}
    upstream: {{type: roundrobin, scheme: http, {upstream}}}
"""
TIMEOUT = "timeout: {connect: 1, send: 1, read: 1}, "


def objects(base, dead):
    """apisix.yaml: one route for each way to be configured."""
    one = 'nodes: {"127.0.0.1:%d": 1}' % (base + 5)
    two = 'nodes: [{host: 127.0.0.1, port: %d, weight: 1, priority: 1}, {host: 127.0.0.1, port: %d, weight: 1}]'
    text = "routes:" + ROUTE.format(id="one", more="", upstream=TIMEOUT + "retries: 0, " + one)
    text += ROUTE.format(id="ws", more="\n    enable_websocket: true", upstream=TIMEOUT + one)
    text += ROUTE.format(id="two", more="", upstream=TIMEOUT + "retries: 1, " + two % (base + 5, base + 6))
    text += ROUTE.format(id="late", more="", upstream=TIMEOUT + "retries: 1, retry_timeout: 0.5, " + two % (base + 5, base + 6))
    text += ROUTE.format(id="dead", more="", upstream=TIMEOUT + "retries: 1, " + two % (dead, base + 6))
    text += ROUTE.format(id="none", more="", upstream=TIMEOUT + 'nodes: {"127.0.0.1:%d": 1}' % dead)
    text += ROUTE.format(id="rewrite", more="\n    plugins: {turn: {}}", upstream=TIMEOUT + one)
    return text


# Turns GET into HEAD and HEAD into GET, as proxy-rewrite's `method` can.
TURN = """
local core = require("apisix.core")
local _M = { version = 0.1, priority = 1300, name = "turn", schema = { type = "object" } }
function _M.rewrite()
    ngx.req.set_method(ngx.req.get_method() == "HEAD" and ngx.HTTP_GET or ngx.HTTP_HEAD)
    core.request.set_header("X-Consumer", "added by the gateway")
end
return _M
"""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Upstream:
    """Does with each request what `script` says; keeps what it saw."""

    def __init__(self):
        self.script, self.requests, self.used, self.connections, self.open = None, [], [], 0, 0

    async def serve(self, reader, writer):
        """One connection."""
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                self.used.append(number)
                if await self.script(self, head, reader, writer) == "close":
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self.open -= 1
        writer.close()

    def reset(self, script):
        """Starts a case."""
        self.script, self.requests = script, []


async def body_of(head, reader):
    """The body behind `head`."""
    text = head.decode("latin-1").lower()
    if "content-length: " in text:
        return await reader.readexactly(int(text.split("content-length: ")[1].split("\r\n")[0]))
    body = b""
    if "transfer-encoding: chunked" in text:
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            body += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                break
    return body


async def fine(up, head, reader, writer):
    """Reads all of the request and answers it."""
    body = await body_of(head, reader)
    path = head.split(b" ")[1]
    answer = b"%s %d" % (path, len(body))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer))
    if not head.startswith(b"HEAD"):
        writer.write(answer)


def says(data, close=False, pause=None):
    """A script that answers with these bytes."""
    async def script(up, head, reader, writer):
        await body_of(head, reader)
        parts = data if isinstance(data, list) else [data]
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)
        return "close" if close else None
    return script


async def silent(up, head, reader, writer):
    """Never answers; notices when the gateway gives up."""
    if await reader.read(100) == b"":
        return "close"


async def early(up, head, reader, writer):
    """Answers before the body was read, and reads on."""
    writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
    await writer.drain()
    while await reader.read(65536):
        pass
    return "close"


async def flood(up, head, reader, writer):
    """Interim answers for ever."""
    end = time.time() + 20
    while time.time() < end:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)
        await writer.drain()
    return "close"


async def drip(up, head, reader, writer):
    """A head byte by byte that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(200):
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.1)
    return "close"


H = b"HTTP/1.1 200 OK\r\n"
STALE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"

# name, script, allowed statuses; None for a body that breaks off.
BAD = [
    ("garbage", says(b"\x00\x01garbage\r\n\r\n"), (502,)),
    ("another protocol", says(b"SSH-2.0-OpenSSH_9.2\r\n", close=True), (502,)),
    ("nothing", says(b"", close=True), (502,)),
    ("a truncated head", says(H + b"Content-Le", close=True), (502,)),
    ("a truncated status line", says(b"HTTP/1.1 2", close=True), (502,)),
    ("a status of four digits", says(b"HTTP/1.1 2000 OK\r\n\r\n"), (502,)),
    ("a status of letters", says(b"HTTP/1.1 abc OK\r\n\r\n"), (502,)),
    ("status 0", says(b"HTTP/1.1 000 OK\r\n\r\n"), (502,)),
    ("HTTP/2.0", says(b"HTTP/2.0 200 OK\r\n\r\n"), (502,)),
    ("HTTP/0.9", says(b"<html>hello</html>", close=True), (502,)),
    ("CL and TE", says(H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), (502,)),
    ("two CL", says(H + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), (502,)),
    ("CL list", says(H + b"Content-Length: 5, 6\r\n\r\nhello!"), (502,)),
    ("CL -1", says(H + b"Content-Length: -1\r\n\r\nhello!"), (502,)),
    ("CL too large", says(H + b"Content-Length: 99999999999999999999\r\n\r\nhello!"), (502,)),
    ("TE gzip", says(H + b"Transfer-Encoding: gzip\r\n\r\nhello!"), (502,)),
    ("TE chunked twice", says(H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), (502,)),
    ("blank before colon", says(H + b"Content-Length : 5\r\n\r\nhello"), (502,)),
    ("obs-fold", says(H + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"), (502,)),
    ("NUL in a value", says(H + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello"), (502,)),
    ("bare CR in a value", says(H + b"X: a\rY: b\r\nContent-Length: 5\r\n\r\nhello"), (502,)),
    ("no colon", says(H + b"hello\r\nContent-Length: 5\r\n\r\nhello"), (502,)),
    ("a head of 1 MB", says(H + b"X: " + b"a" * 2**20 + b"\r\nContent-Length: 5\r\n\r\nhello"), (502,)),
    ("a head without end", drip, (504,)),
    ("10,000 fields", says(H + b"X: a\r\n" * 10000 + b"Content-Length: 5\r\n\r\nhello"), (502,)),
    ("interim answers for ever", flood, (502, 504)),
    ("a switch that nobody asked for", says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + STALE), (502,)),
    ("silence", silent, (504,)),
    ("a slow answer", says([b"HTTP/1.1 200 OK\r\n", b"Content-Length: 2\r\n\r\nok"], pause=1.5), (504,)),
    ("a truncated body", says(H + b"Content-Length: 50\r\n\r\nhello", close=True), None),
    ("a truncated long body", says(H + b"Content-Length: 500000\r\n\r\n" + b"a" * 300000, close=True), None),
    ("a body that stalls", says([H + b"Content-Length: 50\r\n\r\nhello", b""], pause=2.5), None),
    ("a truncated chunk", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", close=True), None),
    ("chunks without end", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", close=True), None),
    ("a wrong chunk size", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n"), None),
    ("a negative chunk size", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n-5\r\n"), None),
    ("a huge chunk size", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nffffffffffffffff\r\n"), None),
    ("a chunk that is too long", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello world\r\n0\r\n\r\n"), None),
    ("a bad trailer", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX\0: y\r\n\r\n"), None),
    ("a trailer of 1 MB", says(H + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: " + b"a" * 2**20), None),
]

# These are answers; what follows them must not become the next one. name, script, status, body.
FINE = [
    ("data behind the end", says(OK + STALE), 200, b"ok"),
    ("data behind the end, later", says([OK, STALE], pause=0.02), 200, b"ok"),
    ("data behind chunks", says(H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + STALE), 200, b"ok"),
    ("a body with 204", says(b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nPOISON"), 204, b""),
    ("a body with 304", says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\nPOISON"), 304, b""),
    ("chunks with 204", says(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n"), 204, b""),
    ("until the connection ends", says(H + b"\r\nhello", close=True), 200, b"hello"),
    ("HTTP/1.0", says(b"HTTP/1.0 200 OK\r\n\r\nhello", close=True), 200, b"hello"),
    ("HTTP/1.0 keep-alive", says(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"), 200, b"ok"),
    ("bare LF", says(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), 200, b"ok"),
    ("no reason", says(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"), 200, b"ok"),
    ("equal CL twice", says(H + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"), 200, b"ok"),
    ("interim answers", says(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK), 200, b"ok"),
    ("a status of its own", says(b"HTTP/1.1 799 Odd\r\nContent-Length: 2\r\n\r\nok"), 799, b"ok"),
    ("Connection: close", says(H + b"Connection: close\r\nContent-Length: 2\r\n\r\nok" + STALE), 200, b"ok"),
    ("byte by byte", says([bytes([byte]) for byte in OK], pause=0.001), 200, b"ok"),
    ("chunks byte by byte", says([bytes([byte]) for byte in H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"], pause=0.001), 200, b"ok"),
]


class Test:
    """The gateway between a client and upstreams that misbehave."""

    def __init__(self, args):
        self.args = args
        self.base = lib.port_base(20)
        self.report = lib.Report("upstream")
        self.up, self.second = Upstream(), Upstream()
        self.gateway = lib.Gateway(self.base, objects(self.base, self.base + 9), {"turn": TURN})

    async def run(self):
        """All of it."""
        await asyncio.start_server(self.up.serve, "127.0.0.1", self.base + 5, limit=2**22)
        await asyncio.start_server(self.second.serve, "127.0.0.1", self.base + 6, limit=2**22)
        self.gateway.start()
        self.second.reset(fine)
        for name, script, statuses in BAD:
            if self.args.only in name:
                await self.bad(name, script, statuses)
        for name, script, status, body in FINE:
            if self.args.only in name:
                await self.fine(name, script, status, body)
        for test in (self.early_answer, self.retries, self.no_retry, self.stale, self.replay, self.late, self.leave, self.expect,
                     self.head, self.turned, self.bodies, self.trailers, self.websocket, self.hop, self.slow_both):
            if self.args.only in test.__name__:
                try:
                    await test()
                except (asyncio.TimeoutError, asyncio.IncompleteReadError, ConnectionError, AttributeError) as error:
                    self.report.check(test.__name__, False, repr(error))
        self.report.gateway(self.gateway)
        self.gateway.stop(self.args.keep)
        self.report.end()

    async def bad(self, name, script, statuses):
        """A bad answer, for GET, on a fresh and on a kept connection; then a good one."""
        problems = []
        for kept in (False, True):
            if kept:
                self.up.reset(fine)
                await lib.ask(self.base, lib.get("/one"))
            self.up.reset(script)
            client = await lib.Client.open(self.base, limit=2**23)
            client.send(lib.get("/one"))
            began = time.perf_counter()
            try:
                answer = await client.answer(8)
            except asyncio.TimeoutError:
                problems.append("no answer within 8 s")
                break
            took = time.perf_counter() - began
            if answer is None:
                problems.append("no answer at all")
            elif statuses is None and answer.whole:
                problems.append("a whole answer %d" % answer.status)
            elif statuses is None and (not answer.body or not answer.body.startswith((b"hel", b"aaa"))):
                problems.append("nothing of the body")
            elif statuses is not None and answer.status not in statuses:
                problems.append("answered %d" % answer.status)
            if b"POISON" in (answer.raw + answer.body if answer else b""):
                problems.append("poisoned")
            if took > 4:
                problems.append("took %.1f s" % took)
            client.close()
            self.up.reset(fine)
            for _ in range(2):
                after = await lib.ask(self.base, lib.get("/one?after"))
                if after is None or after.body != b"/one?after 0":
                    problems.append("then %s %r" % (after and after.status, after and after.body[:40]))
        self.report.check(name, not problems, "; ".join(problems[:3]) or str(statuses or "broken off"))

    async def fine(self, name, script, status, body):
        """An answer with something odd about it, thrice on one client connection; then another."""
        self.up.reset(script)
        problems = []
        client = await lib.Client.open(self.base)
        for _ in range(3):
            client.send(lib.get("/one"))
            answer = await client.answer(5)
            if answer is None or answer.status != status or answer.body != body or not answer.whole:
                problems.append("%s %r" % (answer and answer.status, answer and answer.body))
            await asyncio.sleep(0.03)
        self.up.reset(fine)
        client.send(lib.get("/one?after"))
        after = await client.answer(5)
        if after is None or after.body != b"/one?after 0":
            problems.append("then %r" % (after and after.body))
        client.close()
        self.report.check(name, not problems, "; ".join(problems[:3]) or str(status))

    def post(self, path, body, *fields):
        """A POST."""
        lines = ["POST %s HTTP/1.1" % path, "Host: a.test", "Content-Length: %d" % len(body), *fields, "", ""]
        return "\r\n".join(lines).encode() + body

    async def early_answer(self):
        """413 before the body was read: it arrives, the connection is not used again."""
        self.up.reset(early)
        client = await lib.Client.open(self.base)
        client.send(self.post("/one", b"x" * 8)[:-4])
        answer = await client.answer(5)
        client.send(b"xxxx")
        self.report.check("an answer before the body", answer and answer.status == 413 and answer.body == b"big",
                          "%s %r" % (answer and answer.status, answer and answer.body))
        client.send(lib.get("/one"))
        self.up.reset(fine)
        second = await client.answer(5)
        self.report.check("the client's connection goes on", second and second.body == b"/one 0", repr(second and second.body))
        self.report.check("the upstream's does not", self.up.used[-1] != self.up.used[-2], "connections %r" % self.up.used[-2:])
        client.close()
        self.up.reset(early)
        client = await lib.Client.open(self.base)
        client.send(self.post("/one", b"x" * 3000000))
        answer = await client.answer(5)
        self.report.check("an answer before a long body", answer and answer.status == 413, str(answer and answer.status))
        client.close()

    async def retries(self):
        """The next node takes over where the first fails before it answered."""
        self.second.reset(fine)
        for name, script in (("closes", says(b"", close=True)), ("sends garbage", says(b"garbage\r\n\r\n")), ("is silent", silent)):
            self.up.reset(script)
            answer = await lib.ask(self.base, lib.get("/two"), 8)
            self.report.check("GET is retried when a node %s" % name, answer and answer.body == b"/two 0", str(answer and answer.status))
        answer = await lib.ask(self.base, self.post("/dead", b"hello"))
        self.report.check("POST is retried when a node refuses", answer and answer.body == b"/dead 5", str(answer and answer.status))
        answer = await lib.ask(self.base, lib.get("/none"))
        self.report.check("502 when every node refuses", answer and answer.status == 502, str(answer and answer.status))

    async def no_retry(self):
        """POST that was sent is not sent again."""
        self.up.reset(says(b"", close=True))
        self.second.reset(fine)
        for method in ("POST", "PATCH"):
            answer = await lib.ask(self.base, self.post("/two", b"hello").replace(b"POST", method.encode(), 1))
            self.report.check("%s is not retried" % method, answer and answer.status == 502 and not self.second.requests,
                              "%s, %d at the second node" % (answer and answer.status, len(self.second.requests)))
        for method in ("PUT", "DELETE"):
            answer = await lib.ask(self.base, self.post("/two", b"hello").replace(b"POST", method.encode(), 1))
            self.report.check("%s is retried" % method, answer and answer.body == b"/two 5", str(answer and answer.status))

    async def stale(self):
        """A kept connection that died is replaced without a trace."""
        async def once(up, head, reader, writer):
            await fine(up, head, reader, writer)
            await writer.drain()
            # Gone at the moment the next request arrives.
            await reader.readuntil(b"\r\n\r\n")
            return "close"
        problems = []
        for _ in range(5):
            self.up.reset(once)
            await lib.ask(self.base, lib.get("/one"))
            answer = await lib.ask(self.base, lib.get("/one?again"))
            if answer is None or answer.body != b"/one?again 0":
                problems.append("%s" % (answer and answer.status))
        self.report.check("a dead kept connection", not problems, "; ".join(problems))

    async def replay(self):
        """Bodies up to proxy_replay_buffer are sent again, longer ones are not."""
        async def half(up, head, reader, writer):
            await reader.read(2000)
            return "close"
        for size, retried in ((10, True), (60000, True), (400000, False)):
            for chunked in (False, True):
                self.up.reset(half)
                self.second.reset(fine)
                text = self.post("/two", b"y" * size).replace(b"POST", b"PUT", 1)
                if chunked:
                    text = b"PUT /two HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, b"y" * size)
                answer = await lib.ask(self.base, text)
                good = answer and (answer.body == b"/two %d" % size if retried else answer.status == 502)
                self.report.check("a %sbody of %d bytes is %ssent again" % ("chunked " * chunked, size, "" if retried else "not "), good,
                                  "%s %r" % (answer and answer.status, answer and answer.body[:30]))
        self.report.check("the log says why not", "proxy_replay_buffer" in self.gateway.log())

    async def late(self):
        """retry_timeout ends the tries."""
        self.up.reset(silent)
        self.second.reset(fine)
        answer = await lib.ask(self.base, lib.get("/late"), 8)
        self.report.check("no retry after retry_timeout", answer and answer.status == 504 and not self.second.requests,
                          str(answer and answer.status))

    async def leave(self):
        """A client that leaves frees the upstream's connection."""
        self.up.reset(silent)
        await asyncio.sleep(0.3)
        before = self.up.open
        clients = [await lib.Client.open(self.base) for _ in range(20)]
        for client in clients:
            client.send(lib.get("/one"))
        await lib.until(lambda: self.up.open >= before + 15)
        during = self.up.open
        for client in clients:
            client.close()
        await lib.until(lambda: self.up.open <= before)
        self.report.check("clients that leave free the upstream", during >= before + 15 and self.up.open <= before,
                          "%d before, %d during, %d after" % (before, during, self.up.open))
        async def endless(up, head, reader, writer):
            writer.write(H + b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"4\r\nmore\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        self.up.reset(endless)
        client = await lib.Client.open(self.base)
        client.send(lib.get("/one"))
        await client.reader.readuntil(b"more")
        client.close()
        await lib.until(lambda: self.up.open <= before)
        self.report.check("also in the middle of a body", self.up.open <= before, "%d open" % self.up.open)

    async def expect(self):
        """100 Continue comes when the body is wanted, and not before."""
        self.up.reset(fine)
        client = await lib.Client.open(self.base)
        client.send(self.post("/one", b"", "Expect: 100-continue").replace(b"Content-Length: 0", b"Content-Length: 5"))
        first = await client.answer(3)
        client.send(b"hello")
        second = await client.answer(3)
        self.report.check("Expect: 100-continue", first and first.status == 100 and second and second.body == b"/one 5",
                          "%s then %s" % (first and first.status, second and second.status))
        client.close()
        client = await lib.Client.open(self.base)
        client.send(self.post("/nowhere", b"", "Expect: 100-continue").replace(b"Content-Length: 0", b"Content-Length: 5"))
        only = await client.answer(3)
        closing = only and (only.field("connection") or "") == "close"
        self.report.check("Expect on a route that answers itself", only and only.status == 404 and closing and await client.closed(3),
                          "%s, closing %s" % (only and only.status, closing))
        client.close()

    async def head(self):
        """HEAD: the length of what GET would get, no body, no rest."""
        problems = []
        client = await lib.Client.open(self.base)
        for script, length in ((fine, "6"), (says(H + b"Transfer-Encoding: chunked\r\n\r\n"), None), (says(H + b"\r\n", close=True), None),
                               (says(b"HTTP/1.1 304 Not Modified\r\n\r\n"), None)):
            self.up.reset(script)
            client.send(lib.get("/one").replace(b"GET", b"HEAD", 1))
            answer = await client.answer(3, head_only=True)
            if answer is None or answer.field("content-length") != length:
                problems.append("length %s for %s" % (answer and answer.field("content-length"), length))
            self.up.reset(fine)
            client.send(lib.get("/one"))
            answer = await client.answer(3)
            if answer is None or answer.body != b"/one 0":
                problems.append("then %r" % (answer and answer.body))
        client.close()
        self.report.check("HEAD", not problems, "; ".join(problems))

    async def turned(self):
        """A plugin changes the method: the client's own decides what it gets."""
        self.up.reset(fine)
        problems = []
        client = await lib.Client.open(self.base)
        client.send(lib.get("/rewrite").replace(b"GET", b"HEAD", 1))
        first = await client.answer(3, head_only=True)
        client.send(lib.get("/rewrite"))
        second = await client.answer(3)
        client.send(lib.get("/one"))
        third = await client.answer(3)
        if first is None or first.status != 200:
            problems.append("HEAD got %s" % (first and first.status))
        if second is None or second.status != 200 or second.body != b"":
            problems.append("GET got %r" % (second and second.body))
        if third is None or third.body != b"/one 0":
            problems.append("then %r" % (third and third.body))
        client.close()
        self.report.check("HEAD made GET and back", not problems, "; ".join(problems))

    async def bodies(self):
        """Bodies of all sizes, both framings, pipelined."""
        self.up.reset(fine)
        problems = []
        for size in (0, 1, 8191, 8192, 65536, 1000001):
            text = self.post("/one", b"z" * size)
            pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (b"z" * size)[:size] and [b"z" * min(1000, size - at) for at in range(0, size, 1000)]]
            chunked = b"POST /one HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(pieces) + b"0\r\n\r\n"
            client = await lib.Client.open(self.base)
            client.send(text + chunked + lib.get("/one"))
            for expected in (size, size, 0):
                answer = await client.answer(10)
                if answer is None or answer.body != b"/one %d" % expected:
                    problems.append("%d: %s %r" % (size, answer and answer.status, answer and answer.body))
            client.close()
        self.report.check("bodies of all sizes, pipelined", not problems, "; ".join(problems[:3]))

    async def trailers(self):
        """Trailers reach the client; those that could harm do not."""
        self.up.reset(says(H + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n"))
        client = await lib.Client.open(self.base)
        client.send(lib.get("/one"))
        answer = await client.answer(3)
        trailers = getattr(answer, "trailers", None)
        self.report.check("trailers", answer and answer.body == b"ok" and trailers == [b"X-Sum: 1\r\n"], repr(trailers))
        client.close()

    async def websocket(self):
        """A tunnel carries bytes both ways, and ends with either side."""
        async def echo(up, head, reader, writer):
            if b"upgrade: websocket" not in head.lower():
                writer.write(OK)
                return None
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly")
            while data := await reader.read(65536):
                if data == b"bye":
                    return "close"
                writer.write(data)
                await writer.drain()
            return "close"
        self.up.reset(echo)
        upgrade = lib.get("/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
        client = await lib.Client.open(self.base)
        client.send(upgrade + b"first")
        answer = await client.answer(3)
        got = await asyncio.wait_for(client.reader.readexactly(10), 3)
        client.send(b"q" * 500000)
        big = await asyncio.wait_for(client.reader.readexactly(500000), 5)
        client.send(b"bye")
        ended = await client.closed(3)
        self.report.check("a WebSocket tunnel", answer and answer.status == 101 and got == b"earlyfirst" and big == b"q" * 500000 and ended,
                          "%s %r, ended %s" % (answer and answer.status, got, ended))
        client.close()
        open_before = self.up.open
        client = await lib.Client.open(self.base)
        client.send(upgrade)
        await client.answer(3)
        client.close()
        await asyncio.sleep(0.3)
        self.report.check("ends with the client", self.up.open <= open_before, "%d open" % self.up.open)
        answer = await lib.ask(self.base, upgrade.replace(b"/ws", b"/one"))
        self.report.check("no tunnel where none is allowed", answer and answer.status == 200, str(answer and answer.status))
        self.up.reset(says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno"))
        client = await lib.Client.open(self.base)
        client.send(upgrade + lib.get("/one"))
        first, second = await client.answer(3), await client.answer(3)
        self.report.check("a refused upgrade goes on as HTTP", first and first.status == 400 and second and second.status == 400,
                          "%s, %s" % (first and first.status, second and second.status))
        client.close()

    async def hop(self):
        """Connection cannot take away what a plugin adds, and does take away what the client sends."""
        self.up.reset(fine)
        await lib.ask(self.base, lib.get("/rewrite", "Connection: X-Consumer, X-Mine", "X-Mine: 1", "X-Consumer: forged"))
        seen = self.up.requests[-1].decode("latin-1").lower()
        self.report.check("Connection and what plugins add", "x-consumer: added by the gateway" in seen and "forged" not in seen
                          and "x-mine" not in seen, repr(seen)[:200] if "added" not in seen else "")

    async def slow_both(self):
        """A body that comes slowly while the answer goes out slowly is no error."""
        async def mirror(up, head, reader, writer):
            writer.write(H + b"Transfer-Encoding: chunked\r\n\r\n")
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                data = await reader.readexactly(size + 2)
                writer.write(b"%x\r\n%s" % (size, data))
                await writer.drain()
                if size == 0:
                    return None
        self.up.reset(mirror)
        client = await lib.Client.open(self.base)
        client.send(b"POST /one HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        reading = asyncio.create_task(client.answer(10))
        for _ in range(5):
            client.send(b"5\r\nhello\r\n")
            await asyncio.sleep(0.4)
        client.send(b"0\r\n\r\n")
        answer = await reading
        self.report.check("both ways at once", answer and answer.body == b"hello" * 5, "%s %r" % (answer and answer.status, answer and answer.body))
        client.close()


asyncio.run(Test(lib.arguments(__doc__)).run())
