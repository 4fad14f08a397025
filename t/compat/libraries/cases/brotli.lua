-- Streams of Brotli. The original wants a library of C, so the cases know what must come out.
-- alone: yes
local brotli = require("brotli")
local function expect(name, func)
    case(name, function()
        func()
        return "as expected"
    end)
end
local function unpacked(text) return brotli.decompressor:new():decompress(text) end
-- Made by the reference implementation.
expect("known streams", function()
    assert(unpacked("\6") == "")
    assert(unpacked("\11\2\128hello\3") == "hello", unpacked("\11\2\128hello\3"))
end)
expect("and back", function()
    for _, text in ipairs({ "", "a", ("abc"):rep(10000), "\0\1\2\255" }) do
        local packer = brotli.compressor:new()
        local packed = packer:compress(text) .. packer:finish()
        assert(unpacked(packed) == text)
        assert(#text < 100 or #packed < #text / 10)
    end
end)
expect("in pieces", function()
    local packer, unpacker = brotli.compressor:new({ quality = 5 }), brotli.decompressor:new()
    local seen = ""
    for i = 1, 5 do
        seen = seen .. unpacker:decompress(packer:compress("piece " .. i .. "\n") .. packer:flush())
        assert(seen:find("piece " .. i .. "\n", 1, true), "a flushed piece is there at once")
    end
    seen = seen .. unpacker:decompress(packer:finish()) .. unpacker:finish()
    assert(seen == "piece 1\npiece 2\npiece 3\npiece 4\npiece 5\n")
end)
expect("byte by byte", function()
    local packed = brotli.compress(("hello "):rep(50))
    local unpacker, seen = brotli.decompressor:new(), {}
    for i = 1, #packed do seen[i] = unpacker:decompress(packed:sub(i, i)) end
    assert(table.concat(seen) .. unpacker:finish() == ("hello "):rep(50))
end)
expect("options", function()
    local text = ("some text "):rep(2000)
    for _, options in ipairs({ { quality = 0 }, { quality = 11 }, { mode = 1 }, { mode = 2 }, { lgwin = 10 }, { lgwin = 24 }, { lgblock = 16 }, { mode = 0, quality = 6, lgwin = 19, lgblock = 0 } }) do
        assert(unpacked(brotli.compress(text, options)) == text)
    end
    assert(#brotli.compress(text, { quality = 11 }) <= #brotli.compress(text, { quality = 0 }))
end)
expect("options out of range", function()
    for _, options in ipairs({ { quality = 12 }, { quality = -1 }, { lgwin = 9 }, { lgwin = 25 }, { mode = 3 }, { quality = "x" } }) do
        local ok, err = pcall(brotli.compress, "x", options)
        assert(not ok and err:find("brotli: %a+ must be from"), err)
    end
end)
expect("nonsense", function()
    local ok, err = pcall(unpacked, "no brotli at all, really")
    assert(not ok and type(err) == "string" and err:find("brotli"), err)
end)
expect("too short", function()
    local packed = brotli.compress(("abc"):rep(100))
    assert(not pcall(brotli.decompress, packed:sub(1, -3)))
    assert(brotli.decompress(packed) == ("abc"):rep(100))
end)
expect("after the end", function()
    local packer = brotli.compressor:new()
    packer:finish()
    assert(not pcall(packer.compress, packer, "x") and not pcall(packer.finish, packer))
end)
expect("no text", function() assert(not pcall(brotli.compress, {})) end)
