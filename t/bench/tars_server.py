"""A TARS server for the bench: answers every call at once with one order, whatever was asked.

Started by tars.py with a port. It looks at nothing but the length and the id of a packet, so
that the gateway has to wait for it as little as possible; its own CPU time is not counted.
"""

import asyncio
import base64
import socket
import struct
import sys

# Makes the request 1024 bytes of JSON.
NOTE = ("Ring twice and leave it with the neighbours on the second floor.\nIf nobody is in, "
        "call +46 8 123 456 before six; not on Sunday mornings!.")
ORDER = {
    "id": 900719925474, "customer": "Zoë Ångström, Süd-Straße 7", "note": NOTE, "state": 1,
    "gift": True, "weight": 12.75,
    "items": [
        {"sku": "SKU-%05d" % (7919 * n % 100000), "title": "Teapot \"classic\", no. %d" % n,
         "count": n + 1, "cents": 129900 * n + 95, "tags": ["kitchen", "steel", "sale-%d" % n]}
        for n in range(5)],
    "labels": {"campaign": "spring", "channel": "web", "warehouse": "north-2", "lang": "sv-SE"},
    "steps": [0, 60, 3600, 86400, 604800, -1],
    "mark": base64.b64encode(bytes(range(200, 232))).decode(),
}
TEXT, INTEGER, BOOL, DOUBLE, BYTES = "text", "integer", "bool", "double", "bytes"
ITEM = {"sku": TEXT, "title": TEXT, "count": INTEGER, "cents": INTEGER, "tags": [TEXT]}
# The fields of the struct in order.tars, whose tags are 0, 1, 2...
FIELDS = {
    "id": INTEGER, "customer": TEXT, "note": TEXT, "state": INTEGER, "gift": BOOL,
    "weight": DOUBLE, "items": [ITEM], "labels": (TEXT, TEXT), "steps": [INTEGER], "mark": BYTES,
}
# The widths of integers on the wire: type, struct code.
WIDTHS = ((0, "b"), (1, "h"), (2, "i"), (3, "q"))


def head(tag, kind):
    """The head of an item with a tag below 15."""
    return bytes([tag << 4 | kind])


def integer(tag, number):
    """An integer in its shortest form."""
    if number == 0:
        return head(tag, 12)
    for kind, code in WIDTHS:
        try:
            return head(tag, kind) + struct.pack(">" + code, number)
        except struct.error:
            continue
    raise ValueError(number)


def item(tag, kind, value):
    """An item: `kind` as in FIELDS."""
    if kind in (INTEGER, BOOL):
        return integer(tag, int(value))
    if kind == DOUBLE:
        return head(tag, 5) + struct.pack(">d", value)
    if kind == TEXT:
        text = value.encode()
        if len(text) < 256:
            return head(tag, 6) + bytes([len(text)]) + text
        return head(tag, 7) + struct.pack(">I", len(text)) + text
    if kind == BYTES:
        data = value if isinstance(value, bytes) else base64.b64decode(value)
        return head(tag, 13) + head(0, 0) + integer(0, len(data)) + data
    if isinstance(kind, list):
        return head(tag, 9) + integer(0, len(value)) + b"".join(
            item(0, kind[0], one) for one in value)
    if isinstance(kind, tuple):
        return head(tag, 8) + integer(0, len(value)) + b"".join(
            item(0, kind[0], key) + item(1, kind[1], one) for key, one in value.items())
    return head(tag, 10) + b"".join(
        item(at, of, value[name]) for at, (name, of) in enumerate(kind.items())) + head(0, 11)


def answer_parts(order):
    """What stands before and behind the id in an answer with this order; the id takes 5 bytes."""
    before = integer(1, 1) + integer(2, 0) + head(3, 2)
    behind = (integer(4, 0) + integer(5, 0) + item(6, BYTES, item(0, FIELDS, order))
              + item(7, (TEXT, TEXT), {}) + item(8, TEXT, ""))
    return struct.pack(">I", 4 + len(before) + 4 + len(behind)) + before, behind


class Peer(asyncio.Protocol):
    """One connection: answers the packets in the order in which they come."""

    # Bytes of the items that begin with the id, tag 4, by its type.
    ID_BYTES = {0x40: 1, 0x41: 2, 0x42: 4, 0x4c: 0}

    def __init__(self, before, behind):
        self.before, self.behind = before, behind
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        if self.rest:
            data = self.rest + data
        at, answers = 0, []
        while len(data) - at >= 4:
            length = int.from_bytes(data[at:at + 4], "big")
            if len(data) - at < length:
                break
            # Version and packet type are 1 or 2 bytes long, the message type is 0.
            place = at + 4
            for _ in range(3):
                place += 1 if data[place] & 15 == 12 else 2
            size = self.ID_BYTES[data[place]]
            number = int.from_bytes(data[place + 1:place + 1 + size], "big")
            answers.append(self.before + number.to_bytes(4, "big") + self.behind)
            at += length
        self.rest = data[at:]
        self.transport.write(b"".join(answers))


async def serve(port):
    """Serves until it is stopped."""
    parts = answer_parts(ORDER)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Peer(*parts), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(serve(int(sys.argv[1])))
    except KeyboardInterrupt:
        pass
