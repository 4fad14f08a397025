"""TARS against real peers: every IDL type with a server of npm's @tars/rpc, through the gateway and
by `moongate idl call`; and what we send, read by npm's client library and by PyPI's tarsio.
Started by t/tars/run.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "live"))

import rig  # noqa: E402
import tarsio  # noqa: E402

SERVANT = "Types.EchoServer.EchoObj"
IDL = os.path.join(HERE, "Types.tars")
ROUTES = """routes:
  - id: fixed
    uri: /all
    plugins: {{tars-transcode: {{service: {servant}, "function": all, proto_id: types}}}}
    upstream_id: npm
  - id: tup
    uri: /tup/*
    plugins: {{tars-transcode: {{mode: tup, proto_id: types}}}}
    upstream_id: npm
  - id: oneway
    uri: /oneway/*
    plugins: {{tars-transcode: {{oneway: true, proto_id: types}}}}
    upstream_id: npm
  - id: recorded
    uri: /recorded/*
    plugins: {{tars-transcode: {{proto_id: types, request_headers: [X-User], timeout: 7}}}}
    upstream_id: recorder
  - id: recorded-tup
    uri: /recorded-tup/*
    plugins: {{tars-transcode: {{mode: tup, proto_id: types, timeout: 7}}}}
    upstream_id: recorder
  - id: recorded-tup2
    uri: /recorded-tup2/*
    plugins: {{tars-transcode: {{mode: tup2, proto_id: types, timeout: 7}}}}
    upstream_id: recorder
  - id: names
    uri: /names/*
    plugins:
      tars-transcode:
        proto_id: types
        enums: name
        bytes: array
        int64_as_string: always
        unknown_fields: reject
        unwrap: rsp
        servants: {{{servant}: Types.Echo}}
    upstream_id: npm
  - id: path
    uri: /json/*
    plugins:
      tars-transcode:
        proto_id: types
        request_headers: [X-User]
        response_headers: {{x-node: X-Node, x-user: X-Echo}}
        status_map: {{"77": 409}}
        ret_to_status: {{"7": 299}}
        timeout: 1
    upstream_id: npm
upstreams:
  - id: npm
    type: roundrobin
    nodes: {{"127.0.0.1:{node}": 1}}
  - id: recorder
    type: roundrobin
    nodes: {{"127.0.0.1:{recorder}": 1}}
protos:
  - id: types
    name: Types.tars
    content: {idl}
#END
"""

FULL = {
    "flag": True, "b": -128, "s": 32767, "i": -2147483648, "l": "-9223372036854775808",
    "f": -1.5, "d": 1.7976931348623157e308, "str": "\u4f60\u597d \"\\\n\U0001f600",
    "vi": [0, 1, -1, 127, 128, -129, 32768, 2147483647, -2147483648],
    "vb": base64.b64encode(bytes(range(256))).decode(), "m": {"": 0, "a": -1, "\u00e9": 70000},
    "p": {"x": 3, "y": -4}, "c": 6, "ub": 255, "us": 65535, "ui": 4294967295,
    "vp": [{"x": 1, "y": 2}, {"x": 0, "y": 0}], "vs": ["", "x" * 300, "\u4f60"],
    "mp": {'{"x":1,"y":2}': [{"x": 5, "y": 6}], '{"x":-1,"y":0}': []},
    "mi": {"-1": "a", "0": "", "2147483647": "c"}, "vvb": ["", "AAH/", "/w=="],
    "vd": [0.0, -0.5, 5e-324], "ms": {"k": {"x": 7, "y": 8}}, "vf": [True, False], "far": -9,
}
LEAST = {"flag": False, "b": 0, "s": 0, "i": 0, "l": 0, "f": 0.0, "d": 0.0, "str": ""}
DEFAULTS = {
    "flag": False, "b": 7, "s": 0, "i": 0, "l": 0, "f": 0.0, "d": 0.0, "str": "", "vi": [],
    "vb": "", "m": {}, "p": {"x": 0, "y": 0}, "c": 5, "ub": 0, "us": 0, "ui": 0, "vp": [],
    "vs": [], "mp": {}, "mi": {}, "vvb": [], "vd": [], "ms": {}, "vf": [], "far": 3,
}

failed = 0


def check(name, good, got=""):
    """One line for one fact."""
    global failed
    failed += not good
    print(f"  {'ok  ' if good else 'FAIL'} {name}" + ("" if good else f": {got}"), flush=True)


def same(name, got, expected):
    check(name, got == expected, f"got {got!r}, expected {expected!r}")


class Server:
    """A server of npm's @tars/rpc."""

    def __init__(self, port):
        self.port = port
        self.lines = []
        self.process = subprocess.Popen(
            ["node", "--no-deprecation", os.path.join(HERE, "server.js"), str(port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self.read, daemon=True).start()
        self.wait(lambda: any("listens" in line for line in self.lines))

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait(self, done, seconds=30):
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end or self.process.poll() is not None:
                self.stop()
                raise SystemExit("the server: " + "\n".join(self.lines[-20:]))
            time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Recorder:
    """Stands in front of the server and keeps the frames that go there."""

    def __init__(self, target):
        self.target = target
        self.frames = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.forth, args=(peer, server), daemon=True).start()
            threading.Thread(target=self.back, args=(server, peer), daemon=True).start()

    def forth(self, peer, server):
        buffer = b""
        with peer, server:
            while data := peer.recv(65536):
                buffer += data
                while len(buffer) >= 4 and len(buffer) >= int.from_bytes(buffer[:4], "big"):
                    length = int.from_bytes(buffer[:4], "big")
                    self.frames.append(buffer[:length])
                    server.sendall(buffer[:length])
                    buffer = buffer[length:]

    @staticmethod
    def back(server, peer):
        try:
            while data := server.recv(65536):
                peer.sendall(data)
        except OSError:
            pass

    def take(self, function):
        """The one frame that calls `function` since the last time."""
        frames, self.frames = self.frames, []
        found = [frame for frame in frames if function.encode() in frame]
        assert len(found) == 1, f"{len(found)} frames call {function}"
        return found[0]


class Http:
    """A client of the gateway."""

    def __init__(self, port):
        self.port = port

    def ask(self, path, body=None, headers=None):
        """Status, headers, and the body as JSON."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data,
            headers={"Content-Type": "application/json", **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, headers, text = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, text = error.code, error.headers, error.read()
        try:
            return status, headers, json.loads(text) if text else None
        except ValueError:
            return status, headers, text


def all_types(name, ask):
    """Every type, by `ask(function, arguments)`, which returns status and body."""
    status, got = ask("all", {"req": FULL})
    rsp = {**FULL, "i": FULL["i"] + 1}
    same(f"{name}: a full struct", (status, got),
         (200, {"tars_ret": DEFAULTS, "rsp": rsp, "count": len(FULL["vi"])}))
    status, got = ask("all", {"req": LEAST})
    same(f"{name}: an empty struct with its defaults", (status, got and got.get("rsp")),
         (200, {**DEFAULTS, **LEAST, "i": 1}))
    for field, value in (("l", "9223372036854775807"), ("l", 9007199254740991), ("b", 127),
                         ("s", -32768), ("f", 3.4028235e38), ("d", -5e-324), ("c", 0),
                         ("str", "\u0000"), ("vi", list(range(1000))), ("str", "z" * 70000),
                         ("mi", {str(n): str(n) for n in range(300)}), ("vb", "")):
        status, got = ask("all", {"req": {**LEAST, field: value}})
        text = repr(value)[:24]
        same(f"{name}: {field} = {text}", (status, got and got["rsp"].get(field)), (200, value))
    same(f"{name}: longs", ask("add", {"a": "9223372036854775806", "b": 1}),
         (200, {"tars_ret": "9223372036854775807"}))
    same(f"{name}: no results", ask("nothing", {}), (200, {}))
    status, got = ask("fail", {"code": 78})
    same(f"{name}: an error of the function", (status, got),
         (502, {"tars_code": 78, "message": "failed as asked"}))


def by_http(http):
    all_types("http", lambda name, body: http.ask(f"/json/{SERVANT}/{name}", body)[::2])
    status, _, got = http.ask("/all", {"req": LEAST})
    same("http: servant and function from the conf", (status, sorted(got)),
         (200, ["count", "rsp", "tars_ret"]))
    status, headers, got = http.ask(f"/json/{SERVANT}/hello?name=a%20b", headers={"X-User": "me"})
    same("http: query values and context both ways",
         (status, got, headers["X-Echo"], headers["X-Node"].isdigit(), headers["Content-Type"]),
         (200, {"tars_ret": "hello a b"}, "me", True, "application/json"))
    same("http: a form", http.ask(f"/json/{SERVANT}/add", b"a=1&b=2", {
        "Content-Type": "application/x-www-form-urlencoded"})[::2], (200, {"tars_ret": 3}))
    status, headers, got = http.ask(f"/json/{SERVANT}/fail", {"code": 77})
    same("http: a code with a status of its own", (status, got["tars_code"], headers["X-Tars-Ret"]),
         (409, 77, "77"))
    same("http: a status for what is returned", http.ask(f"/json/{SERVANT}/slow", {"ms": 7})[0], 299)
    start = time.monotonic()
    status = http.ask(f"/json/{SERVANT}/slow", {"ms": 5000})[0]
    check("http: a call that takes too long", status == 504 and time.monotonic() - start < 3,
          (status, time.monotonic() - start))
    status, got = http.ask(f"/names/{SERVANT}/all", {"req": {**LEAST, "c": "BLUE", "vb": [1, 255]}})[::2]
    same("http: options choose how values look",
         (status, got["c"], got["vb"], got["l"]), (200, "BLUE", [1, 255], "0"))
    same("http: TUP", http.ask(f"/tup/{SERVANT}/add", {"a": 1, "b": 2})[::2], (200, {"tars_ret": 3}))
    got = http.ask(f"/tup/{SERVANT}/all", {"req": FULL})
    same("http: TUP with a full struct", (got[0], got[2] and got[2].get("rsp")),
         (200, {**FULL, "i": FULL["i"] + 1}))
    refusals(http)


def refusals(http):
    path = f"/json/{SERVANT}"
    for name, where, body, status, message in (
        ("a wrong type", f"{path}/all", {"req": {**LEAST, "vp": [{"x": "a", "y": 1}]}}, 400,
         "req.vp[0].x: expected int (-2147483648 to 2147483647), got \"a\""),
        ("out of range", f"{path}/all", {"req": {**LEAST, "ub": 256}}, 400,
         "req.ub: expected unsigned byte (0 to 255), got 256"),
        ("a missing member", f"{path}/all", {"req": {}}, 400, "req.flag: required, expected bool"),
        ("a missing argument", f"{path}/hello", {}, 400, "name: required, expected string"),
        ("no JSON", f"{path}/hello", b"{", 400,
         "no JSON: EOF while parsing an object at line 1 column 1"),
        ("an unknown function", f"{path}/nope", {}, 404, 'Types.Echo has no function "nope"'),
        ("an unknown servant", "/names/X.Y.Z/add", {}, 404, "there is no such servant"),
        ("an unknown field", f"/names/{SERVANT}/add", {"a": 1, "b": 2, "c": 3}, 400,
         "c: there is no such field"),
    ):
        got = http.ask(where, body)[::2]
        same(f"http: refused: {name}", got, (status, {"message": message}))


def one_way(http, server):
    status, _, got = http.ask(f"/oneway/{SERVANT}/note", {"text": "by http"})
    same("http: one way", (status, got), (202, None))
    server.wait(lambda: "note by http" in server.lines)
    status = run_cli(server.port, "note", {"text": "by shell"}, "-o", "oneway=true")[0]
    same("shell: one way", status, 0)
    server.wait(lambda: "note by shell" in server.lines)
    check("one-way calls arrive", True)


def run_cli(port, function, arguments, *more):
    done = subprocess.run(
        [rig.binary(), "idl", "call", f"127.0.0.1:{port}", SERVANT, function, "-", "--idl", IDL,
         *more],
        input=json.dumps(arguments), capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


def by_shell(server):
    def ask(function, arguments):
        code, out, err = run_cli(server.port, function, arguments)
        status = 200 if code == 0 else int(err.split()[-1]) if "status" in err else err
        return status, json.loads(out) if out.strip() else None
    all_types("shell", ask)
    for mode in ("tup", "tup2"):
        code, out, err = run_cli(server.port, "all", {"req": FULL}, "-o", f"mode={mode}")
        check(f"shell: {mode}", code == 0 and json.loads(out)["rsp"]["mp"] == FULL["mp"], err)
    code, _, err = run_cli(server.port, "all", {"req": 1})
    same("shell: refused", (code, err), (1, "moongate: req: expected Types.All, got 1\n"))


# One field each, with values at the edges of its type.
EDGES = (
    ("flag", True), ("b", 127), ("b", -1), ("s", 128), ("s", -32768), ("i", 2147483646),
    ("l", "9223372036854775807"), ("l", "-1"), ("f", 3.4028234663852886e38), ("d", -5e-324),
    ("str", ""), ("str", "\u0000"), ("str", "x" * 255), ("str", "x" * 256), ("str", "z" * 70000),
    ("vi", list(range(1000))), ("vb", ""), ("vb", base64.b64encode(bytes(70000)).decode()),
    ("m", {str(n): n for n in range(300)}), ("p", {"x": -2147483648, "y": 2147483647}), ("c", 0),
    ("ub", 128), ("us", 32768), ("ui", 2147483648), ("vp", [{"x": n, "y": -n} for n in range(300)]),
    ("vs", ["\u4f60\u597d", "\U0001f600"]), ("mi", {str(-n): str(n) for n in range(1, 300)}),
    ("mp", {'{"x":-2147483648,"y":2147483647}': [{"x": 1, "y": 2}] * 20}),
    ("vvb", [base64.b64encode(bytes([n])).decode() for n in range(256)]), ("vd", [1e308, -0.5]),
    ("ms", {"": {"x": 0, "y": 0}}), ("vf", [True] * 16), ("far", -2147483648),
)


def by_npm_client(http, recorder):
    """What the gateway sends, decoded by npm's client library."""
    sent = []

    def ask(name, route, function, arguments, headers=None):
        status, _, got = http.ask(f"/{route}/{SERVANT}/{function}", arguments, headers)
        check(f"npm client: {name}: recorded", status == 200, (status, got))
        sent.append((name, route, function, arguments, recorder.take(function)))

    ask("a context", "recorded", "add", {"a": "1", "b": "2"}, {"X-User": "\u00e9 me".encode()})
    for route in ("recorded", "recorded-tup", "recorded-tup2"):
        ask(f"{route}: a full struct", route, "all", {"req": FULL})
        ask(f"{route}: an empty struct", route, "all", {"req": LEAST})
        ask(f"{route}: longs", route, "add", {"a": "-9223372036854775808", "b": "4294967296"})
    for field, value in EDGES:
        text = repr(value)[:24]
        ask(f"{field} = {text}", "recorded", "all", {"req": {**FULL, field: value}})
    frames = [{"function": function, "frame": frame.hex()} for _, _, function, _, frame in sent]
    done = subprocess.run(["node", "--no-deprecation", os.path.join(HERE, "client.js")],
                          input=json.dumps(frames), capture_output=True, text=True, timeout=60)
    if done.returncode:
        check("npm client: decodes what we encode", False, done.stderr)
        return
    for (name, route, function, arguments, _), got in zip(sent, json.loads(done.stdout)):
        versions = {"recorded": 1, "recorded-tup": 3, "recorded-tup2": 2}
        context = {"x-user": "\u00e9 me"} if name == "a context" else {}
        same(f"npm client: {name}: the packet", got["packet"], {
            "version": versions[route], "type": 0, "servant": SERVANT, "function": function,
            "timeout": 7000, "context": context, "status": {}})
        expected = arguments
        if function == "all":
            expected = {"req": {**DEFAULTS, **arguments["req"]}}
        same(f"npm client: {name}", with_longs(got["values"]), with_longs(expected))


def with_longs(values):
    """Arguments with all longs as strings: npm's library has small ones as numbers."""
    if "req" in values:
        return {"req": {**values["req"], "l": str(values["req"]["l"])}}
    return {name: str(value) for name, value in values.items()}


def by_tarsio():
    """A server of one call that keeps the packet, read by tarsio."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        kept = []

        def keep():
            peer, _ = listener.accept()
            with peer:
                data = peer.recv(4)
                while len(data) < int.from_bytes(data[:4], "big"):
                    data += peer.recv(65536)
                kept.append(data)
        thread = threading.Thread(target=keep)
        thread.start()
        # Without a description tarsio reads no maps whose keys are structs.
        sent = {name: value for name, value in FULL.items() if name != "mp"}
        run_cli(port, "all", {"req": sent}, "-m", "trace=1", "-t", "2000")
        thread.join(5)
    packet = tarsio.decode(kept[0][4:])
    text = {key: value.decode() if isinstance(value, bytes) else value
            for key, value in packet.items() if key in (1, 2, 3, 5, 6, 8)}
    same("tarsio: the packet", text, {1: 1, 2: 0, 3: 0, 5: SERVANT, 6: "all", 8: 2000})
    item = tarsio.decode(packet[7])[1]
    read = {
        "flag": item[0] == 1, "b": item[1], "s": item[2], "i": item[3], "l": str(item[4]),
        "f": item[5], "d": item[6], "str": plain(item[7]), "vi": list(item[8]),
        "vb": base64.b64encode(item[9]).decode(), "c": item[12], "ub": item[13], "us": item[14],
        "ui": item[15], "vd": list(item[21]), "far": item[200],
        "m": {plain(key): value for key, value in item[10].items()},
        "p": {"x": item[11][0], "y": item[11][1]},
        "vs": [plain(text) for text in item[17]],
        "vp": [{"x": point[0], "y": point[1]} for point in item[16]],
    }
    for field, value in read.items():
        same(f"tarsio: {field}", value, FULL[field])


def plain(text):
    return text.decode() if isinstance(text, bytes) else text


def main():
    options = rig.arguments(__doc__, 9460, {})
    server = Server(options.port + 5)
    recorder = Recorder(server.port)
    gateway = rig.Gateway(options, plugins=["tars-transcode"])
    try:
        with open(IDL, encoding="utf-8") as idl:
            text = json.dumps(idl.read())
        gateway.write("conf/apisix.yaml", ROUTES.format(
            servant=SERVANT, node=server.port, recorder=recorder.port, idl=text))
        gateway.start()
        http = Http(options.port)
        by_http(http)
        by_shell(server)
        one_way(http, server)
        by_npm_client(http, recorder)
        by_tarsio()
    finally:
        gateway.stop()
        server.stop()
    sys.exit(1 if failed else 0)


main()
