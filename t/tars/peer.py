#!/usr/bin/env python3
"""A TARS server from the protocol's description, for t/plugins/tars-transcode.t: peer.py PORT.

Its functions (see the IDL in that test) also do what no real server does: answer out of order,
in small pieces, with a push in front, or with bytes that are no answer.
"""

import asyncio
import struct
import sys


def number(tag, value):
    head = bytes([tag << 4])
    if value == 0:
        return bytes([tag << 4 | 12])
    for kind, code in ((0, ">b"), (1, ">h"), (2, ">i"), (3, ">q")):
        try:
            return bytes([head[0] | kind]) + struct.pack(code, value)
        except struct.error:
            pass
    raise ValueError(value)


def text(tag, value):
    value = value if isinstance(value, bytes) else value.encode()
    return bytes([tag << 4 | 6, len(value)]) + value


def blob(tag, value):
    return bytes([tag << 4 | 13, 0]) + number(0, len(value)) + value


def pairs(tag, values):
    items = b"".join(text(0, name) + text(1, value) for name, value in values.items())
    return bytes([tag << 4 | 8]) + number(0, len(values)) + items


class Items:
    """Reads items: those that the requests of the test have."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        taken = self.data[self.at:self.at + count]
        assert len(taken) == count, "cut"
        self.at += count
        return taken

    def item(self):
        """Tag and value of the next item; None at the end of a struct."""
        head = self.take(1)[0]
        tag, kind = head >> 4, head & 15
        if tag == 15:
            tag = self.take(1)[0]
        if kind < 4:
            size, code = ((1, ">b"), (2, ">h"), (4, ">i"), (8, ">q"))[kind]
            return tag, struct.unpack(code, self.take(size))[0]
        if kind == 6:
            return tag, self.take(self.take(1)[0])
        if kind == 7:
            return tag, self.take(struct.unpack(">I", self.take(4))[0])
        if kind == 8:
            count = self.item()[1]
            return tag, {self.item()[1]: self.item()[1] for _ in range(count)}
        if kind == 10:
            members = {}
            while (found := self.item()) is not None:
                members[found[0]] = found[1]
            return tag, members
        if kind == 11:
            return None
        if kind == 12:
            return tag, 0
        assert kind == 13 and self.take(1) == b"\0", f"type {kind}"
        return tag, self.take(self.item()[1])

    def all(self):
        members = {}
        while self.at < len(self.data):
            tag, value = self.item()
            members[tag] = value
        return members


class Peer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer, self.held = transport, b"", []

    def data_received(self, data):
        self.buffer += data
        while len(self.buffer) >= 4:
            length = struct.unpack(">I", self.buffer[:4])[0]
            if len(self.buffer) < length:
                break
            frame, self.buffer = self.buffer[4:length], self.buffer[length:]
            self.called(Items(frame).all())

    def send(self, ident, body=b"", ret=0, why="", context=None, version=1):
        packet = (number(1, version) + number(2, 0) + number(3, ident) + number(4, 0)
                  + number(5, ret) + blob(6, body) + pairs(7, {}))
        if why:
            packet += text(8, why)
        if context is not None:
            packet += pairs(9, context)
        self.transport.write(struct.pack(">I", len(packet) + 4) + packet)

    def called(self, call):
        ident, function = call[4], call[6].decode()
        arguments = {} if call[1] == 5 else Items(call[7]).all()
        print(function, call[5].decode(), call[1], call[2], call[8], arguments, flush=True)
        if call[2] == 1:
            return
        if call[1] == 5:
            self.send(ident, b'{"tars_ret":' + call[7] + b"}", version=5)
        elif function == "hello":
            user = call[9].get(b"x-user", b"nobody")
            body = text(0, b"hello " + arguments[1])
            self.send(ident, body, context={"x-who": user, "x-bad": b"a\r\nSet-Cookie: b"})
        elif function == "point":
            members = arguments[1]
            self.send(ident, b"\x0a" + number(0, members[1]) + number(1, members[0]) + b"\x0b")
        elif function == "fail":
            self.send(ident, ret=arguments[1], why="as asked" if arguments[1] > 0 else "")
        elif function == "push":
            self.send(0, text(0, "push"))
            self.send(ident, number(0, 1))
        elif function == "garbage":
            self.send(ident, b"\x0e")
        elif function == "closes":
            self.transport.close()
        elif function == "pieces":
            self.pieces(ident)
        elif function == "tars_ping":
            self.send(ident)

    def pieces(self, ident):
        body = number(0, 7)
        packet = (number(1, 1) + number(2, 0) + number(3, ident) + number(4, 0) + number(5, 0)
                  + blob(6, body) + pairs(7, {}))
        packet = struct.pack(">I", len(packet) + 4) + packet

        async def write():
            for at in range(len(packet)):
                self.transport.write(packet[at:at + 1])
                await asyncio.sleep(0.005)
        self.task = asyncio.ensure_future(write())


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
