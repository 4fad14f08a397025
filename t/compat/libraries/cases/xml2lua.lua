-- XML to tables and back.
-- original: xml2lua
-- differs: read 13, a > inside of quotes ends the element in the original
-- differs: read 14, the original reads no document type without quotes
-- differs: wrong 6, the original drops what it cannot read
local xml2lua = require("xml2lua")
local tree = require("xmlhandler.tree")
local function read(text, attributes)
    local handler = tree:new()
    xml2lua.parser(handler):parse(text, attributes)
    return handler.root
end
local documents = {
    "<a>1</a>", "<a/>", "<a></a>", "<a b='1' c=\"2\">x</a>", "<a><b>1</b><b>2</b><c/></a>",
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a>\n  <b>  x y </b>\n</a>",
    "<a><!-- no <b> --><b><![CDATA[<x> & ]]></b></a>", "<a>&lt;&amp;&quot;&#65;&#x42;&apos;</a>",
    "<s:Envelope xmlns:s=\"u\"><s:Body><n:X>1</n:X></s:Body></s:Envelope>",
    "<a><b i=\"1\"/><b i=\"2\">t</b></a>", "<a>x<b>y</b>z</a>", "<a><b><c><d>deep</d></c></b></a>",
    "<a b=\"&lt;1>\">v</a>", "<!DOCTYPE a><a>1</a>", "<?pi x?><a>1</a>",
}
for i, text in ipairs(documents) do
    case("read " .. i, function() return read(text) end)
end
case("without attributes", function() return read("<a b='1'>x</a>", false) end)
for i, text in ipairs({ "<a><b></a>", "<a>", "<a></b>", "</a>", "<a><!-- x</a>", "<a b='1></a>" }) do
    case("wrong " .. i, function() return read(text) end)
end
case("no text", function() return read("") end)
case("toXml", function() return xml2lua.toXml({ a = { b = 1 } }) end)
case("toXml with a name", function() return xml2lua.toXml({ b = 1 }, "root") end)
case("toXml of an array", function() return xml2lua.toXml({ b = { 1, 2, 3 } }, "root") end)
case("toXml of two", function() return #xml2lua.toXml({ a = 1, b = 2 }, "root") end)
case("toXml with attributes", function()
    return xml2lua.toXml({ a = { _attr = { id = 1 }, b = "x" } })
end)
case("toXml of empties", function() return xml2lua.toXml({ a = { b = "", c = {} } }):len() end)
case("toString", function() return xml2lua.toString({ a = { 1 } }) end)
case("toString of a text", function() return xml2lua.toString("x") end)
case("loadFile of none", function() return xml2lua.loadFile("/none") end)
