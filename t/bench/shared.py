"""What a limit costs that is counted in Redis, next to one that is counted here."""

import csv
import statistics
import subprocess

import load

PORT = 9706

ROUTES = """upstreams:
  - {id: backend, nodes: {"127.0.0.1:9700": 1}}
routes:
  - {id: local, uri: /local/*, upstream_id: backend, plugins: {limit-count: {%s}}}
  - {id: redis, uri: /redis/*, upstream_id: backend, plugins: {limit-count: {%s, %s}}}
  - {id: delayed, uri: /delayed/*, upstream_id: backend,
     plugins: {limit-count: {%s, %s, sync_interval: 0.5}}}
#END
"""
COUNT = "count: 1000000000, time_window: 36000, key: remote_addr"
REDIS = "policy: redis, redis_host: 127.0.0.1, redis_port: %d" % PORT

# As much work for the server as a fixed window.
SCRIPT = "local n = redis.call('INCRBY', KEYS[1], 1) return {1, n, 0, redis.call('PTTL', KEYS[1])}"


def server(work, cpus):
    """Starts a Redis for the bench."""
    command = ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no", "--dir", work]
    process = load.Process(command, work, work + "/redis.out", None, cpus)
    load.wait_for(lambda: load.listening(PORT), child=process)
    return process


def round_trip_us(cpus):
    """Microseconds that one caller on `cpus` waits for a script, by Redis's own client. Beside
    the server, on its core, no other core has to be woken; the gateway is on another one."""
    command = ["redis-benchmark", "-p", str(PORT), "-c", "1", "-n", "10000", "--csv",
               "eval", SCRIPT, "1", "bench", "1"]
    if cpus:
        command = ["taskset", "-c", ",".join(str(cpu) for cpu in cpus)] + command
    output = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    row = list(csv.DictReader(output.splitlines()))[-1]
    return float(row["avg_latency_ms"]) * 1000


def measure(bench, table_of, seconds, gateway_cpus, load_cpus):
    """CPU and, on one connection, time per request; rows in turn, as everywhere here."""
    redis = server(bench.work, load_cpus)
    bench.running.append(redis)
    config = ROUTES % (COUNT, COUNT, REDIS, COUNT, REDIS)
    gateway = bench.moongate(objects=config, cpus=gateway_cpus)

    def cpu(kind):
        return lambda: load.cpu_per_request(gateway, gateway.port, "/%s/x" % kind, seconds,
                                            cpus=load_cpus)

    def time_of(kind):
        return lambda: seconds * 1e6 / load.wrk(gateway.port, "/%s/x" % kind, seconds,
                                                connections=1, cpus=load_cpus)

    kinds = ("local", "redis", "delayed")
    rows = {"cpu " + kind: cpu(kind) for kind in kinds}
    rows.update({"time " + kind: time_of(kind) for kind in kinds})
    rows["trip"] = lambda: round_trip_us(gateway_cpus)
    rows["trip beside"] = lambda: round_trip_us(load_cpus)
    values = bench.rounds(rows)
    table = table_of("limit-count in the process and in Redis, 1 worker, µs per request",
                     "row", "local", "redis", "redis, sync_interval 0.5")
    for title, key in (("CPU of the gateway, 32 connections", "cpu"),
                       ("time, 1 connection", "time")):
        table.add(title, *(load.spread(values["%s %s" % (key, kind)], 1) for kind in kinds))
    for where, key in (("from the gateway's core", "trip"), ("from its own core", "trip beside")):
        most = 1.5 * statistics.median(values["time local"]) + statistics.median(values[key])
        table.add("round trip of Redis's client " + where, "", load.spread(values[key], 1), "")
        table.add("bound of the time: 1.5 x local + that", "", "%.1f" % most, "")
    bench.stop(gateway, redis)
    return table
