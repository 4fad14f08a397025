"""What the cases talk to: an HTTP upstream that tells what it got, TCP, UDP and unix sockets."""

import os
import socket
import threading
import time

# What the upstream answers by the request's X-Answer.
ANSWERS = {
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Up: 1\r\n\r\n"
              b"4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n",
    "headers": b"HTTP/1.1 201 Created\r\nContent-Type: text/html\r\nContent-Length: 5\r\n"
               b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Many: one\r\nX-Many: two\r\n"
               b"X_Under: score\r\nCache-Control: no-cache\r\nETag: \"x\"\r\n\r\nhello",
    "empty": b"HTTP/1.1 204 No Content\r\nX-Up: 1\r\n\r\n",
    "missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\nContent-Type: text/plain\r\n"
               b"\r\nnothing",
    "broken": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
}


class World:
    """All peers, on ports of their own."""

    def __init__(self, work):
        self.upstream = self.serve(upstream)
        self.tcp = self.serve(scripted)
        self.unix = work + "/peer.sock"
        self.serve(scripted, self.unix)
        self.udp = self.datagrams()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.closed = probe.getsockname()[1]
        self.files = work + "/files"
        os.makedirs(self.files)
        # nginx's worker may be another user.
        os.chmod(self.files, 0o777)
        with open(self.files + "/body", "w", encoding="ascii") as out:
            out.write("from a file")

    def facts(self):
        """Names for the cases."""
        return {"tcp": self.tcp, "udp": self.udp, "unix": self.unix, "closed": self.closed,
                "upstream": self.upstream, "dir": self.files}

    @staticmethod
    def serve(handler, path=None):
        if path:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            os.chmod(path, 0o777)
            listener.listen(64)
        else:
            listener = socket.create_server(("127.0.0.1", 0))

        def accept():
            while True:
                client, _ = listener.accept()
                threading.Thread(target=guarded, args=(handler, client), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return None if path else listener.getsockname()[1]

    @staticmethod
    def datagrams():
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.bind(("127.0.0.1", 0))

        def echo():
            while True:
                data, sender = peer.recvfrom(65536)
                if data != b"silence":
                    peer.sendto(b"echo " + data, sender)

        threading.Thread(target=echo, daemon=True).start()
        return peer.getsockname()[1]


def guarded(handler, client):
    try:
        with client, client.makefile("rb") as lines:
            handler(client, lines)
    except OSError:
        pass


def scripted(client, lines):
    """Obeys lines: `say TEXT` with \\n and \\r, `sleep MS`, `close`, `take N` bytes and echo them."""
    for line in lines:
        word, _, rest = line.decode("latin-1").rstrip("\n").partition(" ")
        if word == "say":
            client.sendall(rest.replace("\\n", "\n").replace("\\r", "\r").encode("latin-1"))
        elif word == "sleep":
            time.sleep(int(rest) / 1000)
        elif word == "take":
            client.sendall(lines.read(int(rest)))
        elif word == "close":
            return


def upstream(client, lines):
    """HTTP: answers what ANSWERS has, or with the request as text."""
    while True:
        first = lines.readline()
        if not first:
            return
        fields = []
        while True:
            line = lines.readline().decode("latin-1").strip()
            if not line:
                break
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))
        known = {name.lower(): value for name, value in fields}
        body = lines.read(int(known.get("content-length", "0")))
        if "chunked" in known.get("transfer-encoding", ""):
            while True:
                size = int(lines.readline(), 16)
                body += lines.read(size)
                lines.readline()
                if not size:
                    break
        if known.get("x-answer") in ANSWERS:
            client.sendall(ANSWERS[known["x-answer"]])
            continue
        text = first.decode("latin-1").strip() + "\n"
        text += "".join("%s: %s\n" % field for field in
                        sorted(fields, key=lambda field: (field[0].lower(), field[1])))
        data = (text + "\n").encode("latin-1") + body
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
                       % len(data) + data)
