-- The Lua that snippets run on.
local say, try = ...

return {
    ["language"] = function()
        say(_VERSION, jit ~= nil, type(jit.version), jit.version_num >= 20100)
        say(1 == 1.0, 7 % -3, 2 ^ 10, "10" + 5, 10 .. 20)
        say(loadstring("return 1")(), load("return 2")(), type(setfenv), type(unpack))
        say(tostring(1e15), tostring(2 ^ 53), tostring(-0), tostring(0 / 0):gsub("-", ""))
        say(math.huge, -math.huge, #"a\0b")
    end,
    ["5.2 pieces"] = function()
        say(type(table.pack), type(table.unpack), type(rawlen), type(math.log(8, 2)))
        say(pcall(load, "goto done do error('x') end ::done:: return 3"))
        say(("x"):rep(3, ","), string.format("%q", "a\nb"), load("return ...", "c", "t", {})(4))
    end,
    ["table additions"] = function()
        local new, clear = require("table.new"), require("table.clear")
        local nkeys, isempty = require("table.nkeys"), require("table.isempty")
        local isarray, clone = require("table.isarray"), require("table.clone")
        local list = new(4, 0)
        list[1], list[2], list.x = "a", "b", "c"
        say(nkeys(list), isempty(list), isempty({}), isarray({ 1, 2 }), isarray({}),
            isarray({ a = 1 }))
        local copy = clone(list)
        say(copy, copy == list)
        clear(list)
        say(list, nkeys(list))
        say(try(nkeys, 12), try(isempty, nil), try(isarray, "x"), try(clone, 1))
        say(nkeys({ 1, nil, 3 }), isarray({ 1, nil, 3 }), nkeys({ [1.5] = 1 }))
    end,
    ["nested clones are not deep"] = function()
        local clone = require("table.clone")
        local inner = { 1 }
        local copy = clone({ inner, k = inner })
        say(copy[1] == inner, copy.k == inner, getmetatable(clone(setmetatable({}, {}))))
    end,
    ["string.buffer"] = function()
        local ok, buffer = pcall(require, "string.buffer")
        say(type(ok), ok and type(buffer.new) or "function")
    end,
    ["bit"] = function()
        local bit = require("bit")
        say(bit.band(12, 10), bit.bor(12, 10), bit.bxor(12, 10), bit.bnot(0), bit.lshift(1, 31))
        say(bit.rshift(-1, 28), bit.arshift(-8, 1), bit.rol(1, 33), bit.tohex(255, 4), bit.bswap(1))
        say(bit.tobit(2 ^ 32 + 5))
    end,
    ["ffi"] = function()
        local ffi = require("ffi")
        ffi.cdef("typedef struct { int a; char b[4]; } compat_pair_t;")
        local pair = ffi.new("compat_pair_t", { a = 5, b = "xyz" })
        say(pair.a, ffi.string(pair.b), ffi.sizeof(pair), ffi.os, ffi.arch)
        say(tostring(ffi.new("int64_t", 2 ^ 40)), tonumber(ffi.new("uint64_t", 7)))
        say(try(ffi.cdef, "typedef struct { int a; char b[4]; } compat_pair_t;"))
    end,
    ["os and io"] = function()
        say(type(os.time()), type(os.clock()), os.date("!%Y-%m-%d", 0), os.getenv("COMPAT_NONE"))
        local name = os.tmpname()
        local file = io.open(name, "w")
        file:write("line 1\nline 2\n")
        file:close()
        for line in io.lines(name) do
            say(line)
        end
        say(os.remove(name), io.open("/no/such/file"))
        say(os.time({ year = 2000, month = 1, day = 1, hour = 12 }) > 0)
    end,
    ["string methods"] = function()
        say(("abc"):byte(1, -1), ("%d-%s"):format(3, "x"), ("a,b"):find(",", 1, true))
        say(("x = 1"):match("(%w+)%s*=%s*(%w+)"), ("hello"):gsub("l", { l = "L" }))
        say(("%5.1f|%-5s|%05d|%x"):format(3.14159, "ab", 42, 255))
        say(("abc"):sub(-2), ("abc"):upper(), ("a b c"):gsub(" ", ""))
    end,
    ["errors and levels"] = function()
        say(try(error, "plain", 0))
        say(select(2, pcall(error)))
        say(select(2, pcall(error, nil)))
        say(type(select(2, pcall(error, {}))))
        say(select(2, pcall(function() local a = nil; return a.b end)):gsub("^.-:%d+: ", ""))
        say(select(2, pcall(function() return 1 + {} end)):gsub("^.-:%d+: ", ""))
        say(select(2, pcall(string.rep)))
        say(select(2, pcall(setmetatable, 1, {})))
    end,
    ["globals do not stay in a chunk's way"] = function()
        say(rawget(_G, "no_such_global"))
        say(try(function() return no_such_global end))
    end,
    ["package"] = function()
        say(type(package.path), type(package.cpath), type(package.loaded), type(package.preload))
        say(package.loaded.ngx == ngx, require("ngx") == ngx)
        say(try(require, "no.such.module") == "raised")
        package.preload["compat.preloaded"] = function(name) return { name = name } end
        say(require("compat.preloaded"))
    end,
    ["cjson"] = function()
        local cjson = require("cjson")
        say(cjson.decode('{"a":[1,2.5,"x",null,true]}').a[4] == cjson.null, cjson.null == ngx.null)
        say(cjson.encode({ 1, 2, 3 }), cjson.encode("a/b\"\n"), cjson.encode({}))
        say(try(cjson.decode, "{"))
        say(try(cjson.encode, { [1] = 1, a = 2 }) ~= nil)
        say(require("cjson.safe").decode("{"))
        say(cjson.encode(cjson.empty_array), cjson.encode(setmetatable({}, cjson.empty_array_mt)))
        say(cjson.encode(0.1), cjson.encode(1e20), cjson.encode(12345678901234))
    end,
    ["debug"] = function()
        say(type(debug.traceback()), debug.getinfo(1, "l").currentline > 0)
        say(type(debug.getinfo(1, "S").source))
    end,
    ["metatables"] = function()
        local mt = { __len = function() return 7 end, __pairs = function() return next, { 1 },
            nil end,
            __lt = function() return true end, __concat = function() return "joined" end }
        local object = setmetatable({}, mt)
        say(#object, object < object, object .. "x")
    end,
    ["garbage"] = function()
        local seen = 0
        do
            local proxy = newproxy(true)
            getmetatable(proxy).__gc = function() seen = seen + 1 end
        end
        collectgarbage()
        collectgarbage()
        say(seen, collectgarbage("count") > 0)
    end,
}
