"""A browser: cookies for each host and port, forms, and redirections followed one by one."""

import html
import http.client
import re
import urllib.parse


class Answer:
    """Status, fields (names in lower case), text, and the address that was asked."""

    def __init__(self, url, answer):
        self.url, self.status = url, answer.status
        self.headers = answer.getheaders()
        self.fields = {name.lower(): value for name, value in self.headers}
        self.text = answer.read().decode(errors="replace")

    @property
    def place(self):
        """Where a redirection leads."""
        return urllib.parse.urljoin(self.url, self.fields.get("location", ""))

    def __str__(self):
        return "%s %d %s %r" % (self.url, self.status, self.fields, self.text[:300])


class Browser:
    """`jars` are its cookies: (host and port) to name to value."""

    def __init__(self):
        self.jars, self.visited = {}, []

    def open(self, url, body=None, fields=None):
        """Asks once; redirections are not followed."""
        parts = urllib.parse.urlsplit(url)
        jar = self.jars.setdefault(parts.netloc, {})
        fields = dict(fields or {})
        if jar:
            fields["Cookie"] = "; ".join("%s=%s" % pair for pair in jar.items())
        if body is not None:
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        # As it stands, two slashes at its beginning included.
        target = url[len(parts.scheme) + 3 + len(parts.netloc):].partition("#")[0] or "/"
        conn = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            conn.request("GET" if body is None else "POST", target, body, fields)
            answer = Answer(url, conn.getresponse())
        finally:
            conn.close()
        self.visited.append(url)
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                self.keep(jar, value)
        return answer

    @staticmethod
    def keep(jar, text):
        name, _, value = text.partition(";")[0].partition("=")
        if re.search(r"max-age=0|expires=thu, 01 jan 1970", text, re.I):
            jar.pop(name, None)
        else:
            jar[name] = value

    def follow(self, answer, until=None):
        """Goes where it is sent, up to an address that begins with `until`, which is not asked."""
        for _ in range(12):
            if answer.status not in (301, 302, 303, 307):
                return answer
            if until and answer.place.startswith(until):
                return answer
            answer = self.open(answer.place)
        raise ValueError("redirections without an end: %s" % self.visited[-12:])

    def submit(self, page, until=None, **fields):
        """Sends the form of a page."""
        action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        if not action:
            raise ValueError("no form: %s" % page)
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
        fields = {**{name: html.unescape(value) for name, value in hidden}, **fields}
        answer = self.open(urllib.parse.urljoin(page.url, html.unescape(action[1])),
                           urllib.parse.urlencode(fields))
        return self.follow(answer, until)

    def log_in(self, url, until=None, name="ann"):
        """Asks for `url` and goes through the provider's forms, as often as it shows one."""
        answer = self.follow(self.open(url), until)
        for _ in range(4):
            if answer.status != 200 or "<form" not in answer.text:
                return answer
            if 'name="login"' in answer.text:
                answer = self.submit(answer, until, prompt="login", login=name, password="any")
            else:
                answer = self.submit(answer, until, prompt="consent")
        return answer
