-- Templates.
-- original: resty.template
-- differs: view 25, the original trips over brackets in the text
local template = require("resty.template")
template.caching(true)
local function text(view, context)
    return (template.compile(view, nil, true))(context)
end
local context = { name = "<J & 'K'>", n = 5, f = function() return "<f>" end, null = ngx.null,
                  list = { "a", "b", "c" }, sub = { x = 1 }, t = true }
local views = {
    "plain", "", "{{name}}", "{*name*}", "{{ n }} and {*n*}", "{{f}} {*f*}", "{{none}}|{*null*}",
    "{{sub.x}} {{context.n}}", "{% for i, v in ipairs(list) do %}{{i}}={{v}};{% end %}",
    "<ul>\n{% for _, v in ipairs(list) do %}\n  <li>{{v}}</li>\n{% end %}\n</ul>\n",
    "  {% if t then %}  \nyes\n  {% else %}\nno\n  {% end %}\nend",
    "a{# comment #}b", "a\n{# comment #}\nb", "a {# x #} b",
    "{-raw-}{{name}}{% x %}{-raw-}", "x{-verbatim-}\n{{n}}\n{-verbatim-}\ny",
    "\\{{name}}", "\\\\{{n}}", "\\{% x %}", "{", "{{", "{ {n} }", "{}", "{a}", "]] {{n}} ]=]",
    "{{n + 1}} {{n > 3 and 'big' or 'small'}}", "{{list[2]}}", "{{#list}}", "{* string.rep('x', 3) *}",
    "{% local x = 3 %}{{x}}", "{{t}}", "line1\n{{n}}\nline3\n", "\n\n{{n}}\n\n", "{{tostring(nil)}}",
    "{% if n then %}A{% end %}{% if not n then %}B{% end %}", "{[ 'in' .. n ]}", "{{_escape(name)}}",
    "{-one-}first {{n}}{-one-}[{*blocks.one*}]", "{{ngx ~= nil}}", "{\"a\": \"{{name}}\"}",
}
for i, view in ipairs(views) do
    case("view " .. i, function()
        context._escape = function(s) return "[" .. s .. "]" end
        return text(view, context)
    end)
end
case("no context", function() return text("{{n}}x") end)
case("cached", function() local _, hit = template.compile("{{n}}", nil, true) return hit end)
case("cached by a key", function()
    local _, first = template.compile("a{{n}}", "key", true)
    local made, second = template.compile("other", "key", true)
    return first, second, made({ n = 1 })
end)
case("not cached", function() local _, hit = template.compile("x{{n}}", "no-cache", true) return hit end)
case("caching off", function()
    template.caching(false)
    local _, hit = template.compile("{{n}}", nil, true)
    return hit, template.caching(true)
end)
case("code that is none", function() return (pcall(template.compile, "{% if %}", nil, true)) end)
case("an error inside", function() return (pcall(text, "{{none.x}}", context)) end)
case("escape", function() return template.escape("</a>\"'{}&") end)
case("escape of code", function() return template.escape("{<}", true) end)
case("escape of others", function() return template.escape(5), template.escape(nil), template.escape(true) end)
case("output", function() return template.output(nil), template.output(1.5), template.output("<") end)
case("process", function() return template.process("p{{n}}", { n = 2 }) end)
case("process_string", function() return template.process_string("p{{n}}", { n = 2 }) end)
case("render", function()
    local said = {}
    template.print = function(s) said[#said + 1] = s end
    template.render("r{{n}}", { n = 3 })
    return said
end)
case("new", function()
    local view = template.new("<{{n}}>")
    view.n = 4
    return tostring(view)
end)
case("layout", function()
    local view = template.new("inner {{n}}", "<b>{*view*}</b>")
    view.n = 4
    return tostring(view)
end)
case("layout of objects", function()
    local layout = template.new("[{*view*}]")
    local view = template.new("v{{n}}", layout)
    view.n = 7
    return tostring(view)
end)
case("layout in the code", function() return text("{% layout = '<{*view*}>' %}in {{n}}", { n = 1 }) end)
case("visit", function()
    template.visit(function(view) return (view:gsub("X", "Y")) end)
    return text("aX{{n}}", { n = 1 })
end)
