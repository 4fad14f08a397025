"""Processes under measurement and the load on them: everything here runs on loopback only."""

import glob
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
NGINX = "/usr/sbin/nginx"
CPUS = sorted(os.sched_getaffinity(0))


def allow_many_files():
    """Raises the limit of open files as far as this user may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Process:
    """A child process with its own output file, stopped by its own id."""

    def __init__(self, command, cwd, log, env=None, cpus=None):
        self.started = time.monotonic()
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                command, cwd=cwd, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
        self.pid = self.child.pid

    def pids(self):
        """The process and its children (nginx serves in a child)."""
        found = [self.pid]
        for path in glob.glob("/proc/%d/task/*/children" % self.pid):
            with open(path) as children:
                found += [int(pid) for pid in children.read().split()]
        return found

    def cpu_ns(self):
        """CPU time of all threads of all its processes, from schedstat."""
        total = 0
        for pid in self.pids():
            for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
                try:
                    with open(path) as stat:
                        total += int(stat.read().split()[0])
                except FileNotFoundError:
                    continue
        return total

    def rss_kib(self):
        """Resident memory of the process itself."""
        with open("/proc/%d/status" % self.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def stop(self, number=signal.SIGINT):
        """Ends it; by force after 5 seconds."""
        if self.child.poll() is not None:
            return
        self.child.send_signal(number)
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Speed:
    """How fast the processors are right now. A virtual machine's are now and then half as fast
    for seconds, as its host has other guests; nothing tells so but a loop whose time is known."""

    SLOW = 1.15

    def __init__(self):
        self.best = min(max(self.loop(cpu) for cpu in CPUS) for _ in range(50))

    @staticmethod
    def loop(cpu):
        """CPU seconds of a fixed loop on this processor."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {cpu})
        try:
            start, total = time.thread_time(), 0
            for number in range(150000):
                total += number * number
            return time.thread_time() - start
        finally:
            os.sched_setaffinity(0, before)

    def is_full(self):
        """Whether no processor is much slower than at its best."""
        now = max(self.loop(cpu) for cpu in CPUS)
        self.best = min(self.best, now)
        return now <= self.best * self.SLOW


def wait_for(check, seconds=30, pause=0.002, child=None):
    """Polls until check() is true; returns the seconds it took."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if check():
            return time.monotonic() - start
        if child and child.child.poll() is not None:
            raise RuntimeError("the process ended with %s" % child.child.returncode)
        time.sleep(pause)
    raise TimeoutError("waited %d s in vain" % seconds)


def get(port, path, headers=None):
    """Status, headers and body of one GET on a fresh connection, or (0, {}, b"")."""
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
    except OSError:
        return 0, {}, b""


def write(path, text):
    """Replaces a file as a whole, as editors and tools do."""
    with open(path + ".new", "w") as out:
        out.write(text)
    os.rename(path + ".new", path)


class Moongate(Process):
    """A moongate with its own prefix and ports."""

    count = 0

    def __init__(self, binary, work, objects, workers=1, access_log=True,
                 router="radixtree_host_uri", config=None, cpus=None):
        Moongate.count += 1
        base = 9710 + 10 * Moongate.count
        self.port, self.status_port = base, base + 1
        self.prefix = "%s/moongate-%d" % (work, Moongate.count)
        for name in ("conf", "logs", "plugins"):
            os.makedirs("%s/%s" % (self.prefix, name))
        for path in glob.glob(HERE + "/plugins/*.lua"):
            shutil.copy(path, self.prefix + "/plugins")
        if tree := os.environ.get("MOONGATE_LUA_TREE"):
            shutil.copytree(tree + "/lua", self.prefix + "/lua")
        with open(HERE + "/moongate.conf") as source:
            text = source.read()
        write(self.prefix + "/conf/config.yaml", config(text) if config else text)
        write(self.prefix + "/conf/apisix.yaml", objects)
        env = {
            "BENCH_PORT": str(base), "BENCH_STATUS_PORT": str(base + 1),
            "BENCH_CONTROL_PORT": str(base + 2), "BENCH_METRICS_PORT": str(base + 3),
            "BENCH_WORKERS": str(workers), "BENCH_ACCESS_LOG": str(access_log).lower(),
            "BENCH_ROUTER": router,
        }
        super().__init__([binary, "start", "-p", self.prefix], self.prefix,
                         self.prefix + "/logs/stderr.log", env, cpus)
        try:
            wait_for(lambda: get(self.status_port, "/status/ready")[0] == 200, 60, 0.001, self)
            self.ready_seconds = time.monotonic() - self.started
        except (RuntimeError, TimeoutError) as error:
            self.stop()
            with open(self.prefix + "/logs/stderr.log") as log:
                raise RuntimeError("moongate: %s\n%s" % (error, log.read()[-2000:])) from error


class Nginx(Process):
    """An nginx with one of the checked-in configurations."""

    def __init__(self, work, name, port, cpus=None):
        self.port = port
        super().__init__([NGINX, "-p", work, "-c", "%s/%s.conf" % (HERE, name),
                          "-e", name + "-start.log"], work, "%s/%s.out" % (work, name), None, cpus)
        wait_for(lambda: listening(port), child=self)


def listening(port):
    """Whether something accepts on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wrk(port, path, seconds, headers=(), connections=32, script=None, args=(), cpus=None):
    """Requests answered in so many seconds. Any answer that is not 2xx ends the measurement."""
    command = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % seconds]
    if cpus:
        command = ["taskset", "-c", ",".join(str(cpu) for cpu in cpus)] + command
    for header in headers:
        command += ["-H", header]
    if script:
        command += ["-s", "%s/%s" % (HERE, script)]
    command += ["http://127.0.0.1:%d%s" % (port, path)]
    if args:
        command += ["--"] + [str(arg) for arg in args]
    output = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30).stdout
    if "Non-2xx" in output:
        raise RuntimeError("answers other than 2xx on %d%s:\n%s" % (port, path, output))
    found = re.search(r"(\d+) requests in", output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)",
                       output)
    if not found or (errors and any(int(n) for n in (errors.group(1), errors.group(4)))):
        raise RuntimeError("wrk on %d%s:\n%s" % (port, path, output))
    return int(found.group(1))


def cpu_and_share(target, port, path, seconds, **load):
    """Microseconds of CPU of the gateway per answered request, and the share of the time in
    which it ran: far below 1, it waited for others."""
    before, started = target.cpu_ns(), time.monotonic()
    requests = wrk(port, path, seconds, **load)
    used, took = target.cpu_ns() - before, time.monotonic() - started
    return used / 1000 / max(requests, 1), used / 1e9 / took


def cpu_per_request(target, port, path, seconds, **load):
    """Microseconds of CPU of the gateway per answered request."""
    return cpu_and_share(target, port, path, seconds, **load)[0]


def spread(values, digits=2):
    """`median (min-max)` of a list."""
    form = "%%.%df (%%.%df–%%.%df)" % (digits, digits, digits)
    return form % (statistics.median(values), min(values), max(values))
