"""Limits over two gateway processes that share Redis. See t/redis/run.

Every request is made once, its status, time and latency are kept, and what was let through is
compared with what may be. Only processes started here are signalled, by their own id.
"""

import collections
import concurrent.futures
import http.client
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TREE = os.environ.get("MOONGATE_LUA_TREE")
HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHORT = "--short" in sys.argv
PORT = int(os.environ.get("REDIS_TEST_PORT", "18300"))
GATES = [PORT, PORT + 10]
SINGLE, TLS, MASTER, REPLICA, SENTINEL = (PORT + n for n in range(20, 25))
CLUSTER = [PORT + n for n in range(30, 36)]
DEADLINE = 0.3
# What a busy machine adds to a deadline, in seconds.
SLACK = 0.35

Answer = collections.namedtuple("Answer", "gate status at took")

CONFIG = """deployment:
  role: data_plane
  role_data_plane: {{config_provider: yaml}}
apisix:
  node_listen: [{port}]
  enable_ipv6: false
  ssl: {{ssl_trusted_certificate: {ca}}}
  status: {{ip: 127.0.0.1, port: {status}}}
  control: {{ip: 127.0.0.1, port: {control}}}
nginx_config:
  worker_processes: 2
  error_log_level: warn
  http: {{keepalive_requests: 1000000}}
plugins: [proxy-rewrite, mocking, limit-count, limit-req]
"""


def route(uri, plugin, fields):
    """Behind it is the first gateway's own route /up, which answers by itself."""
    return (f'  - uri: "{uri}"\n    plugins:\n      proxy-rewrite: {{uri: /up}}\n'
            f'      {plugin}: {{{fields}}}\n'
            f'    upstream: {{type: roundrobin, nodes: {{"127.0.0.1:{GATES[0]}": 1}}}}\n')


def objects():
    single = f"policy: redis, redis_host: 127.0.0.1, redis_port: {SINGLE}, redis_timeout: 300"
    tls = f"policy: redis, redis_host: localhost, redis_port: {TLS}, redis_ssl: true"
    sentinel = (f"policy: redis-sentinel, redis_sentinels: [{{host: 127.0.0.1, port: {SENTINEL}}}],"
                " redis_master_name: main, redis_read_timeout: 300")
    nodes = ", ".join(f'"127.0.0.1:{port}"' for port in CLUSTER[:2])
    cluster = (f"policy: redis-cluster, redis_cluster_nodes: [{nodes}], redis_cluster_name: c,"
               " redis_timeout: 300")
    name = "limit-count"
    return "routes:\n" + "".join((
        '  - uri: "/up"\n    plugins: {mocking: {response_example: ok}}\n',
        route("/fixed", name, f"count: 500, time_window: 3600, {single}"),
        route("/sliding", name,
              f"count: 500, time_window: 36000, window_type: sliding, {single}"),
        route("/second", name, f"count: 50, time_window: 1, {single}"),
        route("/delayed", name,
              f"count: 1000, time_window: 3600, sync_interval: 0.5, {single}"),
        route("/req", "limit-req",
              f"rate: 50, burst: 0, nodelay: true, key: server_protocol, {single}"),
        route("/strict", name, f"count: 1000000, time_window: 3600, {single}"),
        route("/lenient", name,
              f"count: 1000000, time_window: 3600, allow_degradation: true, {single}"),
        route("/alone", name, f"count: 20, time_window: 3600, sync_interval: 0.5, {single}"),
        route("/sentinel", name, f"count: 1000000, time_window: 3600, {sentinel}"),
        route("/cluster", name, f"count: 2, time_window: 3600, key: arg_k, {cluster}"),
        route("/tls", name, f"count: 5, time_window: 3600, {tls}, redis_ssl_verify: true"),
        route("/tls-name", name, f"count: 5, time_window: 3600, "
              f"{tls.replace('localhost', '127.0.0.1')}, redis_ssl_verify: true"),
        route("/tls-any", name, f"count: 5, time_window: 3600, "
              f"{tls.replace('localhost', '127.0.0.1')}"),
    )) + "#END\n"


class Rig:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="moongate-redis-")
        self.processes = {}
        self.failed = 0

    def spawn(self, name, *command):
        log = open(os.path.join(self.dir, f"{name}.log"), "a")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.dir)

    def signal(self, name, number):
        self.processes[name].send_signal(number)
        if number == signal.SIGKILL:
            self.processes.pop(name).wait()

    def redis(self, port, *more):
        self.spawn(f"redis-{port}", "redis-server", "--port", str(port), "--bind", "127.0.0.1",
                   "--save", "", "--appendonly", "no", "--dir", self.dir,
                   "--cluster-config-file", f"nodes-{port}.conf", *more)
        wait_for(lambda: is_open(port), f"redis at {port}")

    def gate(self, port):
        prefix = os.path.join(self.dir, f"gate-{port}")
        for name in ("conf", "logs", "plugins", "lua"):
            os.makedirs(os.path.join(prefix, name))
        for name in ("lua", "plugins") if TREE else ():
            shutil.copytree(os.path.join(TREE, name), os.path.join(prefix, name),
                            dirs_exist_ok=True)
        config = CONFIG.format(port=port, status=port + 1,
                               control=port + 2, ca=os.path.join(self.dir, "ca.pem"))
        write(os.path.join(prefix, "conf/config.yaml"), config)
        write(os.path.join(prefix, "conf/apisix.yaml"), objects())
        self.spawn(f"gate-{port}", binary(), "start", "-p", prefix)
        wait_for(lambda: get(port, "/up")[0] == 200, f"the gateway at {port}")

    def check(self, what, held, figures=""):
        word, colon = "ok  " if held else "FAIL", ": " if figures else ""
        print(f"  {word} {what}{colon}{figures}", flush=True)
        self.failed += not held

    def close(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        if not self.failed:
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            print(f"  logs are in {self.dir}")


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(HOME, "target"))
    for path in (os.environ.get("MOONGATE_BIN"), os.path.join(target, "release", "moongate")):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    sys.exit("no moongate: build it (cargo build --release) or set MOONGATE_BIN")


def write(path, text):
    with open(path, "w") as out:
        out.write(text)


def is_open(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, what, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"{what} did not come within {seconds} s")


def cli(port, *words):
    command = ["redis-cli", "-p", str(port), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()


def get(port, path, connection=None):
    connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status, connection


def load(path, seconds=None, count=None, gates=None, clients=4, pause=0.0):
    """Clients at each gateway until the time or the number (for each gateway) is over."""
    answers, lock = [], threading.Lock()
    gates = gates or GATES
    left = {gate: count for gate in gates}
    until = time.monotonic() + (seconds or 60)

    def client(gate):
        connection = http.client.HTTPConnection("127.0.0.1", gate, timeout=10)
        mine = []
        while time.monotonic() < until:
            if count is not None:
                with lock:
                    if left[gate] <= 0:
                        break
                    left[gate] -= 1
            start = time.monotonic()
            status, _ = get(gate, path() if callable(path) else path, connection)
            end = time.monotonic()
            mine.append(Answer(gate, status, end, end - start))
            if pause:
                time.sleep(pause)
        with lock:
            answers.extend(mine)

    threads = [threading.Thread(target=client, args=(gate,)) for gate in gates
               for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def passed(answers):
    return [answer for answer in answers if answer.status == 200]


def slowest(answers):
    return max(answer.took for answer in answers)


def most_within(answers, seconds):
    """The most that one gateway let through within `seconds`."""
    most = 0
    for gate in GATES:
        times = sorted(answer.at for answer in passed(answers) if answer.gate == gate)
        first = 0
        for last, at in enumerate(times):
            while at - times[first] > seconds:
                first += 1
            most = max(most, last - first + 1)
    return most


def exact(rig):
    for kind in ("fixed", "sliding"):
        answers = load(f"/{kind}", count=600)
        rig.check(f"{kind} window of 500, 1200 requests to both: exactly 500 pass",
                  len(passed(answers)) == 500, str(len(passed(answers))))
    seconds = 3 if SHORT else 8
    start = time.monotonic()
    answers = load("/second", seconds=seconds, pause=0.002)
    windows = math.ceil(time.monotonic() - start) + 1
    rig.check("50 in a second, over several windows", len(passed(answers)) <= 50 * windows
              and len(passed(answers)) >= 50 * (seconds - 1),
              f"{len(passed(answers))} of {len(answers)}, at most {50 * windows}")
    answers = load("/req", seconds=seconds, pause=0.002)
    most = 50 * seconds * 1.05 + 2
    rig.check("limit-req, 50 in a second for both together", len(passed(answers)) <= most,
              f"{len(passed(answers))} of {len(answers)} in {seconds} s")


def delayed(rig):
    answers = load("/delayed", count=2000, pause=0.004, seconds=30)
    interval = most_within(answers, 0.5)
    most = 1000 + (len(GATES) - 1) * interval
    got = len(passed(answers))
    rig.check("sync_interval 0.5, limit 1000: at most what one admits in an interval above it",
              got <= most, f"{got} passed, {interval} in an interval, at most {most}")
    rig.check("and not below the limit", got >= 1000, str(got))


def trouble(rig, what, statuses):
    """`statuses`: path -> what it must answer while Redis is in trouble."""
    for path, status in statuses.items():
        answers = load(path, count=20 if SHORT else 40, clients=10)
        found = collections.Counter(answer.status for answer in answers)
        rig.check(f"{what}: {path} answers {status}", set(found) == {status}, str(dict(found)))
        rig.check(f"{what}: {path} within the deadline of {DEADLINE} s",
                  slowest(answers) < DEADLINE + SLACK, f"slowest {slowest(answers):.3f} s")


def recovers(rig, what):
    start = time.monotonic()
    try:
        wait_for(lambda: all(get(gate, "/strict")[0] == 200 for gate in GATES), "an answer", 8)
        rig.check(f"{what}: used again", True, f"after {time.monotonic() - start:.2f} s")
    except RuntimeError as error:
        rig.check(f"{what}: used again", False, str(error))


def failures(rig):
    load("/strict", count=5), load("/lenient", count=5)
    statuses = {"/strict": 500, "/lenient": 200}
    rig.signal(f"redis-{SINGLE}", signal.SIGSTOP)
    trouble(rig, "frozen", statuses)
    rig.signal(f"redis-{SINGLE}", signal.SIGCONT)
    recovers(rig, "frozen")
    cli(SINGLE, "config", "set", "maxmemory", "1")
    trouble(rig, "out of memory", statuses)
    cli(SINGLE, "config", "set", "maxmemory", "0")
    recovers(rig, "out of memory")
    rig.signal(f"redis-{SINGLE}", signal.SIGKILL)
    trouble(rig, "killed", statuses)
    answers = load("/alone", count=40)
    each = collections.Counter(answer.gate for answer in passed(answers))
    rig.check("killed: with sync_interval each process holds the limit of 20 alone",
              all(each[gate] == 20 for gate in GATES), str(dict(each)))
    rig.redis(SINGLE)
    recovers(rig, "killed")


def failover(rig):
    rig.redis(MASTER)
    rig.redis(REPLICA, "--replicaof", "127.0.0.1", str(MASTER))
    write(os.path.join(rig.dir, "sentinel.conf"),
          f"port {SENTINEL}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {MASTER} 1\n"
          "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n")
    rig.spawn("sentinel", "redis-server", os.path.join(rig.dir, "sentinel.conf"), "--sentinel")
    wait_for(lambda: is_open(SENTINEL), "the sentinel")
    wait_for(lambda: "master_link_status:up" in cli(REPLICA, "info", "replication"),
             "the copy on the replica", 20)
    wait_for(lambda: "num-slaves\n1" in cli(SENTINEL, "sentinel", "master", "main"),
             "the replica", 20)
    counted = sum(len(passed(load("/sentinel", count=50))) for _ in range(2))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        loading = pool.submit(load, "/sentinel", 9, None, None, 2, 0.01)
        time.sleep(2)
        killed = time.monotonic()
        rig.signal(f"redis-{MASTER}", signal.SIGKILL)
        answers = loading.result()
    good = passed(answers)
    again = [answer.at for answer in good if answer.at > killed + 0.3]
    rig.check("failover: counts again", bool(again),
              f"{min(again) - killed:.2f} s after the kill" if again else "never")
    rig.check("failover: within the deadline", slowest(answers) < DEADLINE + SLACK,
              f"slowest {slowest(answers):.3f} s")
    key = cli(REPLICA, "keys", "plugin-limit-count*")
    known = int(cli(REPLICA, "get", key) or 0)
    lost = counted + len(good) - known
    rig.check("failover: what the new master does not know is what was on its way",
              lost <= 20, f"{counted + len(good)} passed, it counts {known}")


def cluster(rig):
    for port in CLUSTER:
        rig.redis(port, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    nodes = [f"127.0.0.1:{port}" for port in CLUSTER]
    made = subprocess.run(["redis-cli", "--cluster", "create", *nodes, "--cluster-yes",
                           "--cluster-replicas", "1"],
                          capture_output=True, text=True, timeout=60)
    if made.returncode:
        raise RuntimeError(made.stdout + made.stderr)
    wait_for(lambda: all("cluster_state:ok" in cli(port, "cluster", "info") for port in CLUSTER),
             "the cluster", 30)
    keys = 60 if SHORT else 200

    def ask_all():
        passes, lock = collections.Counter(), threading.Lock()

        def client(gate):
            connection = http.client.HTTPConnection("127.0.0.1", gate, timeout=10)
            for _ in range(2):
                for key in range(keys):
                    status, _ = get(gate, f"/cluster?k={prefix}{key}", connection)
                    with lock:
                        passes[status] += 1
                        passes[key, status] += 1

        threads = [threading.Thread(target=client, args=(gate,)) for gate in GATES * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return passes

    prefix = "a"
    passes = ask_all()
    rig.check(f"cluster: {keys} keys, each passes exactly twice",
              all(passes[key, 200] == 2 for key in range(keys)),
              f"{passes[200]} passed, {passes[503]} refused, {passes[500]} failed")
    prefix = "b"
    node = cli(CLUSTER[1], "cluster", "myid")
    source = cli(CLUSTER[0], "cluster", "myid")
    moving = subprocess.Popen(
        ["redis-cli", "--cluster", "reshard", nodes[0], "--cluster-from", source,
         "--cluster-to", node, "--cluster-slots", "600", "--cluster-yes"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    passes = ask_all()
    moving.wait(60)
    rig.check("cluster: the same while slots move", passes[500] == 0
              and all(passes[key, 200] == 2 for key in range(keys)),
              f"{passes[200]} passed, {passes[503]} refused, {passes[500]} failed")
    lost_master(rig)


def lost_master(rig):
    master = next(port for port in CLUSTER if "master" in cli(port, "role").split("\n")[0])
    wait_for(lambda: "state=online" in cli(master, "info", "replication"), "a replica", 20)
    names = iter(range(10 ** 6))
    load(lambda: f"/cluster?k=c{next(names)}", count=50)
    rig.signal(f"redis-{master}", signal.SIGKILL)
    killed = time.monotonic()
    answers = load(lambda: f"/cluster?k=c{next(names)}", seconds=6, pause=0.005)
    failed = [answer.at - killed for answer in answers if answer.status == 500]
    good = [answer for answer in answers if answer.at > killed + 5]
    rig.check("cluster: a replica takes over from a killed master", failed and good
              and {answer.status for answer in good} == {200},
              f"the last of {len(failed)} failures {max(failed, default=0):.2f} s after the kill")
    rig.check("cluster: within the deadline meanwhile", slowest(answers) < DEADLINE + SLACK,
              f"slowest {slowest(answers):.3f} s")


def certificates(rig):
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=rig.dir)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", "/CN=test ca", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/CN=localhost", "-keyout", "node.key", "-out", "node.csr")
    write(os.path.join(rig.dir, "node.ext"), "subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "node.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
            "-CAcreateserial", "-extfile", "node.ext", "-out", "node.pem")


def encrypted(rig):
    rig.spawn(f"redis-{TLS}", "redis-server", "--port", "0", "--tls-port", str(TLS), "--bind",
              "127.0.0.1", "::1", "--save", "", "--tls-cert-file", "node.pem", "--tls-key-file",
              "node.key", "--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "no", "--dir",
              rig.dir)
    wait_for(lambda: is_open(TLS), "redis with TLS")
    answers = load("/tls", count=10)
    rig.check("TLS, certificate checked: 5 of 20 pass", len(passed(answers)) == 5
              and {answer.status for answer in answers} == {200, 503}, str(len(passed(answers))))
    status = get(GATES[0], "/tls-name")[0]
    rig.check("TLS: a certificate for another name is refused", status == 500, str(status))
    status = get(GATES[0], "/tls-any")[0]
    rig.check("TLS: it is good where nothing is checked", status == 200, str(status))


def main():
    rig = Rig()
    try:
        certificates(rig)
        rig.redis(SINGLE)
        for port in GATES:
            rig.gate(port)
        for part in (exact, delayed, failures, encrypted, failover, cluster):
            print(part.__name__, flush=True)
            part(rig)
    except Exception as error:  # What did not come about is a failure like any other.
        rig.check("runs to its end", False, f"{type(error).__name__}: {error}")
    finally:
        rig.close()
    print(f"{rig.failed} failed" if rig.failed else "all held")
    sys.exit(1 if rig.failed else 0)


main()
