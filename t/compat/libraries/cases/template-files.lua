-- Templates from files. The original looks below nginx's document root, so the cases know what must
-- come out.
-- alone: yes
local template = require("resty.template")
local name = os.tmpname()
local file = io.open(name, "w")
file:write("Hi {{name}}{% if more then %} and {*more*}{% end %}\n")
file:close()
local function expect(what, func)
    case(what, function()
        func()
        return "as expected"
    end)
end
local out
template.print = function(made) out = made end
for what, pair in pairs({ plain = { { name = "A" }, "Hi A\n" }, escaped = { { name = "<b>", more = "<i>" }, "Hi &lt;b&gt; and <i>\n" } }) do
    local function same(made) assert((made:gsub("\n$", "")) == (pair[2]:gsub("\n$", "")), made) end
    expect("compile_file " .. what, function() same(template.compile_file(name)(pair[1])) end)
    expect("process_file " .. what, function() same(template.process_file(name, pair[1])) end)
    expect("render_file " .. what, function() template.render_file(name, pair[1]) same(out) end)
end
expect("load", function() assert(template.load(name):find("^Hi {{name}}")) end)
expect("load_file", function() assert(template.load_file(name):find("^Hi {{name}}")) end)
expect("load_file of none", function() assert(not pcall(template.load_file, "/none/such")) end)
expect("compile_file of none", function() assert(not pcall(template.compile_file, "/none/such")) end)
expect("parse_file", function() assert(load(template.parse_file(name))) end)
expect("precompile_file", function() assert(load(template.precompile_file(name))) end)
os.remove(name)
