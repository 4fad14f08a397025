-- lua-nginx-cookie, lua-resty-lrucache and modules in C, as Debian has them, in moongate.
-- original: nginx.cookie
-- guest: nginx/cookie.lua resty/lrucache.lua lib/cjson.so lib/lpeg.so lib/lfs.so lib/lxp.so
-- only: guest

ngx.req.set_header("Cookie", "a=1; b=two; c=\"q\"")
local cookie = require("nginx.cookie"):new()
case("cookie", function() return cookie:get("a"), cookie:get("b"), cookie:get("none") end)
case("all cookies", function() return cookie:get_all() end)
case("set a cookie", function() return cookie:set({ key = "x", value = "y", path = "/", httponly = true }), ngx.header["Set-Cookie"] end)
case("set no cookie", function() return cookie:set({ key = "x" }) end)
local lru = require("resty.lrucache").new(2)
case("lrucache", function()
    lru:set("a", 1)
    lru:set("b", 2)
    lru:get("a")
    lru:set("c", 3)
    return lru:get("a"), lru:get("b"), lru:get("c"), lru:count()
end)
-- Modules in C, by their files: some of these names are bundled too.
local function c(name)
    for template in package.cpath:gmatch("[^;]+") do
        local path = template:gsub("%?", (name:gsub("%.", "/")))
        local open = package.loadlib(path, "luaopen_" .. name:gsub("%.", "_"))
        if open then
            return open()
        end
    end
end
local cjson = c("cjson")
case("cjson", function() return cjson.encode({ 1, "a", { x = true } }), cjson.decode('{"a":[1,2.5,null]}').a[2] end)
case("cjson with a mistake", function() return (pcall(cjson.decode, "{")) end)
local lpeg = c("lpeg")
case("lpeg", function()
    local P, R, C, Ct, S = lpeg.P, lpeg.R, lpeg.C, lpeg.Ct, lpeg.S
    local word = C(R("az") ^ 1)
    return Ct(word * (S(" ,") ^ 1 * word) ^ 0):match("one, two three"), P("x"):match("y")
end)
case("lpeg's re", function() return lpeg.match(lpeg.Cs((lpeg.P("a") / "b" + 1) ^ 0), "banana") end)
local lfs = c("lfs")
case("lfs", function() return lfs.attributes("/", "mode"), lfs.attributes("/none") == nil end)
local lxp = c("lxp")
case("expat", function()
    local seen = {}
    local parser = lxp.new({ StartElement = function(_, name) seen[#seen + 1] = name end, CharacterData = function(_, text) seen[#seen + 1] = text end })
    parser:parse("<a><b>x</b></a>")
    parser:parse()
    parser:close()
    return seen
end)
case("expat with a mistake", function() return (lxp.new({}):parse("<a></b>")) end)
