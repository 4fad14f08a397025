--- `XmlParser`: reads XML and tells a handler of every part, as `xml2lua` expects it.
--
-- Elements, attributes, text, CDATA, comments, declarations and entities (the five of XML and
-- numbers). Document types are told, not obeyed: nothing is ever fetched or expanded twice.
-- @module XmlParser
local char = string.char
local error = error
local find = string.find
local format = string.format
local floor = math.floor
local getmetatable = getmetatable
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local type = type

-- Nesting is written by whoever sends the document.
local DEPTH_MAX = 200

local ENTITIES = { ["&lt;"] = "<", ["&gt;"] = ">", ["&amp;"] = "&", ["&quot;"] = '"',
                   ["&apos;"] = "'" }

local ATTRIBUTES = { "([^%s=\"']+)%s*=%s*\"([^\"]*)\"", "([^%s=\"']+)%s*=%s*'([^']*)'" }

local _M = {}
local Parser = {}
local mt = { __index = Parser }


--- A parser.
-- @tparam table handler functions `starttag`, `endtag`, `text`, `cdata`, `comment`, `pi`, `decl`,
--   `dtd`, each may be absent
-- @tparam table options `stripWS`, `expandEntities`, `errorHandler`
function _M.new(handler, options)
    return setmetatable({ handler = handler, options = options }, mt)
end


local function utf8(code)
    if not code then
        return nil
    elseif code < 0x80 then
        return char(code)
    elseif code < 0x800 then
        return char(0xc0 + floor(code / 64), 0x80 + code % 64)
    elseif code < 0x10000 then
        return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
    elseif code <= 0x10ffff then
        return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
                    0x80 + floor(code / 64) % 64, 0x80 + code % 64)
    end
end


local function entity(name)
    local digits = match(name, "^&#x(%x+);$")
    if digits then
        return utf8(tonumber(digits, 16))
    end
    digits = match(name, "^&#(%d+);$")
    if digits then
        return utf8(tonumber(digits))
    end
    return ENTITIES[name]
end


function Parser:fail(message, at)
    if self.options.errorHandler then
        self.options.errorHandler(message, at)
    end
end


function Parser:plain(text)
    if self.options.expandEntities then
        text = gsub(text, "&#?%w+;", entity)
    end
    return text
end


function Parser:attributes(text)
    local attrs, count = {}, 0
    for _, pattern in ipairs(ATTRIBUTES) do
        for name, value in text:gmatch(pattern) do
            attrs[name] = self:plain(value)
            count = count + 1
        end
    end
    return count > 0 and attrs or nil
end


function Parser:tell(event, ...)
    local func = self.handler[event]
    if func then
        func(self.handler, ...)
    end
end


-- What begins with "<?" at `from`: the declaration or an instruction.
function Parser:instruction(xml, from)
    local _, to, name, rest = find(xml, "^<%?([%w_:%-%.]+)(.-)%?>", from)
    if not to then
        self:fail("Error Parsing Processing Instruction", from)
        return #xml
    end
    if name ~= "xml" then
        local tag = { name = name, attrs = self:attributes(rest) or {}, _text = rest }
        self:tell("pi", tag, from, to)
        return to
    end
    if find(sub(xml, 1, from - 1), "%S") then
        self:fail("XMLDecl not at start of document", from)
    end
    local attrs = self:attributes(rest)
    if not attrs or not attrs.version then
        self:fail("Invalid XMLDecl attributes", from)
    end
    self:tell("decl", { name = "xml", attrs = attrs }, from, to)
    return to
end


-- What begins with "<!" at `from`: comment, CDATA or document type.
function Parser:declaration(xml, from)
    if sub(xml, from, from + 3) == "<!--" then
        local start, to = find(xml, "-->", from + 4, true)
        if not to then
            self:fail("Error Parsing Comment", from)
            return #xml
        end
        self:tell("comment", sub(xml, from + 4, start - 1), nil, from, to)
        return to
    elseif sub(xml, from, from + 8) == "<![CDATA[" then
        local start, to = find(xml, "]]>", from + 9, true)
        if not to then
            self:fail("Error Parsing CDATA", from)
            return #xml
        end
        self:tell("cdata", sub(xml, from + 9, start - 1), nil, from, to)
        return to
    end
    local _, to, body = find(xml, "^<!DOCTYPE(.-%b[]%s*)>", from)
    if not to or find(sub(body, 1, (find(body, "[", 1, true))), ">", 1, true) then
        _, to, body = find(xml, "^<!DOCTYPE([^>]*)>", from)
    end
    if not to then
        self:fail("Error Parsing DTD", from)
        return #xml
    end
    self:tell("dtd", { name = match(body, "^%s+([^%s>%[]+)"), value = body }, nil, from, to)
    return to
end


function Parser:close(name, rest, from, to)
    if find(rest, "%S") then
        self:fail(format("End Tag Attributes Invalid (/%s)", name), from)
    end
    local stack = self.stack
    if stack[#stack] ~= name then
        self:fail(format("Unbalanced Tag (/%s)", name), from)
    end
    stack[#stack] = nil
    self:tell("endtag", { name = name }, from, to)
end


function Parser:element(xml, from)
    local _, to, slash, name = find(xml, "^<(/?)([%w_:][%w_:%-%.]*)", from)
    if not to then
        self:fail("Error Parsing XML", from)
        return #xml
    end
    -- The end is the first ">" that no quotes hold.
    local at, rest = to + 1
    while true do
        local stop = find(xml, "[>\"']", at)
        local mark = stop and sub(xml, stop, stop)
        if mark == ">" then
            rest, to = sub(xml, to + 1, stop - 1), stop
            break
        end
        stop = mark and find(xml, mark, stop + 1, true)
        if not stop then
            self:fail("Error Parsing XML", from)
            return #xml
        end
        at = stop + 1
    end

    if slash == "/" then
        self:close(name, rest, from, to)
        return to
    end
    local stack = self.stack
    local empty = sub(rest, -1) == "/"
    self:tell("starttag", { name = name, attrs = self:attributes(rest) }, from, to)
    stack[#stack + 1] = name
    if #stack > DEPTH_MAX then
        error("XML is nested too deeply", 0)
    end
    if empty then
        self:close(name, "", from, to)
    end
    return to
end


function Parser:text(text, from, to)
    if self.options.stripWS then
        text = match(text, "^%s*(.-)%s*$")
    end
    if text ~= "" then
        self:tell("text", self:plain(text), nil, from, to)
    end
end


--- Reads a document.
-- @tparam string xml
-- @tparam[opt=true] boolean attributes whether the handler is to keep them
function Parser:parse(xml, attributes)
    if type(self) ~= "table" or getmetatable(self) ~= mt then
        error("You must call xmlparser:parse(parameters) instead of xmlparser.parse(parameters)")
    end
    self.handler.parseAttributes = attributes == nil or attributes
    self.stack = {}
    local at = 1
    while true do
        local from = find(xml, "<", at, true)
        if not from then
            break
        end
        if from > at then
            self:text(sub(xml, at, from - 1), at, from - 1)
        end
        local mark = sub(xml, from + 1, from + 1)
        local to
        if mark == "?" then
            to = self:instruction(xml, from)
        elseif mark == "!" then
            to = self:declaration(xml, from)
        else
            to = self:element(xml, from)
        end
        at = to + 1
    end
    if #self.stack > 0 then
        self:fail("Incomplete XML Document", at)
    elseif find(xml, "%S", at) then
        self:fail("Error Parsing XML", at)
    end
end


--- As the method of that name.
_M.parse = Parser.parse


return _M
