#!/usr/bin/env python3
"""Servers that the cases talk to: `peers.py KIND PORT [PATH]`, where KIND is one of the table below
and PATH the file of a socket to listen on as well."""

import asyncio
import base64
import hashlib
import hmac
import http.server
import json
import socketserver
import struct
import sys
import threading
import urllib.parse
import zlib

LOG = []


class WebSocket(socketserver.StreamRequestHandler):
    """Answers every frame with the same one."""

    def handle(self):
        key = ""
        while (line := self.rfile.readline().strip()):
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":")[1].strip()
        magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key + magic).digest())
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        while len(head := self.rfile.read(2)) == 2:
            kind, size = head[0], head[1] & 127
            if size == 126:
                size = struct.unpack(">H", self.rfile.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self.rfile.read(8))[0]
            mask = self.rfile.read(4) if head[1] & 128 else b"\0\0\0\0"
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            short = bytes([kind, size]) if size < 126 else (
                bytes([kind, 126]) + struct.pack(">H", size) if size < 65536
                else bytes([kind, 127]) + struct.pack(">Q", size))
            self.wfile.write(short + data)
            if kind & 15 == 8:
                return


class WebSocketClient(socketserver.StreamRequestHandler):
    """Talks to the server that a line names, by the library `websockets`, and tells what it saw."""

    def handle(self):
        seen = asyncio.run(self.talk(self.rfile.readline().decode().strip()))
        self.wfile.write(json.dumps(seen).encode())

    @staticmethod
    async def talk(uri):
        # It comes with the originals: see `libs --get`.
        import websockets
        seen = {"library": websockets.__name__}
        async with websockets.connect(uri, subprotocols=["chat"], compression=None) as ws:
            seen["subprotocol"] = ws.subprotocol
            for name, message in (("text", "\u00e4 text"), ("binary", b"\0\xff"), ("empty", ""),
                                  ("long", "l" * 70000)):
                await ws.send(message)
                seen[name] = await ws.recv() == message
            await asyncio.wait_for(await ws.ping(b"1234"), 10)
            seen["pong"] = True
            # The library answers a ping by itself.
            await ws.send("ping 5678")
            seen["ping"] = await ws.recv()
            await ws.send("fragments")
            seen["fragments"] = await ws.recv()
            await ws.send(["two ", "frames"])
            seen["sent in fragments"] = [await ws.recv(), await ws.recv()]
            await ws.close(4001, "enough")
        seen["close"] = [ws.close_code, ws.close_reason]
        async with websockets.connect(uri, compression=None) as ws:
            await ws.send("close 4002")
            try:
                await ws.recv()
            except websockets.ConnectionClosed as closed:
                seen["server closes"] = [closed.rcvd.code, closed.rcvd.reason]
        async with websockets.connect(uri + "&longest=10", compression=None) as ws:
            await ws.send("0123456789x")
            try:
                await ws.recv()
            except websockets.ConnectionClosed as closed:
                seen["too long"] = [closed.rcvd is None, ws.close_code]
        return seen


class Health(http.server.BaseHTTPRequestHandler):
    """Answers with the status that it was last asked for as /set/STATUS, and counts its answers."""

    protocol_version = "HTTP/1.1"
    status, served = 200, 0

    def do_GET(self):
        if self.path.startswith("/set/"):
            Health.status = int(self.path[5:])
        elif self.path != "/served":
            Health.served += 1
        body = (f"{Health.served} " + (self.headers.get("Host") or "")).encode()
        self.send_response(200 if self.path[:2] == "/s" else Health.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Oap(http.server.BaseHTTPRequestHandler):
    """A collector of SkyWalking: GET /set/STATUS says how it answers, GET /seen tells and forgets
    what it was sent, as pairs of a path and a body that is JSON."""

    protocol_version = "HTTP/1.1"
    status = 200

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/set/"):
            Oap.status = int(self.path[5:])
            return self.answer(200, b"")
        seen = json.dumps(LOG).encode()
        LOG.clear()
        return self.answer(200, seen)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        LOG.append((self.path, self.headers["Content-Type"], body))
        self.answer(Oap.status, b"{}")

    def log_message(self, *_):
        pass


class Oidc(http.server.BaseHTTPRequestHandler):
    """A provider of OpenID Connect: the token "good" is active and belongs to ann."""

    protocol_version = "HTTP/1.1"

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        base = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path == "/discovery":
            self.answer({"issuer": base, "authorization_endpoint": base + "/authorize",
                         "token_endpoint": base + "/token", "jwks_uri": base + "/jwks",
                         "userinfo_endpoint": base + "/userinfo",
                         "introspection_endpoint": base + "/introspect",
                         "revocation_endpoint": base + "/revoke"})
        elif self.path == "/userinfo" and self.headers.get("Authorization") == "Bearer good":
            self.answer({"sub": "ann"})
        else:
            self.answer({"error": "no"}, 401)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = dict(urllib.parse.parse_qsl(body))
        if self.path == "/introspect":
            self.answer({"active": form.get("token") == "good", "sub": "ann"})
        else:
            self.answer({}, 200 if form.get("token") == "good" else 503)

    def log_message(self, *_):
        pass


class Ldap(socketserver.StreamRequestHandler):
    """A directory with one user, whose password is "secret", and one entry."""

    @staticmethod
    def tlv(tag, *parts):
        data = b"".join(parts)
        return bytes([tag, 0x82]) + struct.pack(">H", len(data)) + data

    def handle(self):
        while len(head := self.rfile.read(2)) == 2:
            size = head[1]
            if size > 128:
                size = int.from_bytes(self.rfile.read(size - 128), "big")
            message = self.rfile.read(size)
            number = message[:2 + message[1]]
            kind, done = message[len(number)], b"\x04\x00\x04\x00"
            if kind == 0x60:
                good = message.endswith(b"secret") and b"cn=ann" in message
                self.wfile.write(self.tlv(0x30, number, self.tlv(
                    0x61, b"\x0a\x01" + (b"\x00" if good else b"\x31"), done)))
            elif kind == 0x63:
                entry = self.tlv(0x64, b"\x04\x0bcn=ann,dc=x", self.tlv(0x30, self.tlv(
                    0x30, b"\x04\x02sn", self.tlv(0x31, b"\x04\x03Lee"))))
                self.wfile.write(self.tlv(0x30, number, entry) + self.tlv(
                    0x30, number, self.tlv(0x65, b"\x0a\x01\x00", done)))
            else:
                return


def text(data):
    """A string of Kafka."""
    return struct.pack(">h", len(data)) + data


class Kafka(socketserver.StreamRequestHandler):
    """A broker with one topic, "test", of two partitions; it keeps what it is given."""

    def metadata(self, names):
        port = self.server.server_address[1]
        brokers = struct.pack(">ii", 1, 7) + text(b"127.0.0.1") + struct.pack(">i", port)
        topics = struct.pack(">i", len(names))
        for name in names:
            if name != b"test":
                topics += struct.pack(">h", 3) + text(name) + struct.pack(">i", 0)
                continue
            topics += struct.pack(">h", 0) + text(name) + struct.pack(">i", 2)
            for number in (0, 1):
                topics += struct.pack(">hii", 0, number, 7) + struct.pack(">iiii", 1, 7, 1, 7)
        return brokers + topics

    def produce(self, body):
        size, = struct.unpack_from(">h", body, 10)
        at = 12 + size + 4
        partition, length = struct.unpack_from(">ii", body, at)
        messages, at = body[at + 8:at + 8 + length], 0
        first = len([one for one in LOG if one[0] == partition])
        while at < len(messages):
            _, length = struct.unpack_from(">qi", messages, at)
            message = messages[at + 12:at + 12 + length]
            crc, = struct.unpack_from(">I", message)
            if crc != zlib.crc32(message[4:]):
                return struct.pack(">i", 1) + text(b"test") + struct.pack(
                    ">iihq", 1, partition, 2, -1)
            LOG.append((partition, message))
            at += 12 + length
        return struct.pack(">i", 1) + text(b"test") + struct.pack(">iihq", 1, partition, 0, first)

    def fetch(self, body):
        size, = struct.unpack_from(">h", body, 16)
        partition, offset = struct.unpack_from(">iq", body, 18 + size + 4)
        kept = [message for number, message in LOG if number == partition]
        messages = b"".join(struct.pack(">qi", at, len(message)) + message
                            for at, message in enumerate(kept) if at >= offset)
        return struct.pack(">ii", 0, 1) + text(b"test") + struct.pack(
            ">iihqi", 1, partition, 0, len(kept), len(messages)) + messages

    def offsets(self, body):
        size, = struct.unpack_from(">h", body, 8)
        partition, when = struct.unpack_from(">iq", body, 10 + size + 4)
        count = len([one for one in LOG if one[0] == partition])
        return struct.pack(">i", 1) + text(b"test") + struct.pack(
            ">iihqq", 1, partition, 0, -1, 0 if when == -2 else count)

    def handle(self):
        while len(head := self.rfile.read(4)) == 4:
            request = self.rfile.read(struct.unpack(">i", head)[0])
            key, _, correlation, size = struct.unpack_from(">hhih", request)
            body = request[10 + size:]
            if key == 3:
                count, at, names = struct.unpack_from(">i", body)[0], 4, []
                for _ in range(count):
                    length, = struct.unpack_from(">h", body, at)
                    names.append(body[at + 2:at + 2 + length])
                    at += 2 + length
                answer = self.metadata(names)
            elif key == 18:
                answer = struct.pack(">hi", 0, 2) + struct.pack(">hhhhhh", 0, 0, 2, 1, 0, 11)
            else:
                answer = {0: self.produce, 1: self.fetch, 2: self.offsets}[key](body)
            self.wfile.write(struct.pack(">ii", len(answer) + 4, correlation) + answer)


class T1k(socketserver.StreamRequestHandler):
    """SafeLine's detection service: what has "attack" in its head or body is to be blocked.

    A line instead of a message is for the tests: `next HEX` says what to answer to the message that
    comes then, `silent` not to answer; `seen` tells which messages came, `path` which socket of a
    file it listens on as well.
    """

    seen, plans, connections = [], [], 0
    PASS = ((0x41, b"."), (0xa5, b'{"event_id":"1e902e84bf5a4ead8f7760a0fe2c7719"}'))
    BLOCK = ((0x41, b"?"), (0x02, b"403"), (0x25, b'{"request_hit_whitelist":false}'),
             (0x23, b"Set-Cookie:sl-session=abc; Path=/\nX-Safe: line\n"),
             (0xa4, b"<!-- event_id: b3c6ce574dc24f09a01f634a39dca83b -->"))

    @staticmethod
    def message(parts):
        return b"".join(bytes([tag]) + struct.pack("<I", len(data)) + data for tag, data in parts)

    def handle(self):
        T1k.connections += 1
        number = T1k.connections
        while first := self.rfile.read(1):
            if first in b"nsp":
                self.told((first + self.rfile.readline()).decode().split())
            elif not self.asked(first, number):
                return

    def told(self, words):
        if words[0] == "seen":
            seen, T1k.seen = T1k.seen, []
            self.wfile.write(json.dumps(seen).encode() + b"\n")
        elif words[0] == "path":
            self.wfile.write(sys.argv[3].encode() + b"\n")
        else:
            T1k.plans.append(None if words[0] == "silent" else bytes.fromhex("".join(words[1:])))
            self.wfile.write(b"ok\n")

    def asked(self, first, number):
        parts, tags = {}, []
        while True:
            size, = struct.unpack("<I", self.rfile.read(4))
            tags.append(first[0])
            parts[first[0] & 0x3f] = self.rfile.read(size).decode("latin-1")
            if first[0] & 0x80:
                break
            first = self.rfile.read(1)
        T1k.seen.append({"tags": tags, "connection": number, "head": parts[1],
                         "body": parts.get(2), "version": parts[0x20],
                         "extra": [line.split(":", 1) for line in parts[3].split("\n")]})
        if T1k.plans:
            answer = T1k.plans.pop(0)
            if answer is None:
                return self.rfile.read(1)
            self.wfile.write(answer)
            return answer
        bad = "attack" in parts[1] or "attack" in parts.get(2, "")
        self.wfile.write(self.message(self.BLOCK if bad else self.PASS))
        return True


class RocketMQ(socketserver.StreamRequestHandler):
    """A name server and the broker "one" of RocketMQ. The topic "none" is not there, "closed" has
    no queue to write to, "secret" wants commands signed with "key" by "user", "odd" answers what is
    no JSON, "gone" is of another broker, where nobody answers, and "busy" refuses messages. An HTTP request
    gets the messages."""

    def route(self, topic):
        name, port = ("gone", 1) if topic == "gone" else ("one", self.server.server_address[1])
        queues = [{"brokerName": name, "perm": 4 if topic == "closed" else 6, "readQueueNums": 4,
                   "writeQueueNums": 4, "topicSysFlag": 0}]
        # As the name server's own library writes it, without quotes around the number.
        return ('{"brokerDatas":[{"brokerAddrs":{0:"127.0.0.1:%d"},"brokerName":"%s",'
                '"cluster":"c \\"{1:"}],"filterServerTable":{},"queueDatas":%s}'
                % (port, name, json.dumps(queues, separators=(",", ":")))).encode()

    @staticmethod
    def signed(fields, body):
        """Whether the signature is what the key makes of the fields."""
        text = "".join(fields[name] for name in sorted(fields) if name != "Signature")
        mac = hmac.new(b"key", text.encode() + body, hashlib.sha1).digest()
        return fields.get("Signature") == base64.b64encode(mac).decode() \
            and fields.get("AccessKey") == "user"

    def send_message(self, fields, body):
        if fields["b"] == "busy":
            return 2, "[TIMEOUT_CLEAN_QUEUE]", {}
        properties = dict(pair.split("\1") for pair in fields["i"].split("\2") if pair)
        LOG.append({**fields, "i": properties, "body": body.decode("latin-1")})
        return 0, None, {"msgId": "%032X" % len(LOG), "queueId": fields["e"],
                         "queueOffset": str(len(LOG))}

    def done(self, header, body):
        # A broker takes what is no text for the text of it.
        fields = {name: value if isinstance(value, str) else json.dumps(value)
                  for name, value in (header["extFields"] or {}).items()}
        code = header["code"]
        topic = fields.get("topic") or fields.get("b")
        if topic == "secret" and not self.signed(fields, body):
            return 1, "signature does not match", {}, b""
        if code == 105 and topic == "none":
            return 17, "No topic route info in name server for the topic: none", {}, b""
        if code == 105:
            return 0, None, {}, b"odd" if topic == "odd" else self.route(topic)
        if code == 310:
            return (*self.send_message(fields, body), b"")
        LOG.append({"code": code, "body": body.decode()})
        return 0, None, {}, b""

    def command(self, header, body):
        header = json.dumps(header).encode()
        self.wfile.write(struct.pack(">II", 4 + len(header) + len(body), len(header))
                         + header + body)

    def handle(self):
        while len(head := self.rfile.read(4)) == 4:
            if head == b"GET ":
                text = json.dumps(LOG).encode()
                LOG.clear()
                self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + text)
                return
            size, kind = struct.unpack(">I", head)[0], self.rfile.read(4)
            text = self.rfile.read(size - 4)
            length = int.from_bytes(kind[1:], "big")
            header, body = json.loads(text[:length]), text[length:]
            code, remark, fields, answer = self.done(header, body)
            # A broker may ask something of its own first.
            self.command({"code": 40, "flag": 0, "opaque": header["opaque"], "extFields": {}}, b"")
            self.command({"code": code, "flag": 1, "opaque": header["opaque"], "remark": remark,
                          "language": "JAVA", "version": 373, "extFields": fields,
                          "serializeTypeCurrentRPC": "JSON"}, answer)


class Server(socketserver.ThreadingTCPServer):
    """A thread for each client."""

    allow_reuse_address = True
    daemon_threads = True


class PathServer(socketserver.ThreadingUnixStreamServer):
    """A thread for each client of a file's socket."""

    daemon_threads = True


if __name__ == "__main__":
    handler = {"websocket": WebSocket, "websocket-client": WebSocketClient, "kafka": Kafka,
               "health": Health, "oidc": Oidc, "ldap": Ldap, "t1k": T1k, "oap": Oap,
               "rocketmq": RocketMQ}[sys.argv[1]]
    if len(sys.argv) > 3:
        threading.Thread(target=PathServer(sys.argv[3], handler).serve_forever, daemon=True).start()
    with Server(("127.0.0.1", int(sys.argv[2])), handler) as server:
        server.serve_forever()
