"""See t/oidc/run."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "official"))

import peers  # noqa: E402
from browser import Browser  # noqa: E402

SECRET = "a secret of thirty-two letters.."

# As provider.mjs has it for the client "short".
TOKEN_SECONDS = 6

CONFIG = """\
apisix:
  node_listen: [{{port: {port}, ip: 127.0.0.1}}]
  enable_ipv6: false
  status: {{ip: 127.0.0.1, port: {status}}}
  enable_control: false
nginx_config:
  worker_processes: 2
  error_log_level: info
deployment:
  role: data_plane
  role_data_plane: {{config_provider: yaml}}
plugins: [openid-connect]
"""


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Fake(http.server.BaseHTTPRequestHandler):
    """A provider of which the code says what is wrong with its tokens."""

    port = 0
    userinfo = {"sub": "ann"}

    def log_message(self, *_):
        pass

    def say(self, value, status=200):
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        try:
            self.wfile.write(text)
        except OSError:
            pass

    def do_GET(self):
        top = "http://127.0.0.1:%d" % self.port
        if self.path.startswith("/.well-known"):
            self.say({"issuer": top, "authorization_endpoint": top + "/auth",
                      "token_endpoint": top + "/token", "userinfo_endpoint": top + "/me",
                      "jwks_uri": top + "/jwks"})
        elif self.path == "/me":
            self.say(self.userinfo)
        else:
            self.say({"keys": []})

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        code = urllib.parse.parse_qs(form)["code"][0]
        kind, _, nonce = code.partition(":")
        claims = {"iss": "http://127.0.0.1:%d" % self.port, "sub": "ann", "aud": "fake",
                  "iat": int(time.time()), "exp": int(time.time()) + 600, "nonce": nonce}
        header, mac = {"alg": "HS256"}, b"secret of fake"
        changes = {"issuer": {"iss": "http://other"}, "audience": {"aud": "other"},
                   "late": {"exp": 1}, "early": {"iat": int(time.time()) + 900},
                   "nonce": {"nonce": "other"}, "nobody": {"sub": None}, "years": {"exp": "soon"},
                   "parties": {"aud": ["other", 7]}}
        claims.update(changes.get(kind, {}))
        if kind == "unsigned":
            header = {"alg": "none"}
        elif kind == "forged":
            mac = b"another secret"
        elif kind == "strange":
            header = {"alg": {"a": 1}}
        text = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
        token = text + "." + ("" if kind == "unsigned" else
                              b64(hmac.new(mac, text.encode(), hashlib.sha256).digest()))
        good = {"access_token": "a", "id_token": token, "token_type": "Bearer", "expires_in": 60}
        odd = {"html": b"<html>", "list": [], "null": b"null", "empty": b"", "text": b'"a"',
               "no id": {**good, "id_token": None}, "numbers": {**good, "id_token": 7},
               "no access": {**good, "access_token": {"a": 1}}, "huge": b" " * 3000000,
               "deep": b"[" * 100000}
        if kind == "error":
            return self.say({"error": "invalid_grant\r\nX-Evil: 1"}, 400)
        if kind == "slow":
            time.sleep(8)
        if kind == "ends":
            return self.connection.close()
        if kind == "expires":
            good["expires_in"] = "never"
        return self.say(odd.get(kind, good))


class Rig:
    """Gateway, provider and what is around them."""

    def __init__(self, work, packages):
        self.work, self.packages = work, packages
        self.children = peers.Children(work)
        (self.port, self.status, self.oidc, self.http, self.redis, self.fake,
         self.nowhere) = peers.free_ports(7)
        self.top = "http://127.0.0.1:%d" % self.port
        self.provider_url = "http://127.0.0.1:%d" % self.oidc
        self.passed = self.failed = 0
        self.service = peers.Service(self.http)
        self.service.on("", lambda call: {"path": call.path, "fields": call.fields})

    def start(self):
        peers.redis(self.children, self.redis)
        Fake.port = self.fake
        fake = http.server.ThreadingHTTPServer(("127.0.0.1", self.fake), Fake)
        fake.daemon_threads = True
        threading.Thread(target=fake.serve_forever, daemon=True).start()
        self.make_keys()
        self.start_provider()
        prefix = self.work + "/gateway"
        os.makedirs(prefix + "/conf")
        if tree := os.environ.get("MOONGATE_LUA_TREE"):
            for name in ("lua", "plugins"):
                shutil.copytree(os.path.join(tree, name), os.path.join(prefix, name))
        with open(prefix + "/conf/config.yaml", "w", encoding="utf-8") as out:
            out.write(CONFIG.format(port=self.port, status=self.status))
        with open(prefix + "/conf/apisix.yaml", "w", encoding="utf-8") as out:
            out.write("routes: %s\n#END\n" % json.dumps(self.routes()))
        binary = os.path.abspath(os.environ.get("MOONGATE_BIN", "target/release/moongate"))
        self.log = prefix + "/logs/error.log"
        self.children.start("gateway", [binary, "start", "-p", prefix], prefix)
        self.until(lambda: Browser().open("http://127.0.0.1:%d/status/ready" % self.status)
                   .status == 200, 60)

    @staticmethod
    def until(good, seconds):
        end = time.monotonic() + seconds
        while True:
            try:
                if good():
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise SystemExit("it does not start")
            time.sleep(0.05)

    def make_keys(self):
        """The keys of a client that signs: one for RSA, one for proofs of possession."""
        run = lambda *words: subprocess.run(words, check=True, capture_output=True).stdout
        rsa, curve = self.work + "/rsa.pem", self.work + "/ec.pem"
        run("openssl", "genrsa", "-out", rsa, "2048")
        run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-out", curve)
        digits = run("openssl", "rsa", "-in", rsa, "-noout", "-modulus").decode().split("=")[1]
        self.rsa = run("cat", rsa).decode()
        self.curve = run("cat", curve).decode()
        with open(self.work + "/rsa.jwk", "w", encoding="ascii") as out:
            json.dump({"kty": "RSA", "use": "sig", "alg": "RS256", "e": "AQAB", "kid": "mine",
                       "n": b64(bytes.fromhex(digits.strip()))}, out)
        # The point is the last 64 bytes of the public key.
        point = run("openssl", "pkey", "-in", curve, "-pubout", "-outform", "DER")[-64:]
        self.jwk = {"kty": "EC", "crv": "P-256", "x": b64(point[:32]), "y": b64(point[32:])}

    def start_provider(self):
        self.provider = self.children.start("provider", [
            node(self.packages), os.path.join(HERE, "provider.mjs"), self.packages,
            str(self.oidc), self.top, self.work + "/rsa.jwk"])
        peers.wait_for(self.oidc, 30)

    def routes(self):
        def route(name, client=None, **more):
            client = client or name
            conf = {"client_id": client, "client_secret": "secret of %s: & %%" % client,
                    "discovery": self.provider_url + "/.well-known/openid-configuration",
                    "ssl_verify": False, "scope": "openid profile", "use_pkce": True,
                    "timeout": 6, "session": {"secret": SECRET},
                    "redirect_uri": "%s/%s/callback" % (self.top, client),
                    "logout_path": "/%s/logout" % name,
                    "post_logout_redirect_uri": self.top + "/bye", **more}
            conf = {key: value for key, value in conf.items() if value is not None}
            return {"id": name, "uri": "/%s/*" % name, "upstream_id": "service",
                    "plugins": {"openid-connect": conf},
                    "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:%d" % self.http: 1}}}

        rest = route("rest", "web", redirect_uri=self.top + "/callback")
        rest["uri"] = "/*"
        found = [
            rest, route("web", use_nonce=True, set_refresh_token_header=True,
                        set_raw_id_token_header=True),
            route("short"),
            route("kept", "short", renew_access_token_on_expiry=False,
                  redirect_uri=self.top + "/kept/callback"),
            route("stored", revoke_tokens_on_logout=True, session={
                "secret": SECRET, "storage": "redis", "cookie_name": "stored",
                "redis": {"host": "127.0.0.1", "port": self.redis}}),
            route("brief", "web", redirect_uri=self.top + "/brief/callback", session={
                "secret": SECRET, "absolute_timeout": 8, "cookie_name": "brief"}),
            route("scoped", scope="openid read", required_scopes=["read"],
                  session={"secret": SECRET, "cookie_name": "scoped"}),
            route("strict", "scoped", scope="openid read", required_scopes=["read", "write"],
                  session={"secret": SECRET, "cookie_name": "scoped"}),
            route("public", client_secret=None, session={"secret": SECRET, "cookie_name": "p"}),
            route("signed", client_secret=None, token_endpoint_auth_method="private_key_jwt",
                  client_rsa_private_key=self.rsa, client_rsa_private_key_id="mine",
                  client_jwt_assertion_audience=self.provider_url,
                  session={"secret": SECRET, "cookie_name": "s"}),
            route("bound", par={"enabled": True}, session={"secret": SECRET, "cookie_name": "b"},
                  dpop={"enabled": True, "private_key": self.curve, "public_jwk": self.jwk}),
            route("other", "web", redirect_uri=self.top + "/callback",
                  session={"secret": SECRET[::-1]}),
            route("deny", "web", redirect_uri=self.top + "/callback", unauth_action="deny"),
            route("bearer", "web", bearer_only=True, session=None),
            route("fake", client_secret="secret of fake", use_nonce=True, timeout=3,
                  accept_unsupported_alg=True,
                  discovery="http://127.0.0.1:%d/.well-known/openid-configuration" % self.fake),
            route("gone", "web", timeout=1, discovery="http://127.0.0.1:%d/x" % self.nowhere),
        ]
        for one in found:
            del one["upstream_id"]
        return found

    def that(self, good, text, seen=""):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print("  %s %s" % ("ok  " if good else "FAIL", text), flush=True)
        if not good:
            seen = " | ".join(map(str, seen)) if isinstance(seen, tuple) else str(seen)
            print("       saw: %s" % seen[:900], flush=True)
        return good

    def said(self, text):
        """Whether the gateway's log has it; the writer of the log is a thread of its own."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                if text in log.read():
                    return True
            time.sleep(0.05)
        return False

    @staticmethod
    def basic(client):
        """Who a client is, as a header."""
        text = client + ":" + urllib.parse.quote_plus("secret of %s: & %%" % client)
        return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    def introspect(self, client, token):
        """Whether the provider takes an access token."""
        answer = Browser().open(self.provider_url + "/token/introspection",
                                urllib.parse.urlencode({"token": token}), self.basic(client))
        return json.loads(answer.text).get("active")


def node(packages):
    """Node that is new enough for the provider: that of the system, or npm's."""
    own = os.path.join(packages, "node_modules", "node", "bin", "node")
    return own if os.path.exists(own) else "node"


def install(packages):
    """Fetches the provider, and Node if the system's is older than 20; whether it is there."""
    if os.path.exists(os.path.join(packages, "node_modules", "oidc-provider")):
        return True
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    old = not re.match(r"v(2\d|[3-9]\d)\.", version.stdout)
    words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", packages,
             "oidc-provider@9"] + (["node@22"] if old else [])
    try:
        return subprocess.run(words, timeout=240, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def upstream(answer):
    """The fields that the upstream got."""
    try:
        return json.loads(answer.text)["fields"]
    except (ValueError, KeyError):
        return {}


def told(answer, name):
    """What the upstream was told in a field of base64 and JSON."""
    return json.loads(base64.b64decode(upstream(answer).get(name, "")) or b"{}")


def a_login(t):
    browser = Browser()
    answer = browser.open(t.top + "/web/x?a=1&b=%2F", fields={"X-Userinfo": "admin"})
    t.that(answer.status == 302 and answer.place.startswith(t.provider_url + "/auth?"),
           "who is unknown goes to the provider", answer)
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.place).query)
    t.that(asked.get("code_challenge_method") == ["S256"] and "nonce" in asked,
           "with a challenge and a number", asked)
    answer = browser.log_in(t.top + "/web/x?a=1&b=%2F")
    t.that(answer.status == 200 and answer.url == t.top + "/web/x?a=1&b=%2F",
           "and comes back to where he wanted to go", answer)
    t.that(told(answer, "x-userinfo") == {"sub": "ann", "name": "ann of tests"},
           "the upstream learns who", answer)
    got = upstream(answer)
    t.that(told(answer, "x-id-token").get("sub") == "ann" and got.get("x-refresh-token")
           and got.get("x-raw-id-token", "").count(".") == 2, "and gets the tokens", got)
    asked = len(browser.visited)
    answer = browser.open(t.top + "/web/y", fields={
        "X-Userinfo": "admin", "X-Access-Token": "mine", "X-ID-Token": "a", "X-Raw-ID-Token": "b",
        "X-Refresh-Token": "c"})
    t.that(answer.status == 200 and len(browser.visited) == asked + 1
           and told(answer, "x-userinfo").get("sub") == "ann"
           and not {"mine", "a", "b", "c"} & set(upstream(answer).values()),
           "the session lasts, and what the client says of itself gets nowhere", answer)
    t.that(t.introspect("web", upstream(answer).get("x-access-token")), "by a token that is good")
    return browser


def replays(t):
    browser = Browser()
    before = browser.log_in(t.top + "/web/x", until=t.top + "/web/callback")
    callback, jar = before.place, dict(browser.jars[browser_host(t)])
    t.that(before.status in (302, 303), "a login ends with a code", before)
    answer = Browser().open(callback)
    t.that(answer.status == 500, "a code without the session that asked for it is nothing", answer)
    answer = browser.open(callback.replace("state=", "state=0"))
    t.that(answer.status == 302 and answer.fields["location"] == "/web/x",
           "one for another state begins again", answer)
    answer = browser.open(callback)
    t.that(answer.status == 302 and answer.fields["location"] == "/web/x", "the code counts",
           answer)
    session = dict(browser.jars[browser_host(t)])
    answer = browser.open(callback)
    t.that(answer.status == 302 and answer.place == t.top + "/web/x",
           "once: the second time it leads to the page", answer)
    answer = browser.open(t.top + "/web/x")
    t.that(answer.status == 200, "where the user is still known", answer)
    thief = Browser()
    thief.jars[browser_host(t)] = jar
    answer = thief.open(callback)
    t.that(answer.status == 500 and t.said("invalid_grant"),
           "with the cookie of before the provider refuses it", answer)
    return session


def browser_host(t):
    return "127.0.0.1:%d" % t.port


def changed_cookies(t, jar):
    """A session that was changed anywhere is none."""
    name, value = max(jar.items(), key=lambda pair: len(pair[1]))
    good = Browser()
    good.jars[browser_host(t)] = dict(jar)
    t.that(good.open(t.top + "/deny/x").status == 200, "a session is good on a route beside")
    seen = set()
    for place in [0, 1, 8, 16, 30, len(value) // 2, len(value) - 2]:
        letter = "A" if value[place] != "A" else "B"
        seen.add(status_of(t, {**jar, name: value[:place] + letter + value[place + 1:]}))
    t.that(seen == {401}, "with one letter changed, wherever, it is none", seen)
    seen = {status_of(t, {**jar, name: other}) for other in (
        value[:-20], value * 2, value[40:], "", "=", secrets.token_urlsafe(900))}
    t.that(seen == {401}, "nor cut, doubled or invented", seen)
    other = Browser()
    other.jars[browser_host(t)] = dict(jar)
    answer = other.open(t.top + "/other/x")
    t.that(answer.status == 302, "nor on a route with another secret", answer)


def status_of(t, jar):
    browser = Browser()
    browser.jars[browser_host(t)] = jar
    return browser.open(t.top + "/deny/x").status


def other_hosts(t):
    browser = Browser()
    answer = browser.log_in(t.top + "//evil.example/x", until=t.top + "/callback")
    answer = browser.open(answer.place)
    t.that(answer.status == 302 and answer.fields["location"] == "/evil.example/x",
           "nobody is sent to another host", answer)


def tabs(t):
    browser, places = Browser(), []
    for number in range(3):
        places.append(browser.open("%s/web/tab%d" % (t.top, number)).place)
    first = browser.follow(browser.open(places[0]))
    first = browser.submit(first, t.top, prompt="login", login="ann", password="any")
    if first.status == 200:
        first = browser.submit(first, t.top, prompt="consent")
    third = browser.follow(browser.open(places[2]), t.top)
    ends = [browser.open(answer.place).fields.get("location") for answer in (third, first)]
    t.that(ends == ["/web/tab2", "/web/tab0"], "two ways at once, both to their end", ends)


def logouts(t):
    browser = a_login_at(t, "web")
    answer = browser.open(t.top + "/web/logout")
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.place).query)
    t.that(answer.place.startswith(t.provider_url + "/session/end?") and "id_token_hint" in asked
           and asked.get("post_logout_redirect_uri") == [t.top + "/bye"],
           "who leaves goes to the provider's end of sessions", answer)
    page = browser.follow(answer)
    t.that(page.status == 200 and "<form" in page.text, "which takes the token", page)
    answer = browser.open(t.top + "/web/x")
    t.that(answer.place.startswith(t.provider_url + "/auth?"), "and is unknown", answer)


def a_login_at(t, name):
    browser = Browser()
    answer = browser.log_in("%s/%s/x" % (t.top, name))
    t.that(answer.status == 200, "a login at %s" % name, answer)
    browser.last = answer
    return browser


def in_redis(t):
    browser = a_login_at(t, "stored")
    jar = dict(browser.jars[browser_host(t)])
    t.that(len(jar["stored"]) < 400, "a session in Redis is a short cookie", jar)
    token = upstream(browser.last)["x-access-token"]
    browser.open(t.top + "/stored/logout")
    t.that(t.introspect("stored", token) is False, "the provider hears that its tokens are over")
    thief = Browser()
    thief.jars[browser_host(t)] = jar
    answer = thief.open(t.top + "/stored/x")
    t.that(answer.status == 302, "after the logout the cookie is nothing to a thief", answer)
    browser = a_login_at(t, "stored")
    peers.redis_says(t.redis, "flushall")
    answer = browser.open(t.top + "/stored/x")
    t.that(answer.status == 302, "without Redis' memory there is no session", answer)


def renewals(t):
    browser, kept = a_login_at(t, "short"), Browser()
    token = upstream(browser.last)["x-access-token"]
    kept.jars[browser_host(t)] = dict(browser.jars[browser_host(t)])
    time.sleep(TOKEN_SECONDS + 1)
    answer = browser.open(t.top + "/short/x")
    new = upstream(answer).get("x-access-token")
    t.that(answer.status == 200 and new and new != token, "a token that is over is renewed", answer)
    t.that(t.introspect("short", new), "by one that the provider takes")
    answer = kept.open(t.top + "/kept/x")
    t.that(answer.status == 200 and upstream(answer).get("x-access-token") == token,
           "where it is not to be renewed it stays", answer)
    time.sleep(TOKEN_SECONDS + 1)
    # The provider takes a refresh token once: what the first renewal has left is not good.
    answer = kept.open(t.top + "/short/x")
    t.that(answer.status == 302 and t.said("lost access token"),
           "where it cannot be renewed the user logs in again", answer)


def lifetimes(t):
    browser = a_login_at(t, "brief")
    t.that(browser.open(t.top + "/brief/x").status == 200, "a short session lasts")
    time.sleep(10)
    answer = browser.open(t.top + "/brief/x")
    t.that(answer.status == 302, "for as long as it is to last", answer)


def clients(t):
    browser = a_login_at(t, "scoped")
    answer = browser.open(t.top + "/strict/x")
    t.that(answer.status == 403 and json.loads(answer.text)
           == {"error": "required scopes read, write not present"}, "but not without all scopes",
           answer)
    a_login_at(t, "public")
    a_login_at(t, "signed")
    browser = Browser()
    answer = browser.open(t.top + "/bound/x")
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.place).query)
    t.that(set(asked) == {"client_id", "request_uri"}, "what was pushed is not in the address",
           answer)
    browser = a_login_at(t, "bound")
    t.that(told(browser.last, "x-userinfo").get("sub") == "ann",
           "by tokens that are bound to a key", browser.last)


def a_fake_login(t, kind):
    browser = Browser()
    asked = urllib.parse.urlsplit(browser.open(t.top + "/fake/x").place).query
    asked = {name: value[0] for name, value in urllib.parse.parse_qs(asked).items()}
    code = urllib.parse.quote("%s:%s" % (kind, asked["nonce"]))
    answer = browser.open("%s/fake/callback?code=%s&state=%s" % (t.top, code, asked["state"]))
    return browser, answer


def strange_answers(t):
    browser, answer = a_fake_login(t, "good")
    t.that(answer.status == 302 and browser.open(t.top + "/fake/x").status == 200,
           "a provider by another hand is as good", answer)
    for kind in ("issuer", "audience", "parties", "late", "early", "years", "nonce", "nobody",
                 "unsigned", "forged", "strange", "html", "list", "null", "empty", "text", "no id",
                 "numbers", "no access", "huge", "deep", "error", "slow", "ends"):
        browser, answer = a_fake_login(t, kind)
        again = browser.open(t.top + "/fake/x")
        t.that(answer.status == 500 and again.status == 302 and "x-evil" not in answer.fields,
               "not so one whose answer is wrong: " + kind, (answer, again))
    browser, answer = a_fake_login(t, "expires")
    t.that(answer.status == 302, "one that does not say for how long is", answer)
    Fake.userinfo = {"sub": "eve", "name": "somebody else"}
    browser, answer = a_fake_login(t, "good")
    answer = browser.open(t.top + "/fake/x")
    t.that(answer.status == 200 and "x-userinfo" not in upstream(answer),
           "what it says of somebody else is not believed", answer)


def bearers(t):
    answer = Browser().open(t.provider_url + "/token", "grant_type=client_credentials",
                            t.basic("web"))
    token = json.loads(answer.text)["access_token"]

    def ask(token):
        return Browser().open(t.top + "/bearer/x", fields={"Authorization": "Bearer " + token})
    t.that(ask(token).status == 200, "a token that the provider gave passes")
    t.that(ask(token[::-1]).status == 401, "another does not")
    return token


def without_a_provider(t, browser, token):
    fresh = Browser()
    begun = fresh.log_in(t.top + "/web/x", until=t.top + "/web/callback")
    os.kill(t.provider.pid, signal.SIGSTOP)
    start = time.monotonic()
    answer = fresh.open(begun.place)
    took = time.monotonic() - start
    t.that(answer.status == 500 and took < 60, "a frozen provider costs a login its time-out",
           (answer, took))
    os.kill(t.provider.pid, signal.SIGCONT)
    t.provider.kill()
    t.provider.wait()
    answer = browser.open(t.top + "/web/x")
    t.that(answer.status == 200, "who is in needs no provider", answer)
    answer = Browser().open(t.top + "/bearer/x", fields={"Authorization": "Bearer fresh"})
    t.that(answer.status == 401, "no token is believed without it", answer)
    answer = Browser().open(t.top + "/bearer/x", fields={"Authorization": "Bearer " + token})
    t.that(answer.status == 200, "but one that it has just taken", answer)
    answer = Browser().open(t.top + "/gone/x")
    t.that(answer.status == 500, "where it was never heard of nobody can log in", answer)
    t.start_provider()
    a_login_at(t, "web")


def main():
    short = "--short" in sys.argv[1:]
    work = tempfile.mkdtemp(prefix="moongate-oidc-")
    packages = os.environ.get("MOONGATE_OIDC_DIR") or work + "/packages"
    if not install(packages):
        print("npm cannot fetch oidc-provider here: left out")
        shutil.rmtree(work, ignore_errors=True)
        return 0
    t = Rig(work, packages)
    try:
        t.start()
        browser = a_login(t)
        changed_cookies(t, replays(t))
        for part in (other_hosts, tabs, logouts, in_redis, clients, strange_answers):
            part(t)
        token = bearers(t)
        if not short:
            renewals(t)
            lifetimes(t)
        without_a_provider(t, browser, token)
        t.that(not t_traces(t), "no error of Lua in the log", t_traces(t))
    finally:
        t.children.stop()
        if t.failed and os.path.exists(work + "/provider/output"):
            print(open(work + "/provider/output", encoding="utf-8").read()[-1500:])
        if os.environ.get("TEST_KEEP"):
            print("left in " + work)
        else:
            shutil.rmtree(work, ignore_errors=True)
    print("%d passed, %d failed" % (t.passed, t.failed))
    return 1 if t.failed or not t.passed else 0


def t_traces(t):
    with open(t.log, encoding="utf-8", errors="replace") as log:
        return [line for line in log if "stack traceback" in line or "panicked" in line]


if __name__ == "__main__":
    sys.exit(main())
