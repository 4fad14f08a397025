"""Nodes that count: who connected, what was asked, and which can die and come back."""

import asyncio
import ssl
import subprocess
import threading


class Line(asyncio.Protocol):
    """A connection to a node."""

    def __init__(self, node):
        self.node = node
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport
        self.node.lines.add(self)
        self.node.accepted += 1

    def connection_lost(self, error):
        self.node.lines.discard(self)

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            self.answer(head.decode("latin-1"))

    def answer(self, head):
        method, path, _ = head.split("\r\n", 1)[0].split(" ")
        self.node.heads.append(head)
        self.node.heads = self.node.heads[-100:]
        if path in self.node.paths:
            self.node.probes += 1
            status = self.node.health
        else:
            self.node.requests += 1
            status = self.node.status
        if status is None:
            return  # It never comes.
        close = "connection: close" in head.lower()
        body = b"" if method == "HEAD" else self.node.name.encode()
        self.transport.write((f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n"
                              f"{'Connection: close' if close else 'X-A: b'}\r\n\r\n").encode()
                             + body)
        if close:
            self.transport.close()


class Node:
    """A server on 127.0.0.1, or on `host`; `health` is the status of probes, `status` of all
    else, None is silence."""

    loop = None

    def __init__(self, name, port, tls=None, host="127.0.0.1"):
        self.name, self.port, self.tls, self.host = name, port, tls, host
        self.health = self.status = 200
        self.paths = {"/health", "/other"}
        self.lines, self.heads = set(), []
        self.accepted = self.probes = self.requests = 0
        self.server = None
        if Node.loop is None:
            Node.loop = asyncio.new_event_loop()
            threading.Thread(target=Node.loop.run_forever, daemon=True).start()
        self.up()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, Node.loop).result(10)

    def up(self):
        async def listen():
            self.server = await Node.loop.create_server(
                lambda: Line(self), self.host, self.port, ssl=self.tls, reuse_address=True)
        self.run(listen())

    def down(self):
        async def end():
            self.server.close()
            for line in list(self.lines):
                line.transport.abort()
        self.run(end())


def certificate(directory):
    """A certificate that nobody trusts, as a server's context."""
    cert, key = f"{directory}/cert.pem", f"{directory}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=node.test", "-addext", "subjectAltName=DNS:node.test",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
