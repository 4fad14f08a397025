"""What stands around the gateway: nginx as the upstream, a service that plugins call, a load."""

import http.client
import http.server
import json
import os
import subprocess
import threading
import time

NGINX = """daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    default_type text/plain;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "nginx answers $request_method $uri\\n"; }}
        location /fails {{ return 502 "the service is down"; }}
        location /missing {{ return 404 "nothing here"; }}
    }}
}}
"""


def start_nginx(directory, port):
    """Debian's nginx in the foreground, as a child."""
    os.makedirs(os.path.join(directory, "temp"))
    with open(os.path.join(directory, "nginx.conf"), "w") as out:
        out.write(NGINX.format(port=port))
    path = next((p for p in ("/usr/sbin/nginx", "/usr/bin/nginx") if os.access(p, os.X_OK)),
                "nginx")
    process = subprocess.Popen([path, "-p", directory, "-c", "nginx.conf", "-e", "error.log"],
                               start_new_session=True)
    for _ in range(250):
        try:
            if ask(port, "/").status == 200:
                return process
        except OSError:
            time.sleep(0.02)
    process.kill()
    raise SystemExit("nginx does not start")


class Answer:
    """Status, fields (names in lower case) and text of one answer."""

    def __init__(self, answer):
        self.status = answer.status
        self.fields = {name.lower(): value for name, value in answer.getheaders()}
        self.text = answer.read().decode(errors="replace")

    def __str__(self):
        return f"{self.status} {self.text[:160]!r}"


def ask(port, path, method="GET", body=None, fields=None, source=None, conn=None):
    """One request; over `conn` if one is given."""
    own = conn or http.client.HTTPConnection("127.0.0.1", port, timeout=10,
                                             source_address=source and (source, 0))
    try:
        own.request(method, path, body, fields or {})
        return Answer(own.getresponse())
    finally:
        if not conn:
            own.close()


class Service:
    """A service that plugins call: decisions about addresses, tokens, and a place for records."""

    def __init__(self, port, key, banned):
        self.key, self.banned = key, list(banned)
        self.calls, self.records, self.refuse = [], [], 0
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def say(self, status, value):
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self):
                self.say(*service.get(self.path, self.headers))

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.say(*service.post(self.path, self.headers, body))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get(self, path, fields):
        self.calls.append(path)
        if path.startswith("/v1/decisions/stream"):
            if fields.get("X-API-KEY") != self.key:
                return 403, {"message": "access forbidden"}
            return 200, {"deleted": None, "new": [
                {"type": "ban", "scope": "Ip", "value": ip, "duration": "4h"}
                for ip in self.banned]}
        if path.startswith("/token"):
            return 200, {"access_token": self.key, "expires_on": str(int(time.time()) + 3600)}
        return 404, {}

    def post(self, path, fields, body):
        self.calls.append(path)
        if fields.get("Authorization") != "Bearer " + self.key:
            return 401, {}
        if self.refuse > 0:
            self.refuse -= 1
            return 503, {}
        self.records += json.loads(body)
        return 200, {}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Load:
    """Clients that ask for the same things over and over, without a retry.

    `asks` are pairs of arguments for `ask` and a function that names the version of the code
    that gave an answer, or returns None for an answer nobody expects.
    """

    def __init__(self, port, asks, clients=8):
        self.port, self.asks = port, asks
        self.rows, self.wrong, self.stopping = [], [], False
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True)
                        for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        conns = {}
        turn = number
        while not self.stopping:
            arguments, version_of = self.asks[turn % len(self.asks)]
            source = arguments.get("source", "127.0.0.1")
            conn = conns.get(source)
            if not conn:
                conn = conns[source] = http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=10, source_address=(source, 0))
            sent = time.monotonic()
            try:
                answer = ask(self.port, conn=conn, **arguments)
                version = version_of(answer)
                if version is None:
                    self.wrong.append(f"{arguments['path']}: {answer}")
            except (OSError, http.client.HTTPException) as error:
                version = None
                self.wrong.append(f"{arguments['path']}: {error!r}")
                conn.close()
            self.rows.append((turn % len(self.asks), sent, time.monotonic(), version))
            turn += 1
            time.sleep(0.005)
        for conn in conns.values():
            conn.close()

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(15)
