-- Cookies of requests and answers.
-- original: resty.cookie
local cookie = require("resty.cookie")
local headers = { "a=1", "a=1; b=2", "a=1;b=2", "a = 1 ; b =  2", "a=\"1\"; b=x\"y", "a", "a=", "=1; b=2", "a=b=c; d==", "a=1; a=2", "; ;a=1;;", "a=%20x; b=ä", "a=1, b=2", " a=1", "session=abc.def-_~; x=1", "a\t=\t1;\tb=2" }
for i, header in ipairs(headers) do
    ngx.req.set_header("Cookie", header)
    local jar = cookie:new()
    case("get_all " .. i, function() return jar:get_all() end)
    case("get " .. i, function() return jar:get("a"), jar:get("b"), jar:get("none") end)
end
ngx.req.clear_header("Cookie")
case("no cookie", function() return cookie:new():get("a") end)
case("no cookies", function() return cookie:new():get_all() end)
local jar = cookie:new()
local function sent()
    local value = ngx.header["Set-Cookie"]
    ngx.header["Set-Cookie"] = nil
    return value
end
local baked = {
    { key = "a", value = "1" }, { key = "a", value = "1", path = "/" },
    { key = "a", value = "1", domain = "example.com", secure = true, httponly = true },
    { key = "a", value = "1", expires = "Wed, 09 Jun 2021 10:18:14 GMT", max_age = 50 },
    { key = "a", value = "1", samesite = "Strict" }, { key = "a", value = "1", samesite = "lax" }, { key = "a", value = "1", samesite = "none" },
    { key = "a", value = "1", samesite = "maybe" }, { key = "a", value = "1", extension = "a4334aebaece" },
    { key = "a", value = "" }, { key = "a" }, { value = "1" }, {},
    { key = "a", value = "1", secure = false, httponly = false },
    { key = "Name", value = "Bob", path = "/p", domain = "e.com", secure = true, httponly = true, expires = "x", max_age = 1, samesite = "Lax", extension = "z" },
}
for i, one in ipairs(baked) do
    case("set " .. i, function() local ok, err = jar:set(one) return ok, err, sent() end)
    case("get_cookie_string " .. i, function() return cookie.get_cookie_string(one) end)
end
case("set of no table", function() return jar:set("a=1") end)
case("two", function() jar:set({ key = "a", value = "1" }) jar:set({ key = "b", value = "2" }) return sent() end)
case("the same twice", function() jar:set({ key = "a", value = "1" }) jar:set({ key = "a", value = "1" }) return sent() end)
case("beside one that is there", function() ngx.header["Set-Cookie"] = "x=y" jar:set({ key = "a", value = "1" }) return sent() end)
case("get_cookie_size", function() return jar:get_cookie_size(), cookie.get_cookie_size({ _cookie = "a=12", header = "a=12" }) end)
case("get_cookie_string of none", function() return cookie.get_cookie_string({}) end)
