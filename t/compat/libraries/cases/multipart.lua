-- Bodies of type multipart/form-data.
-- original: multipart
-- differs: get_all 8, the original cuts the ends off a name without quotes
-- differs: get_all 13, the original takes what stands before the first part for its value
-- differs: tostring 13, as above
-- differs: get 13, as above
-- differs: content type 3, the original finds no part if a parameter follows the boundary
-- differs: delete, the original deletes some other part if it deletes two
local multipart = require("multipart")
local function body(...)
    local parts = {}
    for _, part in ipairs({ ... }) do
        parts[#parts + 1] = "--XX\r\n" .. part .. "\r\n"
    end
    return table.concat(parts) .. "--XX--\r\n"
end
local A = 'Content-Disposition: form-data; name="a"\r\n\r\none'
local B = 'Content-Disposition: form-data; name="b"; filename="x.txt"\r\nContent-Type: text/plain\r\n\r\ntwo\r\nlines'
local A2 = 'Content-Disposition: form-data; name="a"\r\n\r\nthree'
local TYPE = "multipart/form-data; boundary=XX"
local bodies = {
    body(A, B), body(A, A2), body(A), body(), "", "nonsense", body('content-disposition: form-data; name="lower"\r\n\r\nv'),
    body('Content-Disposition: form-data; name=plain\r\n\r\nv'), body('Content-Disposition: form-data; name=""\r\n\r\nv'), body('Content-Disposition: form-data\r\n\r\nv'),
    body('Content-Disposition: form-data; name="e"\r\n\r\n'), body('Content-Disposition: form-data; name="e"\r\n\r\n\r\nx\r\n'), "preamble\r\n" .. body(A) .. "epilogue",
    "--XX\r\n" .. A, "--XX\n" .. A:gsub("\r\n", "\n") .. "\n--XX--\n", body('Content-Type: text/plain\r\nContent-Disposition: form-data; name="z"\r\nX-Y: 1\r\n\r\nv'),
}
for i, text in ipairs(bodies) do
    case("get_all " .. i, function() return multipart(text, TYPE):get_all() end)
    case("tostring " .. i, function() return multipart(text, TYPE):tostring() end)
    case("get " .. i, function() local part = multipart(text, TYPE):get("a") return part and { part.name, part.value, part.headers } end)
end
for i, kind in ipairs({ 'multipart/form-data; boundary="XX"', "multipart/form-data;boundary=XX", "multipart/form-data; boundary=XX; charset=x", "multipart/form-data", "text/plain", "" }) do
    case("content type " .. i, function() return multipart(body(A, B), kind):get_all() end)
end
local form = multipart(body(A, B, A2), TYPE)
case("get of none", function() return form:get("none") end)
case("get_all_with_arrays", function() return form:get_all_with_arrays() end)
case("get_as_array", function() return form:get_as_array("a") end)
case("get_as_array of none", function() return form:get_as_array("none") end)
case("get_all_as_arrays", function() return form:get_all_as_arrays() end)
case("get_with_headers_as_array", function() return form:get_with_headers_as_array("a") end)
case("get_all_include_headers_with_arrays", function() return form:get_all_include_headers_with_arrays() end)
case("set_simple", function() local f = multipart(body(A), TYPE) f:set_simple("c", 3) return f:tostring(), f:get_all() end)
case("set_simple of one that is there", function() local f = multipart(body(A, B), TYPE) f:set_simple("a", "new") return f:tostring() end)
case("set_simple with a file", function() local f = multipart(body(A), TYPE) f:set_simple("f", "data", "name.bin", "application/x-y") return f:tostring() end)
case("set_simple of a boolean", function() local f = multipart(body(A), TYPE) f:set_simple("t", true) return (pcall(f.tostring, f)) end)
case("delete", function() local f = multipart(body(A, B, A2), TYPE) f:delete("a") return f:tostring(), f:get_all() end)
case("delete of none", function() local f = multipart(body(A), TYPE) f:delete("none") return f:tostring() end)
case("no body", function() return multipart(nil, TYPE):tostring() end)
case("from nothing", function() local f = multipart(nil, TYPE) f:set_simple("a", "b") return f:tostring() end)
