"""A name server that does what it is told: answers from a zone, cut short, slowly, wrongly, or not
at all. UDP and TCP on one port."""

import asyncio
import random
import socket
import struct
import threading

A, CNAME, SOA, AAAA, SRV = 1, 5, 6, 28, 33
NAMES = {A: "A", CNAME: "CNAME", AAAA: "AAAA", SRV: "SRV"}


def packed(name):
    out = b""
    for label in name.rstrip(".").split("."):
        out += bytes([len(label)]) + label.encode()
    return out + b"\0"


def data(kind, value):
    if kind == A:
        return socket.inet_aton(value)
    if kind == AAAA:
        return socket.inet_pton(socket.AF_INET6, value)
    if kind == CNAME:
        return packed(value)
    priority, weight, port, target = value
    return struct.pack("!HHH", priority, weight, port) + packed(target)


class Zone:
    """Records by name and kind; who answers from it, and how."""

    def __init__(self):
        self.records = {}
        self.negative_ttl = 1
        self.cut = set()      # names whose answers do not fit into UDP

    def put(self, name, kind, values, ttl=1):
        self.records[(name.lower(), kind)] = (values, ttl)

    def drop(self, name):
        self.records = {key: value for key, value in self.records.items() if key[0] != name}

    def answer(self, query, udp):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
            at += query[at] + 1
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        question, name = query[12:at + 5], ".".join(labels).lower()
        records, seen = b"", 0
        owner = name
        # As a resolver does: the chain of aliases in one answer.
        while (owner, kind) not in self.records and (owner, CNAME) in self.records:
            values, ttl = self.records[(owner, CNAME)]
            body = data(CNAME, values[0])
            records += packed(owner) + struct.pack("!HHIH", CNAME, 1, ttl, len(body)) + body
            seen, owner = seen + 1, values[0].rstrip(".").lower()
        values, ttl = self.records.get((owner, kind), ([], 0))
        values = list(values)
        random.shuffle(values)
        for value in values:
            body = data(kind, value)
            records += (packed(owner) if owner != name else b"\xc0\x0c") + struct.pack(
                "!HHIH", kind, 1, ttl, len(body)) + body
            seen += 1
        exists = any(known == owner for known, _ in self.records)
        authority, code = b"", 0 if exists else 3
        if not values:
            body = packed("ns.test") + packed("root.test") + struct.pack(
                "!IIIII", 1, 1, 1, 1, self.negative_ttl)
            authority = packed("test") + struct.pack("!HHIH", SOA, 1, self.negative_ttl,
                                                     len(body)) + body
        flags = 0x8580 | code
        if udp and name in self.cut:
            flags, records, seen = flags | 0x0200, b"", 0
        head = query[:2] + struct.pack("!HHHHH", flags, 1, seen, bool(authority), 0)
        return head + question + records + authority, question, (name, NAMES.get(kind, kind))


class Server:
    """Answers from a zone; `mode` says how: zone, silent, servfail, garbage, lies, empty, slow."""

    loop = None

    def __init__(self, zone, port):
        self.zone, self.port, self.mode = zone, port, "zone"
        self.asked, self.tcp = [], 0
        self.ends = []
        if Server.loop is None:
            Server.loop = asyncio.new_event_loop()
            threading.Thread(target=Server.loop.run_forever, daemon=True).start()
        self.up()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, Server.loop).result(10)

    def up(self):
        async def listen():
            udp, _ = await Server.loop.create_datagram_endpoint(
                lambda: Datagrams(self), local_addr=("127.0.0.1", self.port))
            udp.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            tcp = await Server.loop.create_server(
                lambda: Stream(self), "127.0.0.1", self.port, reuse_address=True)
            self.ends = [udp, tcp]
        self.run(listen())

    def down(self):
        async def end():
            for one in self.ends:
                one.close()
        self.run(end())

    def reply(self, query, udp):
        answer, question, asked = self.zone.answer(query, udp)
        self.asked.append(asked)
        self.tcp += not udp
        if self.mode == "silent":
            return None
        if self.mode == "servfail":
            return query[:2] + struct.pack("!HHHHH", 0x8182, 1, 0, 0, 0) + question
        if self.mode == "garbage":
            return query[:2] + bytes(random.randrange(256) for _ in range(random.randrange(300)))
        if self.mode == "lies":
            # Counts and lengths beyond the end, and a name that points to itself.
            return answer[:6] + b"\xff\xff\xff\xff\xff\xff" + answer[12:] + b"\xc0\x0c" * 40
        if self.mode == "empty":
            return b""
        return answer


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server):
        self.server = server

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, who):
        if (answer := self.server.reply(query, True)) is not None:
            delay = 0.5 if self.server.mode == "slow" else 0
            asyncio.get_running_loop().call_later(delay, self.transport.sendto, answer, who)


class Stream(asyncio.Protocol):
    def __init__(self, server):
        self.server, self.buffer = server, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, received):
        self.buffer += received
        while len(self.buffer) >= 2:
            size = struct.unpack("!H", self.buffer[:2])[0]
            if len(self.buffer) < size + 2:
                return
            query, self.buffer = self.buffer[2:size + 2], self.buffer[size + 2:]
            if (answer := self.server.reply(query, False)) is not None:
                self.transport.write(struct.pack("!H", len(answer)) + answer)
