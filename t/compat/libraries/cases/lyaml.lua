-- YAML read and written.
-- original: lyaml
-- differs: load 17, what no number of JSON is, configuration has not either
-- differs: load 18, as above
-- differs: dump and load 24, as above
-- differs: wrong 3, a tab before a mapping is no indent and is let pass
-- differs: load 21, keys are texts, as in JSON
-- differs: load 22, as above
local yaml = require("lyaml")
local texts = {
    "a: 1", "- 1\n- b\n- [x, y]", "{a: 1, b: [1, 2]}", "a:\n  b:\n    c: text", "~", "null", "", "true", "yes", "no", "'1'", "\"a\\nb\"", "1.5", "0x1f", "0o17", "1e3", ".inf", "-.inf", "2001-12-14", "a: |\n  one\n  two\nb: >\n  folded\n  text\n",
    "1: one", "true: x", "a: &x {b: 1}\nc: *x", "base: &b {x: 1, y: 2}\nd:\n  <<: *b\n  y: 3", "a: !!str 1", "a: !!int '5'", "a: ''\nb: ~\nc:", "- - 1\n  - 2\n- {}\n- []", "# comment\na: b # more", "a: 1\na: 2", "\"\\u00e4\\x41\"", "k: 'it''s'", "---\na: 1\n---\nb: 2", "a: 010", "a: 1_000", "a: 12:30", "a: on", "!!float 1",
}
for i, text in ipairs(texts) do
    case("load " .. i, function() return yaml.load(text) end)
end
case("load all", function() return yaml.load("---\na: 1\n---\n- 2\n", { all = true }) end)
case("load all by true", function() return yaml.load("1\n--- 2\n", true) end)
case("load of nothing, all", function() return yaml.load("", { all = true }) end)
case("null", function() return yaml.load("a: ~").a == yaml.null end)
for i, text in ipairs({ "a: [", "a: b: c", "\ta: 1", "{a: 1", "'x", "a: *none", "- a\nb: 1", "%", "a: !!int x" }) do
    case("wrong " .. i, function() return (pcall(yaml.load, text)) end)
end
local values = {
    { a = 1 }, { 1, 2, 3 }, { { 1 }, { 2 } }, { a = { b = { c = 1 } } }, { a = { 1, { x = 2 } } }, "text", 1, 1.5, true, {}, { a = {} }, { a = yaml.null }, { "yes", "1", "null", "", "~", "1.5", "true" }, { a = "it's" }, { a = "one\ntwo\n" }, { a = "one\ntwo" }, { a = ": x" }, { a = "x: y" }, { a = "- x" }, { a = " x " }, { a = "#x" }, { a = "ä" }, { { a = 1 }, { b = 2 } }, { a = math.huge }, { a = "tab\tx" }, { ["a b"] = 1 }, { a = "x\n\n" }, { { { { 1 } } } },
}
for i, value in ipairs(values) do
    case("dump " .. i, function() return yaml.dump({ value }) end)
    case("dump and load " .. i, function() return yaml.load(yaml.dump({ value })) end)
end
case("dump of two", function() return yaml.dump({ { a = 1 }, { 2 } }) end)
case("dump of none", function() return yaml.dump({}) end)
case("dump of a function", function() return (pcall(yaml.dump, { { print } })) end)
