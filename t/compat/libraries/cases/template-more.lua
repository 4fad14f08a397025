-- Templates from texts, each way by its own function.
-- original: resty.template
local template = require("resty.template")
local text = "T {{name}}!"
local out
template.print = function(made) out = made end
for i, context in ipairs({ { name = "A" }, { name = "<b>", more = "<i>" }, {} }) do
    case("compile_string " .. i, function() return template.compile_string(text)(context) end)
    case("process_string " .. i, function() return template.process_string(text, context) end)
    case("render_string " .. i, function() template.render_string(text, context) return out end)
end
case("load", function() return template.load(text)  end)
case("load_string", function() return template.load_string(text) end)
case("parse_string", function() return type(template.parse_string(text)), load(template.parse_string(text)) ~= nil end)
case("precompile_string", function() local code = template.precompile_string(text) return type(code), #code > 0 end)
case("precompile into a file", function() local path = os.tmpname() template.precompile(text, path) local made = io.open(path) local size = #made:read("*a") made:close() os.remove(path) return size > 0 end)
case("caching", function() local was = template.caching() template.caching(false) local off = template.caching() template.caching(true) return was, off, template.caching() end)
case("compile_string with a key", function() return template.compile_string(text, "key")({ name = "1" }), template.compile_string("other", "key")({ name = "2" }) end)
case("print", function() template.print("x") return out end)
