"""One case per official plugin: how it is configured, and what must come of it."""

import base64
import collections
import concurrent.futures
import gzip
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.parse
from email.utils import formatdate

import peers

CASES = []
# What loggers wait for before they send.
AT_ONCE = {"batch_max_size": 1, "inactive_timeout": 1, "buffer_duration": 1}
FORMAT = {"host": "$host", "path": "$uri", "status": "$status", "who": "official"}


class Case:
    """A plugin, on a route `/name/*` with `conf`, and `act`, which asks it."""

    def __init__(self, name, conf, act, options):
        self.name, self.conf, self.act = name, conf, act
        # A second case of a plugin has its own name behind that of the plugin.
        again = any(other.name == name for other in CASES)
        self.path = "/" + (act.__name__.replace("_", "-") if again else name)
        self.needs, self.more = options.pop("needs", ()), options.pop("more", ())
        self.logs, self.other = options.pop("logs", ()), options.pop("other", None)
        self.beside = options.pop("beside", {})
        self.consumer = options.pop("consumer", None)
        self.upstream = options.pop("upstream", None)
        assert not options, options

    def objects(self, rig):
        made = self.other(rig) if self.other else {}
        if self.conf is not None:
            conf = self.conf(rig) if callable(self.conf) else self.conf
            beside = self.beside(rig) if callable(self.beside) else self.beside
            route = {"uri": self.path + "/*", "plugins": {self.name: conf, **beside}}
            if self.upstream:
                route["upstream"] = self.upstream(rig)
            made.setdefault("routes", []).append(route)
        if self.consumer:
            made.setdefault("consumers", []).append(
                {"username": "user_" + self.name.replace("-", "_"),
                 "plugins": {self.name: self.consumer}})
        return made


def case(name, conf=None, **options):
    """Adds the function below to the cases."""
    def add(act):
        CASES.append(Case(name, conf, act, options))
        return act
    return add


def text_of(path):
    try:
        with open(path, encoding="utf-8") as text:
            return text.read()
    except OSError:
        return ""


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(claims, secret, fields=None):
    head = b64(json.dumps({"alg": "HS256", "typ": "JWT", **(fields or {})}).encode())
    text = head + "." + b64(json.dumps(claims).encode())
    return text + "." + b64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(
        ("%s:%s" % (name, password)).encode()).decode()}


# ------------------------------------------------------------------------- authentication

@case("key-auth", {}, consumer={"key": "k3y"}, logs=("invalid api key",))
def key_auth(t):
    answer = t.get("/key-auth/x", {"apikey": "k3y"})
    t.status_is(answer, 200, "the key passes")
    t.that("X-Consumer-Username: user_key_auth" in answer.text, "the upstream learns who", answer)
    t.status_is(t.get("/key-auth/x", {"apikey": "other"}), 401, "another key is refused")
    t.status_is(t.get("/key-auth/x"), 401, "none is refused")


@case("basic-auth", {"hide_credentials": True}, consumer={"username": "ann", "password": "secret"})
def basic_auth(t):
    answer = t.get("/basic-auth/x", basic("ann", "secret"))
    t.status_is(answer, 200, "name and password pass")
    t.that("Authorization" not in answer.text, "credentials are hidden", answer)
    answer = t.get("/basic-auth/x", basic("ann", "wrong"))
    t.status_is(answer, 401, "a wrong password is refused")
    t.that("www-authenticate" in answer.fields, "with a challenge", answer)


@case("hmac-auth", {"signed_headers": ["x-custom"]},
      consumer={"key_id": "john", "secret_key": "john-secret"}, logs=("Invalid signature",))
def hmac_auth(t):
    def fields(secret):
        date = formatdate(usegmt=True)
        text = "john\nGET /hmac-auth/x?a=1\ndate: %s\nx-custom: yes\n" % date
        mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
        return {"Date": date, "x-custom": "yes", "Authorization":
                'Signature keyId="john",algorithm="hmac-sha256",headers="@request-target date '
                'x-custom",signature="%s"' % base64.b64encode(mac).decode()}
    t.status_is(t.get("/hmac-auth/x?a=1", fields("john-secret")), 200, "a signature passes")
    t.status_is(t.get("/hmac-auth/x?a=1", fields("other")), 401, "a wrong one is refused")


@case("jwt-auth", {}, consumer={"key": "jwt-user", "secret": "a-secret-of-thirty-two-letters-ok"},
      logs=("claim expired at", "signature mismatch"))
def jwt_auth(t):
    secret = "a-secret-of-thirty-two-letters-ok"
    good = jwt({"key": "jwt-user", "exp": int(time.time()) + 600}, secret)
    old = jwt({"key": "jwt-user", "exp": int(time.time()) - 600}, secret)
    t.status_is(t.get("/jwt-auth/x", {"Authorization": good}), 200, "a token passes")
    t.status_is(t.get("/jwt-auth/x?jwt=" + good), 200, "also as an argument")
    t.status_is(t.get("/jwt-auth/x", {"Authorization": old}), 401, "an old one is refused")
    t.status_is(t.get("/jwt-auth/x", {"Authorization": good[:-3] + "abc"}), 401, "a changed one")


JWE = """
const c = require("crypto"), b = (x) => Buffer.from(x).toString("base64url");
const head = b(JSON.stringify({alg: "dir", enc: "A256GCM", kid: "jwe-user"}));
const iv = c.randomBytes(12);
const one = c.createCipheriv("aes-256-gcm", process.argv[1], iv);
const text = Buffer.concat([one.update("the plain text"), one.final()]);
console.log([head, "", b(iv), b(text), b(one.getAuthTag())].join("."));
"""


@case("jwe-decrypt", {"header": "Authorization", "forward_header": "Authorization"},
      consumer={"key": "jwe-user", "secret": "12345678901234567890123456789012"})
def jwe_decrypt(t):
    token = subprocess.run(["node", "-e", JWE, "12345678901234567890123456789012"], check=True,
                           capture_output=True, text=True).stdout.strip()
    answer = t.get("/jwe-decrypt/x", {"Authorization": token})
    t.status_is(answer, 200, "a token passes")
    t.that("authorization: the plain text" in answer.text.lower(), "decrypted", answer)
    t.status_is(t.get("/jwe-decrypt/x", {"Authorization": token[:-4] + "abcd"}), 400,
                "a changed one is refused")
    t.status_is(t.get("/jwe-decrypt/x"), 403, "none is refused")


@case("ldap-auth", lambda t: {"base_dn": "ou=users,dc=example,dc=org",
                              "ldap_uri": "127.0.0.1:%d" % t.ldap},
      consumer={"user_dn": "cn=user01,ou=users,dc=example,dc=org"}, needs=("ldap",),
      logs=("ldap-auth failed",))
def ldap_auth(t):
    t.status_is(t.get("/ldap-auth/x", basic("user01", "password1")), 200, "slapd's user passes")
    t.status_is(t.get("/ldap-auth/x", basic("user01", "password2")), 401, "a wrong password")
    t.status_is(t.get("/ldap-auth/x", basic("user02", "password1")), 401, "an unknown name")
    t.status_is(t.get("/ldap-auth/x"), 401, "none")


@case("multi-auth", {"auth_plugins": [{"basic-auth": {}}, {"key-auth": {}}]},
      more=("basic-auth", "key-auth"), logs=("failed to authenticate the request, code: 401",))
def multi_auth(t):
    t.status_is(t.get("/multi-auth/x", basic("ann", "secret")), 200, "a password passes")
    t.status_is(t.get("/multi-auth/x", {"apikey": "k3y"}), 200, "a key passes")
    t.status_is(t.get("/multi-auth/x"), 401, "neither is refused")


@case("wolf-rbac", {}, more=(), other=lambda t: {"consumers": [
    {"username": "wolf", "plugins": {"wolf-rbac": {"appid": "app", "server": t.url + "/wolf"}}}]},
      logs=("ERR_ACCESS_DENIED",))
def wolf_rbac(t):
    def answer(call):
        args = urllib.parse.parse_qs(call.path.partition("?")[2])
        if args["resName"] == ["/wolf-rbac/x"] and call.fields.get("x-rbac-token") == "good":
            return {"ok": True, "data": {"userInfo": {
                "id": 7, "username": "ann", "nickname": "Ann"}}}
        return 401, {"ok": False, "reason": "ERR_ACCESS_DENIED"}
    t.service.on("/wolf/wolf/rbac/access_check", answer)
    found = t.get("/wolf-rbac/x", {"x-rbac-token": "V1#app#good"})
    t.status_is(found, 200, "who may passes")
    t.that("X-UserId: 7" in found.text, "the upstream learns who", found)
    t.status_is(t.get("/wolf-rbac/y", {"x-rbac-token": "V1#app#good"}), 401, "who may not")
    t.status_is(t.get("/wolf-rbac/x"), 401, "who has no token")


@case("openid-connect", lambda t: {
    "client_id": "c", "client_secret": "s", "bearer_only": True, "realm": "official",
    "discovery": t.url + "/oidc/.well-known/openid-configuration",
    "introspection_endpoint": t.url + "/oidc/introspect", "ssl_verify": False},
      logs=("OIDC introspection failed", "token is not active|inactive|invalid token"))
def openid_connect(t):
    t.service.on("/oidc/.well-known", lambda call: {
        "issuer": t.url + "/oidc", "authorization_endpoint": t.url + "/oidc/auth",
        "token_endpoint": t.url + "/oidc/token", "jwks_uri": t.url + "/oidc/jwks",
        "introspection_endpoint": t.url + "/oidc/introspect"})
    t.service.on("/oidc/introspect", lambda call: {
        "active": b"token=good" in call.body, "sub": "ann", "scope": "openid",
        "exp": int(time.time()) + 600})
    answer = t.get("/openid-connect/x", {"Authorization": "Bearer good"})
    t.status_is(answer, 200, "an active token passes")
    t.that("x-userinfo:" in answer.text.lower(), "the upstream learns who", answer)
    t.status_is(t.get("/openid-connect/x", {"Authorization": "Bearer bad"}), 401, "another")
    answer = t.get("/openid-connect/x")
    t.status_is(answer, 401, "none")
    t.that("Bearer" in answer.fields.get("www-authenticate", ""), "with a challenge", answer)


def oidc_conf(t, **more):
    """What the three cases with the provider of oidc.mjs have in common."""
    return {"client_id": "c", "client_secret": "s", "ssl_verify": False, "realm": "official",
            "discovery": t.oidc_url + "/.well-known/openid-configuration", **more}


def oidc_token(t, **more):
    """An access token of the provider for its client."""
    body = urllib.parse.urlencode({"grant_type": "client_credentials", **more})
    fields = {**basic("c", "s"), "Content-Type": "application/x-www-form-urlencoded"}
    return t.ask(t.oidc, "/token", "POST", body, fields).json()["access_token"]


@case("openid-connect", lambda t: oidc_conf(
    t, scope="openid profile", use_pkce=True, session={
        "secret": "a-secret-of-thirty-two-letters-ok", "cookie_secure": False},
    redirect_uri="http://127.0.0.1:%d/openid-connect-code/callback" % t.port,
    logout_path="/openid-connect-code/logout"), needs=("oidc",),
      logs=("OIDC authentication failed", "restarting the authentication flow",
            "unhandled request to the redirect_uri|no session state found"))
def openid_connect_code(t):
    browser = peers.Browser()
    top = "http://127.0.0.1:%d/openid-connect-code/" % t.port
    page = browser.open(top + "x?a=1")
    t.that(page.url.startswith(t.oidc_url + "/interaction/"), "who is unknown goes to log in",
           page.url)
    page = browser.submit(page, prompt="login", login="ann", password="any")
    page = browser.submit(page, prompt="consent")
    t.that(page.url == top + "x?a=1" and page.status == 200, "comes back to where he wanted to go",
           (page.url, page.text))
    lines = [line.partition(": ") for line in page.text.split("\r\n")]
    fields = {name.lower(): value for name, _, value in lines}
    who = json.loads(base64.b64decode(fields.get("x-userinfo", "")) or b"{}")
    t.that(who.get("sub") == "ann" and who.get("name") == "ann of tests", "the upstream learns who",
           page.text)
    t.that({"x-access-token", "x-id-token"} <= set(fields), "and gets tokens", page.text)
    asked = len(browser.visited)
    page = browser.open(top + "y")
    t.that(page.status == 200 and len(browser.visited) == asked + 1, "the session lasts",
           browser.visited[asked:])
    page = browser.open(top + "callback?code=c0de&state=forged")
    t.that(page.url == top + "x?a=1", "a code for another state leads back", (page.url, page.text))
    page = peers.Browser().open(top + "callback?code=c0de&state=forged")
    t.that(page.status >= 400, "also without a session", (page.status, page.text))
    page = browser.open(top + "logout")
    t.that(page.url.startswith(t.oidc_url + "/session/end"), "who leaves ends the provider's too",
           page.url)
    asked = len(browser.visited)
    browser.open(top + "x")
    t.that(any(url.startswith(t.oidc_url + "/auth?") for url in browser.visited[asked:]),
           "and is unknown to the gateway again", browser.visited[asked:])


@case("openid-connect", lambda t: oidc_conf(t, bearer_only=True), needs=("oidc",),
      logs=("OIDC introspection failed",))
def openid_connect_introspection(t):
    good, revoked = oidc_token(t), oidc_token(t)
    fields = {**basic("c", "s"), "Content-Type": "application/x-www-form-urlencoded"}
    t.status_is(t.ask(t.oidc, "/token/revocation", "POST", "token=" + revoked, fields), 200,
                "the provider takes a token back")

    def ask(token):
        return t.get("/openid-connect-introspection/x", {"Authorization": "Bearer " + token})
    answer = ask(good)
    t.status_is(answer, 200, "a token that the provider knows passes")
    t.that("x-userinfo:" in answer.text.lower(), "the upstream learns who", answer)
    t.status_is(ask(good), 200, "again")
    t.status_is(ask(revoked), 401, "one that was taken back is refused")
    t.status_is(ask("unknown"), 401, "one that nobody knows")


@case("openid-connect", lambda t: oidc_conf(t, bearer_only=True, use_jwks=True), needs=("oidc",),
      logs=("OIDC introspection failed", "invalid jwt|signature mismatch"))
def openid_connect_jwks(t):
    token = oidc_token(t, resource="urn:official", scope="read")

    def ask(token):
        return t.get("/openid-connect-jwks/x", {"Authorization": "Bearer " + token})
    t.status_is(ask(token), 200, "a token that the keys of the provider verify passes")
    head, claims, mac = token.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "==="))
    other = b64(json.dumps({**told, "scope": "write"}).encode())
    t.status_is(ask(".".join((head, other, mac))), 401, "one with other claims is refused")
    # The first letter of a signature has no bits that are left over.
    mac = ("A" if mac[0] != "A" else "B") + mac[1:]
    t.status_is(ask(".".join((head, claims, mac))), 401, "one with another signature")
    t.status_is(ask(jwt(told, "s", {"kid": "one"})), 401, "one signed with the client's secret")
    t.status_is(ask(oidc_token(t)), 401, "one that is no JWT")


def saml_conf(t, path, **more):
    """What the two cases with the provider of idp.py have in common."""
    def pem(name):
        return text_of(os.path.join(t.work, name))
    return {"sp_issuer": "sp & co", "idp_uri": t.saml_url + "/saml", "idp_cert": pem("idp.crt"),
            "sp_cert": pem("sp.crt"), "sp_private_key": pem("sp.key"), "secret": "a-secret-of-saml",
            "login_callback_uri": path + "/acs", "logout_uri": path + "/logout",
            "logout_callback_uri": path + "/sls", "logout_redirect_uri": "/saml-gone", **more}


def saml_login(t, path, twist="", trusting=False):
    """A browser that was sent to the provider and back, and what it shows."""
    browser = peers.Browser(trusting)
    browser.open(t.saml_url + "/twist?" + urllib.parse.quote(twist))
    page = browser.open("http://127.0.0.1:%d%s/x?a=1&b=%%3c" % (t.port, path))
    t.that(browser.visited[2].startswith(t.saml_url + "/saml?SAMLRequest="),
           "who is unknown goes to log in", browser.visited)
    return browser, browser.submit(page) if "<form" in page.text else page


SAML_LOGS = ("message from IdP", "response from IdP", "IdP returned non-success", "state different",
             "no session found", "logout refused", "no active session")


@case("saml-auth", lambda t: saml_conf(t, "/saml-auth"), needs=("saml",), logs=SAML_LOGS)
def saml_auth(t):
    top = "http://127.0.0.1:%d/saml-auth/" % t.port
    browser, page = saml_login(t, "/saml-auth")
    t.that(page.url == top + "x?a=1&b=%3c" and page.status == 200,
           "comes back to where he wanted to go", (page.text, page.url, page.status))
    t.that(any("acs?SAMLResponse=" in url for url in browser.visited), "by HTTP-Redirect",
           browser.visited)
    back = next(url for url in browser.visited if "acs?SAMLResponse=" in url)
    asked = len(browser.visited)
    page = browser.open(top + "y")
    t.that(page.status == 200 and len(browser.visited) == asked + 1, "the session lasts",
           browser.visited[asked:])
    for who in (browser, peers.Browser()):
        page = who.open(back)
        t.that(page.status == 503, "an answer that nobody waits for is refused", page.status)
    cookie = t.get("/saml-auth/x").fields["set-cookie"].partition(";")[0]
    answer = t.get(back.removeprefix(top[:-len("/saml-auth/")]), {"Cookie": cookie})
    t.status_is(answer, 401, "one that another waits for")
    for twist, status in (("forged", 400), ("stranger", 400), ("state", 401), ("answers", 401),
                          ("audience", 401), ("recipient", 401), ("unconfirmed", 401),
                          ("late", 401), ("status", 500)):
        other, page = saml_login(t, "/saml-auth", twist)
        t.that(page.status == status, "%s: %d" % (twist, status), (page.url, page.status))
        asked = len(other.visited)
        other.open(top + "x")
        t.that(other.visited[asked + 1].startswith(t.saml_url), twist + ": nobody is logged in",
               other.visited[asked:])
    # Out of here, out of there.
    page = browser.open(top + "logout")
    t.that(page.url.endswith("/saml-gone"), "who leaves has left the provider too", page.url)
    t.that(any(url.startswith(top + "sls?SAMLResponse=") for url in browser.visited), "by its word",
           browser.visited)
    asked = len(browser.visited)
    browser.open(top + "x")
    t.that(browser.visited[asked + 1].startswith(t.saml_url), "and is unknown again",
           browser.visited[asked:])
    t.status_is(t.get("/saml-auth/logout"), 401, "who has no session cannot leave")
    t.status_is(t.get("/saml-auth/sls"), 401, "nor be sent away")
    t.status_is(t.get("/saml-auth/acs", method="PUT"), 503, "nor come in another way")


@case("saml-auth", lambda t: saml_conf(t, "/saml-auth-post",
                                       auth_protocol_binding_method="HTTP-POST"),
      needs=("saml",), logs=SAML_LOGS)
def saml_auth_post(t):
    top = "http://127.0.0.1:%d/saml-auth-post/" % t.port
    browser, page = saml_login(t, "/saml-auth-post", trusting=True)
    t.that(page.url == top + "x?a=1&b=%3c" and page.status == 200,
           "comes back to where he wanted to go", (page.text, page.url, page.status))
    t.that(top + "acs" in browser.visited, "by HTTP-POST", browser.visited)
    cookie = t.get("/saml-auth-post/x").fields.get("set-cookie", "")
    t.that("saml_session=" in cookie and "Secure" in cookie and "SameSite=None" in cookie,
           "with a cookie that other sites' forms bring", cookie)
    for twist in ("whole", "advice"):
        other, page = saml_login(t, "/saml-auth-post", twist, trusting=True)
        t.that(page.status == 200 and page.url == top + "x?a=1&b=%3c", "also with " + twist,
               (page.url, page.status))
        page = other.open(top + "logout")
        t.that(page.url.endswith("/saml-gone"), twist + ": ann is who leaves", page.text)
    for twist, status in (("forged", 400), ("wrapped", 400), ("unsigned", 400), ("stranger", 400),
                          ("doctype", 400), ("state", 401), ("answers", 401), ("audience", 401),
                          ("recipient", 401), ("unconfirmed", 401), ("late", 401),
                          ("status", 500)):
        other, page = saml_login(t, "/saml-auth-post", twist, trusting=True)
        t.that(page.status == status and page.url == top + "acs", "%s: %d" % (twist, status),
               (page.text, page.url, page.status))
        page = other.open(top + "x")
        t.that(page.url.startswith(t.saml_url), twist + ": nobody is logged in", page.url)
    browser.open(t.saml_url + "/twist?answers")
    page = browser.open(top + "logout")
    t.that(page.status == 401, "an end of another's logout is refused", (page.url, page.status))
    page = browser.open(t.saml_url + "/end?bob@example.org")
    t.that(page.text == "ended Requester back", "another's session does not end", page.text)
    t.that(browser.open(top + "x").url == top + "x", "and this one lasts")
    page = browser.open(t.saml_url + "/end?ann@example.org")
    t.that(page.text == "ended Success back", "the provider can end it", page.text)
    asked = len(browser.visited)
    browser.open(top + "x")
    t.that(browser.visited[asked + 1].startswith(t.saml_url), "who is then unknown",
           browser.visited[asked:])


@case("authz-keycloak", lambda t: {"token_endpoint": t.url + "/keycloak/token",
                                   "permissions": ["course#view"], "client_id": "app"},
      logs=("authorization header not available", "Request denied|HTTP 403"))
def authz_keycloak(t):
    def answer(call):
        good = call.fields.get("authorization") == "Bearer good" and b"course%23view" in call.body
        return {"access_token": "x"} if good else (403, {"error": "access_denied"})
    t.service.on("/keycloak/token", answer)
    t.status_is(t.get("/authz-keycloak/x", {"Authorization": "Bearer good"}), 200, "who may")
    t.status_is(t.get("/authz-keycloak/x", {"Authorization": "Bearer bad"}), 403, "who may not")
    t.status_is(t.get("/authz-keycloak/x"), 401, "who has no token")


@case("authz-casbin", {"username": "user", "model": """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = (g(r.sub, p.sub) || keyMatch(r.sub, p.sub)) && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act)
""", "policy": """p, *, /authz-casbin/open, GET
p, admin, *, *
g, alice, admin
"""})
def authz_casbin(t):
    t.status_is(t.get("/authz-casbin/open"), 200, "what is open passes")
    t.status_is(t.get("/authz-casbin/x", {"user": "alice"}), 200, "an administrator passes")
    t.status_is(t.get("/authz-casbin/x", {"user": "bob"}), 403, "another is refused")


@case("authz-casdoor", lambda t: {
    "endpoint_addr": t.url + "/casdoor", "client_id": "cid", "client_secret": "cs",
    "callback_url": "http://127.0.0.1:%d/authz-casdoor/callback" % t.port})
def authz_casdoor(t):
    t.service.on("/casdoor/api/login/oauth/access_token", lambda call: {
        "access_token": "token", "expires_in": 3600})
    answer = t.get("/authz-casdoor/x")
    t.status_is(answer, 302, "who is unknown goes to log in")
    place = urllib.parse.urlparse(answer.fields.get("location", ""))
    args = urllib.parse.parse_qs(place.query)
    t.that(place.path == "/casdoor/login/oauth/authorize" and args["client_id"] == ["cid"],
           "at casdoor", answer)
    cookie = answer.fields.get("set-cookie", "").split(";")[0]
    answer = t.get("/authz-casdoor/callback?code=c0de&state=" + args["state"][0],
                   {"Cookie": cookie})
    t.status_is(answer, 302, "comes back with a code")
    cookie = answer.fields.get("set-cookie", cookie).split(";")[0]
    t.status_is(t.get("/authz-casdoor/x", {"Cookie": cookie}), 200, "and passes")


@case("cas-auth", lambda t: {
    "idp_uri": t.url + "/cas", "cas_callback_uri": "/cas-auth/callback",
    "logout_uri": "/cas-auth/logout",
    "cookie": {"secret": "0123456789abcdef0123456789abcdef", "secure": False}},
      logs=("is a relative path",))
def cas_auth(t):
    t.service.on("/cas/serviceValidate", lambda call:
                 "<cas:serviceResponse xmlns:cas='http://www.yale.edu/tp/cas'><cas:"
                 "authenticationSuccess><cas:user>ann</cas:user></cas:authenticationSuccess>"
                 "</cas:serviceResponse>")
    answer = t.get("/cas-auth/x")
    t.status_is(answer, 302, "who is unknown goes to log in")
    t.that("/cas/login?service=" in answer.fields.get("location", ""), "at the provider", answer)
    cookies = "; ".join(v.split(";")[0] for n, v in answer.headers if n.lower() == "set-cookie")
    answer = t.get("/cas-auth/callback?ticket=ST-1", {"Cookie": cookies})
    t.status_is(answer, 302, "comes back with a ticket")
    cookies = "; ".join(v.split(";")[0] for n, v in answer.headers if n.lower() == "set-cookie")
    t.status_is(t.get("/cas-auth/x", {"Cookie": cookies}), 200, "and passes")


@case("forward-auth", lambda t: {"uri": t.url + "/forward", "request_headers": ["X-Token"],
                                 "upstream_headers": ["X-User"], "client_headers": ["X-Reason"]})
def forward_auth(t):
    def answer(call):
        return "" if call.fields.get("x-token") == "good" else (403, "who are you")
    t.service.on("/forward", answer)
    t.status_is(t.get("/forward-auth/x", {"X-Token": "good"}), 200, "who may passes")
    refused = t.get("/forward-auth/x", {"X-Token": "bad"})
    t.status_is(refused, 403, "who may not")
    t.that(refused.text == "who are you", "is told by the service", refused)
    call = t.service.seen("/forward")[0]
    t.that(call.fields.get("x-forwarded-uri") == "/forward-auth/x", "which knows the path",
           call.fields)


@case("opa", lambda t: {"host": t.url, "policy": "official/allow"})
def opa(t):
    def answer(call):
        asked = json.loads(call.body)["input"]["request"]
        if asked["query"].get("user") == "ann":
            return {"result": {"allow": True}}
        return {"result": {"allow": False, "reason": "not you", "status_code": 401,
                           "headers": {"X-Why": "policy"}}}
    t.service.on("/v1/data/official/allow", answer)
    t.status_is(t.get("/opa/x?user=ann"), 200, "who may passes")
    answer = t.get("/opa/x?user=bob")
    t.status_is(answer, 401, "who may not")
    t.that(answer.text == "not you" and answer.fields.get("x-why") == "policy", "is told why",
           answer)


@case("consumer-restriction", {"whitelist": ["user_key_auth"]}, more=("key-auth",),
      beside={"key-auth": {}}, other=lambda t: {"consumers": [
          {"username": "other", "plugins": {"key-auth": {"key": "other-key"}}}]})
def consumer_restriction(t):
    t.status_is(t.get("/consumer-restriction/x", {"apikey": "k3y"}), 200, "who is listed")
    t.status_is(t.get("/consumer-restriction/x", {"apikey": "other-key"}), 403, "who is not")


@case("acl", {"allow_labels": {"team": ["red"]}}, more=("key-auth",), beside={"key-auth": {}},
      other=lambda t: {"consumers": [
          {"username": "red", "labels": {"team": "red"},
           "plugins": {"key-auth": {"key": "red-key"}}},
          {"username": "blue", "labels": {"team": "blue"},
           "plugins": {"key-auth": {"key": "blue-key"}}}]})
def acl(t):
    t.status_is(t.get("/acl/x", {"apikey": "red-key"}), 200, "a label that may passes")
    t.status_is(t.get("/acl/x", {"apikey": "blue-key"}), 403, "another is refused")


@case("attach-consumer-label", {"headers": {"X-Team": "$team"}}, more=("key-auth",),
      beside={"key-auth": {}})
def attach_consumer_label(t):
    answer = t.get("/attach-consumer-label/x", {"apikey": "red-key"})
    t.that("x-team: red" in answer.text.lower(), "the label becomes a header", answer)
    answer = t.get("/attach-consumer-label/x", {"apikey": "k3y"})
    t.that(answer.status == 200 and "x-team" not in answer.text.lower(), "no label, none", answer)


@case("csrf", {"key": "secret"})
def csrf(t):
    answer = t.get("/csrf/x")
    cookie = answer.fields.get("set-cookie", "").split(";")[0]
    t.that(cookie.startswith("apisix-csrf-token="), "a token is given", answer)
    token = cookie.partition("=")[2]
    t.status_is(t.post("/csrf/x", "", {"Cookie": cookie, "apisix-csrf-token": token}), 200,
                "with it a POST passes")
    t.status_is(t.post("/csrf/x"), 401, "without it is refused")


# ------------------------------------------------------------------------------- filters

@case("ip-restriction", {"whitelist": ["10.0.0.0/8", "127.0.0.1"]}, other=lambda t: {"routes": [
    {"uri": "/ip-restriction-not", "plugins": {"ip-restriction": {"blacklist": ["127.0.0.0/8"]}}}]})
def ip_restriction(t):
    t.status_is(t.get("/ip-restriction/x"), 200, "an address of the list")
    t.status_is(t.get("/ip-restriction-not"), 403, "an address of the other")


@case("ua-restriction", {"denylist": ["bad-bot.*"]})
def ua_restriction(t):
    t.status_is(t.get("/ua-restriction/x", {"User-Agent": "good"}), 200, "a browser")
    t.status_is(t.get("/ua-restriction/x", {"User-Agent": "bad-bot/1"}), 403, "a robot")


@case("referer-restriction", {"whitelist": ["*.example.org"]})
def referer_restriction(t):
    t.status_is(t.get("/referer-restriction/x", {"Referer": "http://a.example.org/b"}), 200, "one")
    t.status_is(t.get("/referer-restriction/x", {"Referer": "http://evil.org"}), 403, "another")


class SafeLine:
    """The detection service that cases talk about: what it is to answer, and what it was shown."""

    def __init__(self, port):
        self.port = port

    def say(self, line):
        with socket.create_connection(("127.0.0.1", self.port), 10) as conn:
            conn.sendall(line + b"\n")
            with conn.makefile("rb") as answers:
                return answers.readline()

    def answers(self, data):
        """To the message that comes then."""
        self.say(b"next " + data.hex().encode())

    def silent(self):
        self.say(b"silent")

    def seen(self):
        """The messages since this was asked last."""
        return json.loads(self.say(b"seen"))


def safeline_routes(t):
    """More routes of chaitin-waf: each has a mode, settings or conditions of its own."""
    confs = {"watch": {"mode": "monitor", "config": {"read_timeout": 1000}},
             "default": {}, "off": {"mode": "off"},
             "some": {"mode": "block", "match": [{"vars": [["http_waf", "==", "true"]]}]},
             "short": {"mode": "block", "config": {"read_timeout": 1000, "req_body_size": 1,
                                                   "real_client_ip": False},
                       "append_waf_debug_header": True},
             "hidden": {"mode": "block", "append_waf_resp_header": False}}
    return {"plugin_metadata": [{"id": "chaitin-waf", "mode": "block", "nodes": [
        {"host": "127.0.0.1", "port": t.t1k}]}], "routes": [
            {"uri": "/chaitin-waf-%s/*" % name, "plugins": {"chaitin-waf": conf}}
            for name, conf in confs.items()]}


EVENT = "b3c6ce574dc24f09a01f634a39dca83b"
BLOCKED = ('{"code": 403, "success":false, "message": "blocked by Chaitin SafeLine Web Application '
           'Firewall", "event_id": "%s"}\n' % EVENT)
WAF = "x-apisix-chaitin-waf"


@case("chaitin-waf", {"mode": "block"}, other=safeline_routes,
      logs=("request rejected by chaitin-waf, event_id: " + EVENT,))
def chaitin_waf(t):
    waf = SafeLine(t.t1k)
    waf.seen()
    answer = t.get("/chaitin-waf/x?a=1", {"X-Mine": "mine"})
    t.status_is(answer, 200, "a good one passes")
    t.that([answer.fields.get(WAF + part) for part in ("", "-status", "-action", "-error")]
           == ["yes", "200", "pass", None] and WAF + "-time" in answer.fields,
           "and the client learns it", answer)
    seen = waf.seen()
    t.that(len(seen) == 1 and seen[0]["version"] == "Proto:2\n" and seen[0]["body"] is None
           and seen[0]["tags"] == [0x41, 0x20, 0x83], "the service is shown it", seen)
    t.that(seen[0]["head"].startswith("GET /chaitin-waf/x?a=1 HTTP/1.1\r\n")
           and "\r\nX-Mine: mine\r\n" in seen[0]["head"], "as it came", seen)
    extra = dict(pair for pair in seen[0]["extra"] if len(pair) == 2)
    t.that([extra[name] for name in ("RemoteAddr", "LocalAddr", "LocalPort", "Scheme")]
           == ["127.0.0.1", "127.0.0.1", str(t.port), "http"], "with where it came from", extra)
    answer = t.get("/chaitin-waf/x?a=attack")
    t.that(answer.status == 403 and answer.text == BLOCKED, "a bad one is refused", answer)
    t.that([answer.fields.get(WAF + part) for part in ("", "-status", "-action")]
           == ["yes", "403", "reject"], "and the client learns it", answer)
    t.that(answer.fields.get("set-cookie") == "sl-session=abc; Path=/"
           and answer.fields.get("x-safe") == "line", "and gets the service's cookie", answer)
    t.status_is(t.post("/chaitin-waf/x", "an attack"), 403, "also by its body")
    t.status_is(t.get("/chaitin-waf-default/x?a=attack"), 403, "the mode of all routes counts")
    answer = t.get("/chaitin-waf-hidden/x?a=attack")
    t.that(answer.status == 403 and WAF not in answer.fields, "the client need not learn it",
           answer)
    t.status_is(t.get("/chaitin-waf-some/x?a=attack", {"waf": "true"}), 403, "of some requests")
    waf.seen()
    answer = t.get("/chaitin-waf-some/x?a=attack")
    t.that(answer.status == 200 and answer.fields[WAF] == "no", "not of others", answer)
    answer = t.get("/chaitin-waf-off/x?a=attack")
    t.that(answer.status == 200 and answer.fields[WAF] == "off", "nor if it is off", answer)
    t.that(not waf.seen(), "the service is not asked then")


@case("chaitin-waf", {"mode": "block"})
def chaitin_waf_bodies(t):
    waf, path = SafeLine(t.t1k), "/chaitin-waf-bodies/x"
    for size in (1, 100, 70000, 1024 * 1024, 3 * 1024 * 1024):
        waf.seen()
        text = "0123456789" * (size // 10) + "x" * (size % 10)
        t.status_is(t.post(path, text), 200, "%d bytes pass" % size)
        body = waf.seen()[0]["body"]
        t.that(body == text[:1024 * 1024], "the service is shown the first 1024 kilobytes",
               len(body or ""))
    t.status_is(t.post("/chaitin-waf-short/x", "y" * 2000), 200, "or less")
    t.that(waf.seen()[0]["body"] == "y" * 1024, "of it")
    answer = t.ask(t.port, path, "POST", iter([b"in ", b"chunks"]))
    t.that(answer.status == 200 and waf.seen()[0]["body"] == "in chunks", "of chunks too", answer)
    curl = ["curl", "-s", "--max-time", "20", "--http2-prior-knowledge", "-H", "X-Mine: mine",
            "http://127.0.0.1:%d%s?b=2" % (t.http2, path)]
    for more, body in ((["-d", "of HTTP/2"], "of HTTP/2"),
                       (["-T", "-", "-X", "POST"], "of no announced length"), ([], None)):
        done = subprocess.run(curl + more, input=(body or "").encode(), check=False,
                              capture_output=True)
        seen = waf.seen()
        t.that(done.returncode == 0 and len(seen) == 1 and seen[0]["body"] == body
               and seen[0]["head"].startswith(("GET" if body is None else "POST")
                                              + " %s?b=2 HTTP/2.0\r\n" % path)
               and "\r\nx-mine: mine\r\n" in seen[0]["head"].lower(), "and of HTTP/2",
               (done, seen))
    for _ in range(20):
        t.get(path)
    t.that(len({one["connection"] for one in waf.seen()}) == 1, "on one connection")


@case("chaitin-waf", {"mode": "block"}, logs=("chaitin-waf monitor mode: ",))
def chaitin_waf_watch(t):
    waf, watch, short = SafeLine(t.t1k), "/chaitin-waf-watch/x", "/chaitin-waf-short/x"
    answer = t.get(watch + "?a=attack")
    t.that(answer.status == 200 and answer.fields[WAF + "-action"] == "reject"
           and answer.fields[WAF + "-status"] == "403" and "set-cookie" not in answer.fields,
           "who only watches lets it pass", answer)
    # What a service may answer that is no answer; its connection is not used again.
    info, data_of = "failed to receive info packet from", "failed to receive payload from"
    for data, error in ((b"\1\1\0\0\0.", "first packet is not MASK_FIRST from t1k server %s"),
                        (b"", info + " t1k server %s: closed"),
                        (b"A\1\0\0\0.A", info + " t1k server %s: timeout"),
                        (b"A\5\0\0\0.", data_of + " t1k server %s: timeout"),
                        (b"A\0\0\0\x7f", data_of + " t1k server %s: too large"),
                        (b"A\xff\xff\xff\xff.", data_of + " t1k server %s: too large"),
                        (None, info + " t1k server %s: timeout")):
        for path, status in ((short, 500), (watch, 200)):
            waf.silent() if data is None else waf.answers(data)
            answer = t.get(path)
            found = answer.fields.get(WAF + "-error"), answer.fields.get(WAF)
            t.that(answer.status == status
                   and found[0] in (error % ("127.0.0.1:%d" % t.t1k), *[None] * (path == watch))
                   and found[1] == ("timeout" if "timeout" in error else "waf-err"),
                   "%r: %d" % (data, status), answer)
    t.status_is(t.get(short), 200, "all is well again")
    waf.answers(b"A\1\0\0\0?\x02\2\0\0\0no\xa4\x16\0\0\0<!-- event_id: abc -->")
    t.that(t.get(watch).fields[WAF + "-status"] == "no", "a status that is none")
    # Whatever the service wants the client to get: no line ends within a field.
    evil = b"X-A:1\rX-B:2\n: none\nno field\n\nX C:3\nX-D:\x00\x01\nX-E:5"
    waf.answers(b"A\1\0\0\0.\xa3" + struct.pack("<I", len(evil)) + evil)
    answer = t.get(short)
    t.that(answer.status == 200 and answer.fields.get("x-e") == "5", "fields of any kind", answer)


@case("uri-blocker", {"block_rules": ["root.exe"]})
def uri_blocker(t):
    t.status_is(t.get("/uri-blocker/x"), 200, "a path")
    t.status_is(t.get("/uri-blocker/root.exe"), 403, "a blocked one")


@case("cors", {"allow_origins": "http://a.org", "allow_methods": "GET,PUT"})
def cors(t):
    answer = t.get("/cors/x", {"Origin": "http://a.org"})
    t.that(answer.fields.get("access-control-allow-origin") == "http://a.org", "one of ours",
           answer)
    answer = t.get("/cors/x", {"Origin": "http://b.org"})
    t.that("access-control-allow-origin" not in answer.fields, "another", answer)


@case("request-validation", {"body_schema": {
    "type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}}},
      logs=("req schema validation failed",))
def request_validation(t):
    t.status_is(t.post("/request-validation/x", {"age": 3}), 200, "what the schema says")
    t.status_is(t.post("/request-validation/x", {"age": "x"}), 400, "something else")


@case("oas-validator", {"verbose_errors": True, "spec": json.dumps({
    "openapi": "3.0.2", "info": {"title": "t", "version": "1"},
    "paths": {"/oas-validator/pets/{id}": {"post": {
        "parameters": [{"name": "id", "in": "path", "required": True,
                        "schema": {"type": "integer"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {
            "type": "object", "required": ["name"],
            "properties": {"name": {"type": "string"}}}}}},
        "responses": {"200": {"description": "ok"}}}}}})},
      logs=("error occurred while validating request",))
def oas_validator(t):
    t.status_is(t.post("/oas-validator/pets/3", {"name": "cat"}), 200, "what the API says")
    t.status_is(t.post("/oas-validator/pets/3", {"name": 4}), 400, "another body")
    t.status_is(t.post("/oas-validator/pets/cat", {"name": "cat"}), 400, "another path")


@case("limit-count", lambda t: {"count": 2, "time_window": 60, "policy": "redis",
                                "redis_host": "127.0.0.1", "redis_port": t.redis,
                                "rejected_code": 429})
def limit_count(t):
    answers = [t.get("/limit-count/x") for _ in range(3)]
    t.that([a.status for a in answers] == [200, 200, 429], "two of three", answers[-1])
    t.that(answers[0].fields.get("x-ratelimit-remaining") == "1", "with what is left", answers[0])
    t.that("plugin-limit-count" in peers.redis_says(t.redis, "KEYS", "*"), "counted in redis")


@case("limit-count", {"count": 5, "time_window": 60, "policy": "local", "rejected_code": 429})
def limit_count_local(t):
    answers = [t.get("/limit-count-local/x") for _ in range(6)]
    t.that([a.status for a in answers] == [200] * 5 + [429], "five of six", answers[-1])
    left = [a.fields.get("x-ratelimit-remaining") for a in answers]
    t.that(left == ["4", "3", "2", "1", "0", "0"], "with what is left", left)


@case("limit-req", {"rate": 1, "burst": 0, "key": "remote_addr", "rejected_code": 429})
def limit_req(t):
    codes = [t.get("/limit-req/x").status for _ in range(4)]
    t.that(codes[0] == 200 and 429 in codes, "the first, not all", codes)


@case("limit-conn", {"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr"})
def limit_conn(t):
    codes = [t.get("/limit-conn/x").status for _ in range(3)]
    t.that(codes == [200, 200, 200], "one after the other", codes)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        codes = [answer.status for answer in
                 pool.map(t.get, ["/limit-conn/x?sleep=1.5"] * 3)]
    t.that(sorted(codes) == [200, 503, 503], "one of three at a time", codes)


@case("graphql-limit-count", {"count": 4, "time_window": 60, "rejected_code": 429,
                              "policy": "local"}, logs=("failed to parse graphql",))
def graphql_limit_count(t):
    query = {"query": "query { a { b { c } } }"}
    answers = [t.post("/graphql-limit-count/x", query) for _ in range(3)]
    t.that([a.status for a in answers] == [200, 429, 429], "the depth is counted", answers[0])
    t.status_is(t.post("/graphql-limit-count/x", {"query": "query {"}), 400, "what is no GraphQL")


@case("api-breaker", {"break_response_code": 502, "unhealthy": {"http_statuses": [500],
                                                               "failures": 2}})
def api_breaker(t):
    codes = [t.get("/api-breaker/x", {"X-Status": "500"}).status for _ in range(3)]
    t.that(codes == [500, 500, 502], "the third is not tried", codes)


# ------------------------------------------------------------------------ transformations

@case("proxy-rewrite", {"regex_uri": ["^/proxy-rewrite/(.*)", "/new/$1"],
                        "headers": {"set": {"X-New": "yes"}}})
def proxy_rewrite(t):
    answer = t.get("/proxy-rewrite/x")
    t.that(answer.text.startswith("GET /new/x ") and "X-New: yes" in answer.text, "path and header",
           answer)


@case("response-rewrite", {"status_code": 201, "body": "{\"new\":1}",
                           "headers": {"set": {"X-New": "$status"}},
                           "vars": [["arg_a", "==", "1"]]})
def response_rewrite(t):
    answer = t.get("/response-rewrite/x?a=1")
    t.that(answer.status == 201 and answer.text == '{"new":1}', "status and body", answer)
    t.status_is(t.get("/response-rewrite/x?a=2"), 200, "only where it should")


@case("redirect", {"regex_uri": ["^/redirect/(.*)", "/other/$1"], "ret_code": 301})
def redirect(t):
    answer = t.get("/redirect/x")
    t.that(answer.status == 301 and answer.fields["location"] == "/other/x", "elsewhere", answer)


@case("mocking", {"response_status": 202, "content_type": "application/json",
                  "response_schema": {"type": "object", "properties": {
                      "n": {"type": "integer", "example": 42}, "s": {"type": "string"}}}})
def mocking(t):
    answer = t.get("/mocking/x")
    t.that(answer.status == 202 and answer.json()["n"] == 42, "an example by the schema", answer)
    t.that("x-upstream" not in answer.fields, "without the upstream", answer)


@case("fault-injection", {"abort": {"http_status": 418, "body": "no",
                                    "vars": [[["arg_a", "==", "1"]]]}})
def fault_injection(t):
    t.status_is(t.get("/fault-injection/x"), 200, "without the argument")
    answer = t.get("/fault-injection/x?a=1")
    t.that(answer.status == 418 and answer.text == "no", "with it", answer)


@case("body-transformer", {
    "request": {"input_format": "xml", "template":
                '{"name": "{*_escape_json(Envelope.Body.name)*}"}'.replace("{*_escape_json(", "{{")
                .replace(")*}", "}}")},
    "response": {"input_format": "plain", "template": "<got>{{ _body }}</got>"}},
      logs=("Error Parsing XML",))
def body_transformer(t):
    answer = t.post("/body-transformer/x", "<Envelope><Body><name>bob</name></Body></Envelope>",
                    {"Content-Type": "text/xml"})
    t.that('{"name": "bob"}' in answer.text.replace("&quot;", '"'), "XML becomes JSON", answer)
    t.that(answer.text.startswith("<got>"), "the answer becomes XML", answer)
    t.status_is(t.post("/body-transformer/x", "<a", {"Content-Type": "text/xml"}), 400,
                "what is no XML")


@case("degraphql", {"query": "query($id: String!) { one(id: $id) { name } }",
                    "variables": ["id"]}, logs=("request body can't be decoded",))
def degraphql(t):
    answer = t.post("/degraphql/x", {"id": "7"})
    t.that('"variables":{"id":"7"}' in answer.text and "one(id: $id)" in answer.text,
           "the upstream gets GraphQL", answer)
    t.status_is(t.post("/degraphql/x", "no json", {"Content-Type": "application/json"}), 400,
                "what is no JSON")


@case("data-mask", {"request": [{"type": "query", "name": "password", "action": "remove"},
                                {"type": "header", "name": "X-Card", "action": "replace",
                                 "value": "****"}]},
      more=("file-logger",),
      beside=lambda t: {"file-logger": {"path": t.work + "/masked.log"}})
def data_mask(t):
    answer = t.get("/data-mask/x?password=top&a=1", {"X-Card": "1234"})
    t.that(answer.status == 200 and "password=top" in answer.text, "the upstream sees all", answer)
    line = t.until(lambda: text_of(t.work + "/masked.log"))
    t.that("top" not in line and '"x-card":"****"' in line, "the log does not", line)


@case("echo", {"before_body": "before ", "body": "instead", "after_body": " after"})
def echo(t):
    answer = t.get("/echo/x")
    t.that(answer.text == "before instead after", "its words", answer)


@case("request-id", {"algorithm": "ksuid", "include_in_response": True})
def request_id(t):
    answer = t.get("/request-id/x")
    mine = answer.fields.get("x-request-id", "")
    t.that(len(mine) == 27 and mine in answer.text, "upstream and client learn it", answer)
    t.that(t.get("/request-id/x", {"X-Request-Id": "own"}).fields["x-request-id"] == "own",
           "one's own is kept")


@case("real-ip", {"source": "http_x_forwarded_for", "trusted_addresses": ["127.0.0.0/24"]},
      more=("ip-restriction",), beside={"ip-restriction": {"whitelist": ["9.9.9.9"]}})
def real_ip(t):
    t.status_is(t.get("/real-ip/x", {"X-Forwarded-For": "9.9.9.9"}), 200, "the address told")
    t.status_is(t.get("/real-ip/x", {"X-Forwarded-For": "8.8.8.8"}), 403, "another")


@case("traffic-split", lambda t: {"rules": [{
    "match": [{"vars": [["arg_to", "==", "service"]]}],
    "weighted_upstreams": [{"upstream": {"type": "roundrobin", "nodes": {
        "127.0.0.1:%d" % t.http: 1}}, "weight": 1}]}]})
def traffic_split(t):
    t.that("x-upstream" in t.get("/traffic-split/x").fields, "to nginx")
    answer = t.get("/traffic-split/x?to=service")
    t.that(answer.text == "{}" and "x-upstream" not in answer.fields, "to the other", answer)


@case("traffic-label", {"rules": [{"match": [["arg_v", "==", "1"]],
                                   "actions": [{"set_headers": {"X-Label": "one"}}]}]})
def traffic_label(t):
    t.that("x-label: one" in t.get("/traffic-label/x?v=1").text.lower(), "labelled")
    t.that("x-label" not in t.get("/traffic-label/x?v=2").text.lower(), "not labelled")


@case("workflow", {"rules": [{"case": [["uri", "~~", "/workflow/no"]],
                              "actions": [["return", {"code": 403}]]}]})
def workflow(t):
    t.status_is(t.get("/workflow/yes"), 200, "no rule")
    t.status_is(t.get("/workflow/no"), 403, "a rule")


@case("proxy-cache", {"cache_strategy": "memory", "cache_zone": "memory_cache", "cache_ttl": 60,
                      "cache_key": ["$uri"]})
def proxy_cache(t):
    first, second = t.get("/proxy-cache/x?n=1"), t.get("/proxy-cache/x?n=2")
    t.that(first.fields.get("apisix-cache-status") == "MISS", "the first is not there", first)
    t.that(second.fields.get("apisix-cache-status") == "HIT" and second.text == first.text,
           "the second is", second)


def mirrored(t, pattern, good=lambda call: True):
    """The first copy of a request that came to the service on such a path."""
    call = t.call(pattern, good)
    t.that(call, "a copy for " + pattern, [known.path for known in t.service.calls][-5:])
    return call


@case("proxy-mirror", lambda t: {"host": t.url}, beside={"proxy-rewrite": {"headers": {"set": {
    "X-Late": "yes"}}}}, more=("proxy-rewrite",), logs=("buffered to a temporary file",))
def proxy_mirror(t):
    for method, body in (("GET", None), ("POST", "hello"), ("PUT", "0123456789" * 20000),
                         ("PATCH", "{}"), ("DELETE", None)):
        path = "/proxy-mirror/a%20b/%25/" + method + "?x=%201&y"
        answer = t.get(path, {"X-Own": "1", "Content-Type": "text/x"}, method=method, body=body)
        call = mirrored(t, re.escape(path)) if t.status_is(answer, 200, method) else None
        if not call:
            continue
        head, _, got = answer.text.partition("\r\n\r\n")
        line, *lines = head.split("\r\n")
        t.that(line == "%s %s HTTP/1.1" % (call.method, call.path), "the same line", line)
        fields = {name.lower(): value for name, value in
                  (field.split(": ", 1) for field in lines)}
        t.that(fields == call.fields and fields["x-late"] == "yes", "the same fields",
               (fields, call.fields))
        # nginx shows a body that it has in memory.
        t.that(call.text() == (body or "") and got in (body or "", ""), "the same body", call.body)


@case("proxy-mirror", lambda t: {"host": t.url, "sample_ratio": 0.5})
def proxy_mirror_some(t):
    for _ in range(400):
        t.get("/proxy-mirror-some/x")
    t.until(lambda: len(t.service.seen("^/proxy-mirror-some/")) > 130, 10)
    # Six times the deviation either way.
    count = len(t.service.seen("^/proxy-mirror-some/"))
    t.that(140 <= count <= 260, "about half of 400", count)


@case("proxy-mirror", lambda t: {"host": t.url, "path": "/other"})
def proxy_mirror_replace(t):
    t.get("/proxy-mirror-replace/x?replace=1")
    mirrored(t, r"^/other\?replace=1$")


@case("proxy-mirror", lambda t: {"host": t.url.replace("127.0.0.1", "localhost"), "path": "/pre",
                                 "path_concat_mode": "prefix"})
def proxy_mirror_prefix(t):
    t.get("/proxy-mirror-prefix/x%20y?a=1")
    mirrored(t, r"^/pre/proxy-mirror-prefix/x%20y\?a=1$")


@case("proxy-mirror", lambda t: {"host": t.url})
def proxy_mirror_slow(t):
    t.service.on("^/proxy-mirror-slow/", lambda call: time.sleep(20) or "late")
    begun = time.monotonic()
    for _ in range(20):
        t.get("/proxy-mirror-slow/x")
    took = time.monotonic() - begun
    t.that(took < 10, "nobody waits for a mirror that takes 20 seconds", took)
    mirrored(t, "^/proxy-mirror-slow/")


@case("proxy-mirror", lambda t: {"host": "http://127.0.0.1:%d" % t.closed},
      logs=(r"mirror http://127\.0\.0\.1:\d+: connect\(\) to",))
def proxy_mirror_dead(t):
    mark = len(t.log())
    codes = {t.get("/proxy-mirror-dead/x").status for _ in range(100)}
    t.that(codes == {200}, "nobody feels that nobody is there", codes)
    lines = t.until(lambda: re.findall("mirror http://127.0.0.1:%d: connect" % t.closed,
                                       t.log()[mark:])[99:])
    t.that(lines, "a line for each", t.log()[mark:][:300])


@case("proxy-mirror", lambda t: {"host": "grpc://127.0.0.1:%d" % t.http},
      logs=("gRPC cannot be mirrored",))
def proxy_mirror_grpc(t):
    t.status_is(t.get("/proxy-mirror-grpc/x"), 200, "the request is served")
    t.that(t.until(lambda: "gRPC cannot be mirrored" in t.log()), "the log says what is missing")


MIRROR = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@case("proxy-mirror", lambda t: {"host": "http://127.0.0.1:%d" % t.mirror},
      logs=(r"mirror http://127\.0\.0\.1:\d+: ",))
def proxy_mirror_killed(t):
    def start():
        child = t.children.start("mirror", [sys.executable, "-c", MIRROR, str(t.mirror)])
        peers.wait_for(t.mirror)
        return child

    def came():
        return len(re.findall("GET /proxy-mirror-killed/", text_of(t.work + "/mirror/output")))

    child, codes = start(), collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for part in range(4):
            codes.update(pool.map(lambda _: t.get("/proxy-mirror-killed/x").status, range(250)))
            if part == 0:
                t.that(t.until(lambda: came() >= 250, 30), "all of the first came", came())
            elif part == 1:
                child.kill()
                child.wait()
            elif part == 2:
                child = start()
    t.that(codes == {200: 1000}, "1,000 requests, none failed", codes)
    t.that(t.until(lambda: came() >= 500, 30), "those before and behind came", came())
    child.kill()


@case("exit-transformer", {"functions": [
    "return (function(code, body, header) if code == 404 then return 410, 'gone', header end "
    "return code, body, header end)(...)"]}, more=("mocking", "fault-injection"),
      beside={"fault-injection": {"abort": {"http_status": 404}}})
def exit_transformer(t):
    answer = t.get("/exit-transformer/x")
    t.that(answer.status == 410 and answer.text.strip() == "gone", "another status", answer)


@case("serverless-pre-function", {"phase": "access", "functions": [
    "return function(conf, ctx) if ctx.var.arg_no then return 403, 'no' end end"]})
def serverless_pre(t):
    t.status_is(t.get("/serverless-pre-function/x"), 200, "the function lets pass")
    t.status_is(t.get("/serverless-pre-function/x?no=1"), 403, "and refuses")


@case("serverless-post-function", {"phase": "header_filter", "functions": [
    "return function() ngx.header['X-Post'] = ngx.md5('a') end"]})
def serverless_post(t):
    t.that(t.get("/serverless-post-function/x").fields.get("x-post")
           == hashlib.md5(b"a").hexdigest(), "a header is set")


@case("batch-requests", None, more=("public-api",), other=lambda t: {"routes": [
    {"uri": "/apisix/batch-requests", "plugins": {"public-api": {}}},
    {"uri": "/batch-requests/*"}]})
def batch_requests(t):
    answer = t.post("/apisix/batch-requests", {"pipeline": [
        {"path": "/batch-requests/a"}, {"path": "/batch-requests/b?status=404"}]})
    t.status_is(answer, 200, "two in one")
    parts = answer.json() if answer.status == 200 else []
    t.that([part["status"] for part in parts] == [200, 404]
           and "GET /batch-requests/a " in parts[0]["body"], "each has its answer", answer)
    t.status_is(t.post("/apisix/batch-requests", {"pipeline": []}), 400, "none is refused")


# --------------------------------------------------------------------------- functions

@case("aws-lambda", lambda t: {"function_uri": t.url + "/lambda/run", "authorization": {
    "iam": {"accesskey": "AK", "secretkey": "SK", "aws_region": "us-east-1"}}})
def aws_lambda(t):
    t.service.on("/lambda/run", lambda call: (
        (200, "ran") if call.fields.get("authorization", "").startswith(
            "AWS4-HMAC-SHA256 Credential=AK/") and "x-amz-date" in call.fields else (403, "no")))
    answer = t.get("/aws-lambda/x")
    t.that(answer.status == 200 and answer.text == "ran", "a signed call", answer)


@case("azure-functions", lambda t: {"function_uri": t.url + "/azure/run",
                                    "authorization": {"apikey": "azure-key"}})
def azure_functions(t):
    t.service.on("/azure/run", lambda call: (
        "ran" if call.fields.get("x-functions-key") == "azure-key" else (401, "no")))
    answer = t.get("/azure-functions/x")
    t.that(answer.status == 200 and answer.text == "ran", "a call with the key", answer)


@case("openwhisk", lambda t: {"api_host": t.url, "service_token": "user:pass",
                              "namespace": "guest", "action": "hello"})
def openwhisk(t):
    t.service.on("/api/v1/namespaces/guest/actions/hello", lambda call: {
        "statusCode": 203, "headers": {"X-Action": "hello"}, "body": "ran"})
    answer = t.get("/openwhisk/x")
    t.that(answer.status == 203 and answer.fields.get("x-action") == "hello"
           and answer.text == "ran", "what the action says", answer)


@case("openfunction", lambda t: {"function_uri": t.url + "/openfunction",
                                 "authorization": {"service_token": "user:pass"}})
def openfunction(t):
    t.service.on("/openfunction", lambda call: (
        "ran" if call.fields.get("authorization", "").startswith("Basic ") else (401, "no")))
    t.that(t.get("/openfunction/x").text == "ran", "a call with the token")


# ----------------------------------------------------------------------------- loggers

def http_logged(t, path, pattern, good):
    """A request is logged by a call that is `good`."""
    t.status_is(t.get(path + "/x?logged=1"), 200, "the request passes")
    call = t.call(pattern)
    if t.that(call is not None, "the collector is called at " + pattern):
        t.that(good(call), "with what happened", "%s %s" % (call.fields, call.text()))


@case("http-logger", lambda t: {"uri": t.url + "/http-logger", "auth_header": "Basic x",
                                "log_format": FORMAT, **AT_ONCE})
def http_logger(t):
    http_logged(t, "/http-logger", "^/http-logger", lambda call: (
        call.json()["path"] == "/http-logger/x" and call.fields["authorization"] == "Basic x"))


@case("splunk-hec-logging", lambda t: {"endpoint": {"uri": t.url + "/splunk", "token": "tok"},
                                       **AT_ONCE})
def splunk(t):
    http_logged(t, "/splunk-hec-logging", "^/splunk", lambda call: (
        call.fields["authorization"] == "Splunk tok" and "/splunk-hec-logging/x" in call.text()))


@case("elasticsearch-logger", lambda t: {"endpoint_addrs": [t.url], "field": {"index": "logs"},
                                         "auth": {"username": "u", "password": "p"}, **AT_ONCE})
def elasticsearch(t):
    t.service.on("^/$", lambda call: {"version": {"number": "8.1.0"}})
    http_logged(t, "/elasticsearch-logger", "^/_bulk", lambda call: (
        '"_index":"logs"' in call.text() and call.fields["authorization"].startswith("Basic ")))


@case("clickhouse-logger", lambda t: {"endpoint_addrs": [t.url + "/clickhouse"], "user": "u",
                                      "password": "p", "database": "db", "logtable": "logs",
                                      **AT_ONCE})
def clickhouse(t):
    http_logged(t, "/clickhouse-logger", "^/clickhouse$", lambda call: (
        call.text().startswith("INSERT INTO logs FORMAT JSONEachRow")
        and call.fields["x-clickhouse-database"] == "db"))


@case("loki-logger", lambda t: {"endpoint_addrs": [t.url], "log_labels": {"job": "$host"},
                                "log_format": FORMAT, **AT_ONCE})
def loki(t):
    http_logged(t, "/loki-logger", "^/loki/api/v1/push", lambda call: (
        call.json()["streams"][0]["stream"]["job"] == "127.0.0.1"
        and call.fields["x-scope-orgid"] == "fake"))


@case("skywalking-logger", lambda t: {"endpoint_addr": t.url, "log_format": FORMAT,
                                      **AT_ONCE})
def skywalking_logger(t):
    http_logged(t, "/skywalking-logger", "^/v3/logs", lambda call: (
        call.json()[0]["service"] == "APISIX" and call.json()[0]["endpoint"]
        == "/skywalking-logger/x"))


def rsa_key():
    return subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt",
                           "rsa_keygen_bits:2048"], check=True, capture_output=True,
                          text=True).stdout


@case("google-cloud-logging", lambda t: {"auth_config": {
    "client_email": "a@b", "private_key": rsa_key(), "project_id": "project",
    "token_uri": t.url + "/google/token", "entries_uri": t.url + "/google/write"},
    "ssl_verify": False, **AT_ONCE})
def google_cloud_logging(t):
    t.service.on("/google/token", lambda call: {
        "access_token": "google-token", "expires_in": 3600, "token_type": "Bearer"})
    http_logged(t, "/google-cloud-logging", "^/google/write", lambda call: (
        call.fields["authorization"] == "Bearer google-token"
        and call.json()["entries"][0]["logName"].startswith("projects/project/logs/")))
    call = t.call("^/google/token")
    token = urllib.parse.parse_qs(call.text()).get("assertion", [""])[0]
    head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "==") or b"{}")
    t.that(head.get("alg") == "RS256", "for a token that is signed", call.text())


@case("tencent-cloud-cls", lambda t: {"cls_host": "127.0.0.1:%d" % t.http, "cls_topic": "topic",
                                      "scheme": "http", "secret_id": "id", "secret_key": "key",
                                      **AT_ONCE})
def tencent(t):
    http_logged(t, "/tencent-cloud-cls", "^/structuredlog", lambda call: (
        "q-sign-algorithm=sha1" in call.fields["authorization"] and b"/tencent-cloud-cls/x"
        in call.body))


@case("lago", lambda t: {"endpoint_addrs": [t.url], "token": "lago-token",
                         "event_transaction_id": "req_${request_id}",
                         "event_subscription_id": "cus_${host}", "event_code": "code",
                         "event_properties": {"path": "${uri}"}, **AT_ONCE})
def lago(t):
    http_logged(t, "/lago", "^/api/v1/events/batch", lambda call: (
        call.fields["authorization"] == "Bearer lago-token"
        and call.json()["events"][0]["external_subscription_id"] == "cus_127.0.0.1"
        and call.json()["events"][0]["properties"]["path"] == "/lago/x"))


@case("zipkin", lambda t: {"endpoint": t.url + "/zipkin/api/v2/spans", "sample_ratio": 1,
                           "server_addr": "127.0.0.1"})
def zipkin(t):
    answer = t.get("/zipkin/x")
    t.that("x-b3-traceid:" in answer.text.lower(), "the upstream learns the trace", answer)
    call = t.call("^/zipkin")
    if t.that(call is not None, "the collector is called"):
        t.that({span["localEndpoint"]["serviceName"] for span in call.json()} == {"APISIX"}
               and len(call.json()) > 1, "with spans", call.text())


def sw8(trace, segment, span, *names):
    """The header that tells of a trace: service, instance, endpoint and peer are the names."""
    def encoded(text):
        return base64.b64encode(text.encode()).decode()
    return "-".join(["1", encoded(trace), encoded(segment), str(span), *map(encoded, names)])


# What SkyWalking's collector must find in a span, and what it may.
SPAN = {"spanId": int, "parentSpanId": int, "startTime": int, "endTime": int, "spanType": str,
        "operationName": str, "isError": bool, "spanLayer": str, "componentId": int}
SPAN_MAY = {"peer": str, "refs": list, "tags": list, "logs": list}
REFERENCE = {"refType": str, "traceId": str, "parentTraceSegmentId": str, "parentSpanId": int,
             "parentService": str, "parentServiceInstance": str, "parentEndpoint": str,
             "networkAddressUsedAtPeer": str}


def misshapen(segment):
    """What is wrong with a segment of SkyWalking, by its protocol."""
    def lacks(what, value, must, may=()):
        for name, kind in must.items():
            # A boolean of Python is an integer, too.
            if type(value.get(name)) is not kind:  # pylint: disable=unidiomatic-typecheck
                yield "%s: %s is %r" % (what, name, value.get(name))
        for name in set(value) - set(must) - set(may):
            yield "%s: nobody knows %s" % (what, name)
    wrong = list(lacks("segment", segment, {
        "traceId": str, "traceSegmentId": str, "service": str, "serviceInstance": str,
        "spans": list}))
    for span in segment.get("spans", ()):
        wrong += lacks("span", span, SPAN, SPAN_MAY)
        wrong += ["span: %s is %r" % (name, span[name]) for name, kind in SPAN_MAY.items()
                  if name in span and not isinstance(span[name], kind)]
        if not time.time() - 600 < span["startTime"] / 1000 <= span["endTime"] / 1000 \
                < time.time() + 600:
            wrong.append("span: from %s to %s" % (span["startTime"], span["endTime"]))
        if span["parentSpanId"] not in {-1, *(one["spanId"] for one in segment["spans"])}:
            wrong.append("span: no parent %s" % span["parentSpanId"])
        for ref in span.get("refs", ()):
            wrong += lacks("reference", ref, REFERENCE)
        for tag in span.get("tags", ()):
            wrong += lacks("tag", {**tag, "value": str(tag.get("value"))},
                           {"key": str, "value": str})
    return wrong


def segment_of(t, uri):
    """The segment that the collector is sent for a path; None if there is none."""
    def find():
        return next((segment for call in t.service.seen("^/v3/segments$") for segment in call.json()
                     if segment["spans"][0]["operationName"] == uri), None)
    segment = t.until(find)
    if t.that(segment is not None, "the collector gets a segment for " + uri):
        t.that(not misshapen(segment), "as SkyWalking's protocol has it",
               "%s in %s" % (misshapen(segment), segment))
    return segment


@case("skywalking", {}, other=lambda t: {
    "plugin_attr": {"skywalking": {
        "service_name": "gateway", "service_instance_name": "one", "report_interval": 1,
        "endpoint_addr": t.url}},
    "routes": [{"uri": "/skywalking-seldom/*", "plugins": {"skywalking": {
        "sample_ratio": 0.00001}}}]},
      logs=(r"(Segment report|Agent ping) fails, response code 500",))
def skywalking(t):
    answer = t.get("/skywalking/begin?a=1")
    sent = re.search(r"(?im)^sw8: ([^\r\n]+)", answer.text)
    if not t.that(sent is not None, "the upstream learns the trace", answer):
        return
    parts = sent[1].split("-")
    trace, segment_id, service, instance, endpoint, peer = (
        base64.b64decode(parts[at]).decode() for at in (1, 2, 4, 5, 6, 7))
    t.that((parts[0], len(parts), parts[3], service, instance, endpoint, peer) == (
        "1", 8, "1", "gateway", "one", "/skywalking/begin", "upstream service"), "from us", parts)
    segment = segment_of(t, "/skywalking/begin")
    if segment:
        t.that((segment["traceId"], segment["traceSegmentId"], segment["service"],
                segment["serviceInstance"]) == (trace, segment_id, service, instance),
               "with the same ids", segment)
        spans = {span["spanType"]: span for span in segment["spans"]}
        tags = {kind: {tag["key"]: str(tag["value"]) for tag in span["tags"]}
                for kind, span in spans.items()}
        t.that(tags["Entry"] == {
            "http.method": "GET", "http.status_code": "200", "http.params":
            "http://127.0.0.1/skywalking/begin?a=1"} and tags["Exit"] == {
                "http.status_code": "200"}, "and what was asked", tags)
        t.that([(span["parentSpanId"], span["componentId"], span["spanLayer"], span["isError"])
                for span in (spans["Entry"], spans["Exit"])]
               == [(-1, 6002, "Http", False), (0, 6002, "Http", False)], "in two spans", spans)
        t.that(spans["Exit"].get("peer") == "upstream service", "to the upstream", spans["Exit"])

    fields = {"sw8": sw8("trace-1", "segment-1", 7, "client", "c1", "/page", "gateway:80"),
              "sw8-correlation": "Y29sb3I=:cmVk"}
    answer = t.get("/skywalking/inside", fields)
    t.that("sw8: 1-" + base64.b64encode(b"trace-1").decode() + "-" in answer.text.lower().replace(
        base64.b64encode(b"trace-1").decode().lower(), base64.b64encode(b"trace-1").decode()),
           "a trace goes on", answer)
    t.that("sw8-correlation: Y29sb3I=:cmVk" in answer.text, "with what travels in it", answer)
    segment = segment_of(t, "/skywalking/inside")
    if segment:
        refs = [span["refs"] for span in segment["spans"] if "refs" in span]
        t.that(segment["traceId"] == "trace-1" and refs == [[{
            "refType": "CrossProcess", "traceId": "trace-1", "parentTraceSegmentId": "segment-1",
            "parentSpanId": 7, "parentService": "client", "parentServiceInstance": "c1",
            "parentEndpoint": "/page", "networkAddressUsedAtPeer": "gateway:80"}]],
               "and the collector learns from where", segment)
    t.status_is(t.get("/skywalking/nonsense", {"sw8": "1-!-!-x-!-!-!-!", "sw8-correlation": "!:!"}),
                200, "headers that cannot be read do no harm")
    segment = segment_of(t, "/skywalking/nonsense")
    t.that(segment and not any("refs" in span for span in segment["spans"]), "they count for nothing",
           segment)
    t.get("/skywalking/failure?status=503")
    segment = segment_of(t, "/skywalking/failure")
    t.that(segment and [span["isError"] for span in segment["spans"]] == [False, True],
           "an answer of 503 is an error of ours", segment)

    answer = t.get("/skywalking-seldom/x")
    t.that("sw8:" not in answer.text, "what is not sampled goes without", answer)

    call = t.call("^/v3/management/reportProperties$")
    t.that(call and call.json() == {
        "service": "gateway", "serviceInstance": "one",
        "properties": [{"key": "language", "value": "lua"}]}
           and call.fields["content-type"] == "application/json", "the collector learns who we are",
           call and call.text())
    call = t.call("^/v3/management/keepAlive$")
    t.that(call and call.json() == {"service": "gateway", "serviceInstance": "one"},
           "and that we are alive", call and call.text())
    t.that(len(t.service.seen("reportProperties$")) == 1, "the first of them only once")
    collector_troubles(t)


def collector_troubles(t):
    """The collector of SkyWalking is slow, then fails, then works again."""
    def answer_slowly(call):
        time.sleep(3)
        return "{}"
    before = len(t.service.seen("^/v3/segments$"))
    t.service.on("^/v3/segments$", answer_slowly)
    start = time.monotonic()
    for number in range(130):
        t.get("/skywalking/slow/%d" % number)
    t.that(time.monotonic() - start < 30, "no request waits for a slow collector")

    def sizes():
        calls = t.service.seen("^/v3/segments$")[before:]
        found = [segment["spans"][0]["operationName"] for call in calls for segment in call.json()]
        wanted = {"/skywalking/slow/%d" % number for number in range(130)}
        return wanted <= set(found) and len(found) == 130 and [len(call.json()) for call in calls]
    there = t.until(sizes, 30)
    t.that(there and max(there) <= 100, "all segments arrive, once, at most 100 in a request", there)

    t.service.on("^/v3/segments$", lambda call: (500, "no"))
    t.get("/skywalking/refused")
    t.call("^/v3/segments$", lambda call: b"/skywalking/refused" in call.body.replace(b"\\/", b"/"))
    t.that(t.until(lambda: "Segment report fails, response code 500" in t.log()),
           "a failure of the collector is in the log", t.log()[-500:])
    t.service.on("^/v3/segments$", lambda call: "{}")
    t.get("/skywalking/again")
    segment_of(t, "/skywalking/again")


@case("opentelemetry", {"sampler": {"name": "always_on"}}, other=lambda t: {"plugin_metadata": [
    {"id": "opentelemetry", "resource": {"service.name": "official"},
     "collector": {"address": "127.0.0.1:%d" % t.http, "request_timeout": 3},
     "batch_span_processor": {"drop_on_queue_full": False, "max_queue_size": 1,
                              "batch_timeout": 1, "inactive_timeout": 0.5,
                              "max_export_batch_size": 1}}]})
def opentelemetry(t):
    answer = t.get("/opentelemetry/x")
    t.that("traceparent: 00-" in answer.text.lower(), "the upstream learns the trace", answer)
    call = t.call("^/v1/traces")
    if t.that(call is not None, "the collector is called"):
        t.that(b"official" in call.body and b"/opentelemetry" in call.body, "with a span",
               call.body)


def line_logged(t, path, part):
    """A request is logged to the collector of lines with `part` in it."""
    t.status_is(t.get(path + "/x"), 200, "the request passes")
    t.that(t.until(lambda: part in t.collector.data), "the collector gets it",
           t.collector.data[-600:])


@case("tcp-logger", lambda t: {"host": "127.0.0.1", "port": t.lines, "log_format":
                               {"via": "tcp-logger", "path": "$uri"}, **AT_ONCE})
def tcp_logger(t):
    line_logged(t, "/tcp-logger", b'"path":"/tcp-logger/x"')


@case("udp-logger", lambda t: {"host": "127.0.0.1", "port": t.lines, "log_format":
                               {"via": "udp-logger", "path": "$uri"}, **AT_ONCE})
def udp_logger(t):
    line_logged(t, "/udp-logger", b'"path":"/udp-logger/x"')


@case("syslog", lambda t: {"host": "127.0.0.1", "port": t.lines, "flush_limit": 1, "log_format":
                           {"via": "syslog", "path": "$uri"}, **AT_ONCE})
def syslog(t):
    line_logged(t, "/syslog", b'"path":"/syslog/x"')
    t.that(b" apisix " in t.collector.data, "as a line of syslog", t.collector.data[-300:])


@case("loggly", {"customer_token": "loggly-token", "tags": ["t1"], **AT_ONCE},
      other=lambda t: {"plugin_metadata": [{"id": "loggly", "host": "127.0.0.1", "port": t.lines,
                                            "protocol": "syslog",
                                            "log_format": {"path": "$uri"}}]})
def loggly(t):
    line_logged(t, "/loggly", b"[loggly-token@41058 tag=\"t1\"]")


@case("datadog", {"include_path": True, **AT_ONCE}, other=lambda t: {"plugin_metadata": [
    {"id": "datadog", "host": "127.0.0.1", "port": t.lines, "namespace": "gw"}]})
def datadog(t):
    line_logged(t, "/datadog", b"gw.request.counter:1|c|#")


@case("kafka-logger", lambda t: {"brokers": [{"host": "127.0.0.1", "port": t.kafka}],
                                 "kafka_topic": "test", "key": "k", "log_format": FORMAT,
                                 "producer_type": "sync", **AT_ONCE})
def kafka_logger(t):
    t.status_is(t.get("/kafka-logger/x"), 200, "the request passes")
    t.that(t.until(lambda: kafka_count(t.kafka) > 0), "the broker keeps it")


def kafka_count(port):
    """How many messages both partitions of `test` hold."""
    total = 0
    for partition in (0, 1):
        body = struct.pack(">ii", -1, 1) + struct.pack(">h", 4) + b"test" + struct.pack(
            ">iiqi", 1, partition, -1, 1)
        request = struct.pack(">hhih", 2, 0, 1, 0) + body
        with socket.create_connection(("127.0.0.1", port), 5) as conn:
            conn.sendall(struct.pack(">i", len(request)) + request)
            answer = conn.recv(4096)
        total += struct.unpack(">q", answer[-8:])[0]
    return total


@case("file-logger", lambda t: {"path": t.work + "/file.log", "log_format": FORMAT})
def file_logger(t):
    t.status_is(t.get("/file-logger/x"), 200, "the request passes")

    t.that(t.until(lambda: '"path":"/file-logger/x"' in text_of(t.work + "/file.log")),
           "a line is written", text_of(t.work + "/file.log"))
    # The plugin keeps the file open until the logs are opened anew.
    os.rename(t.work + "/file.log", t.work + "/file.log.1")
    t.get("/file-logger/old")
    t.that(t.until(lambda: "/file-logger/old" in text_of(t.work + "/file.log.1")),
           "it keeps its file", text_of(t.work + "/file.log"))
    os.kill(t.gateway.pid, signal.SIGUSR1)

    def reopened():
        t.get("/file-logger/new")
        return "/file-logger/new" in text_of(t.work + "/file.log")
    t.that(t.until(reopened), "until the logs are opened anew", text_of(t.work + "/file.log.1"))


@case("rocketmq-logger", lambda t: {
    "nameserver_list": ["127.0.0.1:%d" % t.rocketmq], "topic": "secret", "tag": "tag", "key": "k",
    "access_key": "user", "secret_key": "key", "log_format": FORMAT, **AT_ONCE})
def rocketmq_logger(t):
    t.status_is(t.get("/rocketmq-logger/x"), 200, "the request passes")
    message = t.until(lambda: next(iter(t.ask(t.rocketmq, "/").json()), None))
    if t.that(message is not None, "the broker gets a message"):
        t.that((message["a"], message["b"], message["i"]["TAGS"], message["i"]["KEYS"],
                message["AccessKey"]) == ("apisixLogProducer", "secret", "tag", "k", "user"),
               "with tag and key, signed", message)
        t.that(json.loads(message["body"])["path"] == "/rocketmq-logger/x", "with what happened",
               message)


@case("error-log-logger", None, other=lambda t: {"plugin_metadata": [
    {"id": "error-log-logger", "tcp": {"host": "127.0.0.1", "port": t.lines},
     "level": "ERROR", "name": "official", **AT_ONCE}],
    "routes": [{"uri": "/error-log-logger", "plugins": {"serverless-pre-function": {"functions": [
        "return function() ngx.log(ngx.ERR, 'an official error') end"]}}}]},
      more=("serverless-pre-function",), logs=("an official error",))
def error_log_logger(t):
    def logged():
        # What was logged before the plugin's timer first ran is not its affair.
        t.get("/error-log-logger")
        return b"an official error" in t.collector.data
    t.that(t.until(logged), "the error is sent", t.collector.data[-300:])
    # Metadata is one for all, so that of another collector takes its place.
    path = t.prefix + "/conf/apisix.yaml"
    tcp = '"tcp": {"host": "127.0.0.1", "port": %d}' % t.lines
    before = text_of(path)
    t.that(tcp in before, "the collector is configured", before[-300:])
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(before.replace(tcp, '"skywalking": {"endpoint_addr": "%s/v3/error-logs", '
                                 '"service_name": "gateway", "service_instance_name": "one"}'
                                 % t.url))
    os.rename(path + ".new", path)

    def sent():
        t.get("/error-log-logger")
        entries = [entry for call in t.service.seen("^/v3/error-logs$") for entry in call.json()]
        return next((entry for entry in entries if "an official" in json.dumps(entry)), None)
    entry = t.until(sent)
    t.that(entry and {**entry, "body": list(entry["body"]["text"])} == {
        "service": "gateway", "serviceInstance": "one", "endpoint": "", "body": ["text"]},
           "or to SkyWalking", entry)


@case("gzip", {"types": ["text/plain"], "min_length": 20, "comp_level": 6, "vary": True})
def gzip_plugin(t):
    def ask(path, coding):
        answer = t.get(path, {"Accept-Encoding": coding} if coding else {})
        return answer, answer.fields.get("content-encoding")
    answer, coding = ask("/gzip/x", "gzip, br")
    t.that(coding == "gzip" and "content-length" not in answer.fields
           and answer.fields.get("vary") == "Accept-Encoding", "a client gets gzip", answer)
    text = gzip.decompress(answer.body).decode()
    t.that(text.startswith("GET /gzip/x HTTP/1.1"), "that is the body", text)
    answer, coding = ask("/gzip/x", "")
    t.that(coding is None and answer.text.startswith("GET /gzip/x"), "or the body as it is", answer)
    answer, coding = ask("/gzip/x?status=500", "gzip")
    t.that(answer.status == 500 and coding is None, "an error is left alone", answer)


@case("prometheus", {}, more=("public-api",), other=lambda t: {
    "plugin_attr": {"prometheus": {"enable_export_server": False, "refresh_interval": 1}},
    "routes": [{"uri": "/apisix/prometheus/metrics", "plugins": {"public-api": {}}}]})
def prometheus(t):
    t.get("/prometheus/x")
    answer = t.until(lambda: next((a for a in [t.get("/apisix/prometheus/metrics")]
                                   if 'apisix_http_status{code="200"' in a.text), None))
    t.that(answer is not None, "the request is counted", t.get("/apisix/prometheus/metrics"))

    def gauges():
        found = re.findall(r'^apisix_nginx_http_current_connections\{state="(\w+)"\} (\d+)$',
                           t.get("/apisix/prometheus/metrics").text, re.MULTILINE)
        return {state: int(value) for state, value in found}

    before = gauges()
    t.that(set(before) == {"accepted", "active", "handled", "reading", "waiting", "writing"},
           "connections are told by state", before)
    held = [socket.create_connection(("127.0.0.1", t.port), 5) for _ in range(7)]
    # And the one that asks, or has just asked.
    t.that(t.until(lambda: 7 <= gauges()["active"] <= 9), "those that are open count", gauges())
    now = gauges()
    t.that(now["accepted"] >= before["accepted"] + 7 and now["handled"] == now["accepted"],
           "and were accepted", (before, now))
    for conn in held:
        conn.close()
    t.that(t.until(lambda: gauges()["active"] <= 2), "and no longer when they have ended",
           gauges())
    total = re.search(r"^apisix_http_requests_total (\d+)$",
                      t.get("/apisix/prometheus/metrics").text, re.MULTILINE)
    t.that(total and int(total[1]) > 0, "requests are counted", total)


# --------------------------------------------------------------------------- breakpoints

class Hooks:
    """The hooks file of inspect."""

    def __init__(self, t):
        self.path, self.log, self.turns = t.work + "/hooks.lua", t.log, 0
        self.until = t.until

    def write(self, text):
        """Makes it anew, and waits until the gateway has read it; whether it did."""
        self.turns += 1
        mark = "turn%d" % self.turns
        with open(self.path + ".new", "w", encoding="utf-8") as out:
            out.write('ngx.log(ngx.WARN, "hooks %s")\nlocal dbg = require("apisix.inspect.dbg")\n'
                      % mark + text)
        os.replace(self.path + ".new", self.path)
        return self.until(lambda: re.search("hooks %s(.*\n)*.*set hooks: err: " % mark, self.log()))

    def told(self, pattern):
        """All that the log has of this, as soon as it has any."""
        return self.until(lambda: re.findall(pattern, self.log()))


def line_of(t, plugin, text):
    """The number of the line of an official plugin that has this text."""
    lines = text_of("%s/apisix/plugins/%s.lua" % (t.top, plugin)).split("\n")
    return next(number for number, line in enumerate(lines, 1) if text in line)


@case("inspect", None, more=("echo",), other=lambda t: {
    "plugin_attr": {"inspect": {"delay": 0.2, "hooks_file": t.work + "/hooks.lua"}},
    "routes": [{"uri": "/inspect/*", "plugins": {"echo": {"before_body": "b"}}}]},
      logs=("hooks turn", "set hooks: err: ", "inspect: ", "seen ", "stack traceback"))
def inspect(t):
    hooks, line = Hooks(t), line_of(t, "echo", "if conf.body or conf.before_body")

    def hook(name, body, func="nil"):
        return ('dbg.set_hook("%s", %d, %s, function(info) %s end)\n' % (name, line, func, body))
    see = ('ngx.log(ngx.WARN, "seen %s ", dbg.getname(info.finfo), " ", '
           'info.vals.conf.before_body, " ", type(info.uv.core or info.uv.ngx), " ", ngx.var.uri)')
    t.that(t.get("/inspect/0").text.startswith("bGET"), "without the file all is as it is")
    t.that(hooks.write(hook("plugins/echo.lua", see % "once" + " return true")), "it is read")
    t.that(('set hooks: err: nil, hooks: ["plugins\\/echo.lua#%d"]' % line) in t.log()
           or ('set hooks: err: nil, hooks: ["plugins/echo.lua#%d"]' % line) in t.log(),
           "and told", t.log()[-500:])
    for number in range(3):
        t.that(t.get("/inspect/%d" % number).text.startswith("bGET"), "requests go on")
    seen = hooks.told("seen once .*")
    first = r"seen once \S+plugins/echo\.lua:%d (\(\S+\) )?b table /inspect/0" % line
    t.that(len(seen) == 1 and re.match(first, seen[0]), "the first request is seen", seen)
    t.that(hooks.told(r"inspect: remove hook: plugins/echo\.lua#%d" % line)
           and hooks.told("inspect: all hooks removed"), "and the hook goes")
    t.that(hooks.write(hook("echo.lua", see % "twice" + " return count()",
                            'require("apisix.plugins.echo").header_filter').replace(
                                "dbg.set", "local n = 0 local function count() n = n + 1 "
                                "return n == 2 end dbg.set")), "a changed file is read")
    for number in range(4):
        t.get("/inspect/%d" % number)
    seen = hooks.told("seen twice .*(?:\n.*)*seen twice .*")
    t.that(len(re.findall("seen twice", t.log())) == 2, "a hook stays until it says so", seen)
    t.that(hooks.write(hook("echo.lua", 'error("seen wrong")') + hook(
        "echo.lua", see % "beside" + " return false")), "a filter that fails")
    t.status_is(t.get("/inspect/0"), 200, "does no harm")
    t.status_is(t.get("/inspect/1"), 200, "to any")
    t.that(hooks.told("inspect: pcall filter_func:.*seen wrong") and len(re.findall(
        "pcall filter_func", t.log())) == 1, "and goes")
    t.that(len(hooks.told("seen beside")) == 2, "its neighbour stays")
    t.that(hooks.write("local function") is None and hooks.told("set hooks: err: .*hooks.lua:3: .*"
                                                                'hooks: (\\[\\]|\\{\\})'),
           "a file that is no Lua sets none", t.log()[-500:])
    t.that(hooks.write(hook("echo.lua", see % "before" + " return false") + 'error("seen late")'),
           "an error in the file")
    t.get("/inspect/0")
    t.that(hooks.told("seen before"), "leaves what stands before it")
    # A link to a file counts as the file; its end ends all.
    os.replace(hooks.path, hooks.path + ".real")
    with open(hooks.path + ".real", "w", encoding="utf-8") as out:
        out.write('local dbg = require("apisix.inspect.dbg")\n' + hook(
            "echo.lua", see % "linked" + " return false"))
    os.symlink(hooks.path + ".real", hooks.path)
    t.that(t.until(lambda: t.get("/inspect/0") and "seen linked" in t.log()), "a link")
    os.unlink(hooks.path)
    time.sleep(1)
    before = t.log().count("seen linked")
    t.that(all(t.get("/inspect/1").text.startswith("bGET") for _ in range(20)), "all is as before")
    time.sleep(0.3)
    t.that(t.log().count("seen linked") == before, "without the file there are no hooks")


# ---------------------------------------------------------------------------------- AI

@case("ai-prompt-decorator", {"prepend": [{"role": "system", "content": "be brief"}]})
def ai_prompt_decorator(t):
    answer = t.post("/ai-prompt-decorator/x", {"messages": [{"role": "user", "content": "hi"}]})
    t.that("be brief" in answer.text and '"hi"' in answer.text, "a message more", answer)


@case("ai-prompt-template", {"templates": [{"name": "t", "template": {
    "model": "m", "messages": [{"role": "user", "content": "what is {{thing}}"}]}}]})
def ai_prompt_template(t):
    answer = t.post("/ai-prompt-template/x", {"template_name": "t", "thing": "lua"})
    t.that("what is lua" in answer.text, "the template is filled", answer)
    t.status_is(t.post("/ai-prompt-template/x", {"template_name": "none"}), 400, "an unknown one")


@case("ai-prompt-guard", {"deny_patterns": ["bad word"]})
def ai_prompt_guard(t):
    def body(text):
        return {"messages": [{"role": "user", "content": text}]}
    t.status_is(t.post("/ai-prompt-guard/x", body("a good word")), 200, "a good one")
    t.status_is(t.post("/ai-prompt-guard/x", body("a bad word")), 400, "a bad one")


def chat(t):
    """A model that answers who has the key."""
    t.service.on("/ai/chat/completions", lambda call: {
        "choices": [{"message": {"role": "assistant", "content": "hello from " + call.json()[
            "model"]}}], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
        if call.fields.get("authorization") == "Bearer ai" else (401, "no"))


@case("ai-proxy", lambda t: {"provider": "openai-compatible",
                             "auth": {"header": {"Authorization": "Bearer ai"}},
                             "options": {"model": "m1"}, "ssl_verify": False,
                             "override": {"endpoint": t.url + "/ai/chat/completions"}},
      logs=("failed to parse body|not supported|missing",))
def ai_proxy(t):
    chat(t)
    answer = t.post("/ai-proxy/x", {"messages": [{"role": "user", "content": "hi"}]})
    t.that(answer.status == 200 and "hello from m1" in answer.text, "the model answers", answer)


@case("ai-aws-content-moderation", lambda t: {"comprehend": {
    "access_key_id": "AK", "secret_access_key": "SK", "region": "us-east-1",
    "endpoint": t.url}, "deny_code": 400}, more=("ai-proxy",), beside=lambda t: {
        "ai-proxy": {"provider": "openai-compatible", "options": {"model": "m1"},
                     "auth": {"header": {"Authorization": "Bearer ai"}},
                     "override": {"endpoint": t.url + "/ai/chat/completions"}}},
      logs=("exceeds toxicity threshold",))
def ai_aws(t):
    t.service.on("^/$", lambda call: {"ResultList": [{
        "Toxicity": 0.9 if "bad" in call.text() else 0.1,
        "Labels": [{"Name": "INSULT", "Score": 0.1}]}]}
        if call.fields.get("authorization", "").startswith("AWS4-HMAC-SHA256") else (403, "no"))
    chat(t)

    def body(text):
        return {"messages": [{"role": "user", "content": text}]}
    answer = t.post("/ai-aws-content-moderation/x", body("good"))
    t.status_is(answer, 200, "a good one passes")
    answer = t.post("/ai-aws-content-moderation/x", body("bad"))
    t.status_is(answer, 400, "a bad one is refused")
