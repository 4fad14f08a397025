"""What it costs to call a TARS service with JSON, next to plain proxying of the same JSON."""

import json
import os
import statistics
import sys
import urllib.error
import urllib.request

import load
import tars_server

PORT = 9707
SERVANT = "Bench.OrderServer.OrderObj"
PATH = "/json/%s/place" % SERVANT
PLAIN = "/orders"

OBJECTS = """upstreams:
  - {id: backend, nodes: {"127.0.0.1:9700": 1}}
  - {id: tars, nodes: {"127.0.0.1:%d": 1}}
routes:
  - {id: plain, uri: %s, upstream_id: backend}
  - {id: tars, uri: /json/*, upstream_id: tars, plugins: {tars-transcode: {proto_id: order}}}
protos:
  - {id: order, name: order.tars, content: %s}
#END
"""


def server(work, cpus):
    """Starts the TARS server."""
    command = [sys.executable, load.HERE + "/tars_server.py", str(PORT)]
    process = load.Process(command, work, work + "/tars.out", None, cpus)
    load.wait_for(lambda: load.listening(PORT), child=process)
    return process


def post(port, path, body):
    """The body of the answer, which must be a 200."""
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), body,
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise RuntimeError("%d: %s" % (error.code, error.read())) from error


def prepare(gateway, work):
    """Writes the body of the calls, and what the gateway makes of an answer as the answer of the
    plain service; both have to be the order."""
    body = json.dumps({"order": tars_server.ORDER}, separators=(",", ":"), ensure_ascii=False)
    body = body.encode()
    answer = post(gateway.port, PATH, body)
    if json.loads(answer) != {"tars_ret": tars_server.ORDER}:
        raise RuntimeError("not the order: %s" % answer)
    load.write(work + "/order.json", body.decode())
    load.write(work + "/data/orders", answer.decode())
    if post(gateway.port, PLAIN, body) != answer:
        raise RuntimeError("the plain service gives another answer")
    return len(body), len(answer)


def measure(bench, table_of, seconds, gateway_cpus, load_cpus):
    """CPU per request of the same bodies, once as a call and once as they are."""
    with open(load.HERE + "/order.tars") as source:
        config = OBJECTS % (PORT, PLAIN, json.dumps(source.read()))
    peer = server(bench.work, load_cpus)
    bench.running.append(peer)
    nginx = bench.nginx("nginx", 9701, gateway_cpus)
    gateway = bench.moongate(objects=config, cpus=gateway_cpus)
    sizes = prepare(gateway, bench.work)
    body = os.path.join(bench.work, "order.json")

    def row(target, port, path):
        return lambda: load.cpu_and_share(target, port, path, seconds, script="post.lua",
                                          args=(body,), cpus=load_cpus)

    values = bench.rounds({
        "nginx": row(nginx, 9701, PLAIN),
        "plain": row(gateway, gateway.port, PLAIN),
        "tars": row(gateway, gateway.port, PATH),
    })
    base = statistics.median(cost for cost, _ in values["plain"])
    table = table_of("TARS calls with %d bytes of JSON, answers of %d bytes, 1 worker" % sizes,
                     "row", "CPU µs per request", "to plain", "bound", "of its core in use")
    for title, key, bound in (("nginx, proxy_pass", "nginx", ""),
                              ("moongate, plain proxying", "plain", ""),
                              ("moongate, tars-transcode", "tars", "2.00")):
        costs = [cost for cost, _ in values[key]]
        table.add(title, load.spread(costs), "%.3f" % (statistics.median(costs) / base), bound,
                  "%.0f %%" % (100 * statistics.median(share for _, share in values[key])))
    bench.stop(gateway, nginx, peer)
    return table
