--- `multipart`: bodies of type multipart/form-data, read and written.
--
--     local form = require("multipart")(body, ngx.var.content_type)
--     form:get("name").value
--     form:set_simple("name", "value")
--     form:tostring()
-- @module multipart
local concat = table.concat
local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local match = string.match
local pairs = pairs
local rawget = rawget
local setmetatable = setmetatable
local sub = string.sub


local _M = {
    -- What stands between the parts of a form that came without.
    RANDOM_BOUNDARY = ngx.md5(ngx.now() .. ngx.worker.pid()),
}
_M.__index = _M


local function boundary_of(content_type)
    local boundary = match(content_type, ";%s*boundary=(%S+)")
    boundary = boundary and (match(boundary, "^(['\"].*['\"]);?$") or match(boundary, "^[^;]*"))
    boundary = boundary and (match(boundary, '^"(.*)"$') or match(boundary, "^'(.*)'$") or boundary)
    return boundary ~= "" and boundary or nil
end


local function name_of(header)
    if lower(sub(header, 1, 19)) ~= "content-disposition" then
        return nil
    end
    local value = match(header, ";%s*[Nn][Aa][Mm][Ee]=([^;]*)")
    return value and (match(value, '^"(.*)"%s*$') or match(value, "^(.-)%s*$"))
end


-- A part from what stands between two boundaries; nothing if it has no name.
local function read_part(text)
    local part = { headers = {} }
    local at = 1
    while true do
        local line, next_at = match(text, "^([^\r\n]*)\r?\n()", at)
        if not line or line == "" then
            part.value = next_at and sub(text, next_at) or ""
            break
        end
        part.headers[#part.headers + 1] = line
        part.name = part.name or name_of(line)
        at = next_at
    end
    return part.name and part
end


-- Where the next line begins that starts with a boundary, and where its text ends.
local function find_mark(body, mark, from)
    local at = from
    while true do
        local first, last = find(body, mark, at, true)
        if not first or first == 1 or find(body, "^[\r\n]", first - 1) then
            return first, last
        end
        at = last + 1
    end
end


local function read(body, boundary)
    local parts = {}
    local mark = "--" .. boundary
    local _, last = find_mark(body, mark, 1)
    while last do
        local first, next_last = find_mark(body, mark, last + 1)
        local text = sub(body, last + 1, first and first - 1)
        text = first and gsub(gsub(text, "\n$", ""), "\r$", "") or text
        local begin = match(text, "^[^\r\n]*\r?\n()")
        local part = begin and read_part(sub(text, begin))
        parts[#parts + 1] = part or nil
        last = next_last
    end
    return parts
end


--- A form.
-- @tparam[opt] string body
-- @tparam[opt] string content_type with its boundary; without, the form is empty
-- @treturn table
function _M.new(body, content_type)
    local boundary = content_type and boundary_of(content_type)
    return setmetatable({ boundary = boundary, parts = boundary and read(body or "", boundary)
                                                       or {} }, _M)
end


--- The first part with a name: `{ name, value, headers }`.
-- @treturn table|nil
function _M:get(name)
    for _, part in ipairs(self.parts) do
        if part.name == name then
            return part
        end
    end
end


-- name -> list of what `of` makes of each part of that name.
local function grouped(self, of)
    local groups = {}
    for _, part in ipairs(self.parts) do
        local group = groups[part.name] or {}
        group[#group + 1] = of(part)
        groups[part.name] = group
    end
    return groups
end


local function value_of(part)
    return part.value
end


local headers_mt = {
    __index = function(headers, name)
        name = lower(name)
        local value = rawget(headers, name)
        return value == nil and rawget(headers, (gsub(name, "_", "-"))) or value
    end,
}


local function with_headers(part)
    local headers = setmetatable({}, headers_mt)
    for _, lines in ipairs(part.headers) do
        -- One that `set_simple` made may be of two lines.
        for line in gmatch(lines, "[^\r\n]+") do
            local name, value = match(line, "^%s*([^:]-)%s*:%s*(.+)$")
            if name then
                headers[lower(name)] = value
            end
        end
    end
    return { value = part.value, headers = headers }
end


--- name -> value; of several parts with one name the first.
-- @treturn table
function _M:get_all()
    local values = grouped(self, value_of)
    for name, list in pairs(values) do
        values[name] = list[1]
    end
    return values
end


--- The values of all parts with a name.
-- @treturn {string,...}
function _M:get_as_array(name)
    return grouped(self, value_of)[name] or {}
end


--- The parts with a name as `{ value, headers }`; the headers by their small names.
-- @treturn {table,...}
function _M:get_with_headers_as_array(name)
    return grouped(self, with_headers)[name] or {}
end


--- name -> list of values.
-- @treturn table
function _M:get_all_as_arrays()
    return grouped(self, value_of)
end


--- name -> value, or a list where the name occurs more than once.
-- @treturn table
function _M:get_all_with_arrays()
    local values = grouped(self, value_of)
    for name, list in pairs(values) do
        values[name] = list[2] ~= nil and list or list[1]
    end
    return values
end


--- name -> list of `{ value, headers }`.
-- @treturn table
function _M:get_all_include_headers_with_arrays()
    return grouped(self, with_headers)
end


--- Sets the value of a field, of the first one with that name if there is one.
-- @tparam string name
-- @tparam string|number value
-- @tparam[opt] string file_name
-- @tparam[opt] string content_type
function _M:set_simple(name, value, file_name, content_type)
    local header = 'Content-Disposition: form-data; name="' .. name .. '"'
    if file_name then
        header = header .. '; filename="' .. file_name .. '"'
    end
    if content_type then
        header = header .. "\r\ncontent-type: " .. content_type
    end
    local part = self:get(name)
    if not part then
        part = { name = name }
        self.parts[#self.parts + 1] = part
    end
    part.value, part.headers = value, { header }
end


--- Removes all parts with a name.
function _M:delete(name)
    local rest = {}
    for _, part in ipairs(self.parts) do
        rest[#rest + 1] = part.name ~= name and part or nil
    end
    self.parts = rest
end


--- The body as text; without parts there is none.
-- @treturn string
function _M:tostring()
    local out = {}
    local mark = "--" .. (self.boundary or _M.RANDOM_BOUNDARY)
    for _, part in ipairs(self.parts) do
        if part.value ~= nil then
            out[#out + 1] = mark
            for _, line in ipairs(part.headers) do
                out[#out + 1] = line
            end
            out[#out + 1] = ""
            out[#out + 1] = part.value
        end
    end
    if #out == 0 then
        return ""
    end
    out[#out + 1] = mark .. "--\r\n"
    return concat(out, "\r\n")
end


return setmetatable(_M, {
    __call = function(_, ...)
        return _M.new(...)
    end,
})
