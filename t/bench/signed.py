"""What it costs to let each signed request through once, next to a proxy that does not look.

A request is what a client of our README sends: RFC 9421 with HMAC-SHA256 over method, host,
path, query and Content-Digest, a nonce of its own, and a small JSON body. Each has one of 100
keys, which belong to consumers.
"""

import base64
import hashlib
import hmac
import os
import statistics
import time

import load

CLIENTS = 100
# More than one worker answers; the load ends early should they not be enough.
REQUESTS_PER_SECOND = 35000
BODY = b'{"from": "account-17", "to": "account-4711", "cents": 129900, "text": "rent"}'

OBJECTS = """upstreams:
  - {id: backend, nodes: {"127.0.0.1:9700": 1}}
routes:
  - {id: plain, uri: /direct/*, upstream_id: backend}
  - id: signed
    uri: /signed/*
    upstream_id: backend
    plugins: {anti-tamper: {}, anti-replay: {policy: local}}
consumers:
%s
#END
"""
CONSUMER = "  - {username: user%d, plugins: {anti-tamper: {key_id: app-%03d, secret_key: %s}}}"


def secret(number):
    """The key of a client."""
    return hashlib.sha256(b"client %d" % number).hexdigest()


def encoded(data):
    """Base64 as text."""
    return base64.b64encode(data).decode()


def request_of(path, number):
    """The bytes of a request that was never sent before."""
    digest = "sha-256=:%s:" % encoded(hashlib.sha256(BODY).digest())
    names = '("@method" "@authority" "@path" "@query" "content-digest")'
    params = '%s;created=%d;keyid="app-%03d";nonce="%s"' % (
        names, time.time(), number % CLIENTS, os.urandom(16).hex())
    text = ('"@method": POST\n"@authority": api.example.com\n"@path": %s\n"@query": ?\n'
            '"content-digest": %s\n"@signature-params": %s' % (path, digest, params))
    key = KEYS[number % CLIENTS]
    mac = encoded(hmac.digest(key, text.encode(), "sha256"))
    head = ("POST %s HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\n"
            "Content-Length: %d\r\nContent-Digest: %s\r\nSignature-Input: sig1=%s\r\n"
            "Signature: sig1=:%s:\r\n\r\n" % (path, len(BODY), digest, params, mac))
    return head.encode() + BODY


KEYS = [secret(number).encode() for number in range(CLIENTS)]


def prepare(file, path, count):
    """Writes `count` requests that were never sent before; returns the bytes of one."""
    requests = [request_of(path, number) for number in range(count)]
    with open(file, "wb") as out:
        out.write(b"".join(requests))
    return len(requests[0])


def measure(bench, table_of, seconds, gateway_cpus, load_cpus):
    """CPU per request; rows in turn, as everywhere here."""
    consumers = "\n".join(CONSUMER % (n, n, secret(n)) for n in range(CLIENTS))
    nginx = bench.nginx("nginx", 9701, gateway_cpus)
    gateway = bench.moongate(objects=OBJECTS % consumers, cpus=gateway_cpus)
    count = seconds * REQUESTS_PER_SECOND
    # Who does not look may get the same requests in each round.
    any_file = bench.work + "/signed-any"
    any_size = prepare(any_file, "/direct/payments", count)

    def send(target, port, file, size, *more):
        return load.cpu_and_share(target, port, "/", seconds, script="once.lua",
                                  args=(file, size, *more), cpus=load_cpus)

    file, sizes = bench.work + "/signed", []

    def fresh():
        return send(gateway, gateway.port, file, sizes[-1])

    fresh.prepare = lambda: sizes.append(prepare(file, "/signed/payments", count))

    values = bench.rounds({
        "nginx": lambda: send(nginx, 9701, any_file, any_size, "again"),
        "plain": lambda: send(gateway, gateway.port, any_file, any_size, "again"),
        "signed": fresh,
    })
    base = statistics.median(cost for cost, _ in values["nginx"])
    table = table_of("Signed requests (RFC 9421, HMAC-SHA256), 1 worker", "row",
                     "CPU µs per request", "to nginx", "bound", "of its core in use")
    for title, key, bound in (
            ("nginx, proxy_pass", "nginx", ""),
            ("moongate, no plugin", "plain", ""),
            ("moongate, anti-tamper + anti-replay", "signed", "1.80")):
        costs = [cost for cost, _ in values[key]]
        table.add(title, load.spread(costs), "%.3f" % (statistics.median(costs) / base), bound,
                  "%.0f %%" % (100 * statistics.median(share for _, share in values[key])))
    bench.stop(gateway, nginx)
    return table
