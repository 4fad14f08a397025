-- URLs of neturl.
-- original: net.url
local url = require("net.url")
local urls = {
    "http://user:pw@Host.com:8080/path/file.html?query=1&b=2#frag", "http://host", "http://host/", "//host/path", "/path?x#y", "path", "", "?q", "#f",
    "http://[::1]:80/", "mailto:a@b.c", "http://a:b:c@h/", "http://@h", "http://h:/x", "HTTP://Host/Path", "a/b/../c", "https://h:443/", "http://h:80/x", "http://h/ä b?c d=e f", "http://h/%7Ea%20b?x=%41", "http://h?a[]=1&a[]=2&b[c]=3&b[d][e]=4", "http://h?a=1&a=2", "http://h?a&b=&c==", "a:80", "data:text/plain,x", "http://1.2.3.4/", "http://h/a;b?c;d", "http://h/?a=1;b=2", "http://u:@h", "http://h/x#a b",
}
for i, text in ipairs(urls) do
    case("parse " .. i, function() local u = url.parse(text) return u.scheme, u.host or "no host", u.port or "no port", u.path or "no path", u.user or "no user", u.password or "no password", u.userinfo or "no info", u.authority or "no authority", u.fragment or "no fragment" end)
    case("query " .. i, function() local query = {} for k, v in pairs(url.parse(text).query) do query[k] = v end return query end)
    case("tostring " .. i, function() return tostring(url.parse(text)) end)
    case("build " .. i, function() return url.parse(text):build() end)
    case("normalize " .. i, function() return tostring(url.parse(text):normalize()) end)
end
for i, path in ipairs({ "g", "./g", "g/", "/g", "//g", "?y", "g?y", "#s", "g#s", "", ".", "./", "..", "../", "../g", "../..", "../../g", "../../../g", "/./g", "/../g", "g.", "..g", "./../g", "./g/.", "g/./h", "g/../h", "http://x/y" }) do
    case("resolve " .. i, function() return tostring(url.parse("http://a/b/c/d?q"):resolve(path)) end)
end
for i, path in ipairs({ "/a/b/../c", "a/./b", "/..", "/a/..", "../a", "/a/b/c/./../../g", "mid/content=5/../6", "", "/", "//a//b", "/a/b/.", "/a/b/.." }) do
    case("removeDotSegments " .. i, function() return url.removeDotSegments(path) end)
end
for i, query in ipairs({ { a = 1 }, { a = { 1, 2 } }, { a = { b = "c", d = { 1 } } }, { ["a b"] = "ä&=" }, {}, { a = true }, { a = "" }, { 1, 2 } }) do
    case("buildQuery " .. i, function() return url.buildQuery(query) end)
end
for i, text in ipairs({ "a=1", "a=1&b=2", "a=1;b=2", "a[]=1&a[]=2", "a[x]=1&a[y]=2", "a+b=c+d", "a=%26", "", "&&a=1&", "a[1]=x&a[2]=y", "a" }) do
    case("parseQuery " .. i, function() local query = {} for k, v in pairs(url.parseQuery(text)) do query[k] = v end return query, tostring(url.parseQuery(text)) end)
end
case("parseQuery with a separator", function() return tostring(url.parseQuery("a=1;b=2", ";")) end)
case("buildQuery with a separator", function() return url.buildQuery({ a = 1, b = 2 }, ";") end)
case("setQuery", function() local u = url.parse("http://h/x") u:setQuery({ a = 1 }) local one = tostring(u) u:setQuery("b=2") return one, tostring(u) end)
case("setAuthority", function() local u = url.parse("http://h/x") u:setAuthority("u:p@k:81") return u.host, u.port, u.user, u.password, tostring(u) end)
case("addSegment", function() local u = url.parse("http://h/x") u:addSegment("y z") u:addSegment("/w") return tostring(u), u.path end)
case("changed query", function() local u = url.parse("http://h/x?a=1") u.query.b = 2 return tostring(u) end)
case("division", function() return tostring(url.parse("http://h/x") / "y") end)
