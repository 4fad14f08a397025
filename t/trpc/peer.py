#!/usr/bin/env python3
"""A tRPC server for tests, written from the protocol's description without any tRPC library.

    t/trpc/peer.py PORT          serves 127.0.0.1:PORT until it is ended

What it does is chosen by the function that is called; bodies are JSON but for Hello and Echo,
which take protobuf too. See METHODS. An error of its own ends the process with a trace.
"""
import asyncio
import gzip
import json
import struct
import sys
import zlib

HEADER = struct.Struct(">HBBIHIBB")
MAGIC = 0x0930
PROTOBUF, JSON = 0, 2
FRAME_MAX = 10 << 20

REQUEST = {1: "version", 2: "call_type", 3: "request_id", 4: "timeout", 5: "caller", 6: "callee",
           7: "func", 8: "message_type", 9: "trans_info", 10: "content_type",
           11: "content_encoding", 12: "attachment_size"}
RESPONSE = {"version": 1, "call_type": 2, "request_id": 3, "ret": 4, "func_ret": 5,
            "error_msg": 6, "message_type": 7, "trans_info": 8, "content_type": 9,
            "content_encoding": 10, "attachment_size": 12}


# The protobuf wire format.

def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
            assert len(value) == size, "a field is cut"
        else:
            raise ValueError(f"wire type {kind}")
        yield number, value


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_head(data):
    head = {"trans_info": {}}
    for number, value in fields(data):
        name = REQUEST[number]
        if name == "trans_info":
            entry = dict(fields(value))
            head[name][entry.get(1, b"").decode()] = entry.get(2, b"")
        else:
            assert isinstance(value, bytes) == (name in ("caller", "callee", "func")), name
            head[name] = value
    return head


def write_head(head):
    out = b""
    for name, number in RESPONSE.items():
        value = head.get(name)
        if name == "trans_info":
            for key, content in (value or {}).items():
                out += field(number, field(1, key.encode()) + field(2, content))
        elif value:
            out += field(number, value)
    return out


# Calls and answers.

class Call:
    """One request, and how to answer it."""

    def __init__(self, connection, header, head, body):
        self.connection, self.header, self.head = connection, header, head
        size = head.get("attachment_size", 0)
        self.attachment = body[len(body) - size:]
        self.body = unpack(head.get("content_encoding", 0), body[:len(body) - size])
        self.func = head.get("func", b"").decode()

    def json(self):
        return json.loads(self.body or b"{}")

    def frame(self, body=b"", attachment=b"", magic=MAGIC, **head):
        head = {"request_id": self.header[5], "content_type": self.head.get("content_type", 0),
                "attachment_size": len(attachment), **head}
        packed = write_head(head)
        total = HEADER.size + len(packed) + len(body) + len(attachment)
        front = HEADER.pack(magic, 0, 0, total, len(packed), self.header[5], self.header[6], 0)
        return front + packed + body + attachment

    def answer(self, body=b"", **rest):
        if not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
        self.write(self.frame(body, **rest))

    def write(self, data):
        if self.head.get("call_type", 0) == 0:
            self.connection.write(data)


def unpack(encoding, body):
    return {0: bytes, 1: gzip.decompress, 3: zlib.decompress}[encoding](body) if body else b""


class Peer:
    def __init__(self):
        self.connections = self.calls = 0
        self.one_way = []
        self.batch = []

    async def hello(self, call):
        if call.head.get("content_type", 0) == PROTOBUF:
            name = dict(fields(call.body)).get(1, b"")
            return call.answer(field(1, b"Hello " + name))
        call.answer({"msg": "Hello " + call.json().get("msg", "")})

    async def echo(self, call):
        """The same body, compressed the same way, and the same metadata with one more."""
        info = {**call.head["trans_info"], "app-peer": b"yes"}
        encoding = call.head.get("content_encoding", 0)
        packed = {0: bytes, 1: gzip.compress, 3: zlib.compress}[encoding](call.body)
        call.answer(packed, trans_info=info, content_encoding=encoding)

    async def head(self, call):
        """The head of the call as JSON."""
        plain = {name: value.decode() if isinstance(value, bytes) else value
                 for name, value in call.head.items() if name != "trans_info"}
        info = {key: value.decode("latin-1") for key, value in call.head["trans_info"].items()}
        call.answer({**plain, "trans_info": info, "id": call.header[5], "wire": call.header[6],
                     "body": call.body.decode()})

    async def late(self, call):
        """{"ms": 100}: answers after that time."""
        wanted = call.json()
        await asyncio.sleep(wanted["ms"] / 1000)
        call.answer(wanted)

    async def batch_of(self, call):
        """{"of": 3}: as many calls as that are answered at once, the last one first."""
        wanted = call.json()
        self.batch.append((call, wanted))
        if len(self.batch) >= wanted["of"]:
            batch, self.batch = self.batch, []
            for waiting, body in reversed(batch):
                waiting.answer(body)

    async def split(self, call):
        """The body comes back byte by byte."""
        for byte in call.frame(call.body):
            call.write(bytes([byte]))
            await call.connection.drain()
            await asyncio.sleep(0.0005)

    async def fail(self, call):
        """{"ret": 0, "func_ret": 10001, "msg": "no", "body": {}}"""
        wanted = call.json()
        body = json.dumps(wanted["body"]).encode() if "body" in wanted else b""
        call.answer(body, ret=wanted.get("ret", 0), func_ret=wanted.get("func_ret", 0),
                    error_msg=wanted.get("msg", "").encode())

    async def attach(self, call):
        call.answer({"ok": True}, attachment=b"an attachment")

    async def note(self, call):
        self.one_way.append(call.json())
        call.answer({"noted": len(self.one_way)})

    async def stats(self, call):
        call.answer({"connections": self.connections, "calls": self.calls,
                     "one_way": self.one_way})

    async def silent(self, call):
        """Never answers."""

    async def leave(self, call):
        """Closes the connection instead of an answer."""
        call.connection.close()

    async def hostile(self, call):
        """{"kind": …}: something that no server should send, see HOSTILE."""
        HOSTILE[call.json()["kind"]](call)


def bytes_at(frame, at, new):
    return frame[:at] + new + frame[at + len(new):]


# Made once: it takes longer than its caller waits.
BOMB = gzip.compress(bytes(64 << 20))

HOSTILE = {
    "magic": lambda call: call.write(call.frame(b"{}", magic=0x0931)),
    "http": lambda call: call.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "short": lambda call: call.write(bytes_at(call.frame(b"{}"), 4, b"\0\0\0\x0f")),
    "huge": lambda call: call.write(bytes_at(call.frame(b"{}"), 4, b"\xff\xff\xff\xff")),
    "head-over-total": lambda call: call.write(bytes_at(call.frame(b"{}"), 8, b"\xff\xff")),
    "no-head": lambda call: call.write(
        HEADER.pack(MAGIC, 0, 0, 16, 0, call.header[5], 1, 0)),
    "stream": lambda call: call.write(bytes_at(call.frame(b"{}"), 2, b"\1\1")),
    "type": lambda call: call.write(bytes_at(call.frame(b"{}"), 2, b"\7")),
    "head": lambda call: call.write(bytes_at(call.frame(b"{}"), 16, b"\xff\xff")),
    "attachment": lambda call: call.answer(b"{}", attachment_size=1 << 31),
    "content-type": lambda call: call.answer(b"{}", content_type=4),
    "encoding": lambda call: call.answer(b"{}", content_encoding=6),
    "gzip": lambda call: call.answer(b"{}", content_encoding=1),
    "bomb": lambda call: call.answer(BOMB, content_encoding=1),
    "message": lambda call: call.answer(b"\x0a\xff\xff"),
    "other-id": lambda call: call.write(bytes_at(call.frame(b'{"stolen":1}'), 10, b"\xff" * 4)),
    "twice": lambda call: call.write(call.frame(b'{"n":1}') + call.frame(b'{"n":2}')),
    "half": lambda call: (call.write(call.frame(b"{}")[:20]), call.connection.close()),
    "header-injection": lambda call: call.answer(
        b"", ret=31, error_msg=b"bad\r\nSet-Cookie: a=b\r\n\r\nbody"),
    "metadata-injection": lambda call: call.answer(
        b"{}", trans_info={"app-peer": b"bad\r\nSet-Cookie: a=b"}),
    "negative": lambda call: call.answer(b"", ret=-1, error_msg=b"below zero"),
}

METHODS = {
    "/trpc.helloworld.Greeter/Hello": Peer.hello,
    **{"/trpc.app.peer.Peer/" + name: method for name, method in {
        "Echo": Peer.echo, "Head": Peer.head, "Late": Peer.late, "Batch": Peer.batch_of,
        "Split": Peer.split, "Fail": Peer.fail, "Attach": Peer.attach, "Note": Peer.note,
        "Stats": Peer.stats, "Silent": Peer.silent, "Leave": Peer.leave,
        "Hostile": Peer.hostile,
    }.items()},
    "/v1/alias": Peer.echo,
}


async def serve(peer, reader, writer):
    peer.connections += 1
    running = set()
    try:
        while True:
            header = HEADER.unpack(await reader.readexactly(HEADER.size))
            magic, kind, stream, total, head_size, _, _, _ = header
            if magic != MAGIC or not HEADER.size + head_size <= total <= FRAME_MAX:
                break
            assert (kind, stream) == (0, 0) and head_size, "only unary frames with a head"
            head = read_head(await reader.readexactly(head_size))
            body = await reader.readexactly(total - HEADER.size - head_size)
            assert head.get("request_id") == header[5], "both ids are the same"
            peer.calls += 1
            call = Call(writer, header, head, body)
            method = METHODS.get(call.func)
            if method is None:
                call.answer(b"", ret=12, error_msg=f"no {call.func} here".encode())
                continue
            task = asyncio.ensure_future(run(peer, method, call))
            running.add(task)
            task.add_done_callback(running.discard)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        peer.connections -= 1
        writer.close()


async def run(peer, method, call):
    try:
        await method(peer, call)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # What a service makes of a body that it cannot read.
        call.answer(b"", ret=1, error_msg=f"service codec: {error}".encode())
    except ConnectionError:
        pass


async def main():
    peer = Peer()
    port = int(sys.argv[1])
    server = await asyncio.start_server(lambda r, w: serve(peer, r, w), "127.0.0.1", port,
                                        backlog=1024)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
