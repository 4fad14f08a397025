#!/usr/bin/env python3
"""An identity provider of SAML 2.0 on a port of 127.0.0.1, signing with signxml.

    idp.py PORT DIRECTORY TOP

It writes idp.crt, sp.crt and sp.key to DIRECTORY. /saml takes requests, and refuses what the key
of sp.crt has not signed. Who asks to be logged in is ann, and is sent back in the binding that the
request wants, to where it says, which must be below TOP; `/twist?name` says what is wrong with the
next answer. /end begins a logout of whom `?name` says, at "sls" beside the last such place.
"""

import base64
import datetime
import html
import http.server
import os
import re
import secrets
import sys
import urllib.parse
import zlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from lxml import etree
from signxml import CanonicalizationMethod as C14N, XMLSigner

ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
SPACES = f'xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}"'
DS = "{http://www.w3.org/2000/09/xmldsig#}Signature"
SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"


def when(seconds):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.250Z")


def certified(name):
    """A key and its certificate."""
    key = rsa.generate_private_key(65537, 2048)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(who).issuer_name(who).serial_number(1)
    made = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=9))
    return key, made.public_key(key.public_key()).sign(key, hashes.SHA256())


def signed(xml, ident, key):
    """`xml` with a signature of the element `ident` behind its issuer."""
    tree = etree.fromstring(xml.encode())
    element = tree.xpath(f'//*[@ID="{ident}"]')[0]
    signer = XMLSigner(c14n_algorithm=C14N.EXCLUSIVE_XML_CANONICALIZATION_1_0)
    alone = etree.fromstring(etree.tostring(element, with_tail=False))
    made = signer.sign(alone, key=key, reference_uri="#" + ident, id_attribute="ID")
    element.insert(1, made.find(DS))
    return etree.tostring(tree, encoding="unicode")


class Provider:
    """What the handler below asks."""

    def __init__(self, port, directory, top):
        self.url, self.top = f"http://127.0.0.1:{port}/saml", top
        self.acs = self.sls = None
        self.key, cert = certified("idp")
        self.stranger, _ = certified("stranger")
        sp_key, sp_cert = certified("sp")
        self.sp_public = sp_key.public_key()
        pem = serialization.Encoding.PEM
        for name, text in (
                ("idp.crt", cert.public_bytes(pem)), ("sp.crt", sp_cert.public_bytes(pem)),
                ("sp.key", sp_key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                                                serialization.NoEncryption()))):
            with open(os.path.join(directory, name), "wb") as out:
                out.write(text)
        self.twist = ""

    def query(self, target, kind, xml, state, key=None):
        """Where a browser brings `xml` in the HTTP-Redirect binding."""
        squeezed = zlib.compress(xml.encode(), 9, -15)
        # Not as Python escapes it: what is signed is what is sent.
        text = "&".join(name + "=" + urllib.parse.quote(value, "").replace("%3D", "%3d") for
                        name, value in ((kind, base64.b64encode(squeezed).decode()),
                                        ("RelayState", state), ("SigAlg", SHA256)))
        signature = (key or self.key).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{target}?{text}&Signature=" + urllib.parse.quote(base64.b64encode(signature), "")

    def message(self, query):
        """The message that the service provider has signed, its kind and its state."""
        raw = dict(part.split("=", 1) for part in query.split("&"))
        args = {name: urllib.parse.unquote(value) for name, value in raw.items()}
        kind = "SAMLRequest" if "SAMLRequest" in raw else "SAMLResponse"
        text = "&".join(f"{name}={raw[name]}" for name in (kind, "RelayState", "SigAlg"))
        assert args["SigAlg"].endswith("#rsa-sha512"), args
        self.sp_public.verify(base64.b64decode(args["Signature"]), text.encode(),
                              padding.PKCS1v15(), hashes.SHA512())
        xml = zlib.decompress(base64.b64decode(args[kind]), -15)
        tree = etree.fromstring(xml)
        assert tree.get("Destination") == self.url and tree.get("Version") == "2.0", xml
        assert tree.findtext(f"{{{ASSERTION}}}Issuer") == "sp & co", xml
        return tree, kind, args["RelayState"]

    def response(self, request, twist):
        """The answer to a login, with something wrong."""
        answers = "ID_other" if twist == "answers" else request
        end = when(-90 if twist == "late" else 600)
        status = SUCCESS.replace("Success", "Responder") if twist == "status" else SUCCESS
        audience = "another" if twist == "audience" else "sp &amp; co"
        recipient = "http://other/acs" if twist == "recipient" else self.acs
        confirm = f"""<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">\
<saml:SubjectConfirmationData NotOnOrAfter="{end}" Recipient="{recipient}" \
InResponseTo="{answers}"/></saml:SubjectConfirmation>"""
        if twist == "unconfirmed":
            confirm = ""
        # What others said before; nobody may read it as said by this assertion.
        advice = f"""<saml:Advice><saml:Assertion ID="_old" Version="2.0" IssueInstant="{end}">\
<saml:Issuer>idp</saml:Issuer><saml:Subject><saml:NameID>admin</saml:NameID></saml:Subject>\
<saml:AttributeStatement><saml:Attribute Name="long"><saml:AttributeValue>{"x" * 100000}\
</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></saml:Advice>"""
        assertion = f"""<saml:Assertion {SPACES} ID="_{secrets.token_hex(9)}" Version="2.0" \
IssueInstant="{when(0)}"><saml:Issuer>idp</saml:Issuer><saml:Subject>\
<saml:NameID>ann<!-- who? -->@example.org</saml:NameID>{confirm}</saml:Subject>\
<saml:Conditions NotBefore="{when(-5)}" NotOnOrAfter="{end}"><saml:AudienceRestriction>\
<saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>{advice if twist == "advice" else ""}\
<saml:AuthnStatement AuthnInstant="{when(0)}" SessionIndex="s-1" \
SessionNotOnOrAfter="{when(3600)}"/><saml:AttributeStatement>\
<saml:Attribute Name="role"><saml:AttributeValue>one &lt;1&gt;</saml:AttributeValue>\
<saml:AttributeValue>two</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>\
</saml:Assertion>"""
        return f"""<samlp:Response {SPACES} ID="_{secrets.token_hex(9)}" Version="2.0" \
IssueInstant="{when(0)}" Destination="{self.acs}" InResponseTo="{answers}">\
<saml:Issuer>idp</saml:Issuer><samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>\
{assertion}</samlp:Response>"""

    def posted(self, xml, twist):
        """The same, signed in itself."""
        key = self.stranger if twist == "stranger" else self.key
        ids = re.findall(r'ID="(_\w+)"', xml)
        if twist == "unsigned":
            return xml
        made = signed(xml, ids[0] if twist == "whole" else ids[1], key)
        assertion = re.search(r"<saml:Assertion.*</saml:Assertion>", made)[0]
        evil = re.sub(r"<ds:Signature.*</ds:Signature>", "", assertion).replace("ann", "admin", 1)
        if twist == "forged":
            return made.replace("ann", "admin", 1)
        if twist == "wrapped":
            return made.replace(assertion, evil.replace(ids[1], "_evil") + assertion)
        if twist == "doctype":
            return '<!DOCTYPE a [<!ENTITY b "c">]>' + made
        return made

    def login(self, request, state):
        """Gives the status and either the place or the page to answer with."""
        twist, self.twist = self.twist, ""
        self.acs = request.get("AssertionConsumerServiceURL")
        assert self.acs.startswith(self.top), self.acs
        self.sls = self.acs.rpartition("/")[0] + "/sls"
        xml = self.response(request.get("ID"), twist)
        state = "other" if twist == "state" else state
        if request.get("ProtocolBinding").endswith(":HTTP-Redirect") and twist != "by post":
            key = self.stranger if twist == "stranger" else None
            place = self.query(self.acs, "SAMLResponse", xml, state, key)
            return place if twist != "forged" else place.replace("&SigAlg", "x&SigAlg") + "&a=1"
        text = base64.b64encode(self.posted(xml, twist).encode()).decode()
        fields = "".join(f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
                         for name, value in (("SAMLResponse", text), ("RelayState", state)))
        return f'<form method="post" action="{self.acs}">{fields}</form>'

    def logout(self, request, state):
        assert request.findtext(f"{{{ASSERTION}}}NameID") == "ann@example.org"
        assert request.findtext(f"{{{PROTOCOL}}}SessionIndex") == "s-1"
        twist, self.twist = self.twist, ""
        answers = "ID_other" if twist == "answers" else request.get("ID")
        return self.query(self.sls, "SAMLResponse", f"""<samlp:LogoutResponse {SPACES} ID="_l" \
Version="2.0" IssueInstant="{when(0)}" Destination="{self.sls}" InResponseTo="{answers}">\
<saml:Issuer>idp</saml:Issuer><samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status>\
</samlp:LogoutResponse>""", state)

    def end(self, name):
        return self.query(self.sls, "SAMLRequest", f"""<samlp:LogoutRequest {SPACES} ID="_end" \
Version="2.0" IssueInstant="{when(0)}" Destination="{self.sls}"><saml:Issuer>idp</saml:Issuer>\
<saml:NameID>{name}</saml:NameID><samlp:SessionIndex>s-1</samlp:SessionIndex>\
</samlp:LogoutRequest>""", "back")


class Handler(http.server.BaseHTTPRequestHandler):
    """The provider's pages."""

    provider = None

    def do_GET(self):
        path, _, query = self.path.partition("?")
        try:
            answer = self.answer(path, query)
        except Exception as error:  # pylint: disable=broad-except
            answer = f"refused: {type(error).__name__} {error}"
        place = answer if answer.startswith("http") else None
        self.send_response(302 if place else 200)
        if place:
            self.send_header("Location", place)
        self.end_headers()
        self.wfile.write(answer.encode())

    def answer(self, path, query):
        provider = self.provider
        if path == "/twist":
            provider.twist = urllib.parse.unquote(query)
            return "twisted"
        if path == "/end":
            return provider.end(urllib.parse.unquote(query))
        message, kind, state = provider.message(query)
        name = etree.QName(message).localname
        if kind == "SAMLRequest" and name == "AuthnRequest":
            return provider.login(message, state)
        if kind == "SAMLRequest" and name == "LogoutRequest":
            return provider.logout(message, state)
        assert name == "LogoutResponse" and message.get("InResponseTo") == "_end", name
        status = message.find(f".//{{{PROTOCOL}}}StatusCode").get("Value")
        return f"ended {status.rpartition(':')[2]} {state}"

    def log_message(self, *_):
        pass


Handler.provider = Provider(*sys.argv[1:])
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
