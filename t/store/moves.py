#!/usr/bin/env python3
"""Objects move between stores and files, and stay what they were (issue 5, done-when 6).

    t/store/moves.py [--short] [--port 12400]

An etcd is filled with one object of every kind, in the shapes of APISIX's documentation; its dump
goes into the embedded store, is served and comes out again, key by key the same text. From there it
goes to another etcd, to apisix.yaml and apisix.json, and back. Ten thousand objects are one
revision. Then history, diff and roll-back, with a gateway and without one.
"""

import argparse
import json
import os
import subprocess
import time

import place as places
from place import Etcd, Place, Report, pairs
import rig

RING = b"qeddd145sfvddff3"
WHEN = {"create_time": 1700000000, "update_time": 1700000321}


def fixture(name):
    with open(os.path.join(places.HOME, "t", "fixtures", "admin", name)) as text:
        return text.read()


def sealed(text):
    """As APISIX stores it: AES-128-CBC with the first key of its default ring."""
    key = RING.hex()
    ran = subprocess.run(["openssl", "enc", "-aes-128-cbc", "-K", key, "-iv", key, "-base64", "-A"],
                         input=text.encode(), capture_output=True, check=True)
    return ran.stdout.decode()


def objects(upstream):
    """Every kind of object; the texts are spelled in ways that JSON allows."""
    node = f"127.0.0.1:{upstream}"
    cert, key = fixture("cert.pem"), fixture("key.pem")
    return {
        "upstreams/orders": {
            "id": "orders", "type": "roundrobin", "scheme": "http", "nodes": {node: 1},
            "desc": "ünïcode, \"quotes\" and a \\ backslash", **WHEN},
        "upstreams/2": {
            "id": 2, "type": "chash", "hash_on": "header", "key": "X-Shop", "retries": 2,
            "retry_timeout": 1.5, "timeout": {"connect": 0.5, "send": 1, "read": 1},
            "pass_host": "rewrite", "upstream_host": "shop.internal",
            "nodes": [{"host": "127.0.0.1", "port": upstream, "weight": 10, "priority": 1}],
            "keepalive_pool": {"size": 4, "idle_timeout": 8, "requests": 16}, **WHEN},
        "upstreams/mutual": {
            "id": "mutual", "type": "roundrobin", "scheme": "https", "nodes": {node: 1},
            "tls": {"client_cert": cert, "client_key": sealed(key)}, **WHEN},
        "services/shop": {
            "id": "shop", "name": "shop", "upstream_id": "orders", "enable_websocket": False,
            "hosts": ["shop.example"], "labels": {"team": "blue"}, **WHEN},
        "services/shop/graphql_cost_decorations/1": {
            "id": "1", "service_id": "shop", "field_path": "Query.orders",
            "mul_arguments": ["first"], "add_value": 2, **WHEN},
        "routes/1": {
            "id": "1", "name": "orders", "uri": "/orders/*", "methods": ["GET", "POST"],
            "upstream_id": "orders", "plugin_config_id": "headers", "priority": 10,
            "labels": {"env": "test", "v": "1.0"}, "status": 1, **WHEN},
        "routes/2": {
            "id": 2, "uris": ["/private", "/private/*"], "upstream_id": "orders",
            "vars": [["arg_debug", "~=", "on"], ["http_x_shop", "in", ["a", "b"]]],
            "plugins": {"key-auth": {}, "proxy-rewrite": {
                "headers": {"set": {"X-From": "private"}, "remove": ["X-Old"]}}}, **WHEN},
        "routes/00000000000000000117": {
            "id": "00000000000000000117", "uri": "/shop/*", "service_id": "shop",
            "host": "shop.example", "timeout": {"connect": 3, "send": 3, "read": 3},
            "filter_func": "function(vars) return vars.http_x_shop ~= nil end", **WHEN},
        "consumers/jack": {
            "username": "jack", "group_id": "gold", "desc": "first",
            "plugins": {"key-auth": {"key": sealed("key-of-jack")}}, **WHEN},
        "consumers/jack/credentials/two": {
            "id": "two", "plugins": {"key-auth": {"key": sealed("second-of-jack")}}, **WHEN},
        "consumers/jill": {
            "username": "jill", "plugins": {"basic-auth": {
                "username": "jill", "password": sealed("password-of-jill")}}, **WHEN},
        "consumer_groups/gold": {
            "id": "gold", "plugins": {"limit-count": {
                "count": 1000, "time_window": 60, "rejected_code": 503, "group": "gold"}}, **WHEN},
        "plugin_configs/headers": {
            "id": "headers", "plugins": {"response-rewrite": {
                "headers": {"set": {"X-Moved": "yes"}}}}, **WHEN},
        "global_rules/1": {"id": "1", "plugins": {"request-id": {"include_in_response": True}}, **WHEN},
        "plugin_metadata/http-logger": {
            "id": "http-logger", "log_format": {"host": "$host", "@timestamp": "$time_iso8601"}},
        "ssls/1": {"id": "1", "cert": cert, "key": sealed(key), "snis": ["test.com", "*.test.com"],
                   "status": 1, "type": "server", **WHEN},
        "protos/1": {"id": "1", "content": 'syntax = "proto3";\npackage shop;\n'
                     "message Order {\n  int64 id = 1;\n}\n", **WHEN},
        "stream_routes/1": {"id": "1", "remote_addr": "127.0.0.1", "server_port": 9100,
                            "upstream": {"type": "roundrobin", "nodes": {node: 1}}, **WHEN},
        "secrets/vault/1": {"id": "vault/1", "uri": "http://127.0.0.1:8200", "prefix": "kv/shop",
                            "token": "token-of-the-vault", **WHEN},
        "secrets/aws/prod": {"id": "aws/prod", "region": "eu-central-1",
                             "access_key_id": "id", "secret_access_key": "secret", **WHEN},
        "plugins": [{"name": name} for name in rig.PLUGINS],
    }


def texts(upstream):
    out = {}
    for at, (key, value) in enumerate(objects(upstream).items()):
        # Compact, with blanks, and with everything escaped that may be.
        style = [{"separators": (",", ":"), "ensure_ascii": False}, {}, {"separators": (", ", " : ")}]
        text = json.dumps(value, **style[at % 3])
        out[key] = text.replace("/", "\\/") if at % 3 == 0 else text
    return out


def below(found, prefix="/apisix"):
    """Of a dump, what is no bookkeeping, by its key below the prefix."""
    hidden = lambda key, value: value == "init_dir" or key.endswith("/gen_id") or "/data_plane/" in key
    return {key[len(prefix) + 1:]: value for key, value in found.items() if not hidden(key, value)}


def read(values):
    """What texts mean to JSON; numbers are doubles, as they are to plugins."""
    number = lambda text: float(text)
    return {key: json.loads(text, parse_int=number) for key, text in values.items()}


def exported(place):
    return below(pairs(place.good("export", "--format", "etcd")))


def serves(report, name, place, moved=True):
    """Requests pass, and keys that were encrypted are known."""
    place.start()
    try:
        status, body = place.ask("/orders/7")
        report.equal(f"{name}: a request passes", (status, body), (200, "hello\n"))
        ask = lambda key: place.ask("/private", fields={"apikey": key, "X-Shop": "a"})[0]
        found = [ask(key) for key in ("key-of-jack", "second-of-jack", "wrong", sealed("key-of-jack"))]
        report.equal(f"{name}: secrets are known", found, [200, 200, 401, 401])
        if moved:
            dump = exported(place)
            report.check(f"{name}: the running gateway exports", "routes/1" in dump)
    finally:
        place.stop()


def from_etcd(report, etcd, port, upstream):
    """Done-when 6; returns the place with all objects."""
    given = texts(upstream)
    for key, text in given.items():
        etcd.put("/apisix/" + key, text)
    for key in ("routes/", "upstreams/"):
        etcd.put("/apisix/" + key, "init_dir")
    etcd.put("/apisix/gen_id", "1")
    etcd.put("/apisix/data_plane/server_info/x", "{}")
    dump = etcd.dump("/apisix", "-w", "json")
    report.equal("the dump has every kind", below(pairs(dump)), given)
    place = Place(port)
    rig.write(place.path("dump.json"), dump)
    report.check("a dump is checked without being stored",
                 "dry run" in place.good("import", "--dry-run", place.path("dump.json")))
    out = place.good("import", place.path("dump.json"))
    report.check("all of it is stored", f"{len(given)} objects written" in out, out)
    report.equal("it is exported as it was", exported(place), given)
    serves(report, "embedded", place)
    report.equal("it is the same after it was served", exported(place), given)
    plain = Place(port)
    plain.good("import", "-", stdin=etcd.dump("/apisix").encode())
    report.equal("a dump without -w json is the same", exported(plain), given)
    plain.close()
    return place, given


def there_and_back(report, etcd, home, given, port):
    other = Place(port, "etcd", etcd.url, "/other")
    back, files = Place(port), Place(port, "yaml")
    try:
        home.good("export", "--format", "etcd", home.path("all.json"))
        other.good("import", "--etcd-prefix", "/apisix", home.path("all.json"))
        stored = below(pairs(etcd.dump("/other", "-w", "json")), "/other")
        report.equal("etcd holds what the embedded store held", stored, given)
        serves(report, "etcd", other, moved=False)
        dump = other.good("export", "--format", "etcd")
        back.good("import", "-", "--etcd-prefix", "/other", stdin=dump.encode())
        report.equal("embedded, etcd, embedded", exported(back), given)
        for kind in ("yaml", "json"):
            path = files.path("conf/apisix." + kind)
            home.good("export", path)
            back.good("import", "--replace", path)
            report.equal(f"embedded, apisix.{kind}, embedded", read(exported(back)), read(given))
            plain = "key-of-jack" in files.read("conf/apisix." + kind)
            report.check(f"apisix.{kind} has plain secrets, for this user alone",
                         plain and os.stat(path).st_mode & 0o77 == 0)
            home.good("export", "--sealed", home.path("sealed." + kind))
            back.good("import", "--sealed", "--replace", home.path("sealed." + kind))
            report.equal(f"the same sealed, by {kind}", read(exported(back)), read(given))
            hidden = "key-of-jack" in home.read("sealed." + kind)
            report.check(f"sealed {kind} has no plain secrets", not hidden)
        report.equal("a file of the file's provider is exported",
                     read(below(pairs(files.good("export", "--format", "etcd")))).keys(),
                     read(given).keys())
        serves(report, "yaml", files, moved=False)
        refusals(report, other, files)
        garbage(report, etcd, other, given)
    finally:
        for place in (other, back, files):
            place.close()


def garbage(report, etcd, place, given):
    """What is no text cannot be in a dump of texts; the rest can."""
    etcd.ctl("put", "/other/routes/garbage", stdin=b"\xff\xfe")
    code, out, errors = place.run("export", "--format", "etcd")
    report.check("garbage is named", code == 1 and out == "" and "routes/garbage: " in errors, errors)
    left = place.good("export", "--format", "etcd", "--skip-invalid")
    report.equal("and left out if asked for", below(pairs(left), "/other"), given)
    code, _, errors = place.run("export", "--from", place.path("none"))
    report.check("a file that is not there is named", code == 1 and "/none: " in errors, errors)


def refusals(report, etcd, files):
    for place, verb, why in [
        (etcd, ("history",), "config_provider etcd"), (etcd, ("rollback", "1"), "etcdctl get"),
        (files, ("diff", "1"), "config_provider yaml"), (files, ("import", "x"), "export --from"),
    ]:
        code, out, errors = place.run(*verb)
        report.check(f"{place.provider}: {verb[0]} is refused by name",
                     code == 1 and why in errors and out == "", out + errors)


def wrong(report, home, given):
    """What is wrong is named, and nothing is written."""
    bad = {"routes": [{"id": "1", "uri": 5}, {"id": "ok", "uri": "/ok", "service_id": "shop"},
                      {"id": "x", "uri": "/x", "upstream_id": "nowhere"},
                      {"id": "y", "uri": "/y", "service_id": "shop",
                       "plugins": {"limit-count": {"count": 0, "time_window": 1}}}]}
    text = json.dumps(bad).encode()
    code, _, errors = home.run("import", "--merge", "-", stdin=text)
    named = all(part in errors for part in (
        'routes/1: invalid configuration: property "uri"', "routes/x: failed to fetch upstream info",
        "routes/y: failed to check the configuration of plugin limit-count", "3 objects are wrong"))
    report.check("what is wrong is named by object and field", code == 1 and named, errors)
    report.equal("nothing of it is written", exported(home), given)
    out = home.good("import", "--merge", "--skip-invalid", "-", stdin=text)
    report.check("what is good may be taken", "1 objects written" in out and "3 left out" in out, out)
    code, _, errors = home.run("import", "-", stdin=text)
    report.check("a store that is not empty asks for a word", code == 1 and "--merge" in errors, errors)
    code, _, errors = home.run("import", "--merge", "-", stdin=b"routes:\n  - id: 1\n    uri: /a\n")
    report.check("a file that is not whole is refused", code == 1 and "#END" in errors, errors)


def history(report, port):
    """Earlier revisions, with a gateway that runs and without."""
    place = Place(port)
    try:
        place.start()
        echo = lambda body: {"uri": "/echo", "plugins": {"echo": {"body": body}},
                             "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}}
        for body in ("one", "two", "three"):
            place.put("routes/e", echo(body))
        place.put("ssls/1", {"cert": fixture("cert.pem"), "key": fixture("key.pem"), "sni": "a.test"})
        revisions = json.loads(place.good("history", "--json"))["revisions"]
        changes = [[change["what"] for change in one["changes"]] for one in revisions]
        report.equal("the history of a running gateway", changes,
                     [["new"], ["changed"], ["changed"], ["new"]])
        first, last = revisions[3]["revision"], revisions[0]["revision"]
        report.check("who wrote", revisions[0]["who"] == "admin", revisions[0])
        diff = place.good("diff", str(first))
        told = '- plugins.echo.body: "one"' in diff and '+ plugins.echo.body: "three"' in diff
        report.check("a diff shows fields", told, diff)
        hidden = "PRIVATE" not in diff and sealed(fixture("key.pem")) not in diff
        report.check("a diff shows no private key", "ssls/1" in diff and hidden, diff)
        place.good("rollback", str(first))
        report.equal("a roll-back serves when it is answered", place.ask("/echo")[1], "one")
        text = place.said()
        report.check("it is in the audit", f"rollback to revision {first}" in text, text[-1500:])
        code, _, errors = place.run("rollback", "999999")
        report.check("a revision that is not there is named",
                     code == 1 and "is not in the history" in errors, errors)
        place.stop()
        # Now without the plugin, and without a gateway.
        place.configure([name for name in rig.PLUGINS if name != "echo"])
        code, _, errors = place.run("rollback", str(last))
        report.check("what would be refused today is not brought back",
                     code == 1 and "routes/e: unknown plugin [echo]" in errors, errors)
        place.configure(rig.PLUGINS)
        place.good("rollback", str(last))
        newest = json.loads(place.good("history", "--json", "--limit", "1"))["revisions"]
        report.equal("without a gateway it is the command's", newest[0]["who"], "moongate config")
        place.start()
        report.equal("and serves from the next start on", place.ask("/echo")[1], "three")
        without_key(report, place, first)
    finally:
        place.close()


def without_key(report, place, first):
    """A gateway that the command cannot ask: it says so, and may borrow the store."""
    key = place.key()
    rig.write(place.path("data/admin.key"), "0" * len(key))
    code, _, errors = place.run("history")
    report.check("a wrong key is told", code == 1 and "refuses the key" in errors, errors)
    rig.write(place.path("data/admin.key"), key)
    place.stop()
    config = place.read("conf/config.yaml").replace("apisix:\n", "apisix:\n  enable_admin: false\n")
    rig.write(place.path("conf/config.yaml"), config)
    place.start()
    code, _, errors = place.run("history")
    told = "its Admin API is off" in errors and "--takeover" in errors
    report.check("that the Admin API is off is told", code == 1 and told, errors)
    place.good("--takeover", "rollback", str(first))
    end = time.monotonic() + 60
    while (body := place.ask("/echo")[1]) != "one" and time.monotonic() < end:
        time.sleep(0.05)
    report.equal("what a borrowed store got is served", body, "one")


def many(report, port, count, upstream):
    """Large imports are one revision, and in force when they are answered."""
    node = {f"127.0.0.1:{upstream}": 1}
    document = {"upstreams": [{"id": "u", "type": "roundrobin", "nodes": node}],
                "routes": [{"id": str(at), "uri": f"/many/{at}", "upstream_id": "u"}
                           for at in range(count - 1)]}
    text = json.dumps(document).encode()
    place = Place(port)
    try:
        began = time.monotonic()
        place.good("import", "-", stdin=text)
        report.equal(f"{count} objects without a gateway, {time.monotonic() - began:.1f} s",
                     len(json.loads(place.good("history", "--json"))["revisions"]), 1)
        place.good("rollback", "0")
        place.start()
        report.equal("back to nothing", place.ask("/many/1")[0], 404)
        began = time.monotonic()
        place.good("import", "-", stdin=text)
        took = time.monotonic() - began
        report.equal(f"{count} objects into a gateway, {took:.1f} s",
                     [place.ask(f"/many/{at}")[0] for at in (0, count // 2, count - 2)], [200] * 3)
    finally:
        place.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer objects at once")
    parser.add_argument("--port", type=int, default=12400, help="first of 30 ports")
    options = parser.parse_args()
    report, port = Report(), options.port
    upstream = port + 20
    rig.start_upstream(upstream)
    etcd = Etcd(port + 21)
    try:
        home, given = from_etcd(report, etcd, port, upstream)
        try:
            there_and_back(report, etcd, home, given, port + 5)
            wrong(report, home, given)
        finally:
            home.close()
        history(report, port + 10)
        many(report, port + 15, 10_000 if options.short else 50_000, upstream)
    finally:
        etcd.close()
    report.finish()


if __name__ == "__main__":
    main()
