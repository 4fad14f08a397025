"""Compares Debian's nginx with its Lua module and moongate, case by case. Started by t/compat/run."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NGINX = "/usr/sbin/nginx"
# What a server adds by itself, and how it frames a body.
OWN_HEADERS = {"date", "server", "connection", "keep-alive", "transfer-encoding", "content-length"}
CONFIG = """\
apisix:
  node_listen: [{{port: {port}, ip: 127.0.0.1}}]
  enable_ipv6: false
  extra_lua_path: "{here}/?.lua;{work}/lua/?.lua"
  status: {{ip: 127.0.0.1, port: {status}}}
  control: {{ip: 127.0.0.1, port: {control}}}
nginx_config:
  worker_processes: 1
  error_log_level: info
  http_server_configuration_snippet: |
{snippet}
  http:
    enable_access_log: false
    custom_lua_shared_dict: {{compat: 1m, compat_lists: 1m, compat_small: 16k}}
deployment:
  role: data_plane
  role_data_plane: {{config_provider: yaml}}
plugins: [ngx-compat]
"""
OBJECTS = """\
routes:
  - {{id: 1, uri: "/*", plugins: {{ngx-compat: {{}}}}, upstream: {{nodes: {{"127.0.0.1:{upstream}": 1}}}}}}
#END
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def free_ports(count):
    """Ports of loopback that nobody listens on now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Side:
    """One of the two servers."""

    def __init__(self, name, ports, command, work, error_log):
        self.name, self.work, self.error_log = name, work, error_log
        # The second one speaks HTTP/2.
        self.port, self.h2_port = ports
        self.output = open(work + "/output", "wb")
        self.child = subprocess.Popen(command, cwd=work, stdout=self.output, stderr=self.output)

    def wait(self):
        """Until it serves the route."""
        end = time.monotonic() + 60
        while time.monotonic() < end and self.child.poll() is None:
            try:
                if self.ask(b"GET /result HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        with open(self.work + "/output", encoding="utf-8", errors="replace") as output:
            raise SystemExit("%s does not serve:\n%s" % (self.name, output.read()[-3000:]))

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self.output.close()

    def ask(self, request, timeout=20):
        """Status (0: none), headers as sorted lines, body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as client:
            client.sendall(request)
            data = b""
            while True:
                try:
                    piece = client.recv(65536)
                except ConnectionResetError:
                    break
                if not piece:
                    break
                data += piece
        return parsed(data)

    def ask_in_parts(self, case):
        """As `ask`, but tells when the part has come that the case waits for; or goes away."""
        talk = Curl(self.h2_port, case) if case.http2 else Plain(self.port, case)
        data = b""
        with talk:
            while piece := talk.read():
                data += piece
                if case.parts.encode() in data:
                    if case.leaves:
                        return 0, [], "left"
                    self.own("/arrived")
                    break
            while piece := talk.read():
                data += piece
        return parsed(data)

    def own(self, uri):
        """Asks the driver itself."""
        request = "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % uri
        return self.ask(request.encode())

    def log_size(self):
        return os.path.getsize(self.error_log) if os.path.exists(self.error_log) else 0

    def log_since(self, mark):
        with open(self.error_log, "rb") as log:
            log.seek(mark)
            return log.read().decode("latin-1")


class Plain:
    """A connection of HTTP/1 that is read as things come."""

    def __init__(self, port, case):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.socket.sendall(case.request())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self):
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""


class Curl:
    """A stream of HTTP/2, as curl writes it down."""

    def __init__(self, port, case):
        command = ["curl", "-siN", "--http2-prior-knowledge", "--max-time", "20", "-X", case.method,
                   "-H", "X-Case: " + case.name, "http://127.0.0.1:%d%s" % (port, case.uri)]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(10)
        self.child.stdout.close()

    def read(self):
        return self.child.stdout.read(65536)


def parsed(data):
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/(?:1\.[01]|2) (\d+)", lines[0])
    if not found:
        return 0, [], data.decode("latin-1")
    fields = [line.partition(":") for line in lines[1:]]
    if any(n.lower() == "transfer-encoding" and "chunked" in v for n, _, v in fields):
        body = dechunked(body)
    kept = sorted("%s: %s" % (name.lower(), value.strip()) for name, _, value in fields
                  if name.lower() not in OWN_HEADERS)
    return int(found.group(1)), kept, body.decode("latin-1")


def dechunked(body):
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size.split(b";")[0] or b"0", 16)
        if not count:
            return whole
        whole, body = whole + body[:count], body[count + 2:]
    return whole + b"(cut)"


class Case:
    """A case as the driver lists it."""

    def __init__(self, fields):
        (self.name, self.method, self.uri, headers, self.body, self.raw, later, compare,
         log, self.parts, leaves, http2) = fields
        self.leaves, self.http2 = bool(leaves), bool(http2)
        self.headers = [line for line in headers.split("\x1f") if line]
        self.later, self.logs = bool(later), bool(log)
        self.compare = compare.split()

    def request(self):
        lines = ["%s %s HTTP/1.1" % (self.method, self.uri), "Host: compat.test"]
        if self.raw:
            return self.raw.replace("@CASE@", "X-Case: " + self.name).encode("latin-1")
        lines += ["X-Case: " + self.name, "Connection: close"] + self.headers
        if self.body:
            lines.append("Content-Length: %d" % len(self.body))
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode("latin-1")


def result(side):
    """What the case said in phases behind access; None if it did not end."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        _, _, body = side.ask(b"GET /result HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if body.startswith("over\n"):
            return body[5:]
        time.sleep(0.005)
    return None


def logged(text):
    """The lines that Lua code wrote to the error log: level and message."""
    found = re.findall(r"\[(\w+)\] [^\n]*?\[lua\] (?:\[C\]:-1: )?(\S+?:\d+: )?([^\n]*)", text)
    return ["%s %s%s" % (level, place, re.sub(r", client: .*|, context: .*", "", message))
            for level, place, message in found]


def run(side, case):
    """Everything of one case that is compared, as lines."""
    mark = side.log_size()
    try:
        if case.parts:
            status, headers, body = side.ask_in_parts(case)
        else:
            status, headers, body = side.ask(case.request())
    except OSError as error:
        return ["no answer: %s" % error]
    lines = ["status: %d" % status]
    own_page = "nobody" in case.compare
    if "noheaders" not in case.compare:
        # What it is depends on whose error page it is.
        lines += [line for line in headers if not (own_page and line.startswith("content-type:"))]
    if not own_page:
        lines += body.split("\n")
    if case.later:
        said = result(side)
        lines += ["said:"] + (said.split("\n") if said is not None else ["(not over)"])
    if "log" in case.compare:
        time.sleep(0.1)
        lines += ["log:"] + logged(side.log_since(mark))
    return [line.replace(str(side.port), "PORT").replace(side.work, "WORK") for line in lines]


def listed(side):
    _, _, body = side.ask(b"GET /list HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    if not body.endswith("\x1d"):
        raise SystemExit("%s cannot list the cases: %s" % (side.name, body[-2000:]))
    return sorted((Case(entry.split("\x1e")) for entry in body.split("\x1d") if entry),
                  key=lambda case: case.name)


def differences():
    """Case name -> reason."""
    known = {}
    with open(HERE + "/differences", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            name, tab, reason = line.partition(" -- ")
            if not tab or not reason.strip():
                raise SystemExit("differences:%d: expected `case -- reason`" % number)
            known[name.strip()] = reason.strip()
    return known


def start(work):
    """nginx and moongate, both ready."""
    theirs, streams, ours, status, control = free_ports(5)
    world = peers.World(work)
    files = sorted(name[:-4] for name in os.listdir(HERE + "/cases") if name.endswith(".lua"))
    write(work + "/lua/compat_env.lua", "return {\n    cases = %s,\n    files = { %s },\n%s}\n" % (
        lua(HERE + "/cases"), ", ".join(lua(name) for name in files),
        "".join("    %s = %s,\n" % (key, lua(value)) for key, value in world.facts().items())))
    names = {"HERE": HERE, "WORK": work, "PORT": theirs, "STREAMS": streams,
             "UPSTREAM": world.upstream}
    with open(HERE + "/nginx.conf", encoding="utf-8") as source:
        text = re.sub("@([A-Z]+)@", lambda m: str(names[m.group(1)]), source.read())
    write(work + "/nginx/nginx.conf", text)
    os.makedirs(work + "/nginx/temp")
    prefix = work + "/moongate"
    with open(HERE + "/locations.conf", encoding="utf-8") as source:
        snippet = "".join("    " + line for line in source)
    write(prefix + "/conf/config.yaml",
          CONFIG.format(port=ours, status=status, control=control, here=HERE, work=work,
                        snippet=snippet))
    write(prefix + "/conf/apisix.yaml", OBJECTS.format(upstream=world.upstream))
    os.makedirs(prefix + "/plugins")
    tree = os.environ.get("MOONGATE_LUA_TREE")
    if tree:
        for name in ("lua", "plugins"):
            shutil.copytree(os.path.join(ROOT, tree, name), prefix + "/" + name, dirs_exist_ok=True)
    shutil.copy(HERE + "/ngx-compat.lua", prefix + "/plugins")
    binary = os.environ.get("MOONGATE_BIN") or os.path.join(
        os.environ.get("CARGO_TARGET_DIR") or ROOT + "/target", "release/moongate")
    command = [NGINX, "-p", work + "/nginx", "-c", "nginx.conf", "-e", "error.log"]
    nginx = Side("nginx", (theirs, streams), command, work + "/nginx", work + "/nginx/error.log")
    command = [os.path.abspath(os.path.join(ROOT, binary)), "start", "-p", prefix]
    moongate = Side("moongate", (ours, ours), command, prefix, prefix + "/logs/error.log")
    return nginx, moongate


def lua(value):
    return str(value) if isinstance(value, int) else '"%s"' % value


def show(nginx, moongate):
    """The lines in which the two differ."""
    for at in range(max(len(nginx), len(moongate))):
        left = nginx[at] if at < len(nginx) else "(nothing)"
        right = moongate[at] if at < len(moongate) else "(nothing)"
        if left != right:
            print("         nginx: %s\n      moongate: %s" % (left[:400], right[:400]))


def compare(sides, known, wanted, verbose):
    """Equal, different, intended."""
    cases = listed(sides[0])
    names = {case.name for case in cases}
    stale = sorted(set(known) - names)
    counts = [0, len(stale), 0]
    for name in stale:
        print("  FAIL differences names %s, which is no case" % name)
    for case in cases:
        if wanted and not any(part in case.name for part in wanted):
            continue
        # On a busy machine a short time may pass too soon: only what differs again is told.
        for _ in range(3):
            nginx, moongate = (run(side, case) for side in sides)
            if (nginx == moongate) == (case.name not in known):
                break
        if nginx == moongate:
            counts[0] += 1
            if case.name in known:
                counts[1] += 1
                print("  FAIL %s: listed in differences, but equal" % case.name)
            elif verbose:
                print("  ok   %s\n         %s" % (case.name, "\n         ".join(nginx)))
        elif case.name in known:
            counts[2] += 1
            if verbose:
                print("  intended %s: %s" % (case.name, known[case.name]))
                show(nginx, moongate)
        else:
            counts[1] += 1
            print("  FAIL %s" % case.name)
            show(nginx, moongate)
    return counts


def main():
    args = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
    # Whoever ends this test means its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = tempfile.mkdtemp(prefix="moongate-compat-")
    os.chmod(work, 0o755)
    sides = ()
    try:
        sides = start(work)
        for side in sides:
            side.wait()
        equal, different, intended = compare(sides, differences(), args, "-v" in sys.argv)
    finally:
        for side in sides:
            side.stop()
        if "--keep" in sys.argv:
            print("left in " + work)
        else:
            shutil.rmtree(work)
    print("  ok   %d cases are equal, %d differ as intended" % (equal, intended))
    if different:
        print("  FAIL %d cases differ" % different)
    sys.exit(1 if different or not equal else 0)


main()
