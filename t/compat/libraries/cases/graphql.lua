-- Reading GraphQL documents.
-- original: graphql
-- differs: subscription, the original knows no subscriptions
package.loaded.lpeg = nil
local parse = require("graphql").parse
local documents = {
    ["short"] = "{ hero { name } }",
    ["query"] = "query { a }",
    ["named"] = "query Hero { hero { name, friends { name } } }",
    ["mutation"] = "mutation M { like(id: 1) { likes } }",
    ["subscription"] = "subscription { s }",
    ["variables"] = "query Q($id: ID!, $n: Int = 3, $l: [String!]!) { a(id: $id, n: $n) { b } }",
    ["alias"] = "{ small: picture(size: 64) big: picture(size: 1024.5) }",
    ["values"] = '{ f(a: 1, b: -2.5, c: "x\\"y", d: true, e: RED, g: [1, 2], h: {i: 1, j: "k"}) }',
    ["directives"] = "{ a @include(if: $x) @skip(if: false) b @c }",
    ["fragment"] = "{ ...F @d } fragment F on User { id }",
    ["inline"] = "{ ... on User { id } ... @include(if: true) { x } }",
    ["two"] = "query A { a } query B { b }",
    ["comment"] = "# hello\n{ a # there\n b }",
    ["blank"] = "query\n{\n a\n}\n",
    ["a string that does not end"] = '{ a(b: "c) }',
    ["unfinished"] = "{ a { b }",
}
local names = {}
for name in pairs(documents) do
    names[#names + 1] = name
end
table.sort(names)
for _, name in ipairs(names) do
    case(name, function() return parse(documents[name]) end)
end
case("a word that is none", function() return (pcall(parse, "fetch { a }")) end)
case("nothing inside", function() return (pcall(parse, "{ }")) end)
