--- `multipart`: bodies of type multipart/form-data.
-- @module multipart
local concat = table.concat
local find = string.find
local gmatch = string.gmatch
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local sub = string.sub
local tostring = tostring

local mt = {}
mt.__index = mt


local function boundary_of(content_type)
    return match(content_type, 'boundary="([^"]+)"') or match(content_type, "boundary=([^;%s]+)")
end


local function read_part(text)
    local from, to = find(text, "\r\n\r\n", 1, true)
    if not from then
        return nil
    end

    local part = { headers = {}, value = sub(text, to + 1) }
    for line in gmatch(sub(text, 1, from - 1), "[^\r\n]+") do
        part.headers[#part.headers + 1] = line
        local name, value = match(line, "^([^:]+):%s*(.*)$")
        if name and lower(name) == "content-disposition" then
            part.name = match(value, ';%s*name="(.-)"') or match(value, ";%s*name=([^;]+)")
        end
    end
    return part.name and part
end


local function read(body, boundary)
    local parts = {}
    local mark = "--" .. boundary
    local from, to = find(body, mark, 1, true)
    while from do
        local next_from, next_to = find(body, "\r\n" .. mark, to + 1, true)
        if not next_from then
            break
        end
        local part = read_part(sub(body, to + 3, next_from - 1))
        if part then
            parts[#parts + 1] = part
        end
        from, to = next_from, next_to
    end
    return parts
end


--- The part with a name: `{ name, value, headers }`, or nil.
function mt:get(name)
    for _, part in ipairs(self.parts) do
        if part.name == name then
            return part
        end
    end
end


--- name -> value; of several parts with one name the last.
function mt:get_all()
    local values = {}
    for _, part in ipairs(self.parts) do
        values[part.name] = part.value
    end
    return values
end


--- name -> value, or a list where the name occurs more than once.
function mt:get_all_with_arrays()
    local values = {}
    for _, part in ipairs(self.parts) do
        local list = values[part.name] or {}
        list[#list + 1] = part.value
        values[part.name] = list
    end
    for name, list in pairs(values) do
        if #list == 1 then
            values[name] = list[1]
        end
    end
    return values
end


--- Sets the value of a plain field.
function mt:set_simple(name, value)
    local part = self:get(name)
    if not part then
        part = { name = name }
        self.parts[#self.parts + 1] = part
    end
    part.headers = { 'Content-Disposition: form-data; name="' .. name .. '"' }
    part.value = tostring(value)
end


--- Removes all parts with a name.
function mt:delete(name)
    local rest = {}
    for _, part in ipairs(self.parts) do
        if part.name ~= name then
            rest[#rest + 1] = part
        end
    end
    self.parts = rest
end


--- The body as text.
function mt:tostring()
    local out = {}
    for _, part in ipairs(self.parts) do
        out[#out + 1] = "--" .. self.boundary
        for _, line in ipairs(part.headers) do
            out[#out + 1] = line
        end
        out[#out + 1] = ""
        out[#out + 1] = part.value
    end
    out[#out + 1] = "--" .. self.boundary .. "--"
    out[#out + 1] = ""
    return concat(out, "\r\n")
end


--- Parses a body.
-- @tparam string body
-- @tparam string content_type with its boundary
-- @treturn table|nil
return function(body, content_type)
    local boundary = content_type and boundary_of(content_type)
    if not boundary then
        return nil
    end
    return setmetatable({ boundary = boundary, parts = read(body or "", boundary) }, mt)
end
