--- `resty.http_headers`: a table of headers that is read in any spelling.
-- @module resty.http_headers
local canonical = require("moongate.api.names").canonical

local next = next
local pairs = pairs
local rawget = rawget
local rawset = rawset
local setmetatable = setmetatable
local type = type

local _M = { _VERSION = "0.17.2" }

-- headers -> (canonical name -> the name as it is in the table)
local spellings = setmetatable({}, { __mode = "k" })


local function index(headers, name)
    if type(name) ~= "string" then
        return nil
    end
    local known = spellings[headers][canonical(name)]
    if known and known ~= name then
        return rawget(headers, known)
    end
end


local function assign(headers, name, value)
    if type(name) ~= "string" then
        rawset(headers, name, value)
        return
    end

    local names = spellings[headers]
    local key = canonical(name)
    local known = names[key]
    if known and rawget(headers, known) ~= nil then
        rawset(headers, known, value)
        return
    end
    names[key] = name
    rawset(headers, name, value)
end


local mt = { __index = index, __newindex = assign }


--- An empty table of headers, or one with the content of another table.
function _M.new(from)
    local headers = {}
    spellings[headers] = {}
    setmetatable(headers, mt)
    if from and next(from) ~= nil then
        for name, value in pairs(from) do
            headers[name] = value
        end
    end
    return headers
end


return _M
