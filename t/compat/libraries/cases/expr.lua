-- Expressions over variables.
-- differs: new 25, a pattern that cannot match anything is refused at once
-- differs: eval 25, see above
-- differs: new 27, a mask that is none is refused at once
-- differs: eval 27, see above
-- original: resty.expr.v1
local expr = require("resty.expr.v1")
local vars = { arg_a = "1", num = 5, host = "Foo.com", list = "b", ip = "10.0.0.7", empty = "" }
local rules = {
    { { "arg_a", "==", "1" } },
    { { "arg_a", "~=", "1" } },
    { { "num", ">", 4 }, { "num", "<", 6 } },
    { { "num", ">=", 5 }, { "num", "<=", 4 } },
    { { "host", "~~", "^Foo" } },
    { { "host", "~*", "^foo" } },
    { { "host", "!", "~~", "^Foo" } },
    { { "list", "in", { "a", "b" } } },
    { { "list", "!", "in", { "a", "b" } } },
    { { "ip", "ipmatch", { "10.0.0.0/8" } } },
    { { "ip", "!", "ipmatch", { "10.0.0.0/8" } } },
    { "OR", { "arg_a", "==", "2" }, { "num", "==", 5 } },
    { "AND", { "arg_a", "==", "1" }, { "OR", { "num", "==", 6 }, { "list", "==", "b" } } },
    { "!OR", { "arg_a", "==", "2" }, { "num", "==", 6 } },
    { "!AND", { "arg_a", "==", "1" }, { "num", "==", 5 } },
    { { "missing", "==", "1" } },
    { { "missing", "~=", "1" } },
    { { "missing", "==", nil } },
    { { "empty", "==", "" } },
    { { "num", "==", "5" } },
    { { "arg_a", "has", "1" } },
    {},
    { { "arg_a", "===", "1" } },
    { { "arg_a" } },
    { { "host", "~~", "(" } },
    { "XOR", { "arg_a", "==", "1" } },
    { { "ip", "ipmatch", { "10.0.0.0/99" } } },
    { { "list", "in", "a" } },
}
for i, rule in ipairs(rules) do
    local made, err = expr.new(rule)
    case("new " .. i, function() return made ~= nil, err end)
    if made then
        case("eval " .. i, function() return made:eval(vars) end)
    end
end
