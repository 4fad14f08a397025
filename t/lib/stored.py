"""A gateway whose objects are in a store, an Admin API to change them, and etcd servers.

Built on t/live/rig.py: what is said there holds here. Needs Debian's etcd-server and etcd-client
for the servers.
"""

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))

import rig  # noqa: E402

ADMIN_KEY = "edd1c9f034335f136f87ad84b625c8f1"
VIEWER_KEY = "4054f7cf07e344346cd3f287985e76a2"

CONFIG = """apisix:
  node_listen: [{{port: {port}, ip: 127.0.0.1}}]
  enable_ipv6: false
  status: {{ip: 127.0.0.1, port: {status}}}
  control: {{ip: 127.0.0.1, port: {control}}}
  data_encryption: {{keyring: [qeddd145sfvddff3, edd1c9f0985e76a2]}}
{apisix}
nginx_config:
  worker_processes: {workers}
  shutdown_delay: 0s
  worker_shutdown_timeout: 5s
  error_log_level: {level}
  http: {{keepalive_requests: 100000000, keepalive_timeout: 600s, access_log: logs/access.log}}
plugin_attr:
  prometheus: {{export_addr: {{ip: 127.0.0.1, port: {metrics}}}}}
deployment:
  role: traditional
  role_traditional: {{config_provider: {provider}}}
  admin:
    admin_listen: {{ip: 127.0.0.1, port: {admin}}}
    allow_admin: [127.0.0.0/24]
    admin_key:
      - {{name: admin, key: {admin_key}, role: admin}}
      - {{name: viewer, key: {viewer_key}, role: viewer}}
{deployment}
"""


def wait(what, holds, seconds=60):
    """Seconds until it holds; ends the test if it never does. Machines under load are slow."""
    begun = rig.now()
    while rig.now() < begun + seconds:
        found = holds()
        if found:
            return rig.now() - begun
        time.sleep(0.02)
    raise TimeoutError(f"not within {seconds} s: {what}")


class Answer:
    """Status, text and fields (names in lower case) of an answer."""

    def __init__(self, status, text, fields):
        self.status, self.text, self.fields = status, text, fields

    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"{self.status} {self.text[:300]!r}"


def fetch(port, path, method="GET", body=None, fields=None, timeout=60):
    """One request over a connection of its own."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        conn.request(method, path, body=body, headers=fields or {})
        answer = conn.getresponse()
        text = answer.read().decode(errors="replace")
        return Answer(answer.status, text, {k.lower(): v for k, v in answer.getheaders()})
    finally:
        conn.close()


class Gateway(rig.Gateway):
    """A gateway with a store. `etcd` is what stands below `deployment.etcd`; without it the
    store is a file. `port` and the five after it are used."""

    def __init__(self, options, port, etcd=None, apisix="", level="info", admin=""):
        spec = type("Spec", (), dict(vars(options), port=port))
        super().__init__(spec)
        self.admin = port + 5
        self.config_text = lambda etcd: CONFIG.format(
            port=self.port, status=self.status, control=self.control, metrics=self.metrics,
            admin=self.admin, workers=options.workers, level=level,
            provider="etcd" if etcd else "embedded", admin_key=ADMIN_KEY, viewer_key=VIEWER_KEY,
            apisix=apisix,
            deployment=admin + (f"  etcd: {json.dumps(etcd)}\n" if etcd else ""))
        self.configure(etcd)

    def configure(self, etcd):
        """Takes effect with the next start."""
        self.write("conf/config.yaml", self.config_text(etcd))

    def ask_admin(self, method, path, body=None, key=ADMIN_KEY, timeout=60):
        """The path is below /apisix/admin."""
        fields = {"X-API-KEY": key} if key else {}
        return fetch(self.admin, "/apisix/admin" + path, method, body, fields, timeout)

    def serves(self, path, fields=None):
        """Status of one request for it."""
        try:
            return fetch(self.port, path, fields=fields, timeout=30).status
        except OSError as error:
            return repr(error)

    def launch(self):
        """Starts it without waiting until it is ready; see `answers`."""
        with open(self.path("logs/stdout"), "a") as out:
            process = subprocess.Popen([rig.binary(), "-p", self.prefix, "start"],
                                       stdout=out, stderr=out, start_new_session=True)
        self.processes.append(process)
        return process

    def answers(self):
        """Whether its Control API does."""
        return self.get(self.control, "/v1/config") == 200

    def since(self, at):
        """What the log says from here on."""
        return self.log()[at:]

    def is_lost(self):
        """Why the store counts as lost; None while it does not."""
        return self.config().get("error")

    def end(self, process):
        """As a kill -9 does it."""
        process.kill()
        process.wait()


class Etcd:
    """One etcd server of its own cluster, below `folder`."""

    def __init__(self, folder, port, name="one", tls=None):
        self.folder, self.port, self.peer, self.name = folder, port, port + 1, name
        self.data = os.path.join(folder, name)
        self.tls, self.token, self.child, self.user = tls, "first", None, None
        self.more = []

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self):
        peer = f"http://127.0.0.1:{self.peer}"
        command = [
            "etcd", "--name", self.name, "--data-dir", self.data,
            "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"{self.name}={peer}", "--initial-cluster-token", self.token,
            "--heartbeat-interval", "100", "--election-timeout", "1000",
            "--auth-token-ttl", "300", "--log-level", "error", *self.more]
        if self.tls:
            command += ["--cert-file", f"{self.tls}/server.pem", "--key-file",
                        f"{self.tls}/server.key", "--client-cert-auth", "--trusted-ca-file",
                        f"{self.tls}/ca.pem"]
        env = {"PATH": os.environ["PATH"], "ETCD_UNSUPPORTED_ARCH": "arm64"}
        with open(os.path.join(self.folder, self.name + ".log"), "a") as log:
            self.child = subprocess.Popen(command, env=env, stdout=log, stderr=log,
                                          start_new_session=True)
        wait("etcd serves", lambda: self.ctl("get", "/none", check=False) is not None)

    def kill(self):
        """As a kill -9 does it."""
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None

    def freeze(self):
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.child.send_signal(signal.SIGCONT)

    def wipe(self):
        self.kill()
        shutil.rmtree(self.data)

    def ctl(self, *args, check=True, say=None):
        """What etcdctl prints; None if it failed and need not succeed."""
        command = ["etcdctl", "--endpoints", self.url, "--command-timeout", "20s"]
        if self.tls:
            command += ["--cacert", f"{self.tls}/ca.pem", "--cert", f"{self.tls}/client.pem",
                        "--key", f"{self.tls}/client.key"]
        if self.user:
            command += ["--user", self.user]
        done = subprocess.run([*command, *args], capture_output=True, text=True, input=say,
                              env={**os.environ, "ETCDCTL_API": "3"})
        if done.returncode:
            if check:
                raise RuntimeError(f"etcdctl {args[:3]}: {done.stderr[-500:]}")
            return None
        return done.stdout

    def revision(self):
        found = json.loads(self.ctl("get", "/none", "-w", "json"))
        return found["header"]["revision"]

    def connection(self):
        return Connection(self.port)

    def put(self, key, value):
        """Below the prefix."""
        with self.connection() as conn:
            return conn.put(key, value)


class Connection:
    """etcd's JSON interface over one connection, without users and TLS."""

    def __init__(self, port):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.conn.close()

    def call(self, path, body):
        self.conn.request("POST", path, json.dumps(body))
        answer = self.conn.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(f"etcd: {path}: {answer.status} {text[:300]}")
        return json.loads(text)

    @staticmethod
    def pair(key, value):
        value = value if isinstance(value, (bytes, str)) else json.dumps(value)
        return {"key": coded(below(key)), "value": coded(value)}

    def put(self, key, value):
        """Returns the revision."""
        return int(self.call("/v3/kv/put", self.pair(key, value))["header"]["revision"])

    def delete(self, key):
        self.call("/v3/kv/deleterange", {"key": coded(below(key))})

    def put_all(self, pairs, at_once=100):
        """Many, some in each transaction: etcd takes 128 operations in one."""
        pairs = list(pairs)
        for at in range(0, len(pairs), at_once):
            self.call("/v3/kv/txn", {"success": [
                {"requestPut": self.pair(key, value)} for key, value in pairs[at:at + at_once]]})


def below(key):
    """The whole key of one below the prefix."""
    return b"/apisix/" + (key if isinstance(key, bytes) else key.encode())


def coded(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


class Checks:
    """Lines that say ok or FAIL, and how many."""

    def __init__(self):
        self.passed, self.failed, self.part = 0, 0, ""

    def check(self, name, fine, told=""):
        note = f" ({told})" if told not in ("", None) else ""
        print(f"  {'ok' if fine else 'FAIL'} {self.part}{name}{note}", flush=True)
        self.passed, self.failed = self.passed + bool(fine), self.failed + (not fine)
        return bool(fine)

    def same(self, name, found, wanted):
        return self.check(name, found == wanted, "" if found == wanted
                          else f"{found!r}, not {wanted!r}")

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


class Folder:
    """A temporary directory that goes with the `with` block."""

    def __init__(self, name, keep=False):
        self.path, self.keep = tempfile.mkdtemp(prefix=f"moongate-{name}-"), keep

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)
