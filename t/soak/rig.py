"""What the tests of this folder share: the two servers under test, their peers, and the counting.

The same Lua (`soak.lua`, started by `soak-work.lua` here and by `nginx.conf` there) runs in
moongate and in Debian's nginx with its Lua module. Everything listens on the loopback and ends
with the test; only processes started here are signalled.
"""

import argparse
import http.client
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NGINX = "/usr/sbin/nginx"

CONFIG = """\
apisix:
  node_listen: [{{port: {port}, ip: 127.0.0.1}}]
  enable_ipv6: false
  extra_lua_path: "{here}/?.lua"
  status: {{ip: 127.0.0.1, port: {status}}}
  control: {{ip: 127.0.0.1, port: {control}}}
nginx_config:
  worker_processes: {workers}
  error_log_level: warn
  http:
    enable_access_log: false
    keepalive_requests: 100000000
    custom_lua_shared_dict: {{{dicts}}}
deployment:
  role: data_plane
  role_data_plane: {{config_provider: yaml}}
plugins: [soak-work]
"""
OBJECTS = """\
routes:
  - {id: 1, uri: "/*", plugins: {soak-work: {}}, upstream: {nodes: {"127.0.0.1:1": 1}}}
#END
"""


def arguments(text):
    """The options of every test here; `text` says what it is about."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="for CI: below half a minute")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    return parser


class Checks:
    """Counts and tells."""

    def __init__(self):
        self.passed = self.failed = 0

    def that(self, good, text, seen=""):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print(("  ok   " if good else "  FAIL ") + text, flush=True)
        if not good and str(seen):
            print("       " + str(seen)[:1500].replace("\n", "\n       "), flush=True)
        return good

    def finish(self):
        print("%d passed, %d failed" % (self.passed, self.failed), flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def files_max():
    """Raises the limit of open files as far as it goes, for us and those we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def binary():
    """The gateway under test."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    path = os.environ.get("MOONGATE_BIN", os.path.join(target, "release", "moongate"))
    if not os.access(path, os.X_OK):
        sys.exit("no moongate: build it (cargo build --release) or set MOONGATE_BIN")
    return os.path.abspath(path)


def free_ports(count):
    """Ports that nobody listens on now, below those that connections start from."""
    found, port = [], 20000 + os.getpid() % 9000
    while len(found) < count:
        port += 1
        try:
            socket.create_server(("127.0.0.1", port)).close()
            found.append(port)
        except OSError:
            pass
    return found


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def ask(port, path, timeout=60):
    """Status and body of a GET."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        conn.request("GET", path, headers={"Connection": "close"})
        answer = conn.getresponse()
        return answer.status, answer.read().decode("latin-1")
    finally:
        conn.close()


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def until(good, seconds, what):
    """Waits until `good()`; ends the test if that never comes."""
    end = time.monotonic() + seconds
    while not good():
        if time.monotonic() > end:
            sys.exit("waited %d s in vain: %s" % (seconds, what))
        time.sleep(0.02)


class Process:
    """A child, its output in a file, and its end."""

    def __init__(self, command, directory, name):
        os.makedirs(directory, exist_ok=True)
        self.name, self.directory, self.command = name, directory, command
        self.child = None

    def start(self):
        with open(self.directory + "/output", "ab") as out:
            # A group of its own: a server in several processes is killed whole.
            self.child = subprocess.Popen(self.command, cwd=self.directory, stdout=out,
                                          stderr=out, start_new_session=True)

    def output(self):
        with open(self.directory + "/output", encoding="utf-8", errors="replace") as text:
            return text.read()

    def signal(self, number):
        os.killpg(self.child.pid, number)

    def kill(self):
        """At once, without a goodbye."""
        self.signal(signal.SIGKILL)
        self.child.wait()
        # Only the leader of the group is our child: its workers may still be going, and until then
        # they hold the port.
        until(lambda: not listens(self.port), 20, self.name + " to leave its port")

    def stop(self):
        if self.child is None or self.child.poll() is not None:
            return
        self.signal(signal.SIGCONT)
        self.child.terminate()
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()


class Redis(Process):
    """A redis without a disk."""

    def __init__(self, work, port):
        super().__init__(["/usr/bin/redis-server", "--port", str(port), "--bind", "127.0.0.1",
                          "--save", "", "--appendonly", "no", "--maxclients", "12000",
                          "--tcp-backlog", "4096"], work + "/redis", "redis")
        self.port = port

    def start(self):
        super().start()
        until(lambda: listens(self.port), 20, "redis")


PEER = """\
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log warn;
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path temp/1; proxy_temp_path temp/2; fastcgi_temp_path temp/3;
    uwsgi_temp_path temp/4; scgi_temp_path temp/5;
    keepalive_requests 100000000;
    keepalive_timeout 75;
    lua_socket_log_errors off;
    lua_package_path "{here}/?.lua;;";
    {dicts}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            default_type text/plain;
            content_by_lua_block {{ {code} }}
        }}
    }}
}}
"""
SLOW = """
            ngx.sleep(tonumber(ngx.var.arg_s) or 0)
            ngx.header.content_length = 6
            ngx.print("hello\\n")
"""


class Nginx(Process):
    """Debian's nginx: an HTTP peer that takes its time, or the other side of a comparison."""

    def __init__(self, work, port, name="peer", code=SLOW, dicts=()):
        directory = work + "/" + name
        os.makedirs(directory + "/temp")
        files = files_max()
        write(directory + "/nginx.conf", PEER.format(
            port=port, here=HERE, code=code, files=files, connections=min(files - 64, 12000),
            dicts="".join("lua_shared_dict %s %s; " % pair for pair in dicts)))
        super().__init__([NGINX, "-p", directory, "-c", "nginx.conf", "-e", "error.log"],
                         directory, name)
        self.port = port

    def start(self):
        super().start()
        until(lambda: listens(self.port), 20, "nginx")

    def log(self):
        with open(self.directory + "/error.log", encoding="utf-8", errors="replace") as text:
            return text.read()


class Gateway(Process):
    """moongate with `soak-work` for every request."""

    def __init__(self, work, workers, dicts=()):
        prefix = work + "/moongate"
        self.port, status, control = free_ports(3)
        tree = os.environ.get("MOONGATE_LUA_TREE")
        for name in ("lua", "plugins") if tree else ():
            shutil.copytree(os.path.join(tree, name), prefix + "/" + name, dirs_exist_ok=True)
        write(prefix + "/conf/config.yaml", CONFIG.format(
            port=self.port, status=status, control=control, here=HERE, workers=workers,
            dicts=", ".join("%s: %s" % pair for pair in dicts)))
        write(prefix + "/conf/apisix.yaml", OBJECTS)
        os.makedirs(prefix + "/plugins", exist_ok=True)
        shutil.copy(HERE + "/soak-work.lua", prefix + "/plugins")
        super().__init__([binary(), "start", "-p", prefix], prefix, "moongate")
        self.status = status

    def start(self):
        super().start()

        def ready():
            if self.child.poll() is not None:
                sys.exit("the gateway does not start:\n" + self.output()[-3000:])
            try:
                return ask(self.status, "/status/ready", 5)[0] == 200
            except OSError:
                return False

        until(ready, 60, "the gateway:\n" + self.output())

    def log(self):
        try:
            with open(self.directory + "/logs/error.log", encoding="utf-8",
                      errors="replace") as text:
                return text.read()
        except OSError:
            return ""

    def memory_kb(self):
        with open("/proc/%d/status" % self.child.pid, encoding="ascii") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def files(self):
        return len(os.listdir("/proc/%d/fd" % self.child.pid))


class World:
    """A directory for all of it, and an end for everybody that was started."""

    def __init__(self, keep):
        self.work, self.keep, self.all = tempfile.mkdtemp(prefix="moongate-soak-"), keep, []
        os.chmod(self.work, 0o755)

    def add(self, process):
        self.all.append(process)
        process.start()
        return process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.all):
            process.stop()
        if self.keep:
            print("left in " + self.work)
        else:
            shutil.rmtree(self.work, ignore_errors=True)
