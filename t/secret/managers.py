"""Secret managers that check what they are asked: Vault, AWS Secrets Manager, Google Cloud's.

Each is a server on 127.0.0.1 that answers as the real one does, counts calls, and takes note of
every request that the real one would refuse: a wrong token or namespace, a signature (computed
here once more, by the words of AWS's documentation), an assertion that the account's key did not
sign. A path can be told to answer anything else.
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import urllib.parse


class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 256

    def handle_error(self, request, client_address):
        """The gateway may close a connection whenever it likes."""


class Manager:
    """A server; `answer` of a subclass makes status and body from a request."""

    def __init__(self, port=0):
        self.calls, self.refused, self.delay, self.instead = [], [], 0, None
        manager = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                request = Request(self.command, self.path, self.headers, self.rfile.read(length))
                status, body = manager.serve(request)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, request):
        self.calls.append(request)
        time.sleep(self.delay)
        status, body = self.instead or self.answer(request)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return status, body

    def refuse(self, why, status, body):
        self.refused.append(why)
        return status, body

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")


class Vault(Manager):
    """KV engines; `secrets` maps a path below /v1/ to the object in `data`."""

    def __init__(self, token, namespace=None, port=0):
        self.token, self.namespace, self.secrets = token, namespace, {}
        super().__init__(port)

    def answer(self, request):
        if request.headers.get("X-Vault-Token") != self.token:
            return self.refuse("token", 403, {"errors": ["permission denied"]})
        if request.headers.get("X-Vault-Namespace") != self.namespace:
            return self.refuse("namespace", 403, {"errors": ["permission denied"]})
        path = urllib.parse.unquote(request.path.removeprefix("/v1/"))
        if request.method != "GET" or not request.path.startswith("/v1/"):
            return self.refuse("not a read", 405, {"errors": ["unsupported operation"]})
        if path not in self.secrets:
            return 404, {"errors": []}
        return 200, {"request_id": "1", "lease_id": "", "renewable": False,
                     "data": self.secrets[path]}


def signature_of(request, secret, region, service):
    """What Authorization has to be, by Signature Version 4; or why it cannot be checked."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
        r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
        request.headers.get("Authorization", ""))
    if not found:
        return None, "no Authorization of version 4"
    key, day, its_region, its_service, names, signature = found.groups()
    date = request.headers.get("X-Amz-Date", "")
    names = names.split(";")
    if (its_region, its_service) != (region, service):
        return None, "scope %s/%s" % (its_region, its_service)
    if not re.fullmatch(r"\d{8}T\d{6}Z", date) or date[:8] != day:
        return None, "date %s" % date
    sent = time.mktime(time.strptime(date + "UTC", "%Y%m%dT%H%M%SZ%Z")) - time.timezone
    if abs(sent - time.time()) > 300:
        return None, "a date that is %d s off" % (sent - time.time())
    if names != sorted(names) or not {"host", "x-amz-date", "x-amz-target"} <= set(names):
        return None, "signed headers %s" % names
    lines = "".join("%s:%s\n" % (name, " ".join(request.headers.get(name, "").split()))
                    for name in names)
    canonical = "\n".join((request.method, request.path, request.query, lines, ";".join(names),
                           hashlib.sha256(request.body).hexdigest()))
    text = "\n".join(("AWS4-HMAC-SHA256", date, "%s/%s/%s/aws4_request" % (day, region, service),
                      hashlib.sha256(canonical.encode()).hexdigest()))
    step = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        step = hmac.digest(step, part.encode(), "sha256")
    expected = hmac.new(step, text.encode(), "sha256").hexdigest()
    return (key if hmac.compare_digest(expected, signature) else None), "signature"


class Aws(Manager):
    """Secrets Manager; `secrets` maps a name to its SecretString."""

    def __init__(self, key, secret, session=None, region="us-east-1", port=0):
        self.key, self.secret, self.session, self.region = key, secret, session, region
        self.secrets = {}
        super().__init__(port)

    def answer(self, request):
        def problem(kind, text):
            return self.refuse(text, 400, {"__type": kind, "message": text})
        if request.headers.get("X-Amz-Target") != "secretsmanager.GetSecretValue":
            return problem("UnknownOperationException", "target")
        if request.headers.get("Content-Type") != "application/x-amz-json-1.1":
            return problem("UnknownOperationException", "content type")
        key, why = signature_of(request, self.secret, self.region, "secretsmanager")
        if key != self.key or request.headers.get("X-Amz-Security-Token") != self.session:
            # AWS quotes what was to be signed, with the session's token in it.
            return problem("InvalidSignatureException", "%s: the canonical string should have been "
                           "x-amz-security-token:%s" % (why, request.headers.get(
                               "X-Amz-Security-Token")))
        body = json.loads(request.body)
        if body.get("VersionStage") != "AWSCURRENT":
            return problem("InvalidRequestException", "stage")
        name = body.get("SecretId")
        if name not in self.secrets:
            return 400, {"__type": "ResourceNotFoundException",
                         "Message": "Secrets Manager can't find the specified secret."}
        return 200, {"ARN": "arn:aws:1", "Name": name, "SecretString": self.secrets[name]}


class Gcp(Manager):
    """Token endpoint and Secret Manager; `secrets` maps a name to its bytes."""

    PROJECT, EMAIL = "project-1", "gateway@project-1.iam.gserviceaccount.com"
    SCOPE = "https://www.googleapis.com/auth/cloud-platform"

    def __init__(self, port=0):
        self.secrets, self.token, self.expires, self.asked = {}, "gcp-access-token", 3600, 0
        self.work = tempfile.TemporaryDirectory(prefix="moongate-gcp-")
        key = self.work.name + "/key.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt",
                        "rsa_keygen_bits:2048", "-out", key], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", key + ".pub"], check=True)
        with open(key, encoding="ascii") as text:
            self.private_key = text.read()
        super().__init__(port)

    def account(self):
        """The service account as a conf's `auth_config`."""
        return {"client_email": self.EMAIL, "private_key": self.private_key,
                "project_id": self.PROJECT, "token_uri": self.url + "/token",
                "entries_uri": self.url + "/v1"}

    def signed(self, assertion):
        """The claims of an assertion, if the account's key signed it."""
        try:
            head, claims, signature = assertion.split(".")
        except ValueError:
            return None
        def plain(part):
            return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        text, sign = self.work.name + "/text", self.work.name + "/sign"
        with open(text, "wb") as out:
            out.write(("%s.%s" % (head, claims)).encode())
        with open(sign, "wb") as out:
            out.write(plain(signature))
        public = os.path.join(self.work.name, "key.pem.pub")
        good = subprocess.run(["openssl", "dgst", "-sha256", "-verify", public, "-signature", sign,
                               text], capture_output=True, check=False).returncode == 0
        return json.loads(plain(claims)) if good and json.loads(plain(head)) == {
            "alg": "RS256", "typ": "JWT"} else None

    def grant(self, request):
        self.asked += 1
        form = urllib.parse.parse_qs(request.body.decode())
        claims = self.signed(form.get("assertion", [""])[0])
        now = time.time()
        if not claims or form.get("grant_type") != ["urn:ietf:params:oauth:grant-type:jwt-bearer"]:
            return self.refuse("assertion", 400, {"error": "invalid_grant"})
        if (claims.get("iss"), claims.get("aud"), claims.get("scope")) != (
                self.EMAIL, self.url + "/token", self.SCOPE):
            return self.refuse("claims %s" % claims, 400, {"error": "invalid_grant"})
        if not now - 60 <= claims["iat"] <= now + 60 or not now < claims["exp"] <= now + 3660:
            return self.refuse("times %s" % claims, 400, {"error": "invalid_grant"})
        return 200, {"access_token": self.token, "token_type": "Bearer", "expires_in": self.expires}

    def answer(self, request):
        if request.path == "/token" and request.method == "POST":
            return self.grant(request)
        if request.headers.get("Authorization") != "Bearer " + self.token:
            return self.refuse("token", 401, {"error": {
                "code": 401, "status": "UNAUTHENTICATED", "message": "invalid credentials"}})
        found = re.fullmatch("/v1/projects/%s/secrets/([^/]+)/versions/latest:access"
                             % self.PROJECT, request.path)
        name = found and urllib.parse.unquote(found[1])
        if name not in self.secrets:
            return 404, {"error": {"code": 404, "status": "NOT_FOUND",
                                   "message": "Secret [%s] not found" % name}}
        return 200, {"name": name, "payload": {
            "data": base64.b64encode(self.secrets[name]).decode()}}
