-- Routes of a plugin's own.
-- original: resty.radixtree
local radix = require("resty.radixtree")
local rx = radix.new({
    { paths = "/aa", metadata = "aa" }, { paths = { "/bb*" }, metadata = "bb*" }, { paths = { "/bb/cc", "/ee" }, metadata = "bb/cc" },
    { paths = "/bb/dd*", metadata = "bb/dd*" }, { paths = "/user/:id", metadata = "user" }, { paths = "/user/:id/posts/:post", metadata = "post" },
    { paths = "/files/*path", metadata = "files" }, { paths = "/m", methods = { "GET", "HEAD" }, metadata = "m-get" },
    { paths = "/m", methods = { "POST" }, metadata = "m-post" }, { paths = "/h", hosts = { "a.com", "*.b.com" }, metadata = "h" },
    { paths = "/ip", remote_addrs = { "10.0.0.0/8" }, metadata = "ip" }, { paths = "/v", vars = { { "arg_k", "==", "v" } }, metadata = "v" },
    { paths = "/f", filter_fun = function(vars) return vars.x == 1 end, metadata = "f" },
    { paths = "/p", metadata = "low", priority = 1 }, { paths = "/p", metadata = "high", priority = 5 }, { paths = "/*", metadata = "rest", priority = -1 },
})
for _, path in ipairs({ "/aa", "/aa/", "/bb", "/bb/cc", "/bb/ccx", "/bb/dd/x", "/ee", "/user/5", "/user/", "/user/5/posts/7", "/files/a/b", "/p", "/zz", "/" }) do
    case("match " .. path, function() return rx:match(path, {}) end)
end
for _, method in ipairs({ "GET", "POST", "PUT" }) do
    case("method " .. method, function() return rx:match("/m", { method = method }) end)
end
for _, name in ipairs({ "a.com", "A.com", "x.b.com", "b.com", "c.com" }) do
    case("host " .. name, function() return rx:match("/h", { host = name }) end)
end
case("address", function() return rx:match("/ip", { remote_addr = "10.1.1.1" }), rx:match("/ip", { remote_addr = "11.1.1.1" }) end)
case("vars", function() return rx:match("/v", { vars = { arg_k = "v" } }), rx:match("/v", { vars = { arg_k = "w" } }) end)
case("filter", function() return rx:match("/f", { vars = { x = 1 } }), rx:match("/f", { vars = { x = 2 } }) end)
local function matched(path, opts)
    opts.matched = {}
    rx:match(path, opts)
    return opts.matched
end
case("matched", function() return matched("/user/5/posts/7", {}) end)
case("matched rest", function() return matched("/files/a/b", {}) end)
case("matched prefix", function() return matched("/bb/dd/x", {}) end)
case("matched host", function() return matched("/h", { host = "x.b.com", method = "GET" }) end)
case("no path", function() return (radix.new({ { paths = "/a", metadata = 1 } }):match("/b", {})) end)
case("dispatch", function()
    local said
    local r = radix.new({ { paths = "/a", handler = function(x) said = x end } })
    return r:dispatch("/a", {}, "hello"), said, r:dispatch("/b", {})
end)
case("no metadata", function() return (pcall(radix.new, { { paths = "/a" } })) and radix.new({ { paths = "/a" } }) ~= nil end)
