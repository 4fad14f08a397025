--- `mime`: LuaSocket's filters for base64, quoted-printable and line ends.
--
-- The low-level functions work on a piece and what follows it, and give back what they could not
-- finish; the high-level ones make filters for `ltn12`.
-- @module mime
local ltn12 = require("ltn12")

local byte = string.byte
local char = string.char
local concat = table.concat
local decode_base64 = ngx.decode_base64
local encode_base64 = ngx.encode_base64
local error = error
local find = string.find
local format = string.format
local gsub = string.gsub
local match = string.match
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local LINE = 76
local CRLF = "\r\n"

local _M = { _VERSION = "MIME 1.0.3", encodet = {}, decodet = {}, wrapt = {} }


--- Base64 of a piece.
-- @tparam string|nil piece
-- @tparam[opt] string more what follows; nil if the text ends here
-- @treturn string|nil
-- @treturn string|nil what is left for the next call
function _M.b64(piece, more)
    if not piece then
        return nil, nil
    elseif not more then
        local text = encode_base64(piece)
        return text ~= "" and text or nil
    end
    local text = piece .. more
    local whole = #text - #text % 3
    return encode_base64(sub(text, 1, whole)), sub(text, whole + 1)
end


-- Base64 without what is no letter of it; it ends at the padding of its group.
local function letters(text)
    return (gsub(text, "[^%w+/=]", ""))
end


local function unpack_groups(text)
    local parts = {}
    for i = 1, #text, 4 do
        local group = sub(text, i, i + 3)
        parts[#parts + 1] = decode_base64(group) or ""
    end
    return concat(parts)
end


--- The text of a piece in base64.
function _M.unb64(piece, more)
    if not piece then
        return nil, nil
    elseif not more then
        local text = letters(piece)
        text = unpack_groups(sub(text, 1, #text - #text % 4))
        return text ~= "" and text or nil
    end
    local text = letters(piece .. more)
    local whole = #text - #text % 4
    return unpack_groups(sub(text, 1, whole)), sub(text, whole + 1)
end


local function quoted(text)
    return (gsub(text, ".", function(one)
        return format("=%02X", byte(one))
    end))
end


-- Text in quoted-printable, and what must wait: a blank for the two bytes behind it, which say
-- whether it ends a line, and a CR for one.
local function quote(text, marker)
    local out, at, size = {}, 1, #text
    while at <= size do
        local plain = match(text, "^[!-<>-~]+", at)
        if plain then
            out[#out + 1] = plain
            at = at + #plain
        elseif find(text, "^[ \t]", at) then
            if size < at + 2 then
                break
            end
            local one = sub(text, at, at)
            out[#out + 1] = sub(text, at + 1, at + 2) == CRLF and quoted(one) or one
            at = at + 1
        elseif sub(text, at, at + 1) == CRLF then
            out[#out + 1] = marker
            at = at + 2
        elseif sub(text, at) == "\r" then
            break
        else
            out[#out + 1] = quoted(sub(text, at, at))
            at = at + 1
        end
    end
    return concat(out), sub(text, at)
end


--- Quoted-printable of a piece; its line ends are CRLF.
-- @tparam string|nil piece
-- @tparam[opt] string more
-- @tparam[opt="\r\n"] string marker what line ends become
function _M.qp(piece, more, marker)
    if not piece then
        return nil, nil
    end
    local text, rest = quote(piece .. (more or ""), marker or CRLF)
    if more then
        return text, rest
    elseif rest ~= "" then
        -- A line must not end with what waits, and the text may go on elsewhere.
        text = text .. gsub(rest, "[^!-<>-~]", quoted) .. "=" .. CRLF
    end
    return text ~= "" and text or nil
end


-- What stands at a place of quoted-printable, and how many bytes it takes: none if they are not all
-- there. What is neither text nor quoted is left out.
local function unquote(text, at)
    local one = sub(text, at, at)
    local size = one == "=" and 3 or one == "\r" and 2 or 1
    local all = sub(text, at, at + size - 1)
    if #all < size then
        return "", 0
    elseif one == "=" then
        local digits = match(all, "^=(%x%x)$")
        return digits and char(tonumber(digits, 16)) or all ~= "=\r\n" and all or "", 3
    elseif one == "\r" then
        return all == CRLF and all or "", 2
    end
    return find(one, "^[ -~\t]") and one or "", 1
end


--- The text of a piece in quoted-printable.
function _M.unqp(piece, more)
    if not piece then
        return nil, nil
    end
    local text, out, at = piece .. (more or ""), {}, 1
    while at <= #text do
        local plain = match(text, "^[ -<>-~\t]+", at)
        local found, size = plain, plain and #plain
        if not plain then
            found, size = unquote(text, at)
        end
        if size == 0 then
            break
        end
        out[#out + 1] = found
        at = at + size
    end
    local done = concat(out)
    if more then
        return done, sub(text, at)
    end
    return done ~= "" and done or nil
end


-- A text with line breaks, and the room in its last line. With soft breaks no "=XX" is cut.
local function wrap(left, text, length, soft)
    local out = {}
    local at = 1
    while at <= #text do
        local one = match(text, "^\r\n", at) or soft and match(text, "^=%x%x", at)
                    or sub(text, at, at)
        if one == CRLF or one == "\n" then
            out[#out + 1] = CRLF
            left = length
        elseif one ~= "\r" then
            if left <= 0 or soft and left < #one + 1 and not find(text, "^\r\n", at + #one) then
                out[#out + 1] = soft or CRLF
                left = length
            end
            out[#out + 1] = one
            left = left - #one
        end
        at = at + #one
    end
    return concat(out), left
end


--- Breaks lines that are longer than `length`.
-- @tparam number left room in the line that was begun
-- @tparam string|nil text
-- @tparam[opt=76] number length
-- @treturn string|nil
-- @treturn number room in the last line
function _M.wrp(left, text, length)
    length = length or LINE
    if not text then
        return left < length and CRLF or nil, length
    end
    return wrap(left, text, length, nil)
end


--- As `wrp` with the soft breaks of quoted-printable, which cut no "=XX".
function _M.qpwrp(left, text, length)
    length = length or LINE
    if not text then
        return left < length and "=" .. CRLF or nil, length
    end
    return wrap(left, text, length, "=" .. CRLF)
end


--- Makes all line ends alike.
-- @tparam number last the code of the last character before, if it was the first half of a line end
-- @tparam string|nil text
-- @tparam[opt="\r\n"] string marker
-- @treturn string|nil
-- @treturn number for the next call
function _M.eol(last, text, marker)
    marker = marker or CRLF
    if not text then
        return nil, 0
    end
    local out = {}
    for i = 1, #text do
        local code = byte(text, i)
        if code == 13 or code == 10 then
            if last == 13 or last == 10 then
                -- The second half of one line end, or the first of another one.
                if code == last then
                    out[#out + 1] = marker
                else
                    code = 0
                end
            else
                out[#out + 1] = marker
            end
            last = code
        else
            out[#out + 1] = char(code)
            last = 0
        end
    end
    return concat(out), last
end


--- Doubles the dots that begin lines, as SMTP wants it.
-- @tparam number state 2 at the begin of a line
-- @tparam string|nil text
function _M.dot(state, text)
    if not text then
        return nil, 2
    end
    local out = {}
    for i = 1, #text do
        local one = sub(text, i, i)
        if one == "\r" then
            state = 1
        elseif one == "\n" then
            state = state == 1 and 2 or 0
        else
            if one == "." and state == 2 then
                out[#out + 1] = "."
            end
            state = 0
        end
        out[#out + 1] = one
    end
    return concat(out), state
end


-- The function behind a name of a table of filters.
local function chooser(filters)
    return function(name, ...)
        if type(name) ~= "string" then
            return filters.default(name, ...)
        end
        local make = filters[name]
        if not make then
            error("unknown key (" .. tostring(name) .. ")", 3)
        end
        return make(...)
    end
end


_M.encodet.base64 = function()
    return ltn12.filter.cycle(_M.b64, "")
end

_M.encodet["quoted-printable"] = function(mode)
    return ltn12.filter.cycle(_M.qp, "", mode == "binary" and "=0D=0A" or CRLF)
end

_M.decodet.base64 = function()
    return ltn12.filter.cycle(_M.unb64, "")
end

_M.decodet["quoted-printable"] = function()
    return ltn12.filter.cycle(_M.unqp, "")
end

_M.wrapt.text = function(length)
    length = length or LINE
    return ltn12.filter.cycle(_M.wrp, length, length)
end

_M.wrapt.base64 = _M.wrapt.text
_M.wrapt.default = _M.wrapt.text

_M.wrapt["quoted-printable"] = function()
    return ltn12.filter.cycle(_M.qpwrp, LINE, LINE)
end


--- A filter that encodes: "base64" or "quoted-printable".
_M.encode = chooser(_M.encodet)

--- A filter that decodes.
_M.decode = chooser(_M.decodet)

--- A filter that breaks lines: "text", "base64" or "quoted-printable".
_M.wrap = chooser(_M.wrapt)


--- A filter that makes all line ends alike.
function _M.normalize(marker)
    return ltn12.filter.cycle(_M.eol, 0, marker)
end


--- A filter that doubles dots.
function _M.stuff()
    return ltn12.filter.cycle(_M.dot, 2)
end


return _M
