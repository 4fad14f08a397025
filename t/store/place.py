"""What the scripts of this folder share: a gateway with a store, an etcd, and a report.

Everything listens on the loopback, is bounded, and ends with the script; only processes that were
started here are signalled.
"""

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(HOME, "t", "live"))

import rig  # noqa: E402, what t/live has

CONFIG = """deployment:
  role: traditional
  role_traditional: {{config_provider: {provider}}}
  admin: {{admin_listen: {{ip: 127.0.0.1, port: {admin}}}, allow_admin: [127.0.0.0/24]}}
{etcd}apisix:
  node_listen: [{port}]
  enable_ipv6: false
  status: {{ip: 127.0.0.1, port: {status}}}
  control: {{ip: 127.0.0.1, port: {control}}}
nginx_config:
  worker_processes: 2
  shutdown_delay: 1s
  worker_shutdown_timeout: 20s
  error_log_level: info
  http: {{keepalive_requests: 1000000, access_log: "off"}}
plugin_attr:
  prometheus: {{export_addr: {{ip: 127.0.0.1, port: {metrics}}}}}
plugins: [{plugins}]
"""


class Place:
    """A prefix directory; a gateway may run with it."""

    def __init__(self, port, provider="embedded", etcd=None, etcd_prefix="/apisix", plugins=None):
        self.port, self.provider = port, provider
        self.status, self.control, self.metrics, self.admin = (port + n for n in (1, 2, 3, 4))
        self.prefix = tempfile.mkdtemp(prefix="moongate-store-")
        for name in ("conf", "logs", "plugins", "lua"):
            os.mkdir(self.path(name))
        tree = os.environ.get("MOONGATE_LUA_TREE")
        for name in ("lua", "plugins") if tree else ():
            shutil.copytree(os.path.join(tree, name), self.path(name), dirs_exist_ok=True)
        etcd = f"  etcd: {{host: [{etcd}], prefix: {etcd_prefix}}}\n" if etcd else ""
        self.config = dict(provider=provider, etcd=etcd, port=port, status=self.status,
                           control=self.control, metrics=self.metrics, admin=self.admin)
        self.configure(plugins or rig.PLUGINS)
        self.processes = []

    def configure(self, plugins):
        text = CONFIG.format(plugins=", ".join(plugins), **self.config)
        rig.write(self.path("conf/config.yaml"), text)

    def path(self, name):
        return os.path.join(self.prefix, name)

    def read(self, name):
        try:
            with open(self.path(name), errors="replace") as text:
                return text.read()
        except OSError:
            return ""

    def said(self):
        return self.read("logs/error.log") + self.read("logs/stdout")

    def run(self, *args, stdin=None):
        """`moongate config …`: exit code, output, errors."""
        ran = subprocess.run([rig.binary(), "-p", self.prefix, "config", *args], input=stdin,
                             capture_output=True, timeout=120, check=False)
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()

    def good(self, *args, stdin=None):
        code, out, errors = self.run(*args, stdin=stdin)
        if code != 0:
            raise AssertionError(f"config {' '.join(args)}: {code}\n{out}{errors}")
        return out

    def start(self, *more):
        """Starts a gateway, and waits until it is ready."""
        before = self.said().count("is ready")
        with open(self.path("logs/stdout"), "a") as out:
            process = subprocess.Popen([rig.binary(), "-p", self.prefix, "start", *more],
                                       stdout=out, stderr=out, start_new_session=True)
        self.processes.append(process)
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            if self.said().count("is ready") > before:
                return process
            time.sleep(0.02)
        raise AssertionError("the gateway does not start:\n" + self.said()[-3000:])

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []

    def close(self):
        self.stop()
        shutil.rmtree(self.prefix, ignore_errors=True)

    def ask(self, path, method="GET", port=None, body=None, fields=None, timeout=30):
        conn = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            conn.request(method, path, body=body, headers=fields or {})
            answer = conn.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            conn.close()

    def key(self):
        return self.read("data/admin.key").strip()

    def put(self, path, value, timeout=30):
        """Puts an object by the Admin API: the status, and what was answered."""
        return self.ask("/apisix/admin/" + path, "PUT", self.admin, json.dumps(value),
                        {"X-API-KEY": self.key()}, timeout)


class Etcd:
    """One etcd server."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        peer = f"http://127.0.0.1:{port + 1}"
        self.data = tempfile.mkdtemp(prefix="moongate-etcd-")
        env = dict(os.environ, ETCD_UNSUPPORTED_ARCH="arm64")
        self.process = subprocess.Popen(
            ["etcd", "--data-dir", self.data, "--listen-client-urls", self.url,
             "--advertise-client-urls", self.url, "--listen-peer-urls", peer,
             "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
             "--log-level", "error"], env=env, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while self.ctl("endpoint", "health", check=False).returncode != 0:
            if time.monotonic() > end or self.process.poll() is not None:
                raise AssertionError("etcd does not start: it needs Debian's etcd-server")
            time.sleep(0.1)

    def ctl(self, *args, check=True, stdin=None):
        env = dict(os.environ, ETCDCTL_API="3")
        return subprocess.run(["etcdctl", "--endpoints", self.url, *args], env=env, input=stdin,
                              capture_output=True, timeout=60, check=check)

    def put(self, key, value):
        self.ctl("put", key, stdin=value.encode())

    def dump(self, prefix, *more):
        return self.ctl("get", "--prefix", prefix, *more).stdout.decode()

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.data, ignore_errors=True)


def pairs(dump):
    """Keys and values of a dump."""
    decode = lambda text: base64.b64decode(text).decode()
    return {decode(kv["key"]): decode(kv.get("value", "")) for kv in json.loads(dump)["kvs"]}


class Report:
    """Counts what is as it should be."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, good, why=""):
        if good:
            self.passed += 1
            print("  ok  ", name, flush=True)
        else:
            self.failed += 1
            print("  FAIL", name, "" if why == "" else f"\n       {why}"[:3000], flush=True)

    def equal(self, name, one, other):
        if isinstance(one, dict) and isinstance(other, dict) and one != other:
            keys = sorted(k for k in {*one, *other} if one.get(k) != other.get(k))
            first = keys[0]
            why = f"{len(keys)} differ, {first}: {one.get(first)!r} and {other.get(first)!r}"
        else:
            why = f"{one!r} and {other!r}"
        self.check(name, one == other, why)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)
