"""What a call from Lua into the host costs, in nginx with its Lua module and in moongate."""

import re
import shutil
import statistics
import urllib.parse

import load

PORT = 9704
BOUND = "1.50"
# Calls of one measurement: about a tenth of a second each, and far below the watchdog's second.
CALLS = {
    "ngx.var.uri": 500000,
    "ngx.var.remote_addr": 500000,
    "ngx.var.http_x_bench": 300000,
    "get_headers()[x]": 50000,
    "ngx.re.match jo": 200000,
    "shared dict incr": 500000,
    "ngx.now": 3000000,
}
# What a browser sends, about.
HEADERS = {
    "X-Bench": "1", "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-US,en;q=0.5", "Cookie": "session=0123456789abcdef; theme=dark",
    "Referer": "http://localhost/", "X-Forwarded-For": "10.0.0.1",
}
OBJECTS = """routes:
  - {id: bridge, uri: /bench/*, plugins: {bench-bridge: {}}, upstream: {nodes: {"127.0.0.1:9700": 1}}}
#END
"""


def configured(work):
    """Turns the bench's configuration into one with what the loops need."""
    def change(text):
        text = text.replace("apisix:\n", 'apisix:\n  extra_lua_path: "%s/?.lua"\n' % work, 1)
        text = text.replace("  http:\n    ",
                            "  http:\n    custom_lua_shared_dict: {bridge: 1m}\n    ")
        return re.sub(r"(?m)^plugins: .*$", "plugins: [bench-bridge]", text)
    return change


def cost(port, kind):
    """Nanoseconds per call, by the server's own account."""
    query = urllib.parse.urlencode({"kind": kind, "count": CALLS[kind]})
    status, _, body = load.get(port, "/bench/bridge/42?" + query, HEADERS)
    if status != 200:
        raise RuntimeError("%s on port %d: %d %s" % (kind, port, status, body[:500]))
    return float(body)


def measure(bench, table_of, cpus):
    """Every loop in turn in both; the ratio is that of the medians."""
    shutil.copy(load.HERE + "/bridge.lua", bench.work)
    theirs = bench.nginx("bridge", PORT, cpus)
    gateway = bench.moongate(objects=OBJECTS, config=configured(bench.work), cpus=cpus)
    rows = {}
    for kind in CALLS:
        rows["nginx " + kind] = lambda kind=kind: cost(PORT, kind)
        rows["ours " + kind] = lambda kind=kind: cost(gateway.port, kind)
    values = bench.rounds(rows)
    table = table_of("Calls from Lua into the host, CPU ns per call in a warm loop",
                     "call", "nginx + lua", "moongate", "ratio", "bound")
    for kind in CALLS:
        nginx_ns, our_ns = values["nginx " + kind], values["ours " + kind]
        table.add("`%s`" % kind, load.spread(nginx_ns, 1), load.spread(our_ns, 1),
                  "%.2f" % (statistics.median(our_ns) / statistics.median(nginx_ns)), BOUND)
    bench.stop(theirs, gateway)
    return table
