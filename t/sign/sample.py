"""What t/sign/run sends: signed requests, made by the libraries of others, and an upstream that
tells which requests it saw whole."""

import base64
import datetime
import hashlib
import hmac
import os
import socket
import threading
import time

SECRET = "a secret of thirty-two bytes, so"
KEY = "client-1"


class Request:
    """A request in parts that can be changed: names and values of fields in their order."""

    def __init__(self, method, target, fields, body=b""):
        self.method, self.target, self.fields, self.body = method, target, list(fields), body
        self.chunks = None
        self.framed = True

    def copy(self):
        again = Request(self.method, self.target, self.fields, self.body)
        again.chunks, again.framed = self.chunks, self.framed
        return again

    def get(self, name):
        return next((v for n, v in self.fields if n.lower() == name.lower()), None)

    def set(self, name, value):
        self.fields = [(n, value if n.lower() == name.lower() else v) for n, v in self.fields]

    def drop(self, name):
        self.fields = [(n, v) for n, v in self.fields if n.lower() != name.lower()]

    def add(self, name, value):
        self.fields.append((name, value))

    def bytes(self, mark):
        """The request as sent; `mark` tells the upstream which one it is."""
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        lines.append(f"X-Mark: {mark}")
        lines.append("Connection: close")
        body = self.body
        if self.chunks:
            lines.append("Transfer-Encoding: chunked")
            pieces = [body[i:i + self.chunks] for i in range(0, len(body), self.chunks)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
        elif self.framed and (body or self.method in ("POST", "PUT")):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send(port, data, pause=0.0):
    """Status of the answer; 0 if there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as conn:
        if pause:
            for at in range(0, len(data), max(1, len(data) // 8)):
                conn.sendall(data[at:at + max(1, len(data) // 8)])
                time.sleep(pause)
        else:
            conn.sendall(data)
        answer = b""
        try:
            while piece := conn.recv(65536):
                answer += piece
        except OSError:
            pass
    head = answer.split(b"\r\n", 1)[0].split(b" ")
    return int(head[1]) if len(head) > 1 and head[1].isdigit() else 0


class Upstream:
    """Reads requests by the letter and remembers the marks of those that were complete."""

    def __init__(self, port):
        self.whole, self.begun, self.ended, self.lock = {}, set(), set(), threading.Lock()
        # Answers at the head, before the body, for targets that say so.
        self.listener = socket.create_server(("127.0.0.1", port), backlog=512)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            conn, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        conn.settimeout(20)
        data = b""
        try:
            with conn, conn.makefile("rb") as source:
                while self.one(conn, source):
                    pass
        except (OSError, ValueError):
            pass

    def one(self, conn, source):
        line = source.readline()
        if not line:
            return False
        fields = {}
        while (field := source.readline()) not in (b"\r\n", b""):
            name, _, value = field.partition(b":")
            fields[name.lower()] = value.strip()
        mark = fields.get(b"x-mark", b"").decode()
        with self.lock:
            self.begun.add(mark)
        answer = b'{"Response":{"RequestId":"r"}}'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        early = b"early" in line
        if early:
            conn.sendall(head % len(answer) + answer)
        try:
            body = self.body(source, fields)
            if body is None:
                return False
            with self.lock:
                self.whole[mark] = body
        finally:
            with self.lock:
                self.ended.add(mark)
        if not early:
            conn.sendall(head % len(answer) + answer)
        return True

    def seen_whole(self, mark):
        """Whether this request's body arrived whole. What was sent is read to its end first: where
        the answer comes before the body's end, the client has it while the body is still read."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with self.lock:
                if mark not in self.begun or mark in self.ended:
                    return mark in self.whole
            time.sleep(0.005)
        return False

    @staticmethod
    def body(source, fields):
        """The body, or None if it broke off."""
        if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = b""
            while True:
                line = source.readline()
                if not line.endswith(b"\r\n"):
                    return None
                size = int(line.split(b";")[0], 16)
                piece = source.read(size + 2)
                if len(piece) != size + 2:
                    return None
                if size == 0:
                    return body
                body += piece[:-2]
        size = int(fields.get(b"content-length", b"0"))
        body = source.read(size)
        return body if len(body) == size else None


def rfc9421(host, target="/rfc/pay/a%2Fb?b=1&a=2", body=b'{"amount": 10}', nonce=None):
    """Signed by PyPI's http-message-signatures."""
    import requests
    from http_message_signatures import (HTTPMessageSigner, HTTPSignatureKeyResolver,
                                         algorithms)

    class Keys(HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id):
            return SECRET.encode()

        def resolve_public_key(self, key_id):
            return SECRET.encode()

    message = requests.Request("POST", f"http://{host}{target}", data=body, headers={
        "Content-Type": "application/json", "X-Order": "seven apples"}).prepare()
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys())
    signer.sign(message, body=body, key_id=KEY, nonce=nonce or os.urandom(12).hex(), label="sig1",
                covered_component_ids=("@method", "@authority", "@target-uri", "content-type",
                                       "content-digest", "x-order"))
    fields = [("Host", host)] + [(n, v) for n, v in message.headers.items()
                                 if n.lower() not in ("content-length", "host")]
    return Request("POST", target, fields, body)


def sigv4(host, target="/aws/pay/a%2Fb?a=2&b=1", body=b'{"amount": 10}', digest=True):
    """Signed by botocore."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    headers = {"Host": host, "Content-Type": "application/json", "X-Order": "seven apples"}
    if digest:
        headers["X-Amz-Content-SHA256"] = hashlib.sha256(body).hexdigest()
    # A time of its own for each: there is no nonce, and a signature counts once.
    headers["X-Amz-Meta-Serial"] = os.urandom(8).hex()
    message = AWSRequest("POST", f"http://{host}{target}", data=body, headers=headers)
    SigV4Auth(Credentials(KEY, SECRET), "api", "eu-north-1").add_auth(message)
    fields = [(n, v) for n, v in message.headers.items() if n.lower() != "content-length"]
    return Request("POST", target, fields, body)


def hmac_auth(host, target="/hmac/pay/a%2Fb?b=1&a=2", body=b'{"amount": 10}', offset=0):
    """Signed by the rules that APISIX's documentation gives."""
    date = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    date = date.strftime("%a, %d %b %Y %H:%M:%S GMT")
    digest = "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()
    fields = [("Host", host), ("Date", date), ("Digest", digest),
              ("Content-Type", "application/json"), ("X-Order", "seven apples"),
              ("X-Serial", os.urandom(8).hex())]
    text = f"{KEY}\nPOST {target}\n"
    text += "".join(f"{name.lower()}: {value}\n" for name, value in fields)
    made = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest()
    listed = " ".join(["@request-target"] + [name.lower() for name, _ in fields])
    fields.append(("Authorization", f'Signature keyId="{KEY}",algorithm="hmac-sha256",'
                   f'headers="{listed}",signature="{base64.b64encode(made).decode()}"'))
    return Request("POST", target, fields, body)


def tc3(host, body=b'{"amount": 10}'):
    """Signed by the functions of tencentcloud-sdk-python-common."""
    from tencentcloud.common import credential
    from tencentcloud.common.abstract_client import AbstractClient
    from tencentcloud.common.http.request import RequestInternal
    from tencentcloud.common.profile.client_profile import ClientProfile

    class Client(AbstractClient):
        _apiVersion, _endpoint, _service = "2017-03-12", host, "cvm"

    client = Client(credential.Credential(KEY, SECRET), "ap-guangzhou", ClientProfile())
    made = RequestInternal(host, "POST", "/", {"Host": host, "Content-Type": "application/json"},
                           body.decode())
    stamp = int(time.time())
    made.header["X-TC-Action"] = "DescribeInstances"
    made.header["X-TC-Timestamp"] = str(stamp)
    date = datetime.datetime.fromtimestamp(stamp, datetime.timezone.utc).strftime("%Y-%m-%d")
    signature = client._get_tc3_signature({}, made, date, "cvm", SECRET)
    made.header["Authorization"] = (
        f"TC3-HMAC-SHA256 Credential={KEY}/{date}/cvm/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signature}")
    return Request("POST", "/", made.header.items(), body)
