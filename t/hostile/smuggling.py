#!/usr/bin/env python3
"""Hostile request heads and bodies, byte by byte.

Each row of the table goes to the gateway on a connection of its own, twice: alone, and with a
harmless request right behind it on the same connection. The answer must have the expected status,
and the connection must be closed or kept as expected. Behind the gateway stands an upstream that
reads what arrives by the letter of RFC 9112 and tells what it has read: the path must be the one
the route matched, the body the one that was sent, the marker of the harmless request must never be
found in another message, and what is refused must never arrive at all.
"""

import asyncio
import urllib.parse

import lib

OBJECTS = """routes:
  - id: secret
    uri: /secret/*
    plugins: {mocking: {content_type: text/plain, response_status: 403, response_example: secret}}
  - id: exact
    uri: /secret
    plugins: {mocking: {content_type: text/plain, response_status: 403, response_example: secret}}
  - id: inner
    uri: /*
    host: inner.test
    plugins: {mocking: {content_type: text/plain, response_status: 403, response_example: inner}}
  - id: mock
    uri: /mock
    plugins: {mocking: {content_type: text/plain, response_example: mocked}}
  - id: all
    uri: /*
    upstream: {type: roundrobin, nodes: {"127.0.0.1:%d": 1}}
"""

CLOSED, KEPT = "closed", "kept"
H = "Host: a.test\r\n"


def request(line="GET /ok HTTP/1.1", fields="", body="", host=H):
    """A request of these parts."""
    return "%s\r\n%s%s\r\n%s" % (line, host, fields, body)


def post(fields, body="", line="POST /ok HTTP/1.1"):
    """A POST with these fields."""
    return request(line, fields, body)


CHUNKED = "Transfer-Encoding: chunked\r\n"


def chunks(body, fields=""):
    """A chunked POST whose body section is `body`."""
    return post(CHUNKED + fields, body)


def rows():
    """name, request, allowed statuses, connection."""
    def bad(name, text, status=(400,)):
        table.append((name, text, status, CLOSED))

    def good(name, text, status=(200,), after=KEPT):
        table.append((name, text, status, after))

    table = []
    # Two readings of where the body ends.
    bad("CL and TE", post("Content-Length: 4\r\n" + CHUNKED, "0\r\n\r\n"))
    bad("TE and CL", post(CHUNKED + "Content-Length: 4\r\n", "0\r\n\r\n"))
    bad("CL 0 and TE", post("Content-Length: 0\r\n" + CHUNKED, "0\r\n\r\n"))
    bad("TE in HTTP/1.0", post(CHUNKED, "0\r\n\r\n", "POST /ok HTTP/1.0"))
    bad("two different CL", post("Content-Length: 4\r\nContent-Length: 5\r\n", "abcde"))
    bad("two equal CL", post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"))
    bad("CL list", post("Content-Length: 4, 4\r\n", "abcd"))
    bad("CL list, different", post("Content-Length: 4, 5\r\n", "abcde"))
    for value in ("+4", "-4", "4 4", "0x4", "4.0", "", "four", "4,", "99999999999999999999999", "9223372036854775808",
                  "\"4\"", "4;", "４"):
        bad("CL %r" % value, post("Content-Length: %s\r\n" % value, "abcd"))
    good("CL 0004", post("Content-Length: 0004\r\n", "abcd"))
    good("CL with blanks around", post("Content-Length: \t 4 \t\r\n", "abcd"))
    for value, statuses in (("chunked, chunked", (400,)), ("chunked, identity", (400, 501)), ("identity, chunked", (400, 501)),
                            ("gzip, chunked", (400, 501)), ("xchunked", (400, 501)), ("chunked;q=1", (400, 501)),
                            ("identity", (400, 501)), ("", (400, 501)), ("chunke\x64\x0b", (400, 501)), ("\"chunked\"", (400, 501)),
                            ("chunked,", (400, 501)), (",chunked", (400, 501)), ("gzip", (400, 501)), ("chunked\x00", (400,))):
        bad("TE %r" % value, post("Transfer-Encoding: %s\r\n" % value, "0\r\n\r\n"), statuses)
    bad("two TE fields", post(CHUNKED + CHUNKED, "0\r\n\r\n"))
    bad("TE identity then chunked", post("Transfer-Encoding: identity\r\n" + CHUNKED, "0\r\n\r\n"), (400, 501))
    good("TE CHUNKED in capitals", post("Transfer-Encoding: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"))
    bad("TE with blank before colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"))
    bad("TE after a tab", post("\tTransfer-Encoding: chunked\r\n", "0\r\n\r\n"))
    bad("TE folded", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"))
    bad("TE behind bare LF", post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"))
    bad("TE behind bare CR", post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"))
    good("TE look-alike Transfer_Encoding", post("Transfer_Encoding: chunked\r\nContent-Length: 4\r\n", "abcd"))
    good("CL look-alike Content_Length", post("Content_Length: 40\r\nContent-Length: 4\r\n", "abcd"))
    bad("CL with NUL in name", post("Content-Length\0: 4\r\n", "abcd"))
    bad("CL name with blank", post("Content Length: 4\r\n", "abcd"))
    # The shape of the head.
    bad("blank before colon", request(fields="X-A : b\r\n"))
    bad("tab before colon", request(fields="X-A\t: b\r\n"))
    bad("no colon", request(fields="X-A\r\n"))
    bad("empty name", request(fields=": b\r\n"))
    bad("obs-fold", request(fields="X-A: b\r\n c\r\n"))
    bad("first line folded", request(host=" Host: a.test\r\n"))
    bad("bare LF between fields", request(fields="X-A: b\nX-B: c\r\n"))
    bad("bare LF at the end", "GET /ok HTTP/1.1\r\nHost: a.test\r\n\n")
    bad("bare LF all over", "GET /ok HTTP/1.1\nHost: a.test\n\n")
    bad("bare CR in a value", request(fields="X-A: b\rX-B: c\r\n"))
    bad("CR CR LF", request(fields="X-A: b\r\r\n"))
    for byte in (0, 1, 7, 8, 0x0b, 0x0c, 0x1b, 0x7f):
        bad("byte %02x in a value" % byte, request(fields="X-A: b%sc\r\n" % chr(byte)))
    for byte in (0, 1, 0x20, 0x22, 0x28, 0x2c, 0x2f, 0x3b, 0x40, 0x5b, 0x7b, 0x7f, 0x80, 0xff):
        bad("byte %02x in a name" % byte, request(fields="X%sA: b\r\n" % chr(byte)))
    good("UTF-8 in a value", request(fields="X-A: \xc3\xa4\r\n"))
    good("tab in a value", request(fields="X-A: b\tc\r\n"))
    good("empty value", request(fields="X-A:\r\n"))
    # The first line.
    for line, status in (("GET  /ok HTTP/1.1", 400), ("GET /ok  HTTP/1.1", 400), (" GET /ok HTTP/1.1", 400),
                         ("GET /ok HTTP/1.1 ", 400), ("GET\t/ok HTTP/1.1", 400), ("GET /ok", 400), ("GET", 400),
                         ("GET /ok HTTP/1.2", 505), ("GET /ok HTTP/2.0", 505), ("GET /ok HTTP/0.9", 505),
                         ("GET /ok HTTP/1.10", 400), ("GET /ok HTTP/01.1", 400), ("GET /ok http/1.1", 400),
                         ("GET /ok HTTP/1,1", 400), ("GET /o k HTTP/1.1", 400), ("G\xc4T /ok HTTP/1.1", 400),
                         ("G(T /ok HTTP/1.1", 400), ("/ok HTTP/1.1", 400), ("GET ok HTTP/1.1", 400), ("GET * HTTP/1.1", 400),
                         ("GET  HTTP/1.1", 400), ("GET /ok\x00 HTTP/1.1", 400), ("GET /o\x0bk HTTP/1.1", 400),
                         ("GET /ok\x7f HTTP/1.1", 400), ("GET ftp://a.test/ok HTTP/1.1", 400), ("GET http:///ok HTTP/1.1", 400),
                         ("GET http://a b/ok HTTP/1.1", 400), ("GET http://a.test:99999/ok HTTP/1.1", 400),
                         ("GET http://u@a.test/ok HTTP/1.1", 400), ("GET //\\evil HTTP/1.1", 400)):
        bad("line %r" % line, request(line), (status, 400))
    bad("CONNECT", request("CONNECT a.test:443 HTTP/1.1"), (400, 405))
    bad("CONNECT with a path", request("CONNECT /ok HTTP/1.1"), (400, 405))
    good("OPTIONS *", request("OPTIONS * HTTP/1.1"), (200, 404))
    good("unknown method", request("BREW /ok HTTP/1.1"))
    bad("empty lines before it", "\r\n\r\n\r\n" + request())
    good("one empty line before it", "\r\n" + request())
    good("HTTP/1.0 with Host", request("GET /ok HTTP/1.0"), after=CLOSED)
    # Hosts.
    bad("no Host", request(host=""))
    bad("two Hosts", request(host=H + "Host: inner.test\r\n"))
    bad("two equal Hosts", request(host=H + H))
    for host in ("", "a b", "a/b", "a?b", "a#b", "a@b", "u:p@a.test", "a.test:99999", "a.test:-1", "a.test:8a", "a..test", "[::1",
                 "::1", "[::1]x", "[gg::1]", "a\tb", "a\x00b", "a\\b", "a<b", "a.test, inner.test", ".", "\xe4.test", "a.test:80:80",
                 "[a.test]"):
        bad("Host %r" % host, request(host="Host: %s\r\n" % host))
    good("Host in capitals", request(host="Host: A.TEST\r\n"))
    good("Host with port", request(host="Host: a.test:8080\r\n"))
    good("Host with last dot", request(host="Host: a.test.\r\n"))
    good("Host of another route", request(host="Host: INNER.test\r\n"), (403,))
    good("Host of another route, dot and port", request(host="Host: inner.test.:80\r\n"), (403,))
    good("absolute target", request("GET http://a.test/ok HTTP/1.1"))
    good("absolute target wins over Host", request("GET http://inner.test/ok HTTP/1.1"), (403,))
    good("absolute target hides Host", request("GET http://a.test/ok HTTP/1.1", host="Host: inner.test\r\n"))
    # Too much.
    bad("line of 9 KB", request("GET /%s HTTP/1.1" % ("a" * 9000)), (414,))
    bad("field of 9 KB", request(fields="X-A: %s\r\n" % ("a" * 9000)), (431,))
    bad("head of 40 KB", request(fields="".join("X-%d: %s\r\n" % (n, "a" * 1000) for n in range(40))), (431,))
    bad("2,000 fields", request(fields="X: y\r\n" * 2000), (431,))
    bad("name of 9 KB", request(fields="%s: b\r\n" % ("a" * 9000)), (431,))
    good("500 fields", request(fields="X: y\r\n" * 500))
    # Chunks.
    good("chunks", chunks("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"))
    good("chunks with trailer", chunks("3\r\nabc\r\n0\r\nX-T: v\r\n\r\n"))
    good("size with zeroes", chunks("0003\r\nabc\r\n000\r\n\r\n"))
    for name, body in (("no size", "\r\nabc\r\n0\r\n\r\n"), ("0x3", "0x3\r\nabc\r\n0\r\n\r\n"), ("+3", "+3\r\nabc\r\n0\r\n\r\n"),
                       ("-1", "-1\r\nabc\r\n0\r\n\r\n"), ("3 and a blank", "3 \r\nabc\r\n0\r\n\r\n"), ("blank and 3", " 3\r\nabc\r\n0\r\n\r\n"),
                       ("g", "g\r\nabc\r\n0\r\n\r\n"), ("17 digits", "00000000000000003\r\nabc\r\n0\r\n\r\n"),
                       ("64 bits", "ffffffffffffffff\r\nabc\r\n0\r\n\r\n"), ("65 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
                       ("63 bits", "8000000000000000\r\nabc\r\n0\r\n\r\n"), ("bare LF after size", "3\nabc\r\n0\r\n\r\n"),
                       ("bare LF after data", "3\r\nabc\n0\r\n\r\n"), ("no CRLF after data", "3\r\nabcd\r\n0\r\n\r\n"),
                       ("short data", "4\r\nabc\r\n0\r\n\r\n"), ("bare LF in the last", "3\r\nabc\r\n0\n\r\n"),
                       ("bare CR after size", "3\rabc\r\n0\r\n\r\n"), ("bare LF in extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
                       ("NUL in extension", "3;a\0\r\nabc\r\n0\r\n\r\n"), ("long extension", "3;%s\r\nabc\r\n0\r\n\r\n" % ("a" * 5000)),
                       ("folded trailer", "0\r\nX: y\r\n z\r\n\r\n"), ("trailer without colon", "0\r\nX\r\n\r\n"),
                       ("trailer with blank name", "0\r\nX : y\r\n\r\n"), ("huge trailer", "0\r\n%s\r\n" % ("X: y\r\n" * 3000)),
                       ("bare LF in trailer", "0\r\nX: y\n\r\n")):
        bad("chunk: %s" % name, chunks(body), (400, 431))
    good("trailers that would be fields", chunks("1\r\na\r\n0\r\nContent-Length: 5\r\nHost: inner.test\r\nTransfer-Encoding: x\r\n\r\n"))
    good("a refused route leaves its body", post(CHUNKED, "5\r\nGET /\r\n0\r\n\r\n", "POST /mock HTTP/1.1"))
    good("a refused route leaves its length", post("Content-Length: 5\r\n", "GET /", "POST /mock HTTP/1.1"))
    good("GET with a body", post("Content-Length: 5\r\n", "GET /", "GET /ok HTTP/1.1"))
    # Hop by hop.
    good("Connection names Host", request(fields="Connection: keep-alive, Host\r\n"))
    good("Connection names CL", post("Content-Length: 4\r\nConnection: keep-alive, Content-Length\r\n", "abcd"))
    good("Connection names TE", chunks("1\r\na\r\n0\r\n\r\n", "Connection: keep-alive, Transfer-Encoding\r\n"))
    good("Connection names X-Forwarded-For", request(fields="Connection: X-Forwarded-For, X-Real-IP\r\nX-Forwarded-For: 9.9.9.9\r\n"))
    good("Upgrade that no route allows", request(fields="Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    good("Upgrade h2c", request(fields="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"))
    good("Expect nonsense", request(fields="Expect: 200-ok\r\n"), (200, 417))
    good("Proxy-Connection", request(fields="Proxy-Connection: close\r\nKeep-Alive: 5\r\n"))
    # Paths: what the router matches is what the upstream gets.
    for path, status in (("/secret/x", 403), ("//secret/x", 403), ("/./secret/x", 403), ("/a/../secret/x", 403),
                         ("/%73ecret/x", 403), ("/secret%2fx", 403), ("/secret%2Fx", 403), ("/%2e/secret/x", 403),
                         ("/a/%2e%2e/secret/x", 403), ("/a/.%2e/secret/x", 403), ("/a//../secret/x", None), ("/secret/", 403),
                         ("/secret?x", 403), ("/secret/../ok", 200), ("/ok/../../secret/x", 400), ("/..", 400), ("/%2e%2e/secret", 400),
                         ("/a/..;/secret/x", 400), ("/..;x/secret/x", 400), ("/a\\..\\secret\\x", 400), ("/a%5c..%5csecret", 400),
                         ("/a/..%2fsecret/x", 400), ("/a%2f..%2fsecret/x", 400), ("/%c0%afsecret/x", 400), ("/%c0%ae%c0%ae/secret", 400),
                         ("/%e0%80%afsecret", 400), ("/%00", 400), ("/secret%00/x", 400), ("/%", 400), ("/%4", 400), ("/%zz", 400),
                         ("/%2573ecret/x", 200), ("/ok;a=b", 200), ("/secret;a/x", 200), ("/ok%3fx=/secret", 200), ("/ok#/../secret/x", 200),
                         ("/ok?/../secret/x", 200), ("/%ff", 200), ("/a%20b", 200), ("/a%0d%0aX:%20y", 200), ("/a%252fb", 200),
                         ("/\xe4", 200), ("/a%2fb", 200), ("/a//b", 200), ("/a/./b", 200), ("/a/b/..", 200), ("/SECRET/x", 200),
                         ("/?a=%00%zz", 200), ("/a+b", 200), ("/a%2bb", 200), ("/{a}|^`\"<b>", 200)):
        text = request("GET %s HTTP/1.1" % path)
        statuses = (400, 403, 200) if status is None else (status,)
        table.append(("path %s" % path, text, statuses, CLOSED if status == 400 else KEPT))
    return table


class Recorder:
    """An upstream that reads by the letter and answers with what it has read."""

    def __init__(self):
        self.requests, self.wrong = [], []

    async def serve(self, reader, writer):
        """One connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                lines = head[:-4].split("\r\n")
                fields = []
                for line in lines[1:]:
                    name, colon, value = line.partition(":")
                    if not colon or name != name.strip() or not name or "\n" in line or "\r" in line or "\0" in line:
                        self.wrong.append("field line %r" % line)
                    fields.append((name.lower(), value.strip()))
                if len(lines[0].split(" ")) != 3 or not lines[0].endswith(" HTTP/1.1"):
                    self.wrong.append("request line %r" % lines[0])
                values = lambda name: [value for known, value in fields if known == name]
                body = b""
                if len(values("host")) != 1:
                    self.wrong.append("hosts %r" % values("host"))
                if values("transfer-encoding") and values("content-length") or len(values("content-length")) > 1 \
                        or values("transfer-encoding") not in ([], ["chunked"]):
                    self.wrong.append("framing %r" % fields)
                if values("transfer-encoding"):
                    while True:
                        size = int((await reader.readuntil(b"\r\n"))[:-2], 16)
                        if size == 0:
                            break
                        body += await reader.readexactly(size)
                        if await reader.readexactly(2) != b"\r\n":
                            self.wrong.append("chunk end")
                    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                        # Only the harmless ones of the table may come behind a body.
                        if not line.lower().startswith((b"x-t: ", b"x: ")):
                            self.wrong.append("trailer %r" % line)
                elif values("content-length"):
                    body = await reader.readexactly(int(values("content-length")[0]))
                self.requests.append((lines[0], fields, body))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError as error:
            # A body that was refused half-way ends here; half a head never does.
            if error.partial and b"HTTP/1.1\r\n" in error.partial and b"\r\n\r\n" not in error.partial:
                self.wrong.append("half a head %r" % error.partial)
        except (ConnectionError, ValueError) as error:
            if isinstance(error, ValueError):
                self.wrong.append("chunk size: %s" % error)
        writer.close()


MARKER = b"GET /marker HTTP/1.1\r\nHost: a.test\r\nX-Marker: harmless\r\n\r\n"


def body_of(text):
    """The body that a refused or accepted request was meant to carry, or None if that is in doubt."""
    head, _, body = text.partition("\r\n\r\n")
    if "Transfer-Encoding: " in head and "chunked" in head.lower():
        out, rest = "", body
        while rest:
            size, _, rest = rest.partition("\r\n")
            size = int(size.split(";")[0], 16)
            if size == 0:
                return out
            out, rest = out + rest[:size], rest[size + 2:]
        return out
    return body


async def one(recorder, port, row, marked):
    """Sends one row; returns what is wrong with what came of it."""
    name, text, statuses, connection = row
    recorder.requests.clear()
    recorder.wrong.clear()
    client = await lib.Client.open(port)
    client.send(text.encode("latin-1", "replace") + (MARKER if marked else b""))
    try:
        answer = await client.answer(5)
        if answer is None:
            return "closed without an answer"
        if answer.status not in statuses:
            return "answered %d" % answer.status
        closing = (answer.field("connection") or "").lower() == "close"
        if connection == CLOSED:
            if not await client.closed(3):
                return "still open after %d" % answer.status
            if not closing:
                return "closed, but the answer said keep-alive"
        else:
            if closing:
                return "the answer said close"
            if not marked:
                client.send(MARKER)
            second = await client.answer(5)
            if second is None or second.status != 200:
                return "the next request got %s" % (second and second.status)
            if await client.closed(0.05):
                return "closed after the next request"
    except asyncio.TimeoutError:
        return "no answer within 5 s"
    finally:
        client.close()
    return disagreement(recorder, text, answer, connection)


def disagreement(recorder, text, answer, connection):
    """What the upstream saw that it should not have."""
    if recorder.wrong:
        return "upstream got %s" % recorder.wrong[0]
    seen = list(recorder.requests)
    markers = [line for line, fields, _ in seen if ("x-marker", "harmless") in fields]
    if connection == CLOSED and markers:
        return "the next request got through"
    if connection == KEPT and markers != ["GET /marker HTTP/1.1"]:
        return "markers %r" % markers
    others = [entry for entry in seen if ("x-marker", "harmless") not in entry[1]]
    if answer.status != 200:
        # A body that turns out bad half-way may have been begun.
        return "a refused request arrived: %r" % others[0][0] if others else None
    if answer.body == b"mocked":
        return "a mocked request arrived" if others else None
    if len(others) != 1:
        return "upstream saw %d requests" % len(others)
    line, fields, body = others[0]
    if body.decode("latin-1") != body_of(text.lstrip("\r\n")):
        return "upstream read the body %r" % body
    path = urllib.parse.unquote(line.split(" ")[1].partition("?")[0].partition("#")[0], "latin-1")
    if path.startswith("/secret/") or path == "/secret" or "/../" in path or path.endswith("/.."):
        return "upstream reads the path %r" % path
    host = dict(fields)["host"].lower()
    if "inner" in host:
        return "upstream got the host %r" % host
    if any(name in ("upgrade", "te", "keep-alive", "proxy-connection") for name, _ in fields):
        return "upstream got a field of one hop"
    if [value for name, value in fields if name == "x-real-ip"] != ["127.0.0.1"]:
        return "x-real-ip is %r" % dict(fields).get("x-real-ip")
    return None


async def main(args):
    """All rows."""
    report = lib.Report("smuggling")
    base = lib.port_base(10)
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", base + 5)
    gateway = lib.Gateway(base, OBJECTS % (base + 5)).start()
    table = [row for row in rows() if args.only in row[0]]
    report.check("the table has 120 rows or more", len(table) >= 120 or args.only, "%d rows" % len(table))
    wrong = 0
    for row in table:
        for marked in (False, True):
            problem = await one(recorder, base, row, marked)
            if problem:
                wrong += 1
                report.check("%s%s" % (row[0][:60], " + next" if marked else ""), False,
                             "%s (expected %s, %s)" % (problem, "/".join(map(str, row[2])), row[3]))
    report.check("%d requests, alone and with one behind" % len(table), wrong == 0, "%d wrong" % wrong)
    # Whatever is sent in single bytes is read the same.
    slow = [row for row in table if len(row[1]) < 120][:: 4 if args.short else 1]
    wrong = 0
    for name, text, statuses, _ in slow:
        client = await lib.Client.open(base)
        for byte in text.encode("latin-1", "replace"):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        try:
            answer = await client.answer(3)
        except asyncio.TimeoutError:
            answer = None
        client.close()
        if answer is None or answer.status not in statuses:
            wrong += 1
            report.check("%s, byte by byte" % name, False, "answered %s" % (answer and answer.status))
    report.check("%d requests byte by byte" % len(slow), wrong == 0, "%d wrong" % wrong)
    server.close()
    report.gateway(gateway)
    gateway.stop(args.keep)
    report.end()


asyncio.run(main(lib.arguments(__doc__)))
