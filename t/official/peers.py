"""What stands around the gateway: nginx as upstream, redis, slapd, an OpenID provider with a browser
for it, and collectors of all kinds."""

import html
import http.cookiejar
import http.server
import json
import os
import re
import socket
import socketserver
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

NGINX = """\
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path temp/1; proxy_temp_path temp/2; fastcgi_temp_path temp/3;
    uwsgi_temp_path temp/4; scgi_temp_path temp/5;
    default_type text/plain;
    keepalive_requests 1000000;
    client_max_body_size 8m;
    lua_package_path ";;";
    server {{
        listen 127.0.0.1:{port};
        location / {{
            content_by_lua_block {{
                ngx.req.read_body()
                ngx.sleep(tonumber(ngx.var.arg_sleep) or 0)
                local wanted = ngx.var.arg_status or ngx.var.http_x_status
                ngx.status = tonumber(wanted) or 200
                ngx.header["X-Upstream"] = "nginx"
                ngx.print(ngx.req.raw_header(), ngx.req.get_body_data() or "")
            }}
        }}
        location /json {{
            default_type application/json;
            return 200 '{{"name":"bob","age":7}}';
        }}
    }}
}}
"""


def free_ports(count):
    """Ports of loopback that nobody listens on now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(port, seconds=20):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise SystemExit("nobody listens on %d" % port) from None
            time.sleep(0.02)


class Call:
    """A request that a plugin has made."""

    def __init__(self, method, path, fields, body):
        self.method, self.path, self.body = method, path, body
        self.fields = {name.lower(): value for name, value in fields.items()}

    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)


class Service:
    """An HTTP service that plugins call: it keeps what it is told, and answers as it is told to."""

    def __init__(self, port):
        self.calls, self.answers, self.port = [], [], port
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Any method, any path."""
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle(self):
                # A client may end a connection as it likes.
                try:
                    super().handle()
                except ConnectionError:
                    pass

            def body(self):
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                whole = b""
                while size := int(self.rfile.readline(), 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole

            def handle_any(self):
                call = Call(self.command, self.path, self.headers, self.body())
                service.calls.append(call)
                status, fields, text = service.answer(call)
                self.send_response(status)
                for name, value in fields.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def on(self, pattern, answer):
        """Answers paths of `pattern` with what `answer(call)` gives: a value, or (status, text)."""
        self.answers.insert(0, (re.compile(pattern), answer))

    def answer(self, call):
        for pattern, answer in self.answers:
            if pattern.search(call.path):
                value = answer(call)
                status, value = value if isinstance(value, tuple) else (200, value)
                if isinstance(value, (dict, list)):
                    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()
                return status, {"Content-Type": "text/plain"}, value.encode()
        return 200, {"Content-Type": "application/json"}, b"{}"

    def seen(self, pattern):
        return [call for call in self.calls if re.search(pattern, call.path)]


class Lines:
    """A TCP and a UDP collector on one port: everything that comes, in one piece of bytes."""

    def __init__(self, port):
        self.port, self.data = port, b""
        collector = self

        class Handler(socketserver.BaseRequestHandler):
            """Reads to the end."""

            def handle(self):
                while data := self.request.recv(65536):
                    collector.data += data

        class Server(socketserver.ThreadingTCPServer):
            """A thread for each client."""
            allow_reuse_address = True
            daemon_threads = True

        self.tcp = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self.tcp.serve_forever, daemon=True).start()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        threading.Thread(target=self.receive, daemon=True).start()

    def receive(self):
        while True:
            self.data += self.udp.recv(65536) + b"\n"


class Children:
    """Processes, each with its output in a file."""

    def __init__(self, work):
        self.work, self.all = work, []

    def start(self, name, command, directory=None, env=None):
        directory = directory or os.path.join(self.work, name)
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "output"), "ab") as out:
            child = subprocess.Popen(command, cwd=directory, stdout=out, stderr=out, env=env,
                                     start_new_session=True)
        self.all.append(child)
        return child

    def stop(self):
        for child in reversed(self.all):
            if child.poll() is None:
                child.terminate()
        for child in self.all:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def nginx(children, port):
    directory = os.path.join(children.work, "nginx")
    os.makedirs(os.path.join(directory, "temp"))
    with open(os.path.join(directory, "nginx.conf"), "w", encoding="utf-8") as out:
        out.write(NGINX.format(port=port))
    children.start("nginx", ["/usr/sbin/nginx", "-p", directory, "-c", "nginx.conf", "-e",
                             "error.log"])
    wait_for(port)


def redis(children, port):
    children.start("redis", ["/usr/bin/redis-server", "--port", str(port), "--bind", "127.0.0.1",
                             "--save", "", "--appendonly", "no"])
    wait_for(port)


def redis_says(port, *words):
    """What redis answers, raw."""
    with socket.create_connection(("127.0.0.1", port), 10) as conn:
        conn.sendall((" ".join(words) + "\r\n").encode())
        return conn.recv(65536).decode("latin-1")


SLAPD = """\
include /etc/ldap/schema/core.schema
pidfile {directory}/pid
database ldif
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw secret
directory {directory}/data
"""
LDIF = """\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: ou=users,dc=example,dc=org
objectClass: organizationalUnit
ou: users

dn: cn=user01,ou=users,dc=example,dc=org
objectClass: person
cn: user01
sn: One
userPassword: password1
"""


def slapd(children, port):
    """Debian's slapd with one user, or False if it is not installed."""
    if not os.path.exists("/usr/sbin/slapd"):
        return False
    directory = os.path.join(children.work, "slapd")
    os.makedirs(directory + "/data")
    conf = directory + "/slapd.conf"
    with open(conf, "w", encoding="utf-8") as out:
        out.write(SLAPD.format(directory=directory))
    subprocess.run(["/usr/sbin/slapadd", "-f", conf, "-n", "1"], input=LDIF.encode(), check=True,
                   capture_output=True)
    children.start("slapd", ["/usr/sbin/slapd", "-f", conf, "-h", "ldap://127.0.0.1:%d" % port,
                             "-d", "0"])
    wait_for(port)
    return True


def oidc(children, directory, port, callback):
    """The provider of oidc.mjs, or False if `directory` does not have its package."""
    if not os.path.exists(os.path.join(directory, "node_modules", "oidc-provider")):
        return False
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "oidc.mjs")
    children.start("oidc", ["node", script, os.path.abspath(directory), str(port), callback])
    wait_for(port)
    return True


def saml(children, directory, port, top):
    """The provider of idp.py, or False if `directory` is no environment with its package."""
    python = os.path.join(directory, "bin", "python")
    if not os.path.exists(python) or subprocess.run(
            [python, "-c", "import signxml"], capture_output=True, check=False).returncode:
        return False
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "idp.py")
    children.start("saml", [python, script, str(port), children.work, top])
    wait_for(port)
    return True


class Page:
    """What a browser shows: where it is, status and text."""

    def __init__(self, answer):
        self.url, self.status = answer.geturl(), answer.status
        self.text = answer.read().decode(errors="replace")


class Browser:
    """Follows redirections, keeps cookies, sends forms; `visited` is each place it has asked.

    With `trusting` it also sends to HTTP what is for HTTPS only."""

    def __init__(self, trusting=False):
        self.visited = visited = []

        class Follower(urllib.request.HTTPRedirectHandler):
            """Notes where it is sent."""

            def redirect_request(self, req, fp, code, msg, headers, newurl):
                visited.append(newurl)
                return super().redirect_request(req, fp, code, msg, headers, newurl)

        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), Follower(),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar(
                http.cookiejar.DefaultCookiePolicy(
                    secure_protocols=("https", "http") if trusting else ("https",)))))

    def open(self, url, data=None):
        self.visited.append(url)
        try:
            with self.opener.open(url, data, timeout=20) as answer:
                return Page(answer)
        except urllib.error.HTTPError as answer:
            return Page(answer)

    def submit(self, page, **fields):
        """Sends the form of a page."""
        action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        if not action:
            raise ValueError("no form at %s: %s" % (page.url, page.text[:300]))
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
        fields = {**{name: html.unescape(value) for name, value in hidden}, **fields}
        return self.open(urllib.parse.urljoin(page.url, action[1]),
                         urllib.parse.urlencode(fields).encode())
