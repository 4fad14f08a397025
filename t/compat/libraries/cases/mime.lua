-- Filters of LuaSocket for mail.
-- original: mime
-- differs: unqp of qp 7, the original takes a text that begins with a zero for none
-- differs: unb64 8, the original makes a character of one letter and three times =
-- differs: unb64 in two 8, as above
local mime, ltn12 = require("mime"), require("ltn12")
local texts = { "", "a", "ab", "abc", "abcd", "hello world", "\0\255\254", "a=b", "tab\there ", "line\r\nnext \r\nlast", "ä", ("x"):rep(100), "a\nb\rc\r\n\r\nd", ". dot\r\n..two\r\n.", "trailing \t", "\r", "=\r\n" }
for i, text in ipairs(texts) do
    case("b64 " .. i, function() return mime.b64(text) end)
    case("b64 in two " .. i, function() return mime.b64(text, "xyz") end)
    case("unb64 of b64 " .. i, function() return mime.unb64((mime.b64(text)) or "") end)
    case("qp " .. i, function() return mime.qp(text) end)
    case("qp in two " .. i, function() return mime.qp(text, "z") end)
    case("qp with a marker " .. i, function() return mime.qp(text, nil, "=0D=0A") end)
    case("unqp of qp " .. i, function() return mime.unqp((mime.qp(text)) or "") end)
    case("wrp " .. i, function() return mime.wrp(4, text, 4) end)
    case("qpwrp " .. i, function() return mime.qpwrp(8, text, 8) end)
    case("eol " .. i, function() return mime.eol(0, text) end)
    case("eol with a marker " .. i, function() return mime.eol(0, text, "\n") end)
    case("dot " .. i, function() return mime.dot(2, text) end)
end
for i, text in ipairs({ "YQ==", "YWI=", "YWJj", "YW Jj\r\nYQ==", "YWJ", "!!!!", "=", "Y===", "YQ==YQ==" }) do
    case("unb64 " .. i, function() return mime.unb64(text) end)
    case("unb64 in two " .. i, function() return mime.unb64(text, "YW") end)
end
for i, text in ipairs({ "=41=42", "a=\r\nb", "a  \r\nb", "=4", "=ZZ", "=3d", "x=0D=0A", "a =\r\n b" }) do
    case("unqp " .. i, function() return mime.unqp(text) end)
    case("unqp in two " .. i, function() return mime.unqp(text, "y") end)
end
for _, name in ipairs({ "b64", "unb64", "qp", "unqp" }) do
    case(name .. " of nothing", function() return mime[name](nil) end)
end
case("wrp at the end", function() return mime.wrp(3, nil, 4), mime.wrp(4, nil, 4) end)
case("qpwrp at the end", function() return mime.qpwrp(3, nil, 4), mime.qpwrp(4, nil, 4) end)
case("eol at the end", function() return mime.eol(13, nil) end)
case("eol over two pieces", function() local _, state = mime.eol(0, "a\r") return mime.eol(state, "\nb") end)
case("dot over two pieces", function() local _, state = mime.dot(2, "a\r\n") return mime.dot(state, ".b") end)
local function through(filter, text)
    local list = {}
    local source = ltn12.source.string(text)
    ltn12.pump.all(source, ltn12.sink.chain(filter, (ltn12.sink.table(list))))
    return table.concat(list)
end
for i, text in ipairs({ "", "hello", ("long line "):rep(20), "a\r\nb =\r\n", "ä\0" }) do
    case("encode base64 " .. i, function() return through(mime.encode("base64"), text) end)
    case("encode quoted-printable " .. i, function() return through(mime.encode("quoted-printable"), text) end)
    case("encode in binary " .. i, function() return through(mime.encode("quoted-printable", "binary"), text) end)
    case("wrap " .. i, function() return through(mime.wrap("text", 20), text) end)
    case("wrap by default " .. i, function() return through(mime.wrap(), text) end)
    case("wrap quoted-printable " .. i, function() return through(ltn12.filter.chain(mime.encode("quoted-printable"), mime.wrap("quoted-printable")), text) end)
    case("and back " .. i, function() return through(mime.decode("base64"), through(mime.encode("base64"), text)), through(mime.decode("quoted-printable"), through(mime.encode("quoted-printable"), text)) end)
    case("normalize " .. i, function() return through(mime.normalize("\n"), text) end)
    case("stuff " .. i, function() return through(mime.stuff(), "." .. text) end)
end
case("encode of no such", function() return (pcall(mime.encode, "rot13")) end)
case("decode of no such", function() return (pcall(mime.decode, "rot13")) end)
