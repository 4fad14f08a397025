"""The gateway under test with its Admin API, and what all scripts here share."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_ports(count):
    """Ports of loopback that nobody listens on now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(HOME, "target"))
    for path in (os.environ.get("MOONGATE_BIN"), os.path.join(target, "release", "moongate")):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    sys.exit("no moongate: build it (cargo build --release) or set MOONGATE_BIN")


def until(find, seconds=20):
    """What `find` gives as soon as it gives something, or what it gave last."""
    end = time.monotonic() + seconds
    while True:
        found = find()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.02)


class Answer:
    """Status, fields and text of one answer."""

    def __init__(self, answer):
        self.status, self.fields = answer.status, dict(answer.getheaders())
        self.body = answer.read()
        self.text = self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.text)

    def __str__(self):
        return "%d %s" % (self.status, self.text[:300])


class Gateway:
    """A gateway with its own prefix directory; `config` is merged over what is needed anyway."""

    def __init__(self, config=None, key="admin-key-of-the-test", env=None):
        self.port, self.admin, self.status, self.control, self.metrics = free_ports(5)
        self.key, self.env = key, {**os.environ, **(env or {})}
        self.prefix = tempfile.mkdtemp(prefix="moongate-secret-")
        self.process = None
        for name in ("conf", "logs", "plugins", "lua"):
            os.mkdir(os.path.join(self.prefix, name))
        tree = os.environ.get("MOONGATE_LUA_TREE")
        for name in ("lua", "plugins") if tree else ():
            shutil.copytree(os.path.join(tree, name), self.path(name), dirs_exist_ok=True)
        base = {
            "apisix": {
                "node_listen": [{"ip": "127.0.0.1", "port": self.port}], "enable_ipv6": False,
                "status": {"ip": "127.0.0.1", "port": self.status},
                "control": {"ip": "127.0.0.1", "port": self.control},
            },
            "nginx_config": {"worker_processes": 1, "error_log_level": "info"},
            "deployment": {
                "role": "traditional", "role_traditional": {"config_provider": "embedded"},
                "admin": {"admin_listen": {"ip": "127.0.0.1", "port": self.admin},
                          "allow_admin": ["127.0.0.0/24"],
                          "admin_key": [{"name": "admin", "key": key, "role": "admin"}]},
            },
            "plugin_attr": {"prometheus": {
                "export_addr": {"ip": "127.0.0.1", "port": self.metrics}}},
        }
        self.write("conf/config.yaml", json.dumps(merged(base, config or {})))

    def path(self, name):
        return os.path.join(self.prefix, name)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new~", "w", encoding="utf-8") as out:
            out.write(text)
        os.rename(path + ".new~", path)

    def start(self):
        with open(self.path("logs/stdout"), "ab") as out:
            self.process = subprocess.Popen([binary(), "-p", self.prefix, "start"], stdout=out,
                                            stderr=out, env=self.env, start_new_session=True)

        def ready():
            try:
                return self.process.poll() is not None or self.ask(
                    self.status, "GET", "/status/ready").status == 200
            except OSError:
                return False
        if not until(ready, 60) or self.process.poll() is not None:
            text = self.log() + self.read("logs/stdout")
            self.stop()
            sys.exit("the gateway does not start:\n" + text[-3000:])
        return self

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8", errors="replace") as text:
                return text.read()
        except OSError:
            return ""

    def log(self):
        return self.read("logs/error.log")

    @staticmethod
    def ask(port, method, path, body=None, fields=None, timeout=60):
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            conn.request(method, path, body, fields or {})
            return Answer(conn.getresponse())
        finally:
            conn.close()

    def get(self, path, **fields):
        return self.ask(self.port, "GET", path, fields=fields)

    def call(self, method, path, body=None):
        """A call of the Admin API; `body` is JSON or text."""
        text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        return self.ask(self.admin, method, "/apisix/admin" + path, text, {"X-API-KEY": self.key})

    def put(self, path, body):
        """Writes an object; a refusal ends the test."""
        answer = self.call("PUT", path, body)
        if answer.status not in (200, 201):
            raise RuntimeError("PUT %s: %s" % (path, answer))
        return answer

    def end(self):
        """Ends the process; what it wrote stays."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def stop(self, keep=False):
        self.end()
        if keep:
            print("left in " + self.prefix)
        else:
            shutil.rmtree(self.prefix, ignore_errors=True)


def merged(base, over):
    out = dict(base)
    for name, value in over.items():
        out[name] = merged(base[name], value) if isinstance(value, dict) and isinstance(
            base.get(name), dict) else value
    return out


class Count:
    """Checks that held and that did not."""

    def __init__(self):
        self.passed = self.failed = 0

    def that(self, good, text, seen=""):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print("  %s %s" % ("ok  " if good else "FAIL", text), flush=True)
        if not good and seen != "":
            print("       saw: %s" % str(seen)[:1500])
        return good

    def end(self):
        print("%d passed, %d failed" % (self.passed, self.failed))
        return 1 if self.failed or not self.passed else 0
