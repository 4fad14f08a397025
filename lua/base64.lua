--- `base64`: base64 with an alphabet of one's choice.
-- @module base64
local host = require("moongate.host")

local decode = host.crypto.base64_decode
local encode = host.crypto.base64_encode
local gsub = string.gsub
local sub = string.sub

local _M = {}


--- How the last two letters and the filling are written.
function _M.makeencoder(s62, s63, filling)
    return { s62 or "+", s63 or "/", filling or "=" }
end


_M.makedecoder = _M.makeencoder


--- @tparam string text
-- @tparam[opt] table encoder of `makeencoder`
function _M.encode(text, encoder)
    local made = encode(text)
    if encoder then
        made = gsub(made, "[+/=]", { ["+"] = encoder[1], ["/"] = encoder[2], ["="] = encoder[3] })
    end
    return made
end


--- What is no letter of the alphabet is passed over.
function _M.decode(text, decoder)
    decoder = decoder or _M.makedecoder()
    text = gsub(text, ".", function(one)
        if one == decoder[1] then
            return "+"
        elseif one == decoder[2] then
            return "/"
        end
        return one:find("^%w$") and one or ""
    end)
    if #text % 4 == 1 then
        text = sub(text, 1, -2)
    end
    return decode(text) or ""
end


return _M
