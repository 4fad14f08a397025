-- URLs of luasocket.
-- original: socket.url
local url = require("socket.url")
local urls = {
    "http://user:pw@host.com:8080/path/file.html;params?query=1&b=2#frag", "http://host", "http://host/", "//host/path", "/path?x#y", "path", "", "?q", "#f",
    "http://[::1]:80/", "http://[fe80::1]/x", "mailto:a@b.c", "ftp://a:b:c@h/", "http://@h", "http://h:/x", "HTTP://Host/Path", "a/b/../c", "http://u@h:1/;p", "file:///etc/passwd", "http://h/a;b=c;d?e;f",
}
for i, text in ipairs(urls) do
    case("parse " .. i, function() return url.parse(text) end)
    case("parse and build " .. i, function() return url.build(url.parse(text)) end)
    case("path " .. i, function() local parsed = url.parse(text) return parsed and parsed.path and url.parse_path(parsed.path) end)
end
case("parse with defaults", function() return url.parse("/x", { scheme = "http", host = "h" }) end)
case("parse of nil", function() return url.parse(nil) end)
for i, text in ipairs({ "", "abc", "a b/c?d=e&f", "\0\255", "a-b_c.d!e~f*g'h(i)j", "%41" }) do
    case("escape " .. i, function() return url.escape(text) end)
    case("unescape " .. i, function() return url.unescape(text), url.unescape(url.escape(text)) end)
end
case("unescape of broken digits", function() return url.unescape("%4") , url.unescape("%zz%20") end)
for i, path in ipairs({ "g:h", "g", "./g", "g/", "/g", "//g", "?y", "g?y", "#s", "g#s", ";x", "g;x", "", ".", "./", "..", "../", "../g", "../..", "../../g", "../../../g", "/./g", "/../g", "g.", "..g", "./../g", "./g/.", "g/./h", "g/../h", "g;x=1/./y", "http:g" }) do
    case("absolute " .. i, function() return url.absolute("http://a/b/c/d;p?q", path) end)
end
case("absolute of a table", function() return url.absolute(url.parse("http://a/b/c"), "d") end)
for i, path in ipairs({ "/a/b", "a/b/", "/", "", "/a//b", "/a%20b/c" }) do
    case("parse_path " .. i, function() return url.parse_path(path) end)
    case("build_path " .. i, function() return url.build_path(url.parse_path(path)), url.build_path(url.parse_path(path), true) end)
end
case("build_path that escapes", function() return url.build_path({ "a b", "c/d", is_absolute = 1, is_directory = 1 }) end)
case("build of parts", function() return url.build({ scheme = "http", host = "::1", port = 80, user = "u", password = "p", path = "/x", query = "q", fragment = "f", params = "p" }) end)
case("build of an authority", function() return url.build({ scheme = "http", authority = "h:1", host = "other", path = "x" }) end)
