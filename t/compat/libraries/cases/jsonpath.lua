-- JSONPath. No original is to be had; what must come out stands in each case.
-- alone: yes
local jp = require("jsonpath")
local store = {
    book = {
        { category = "reference", author = "Nigel Rees", title = "Sayings", price = 8.95 },
        { category = "fiction", author = "Evelyn Waugh", title = "Sword", price = 12.99 },
        { category = "fiction", author = "Herman Melville", title = "Moby Dick",
          isbn = "0-553-21311-3", price = 8.99 },
    },
    bicycle = { color = "red", price = 19.95 },
}
local data = { store = store }
local function check(path, ...)
    local expected = { ... }
    case(path, function()
        local found = jp.query(data, path)
        assert(#found == #expected, #found .. " found")
        for i, value in ipairs(expected) do
            assert(found[i] == value, tostring(found[i]))
        end
        return "as expected"
    end)
end
check("$.store.book[0].author", "Nigel Rees")
check("$.store.book[*].author", "Nigel Rees", "Evelyn Waugh", "Herman Melville")
check("$..author", "Nigel Rees", "Evelyn Waugh", "Herman Melville")
check("$['store']['bicycle']['color']", "red")
check("$.store.book[-1].title", "Moby Dick")
check("$.store.book[(@.length-1)].title", "Moby Dick")
check("$.store.book[0,1].title", "Sayings", "Sword")
check("$.store.book[:2].title", "Sayings", "Sword")
check("$.store.book[1:].title", "Sword", "Moby Dick")
check("$.store.book[::-1].title", "Moby Dick", "Sword", "Sayings")
check("$..book[?(@.isbn)].title", "Moby Dick")
check("$..book[?(@.price<10)].title", "Sayings", "Moby Dick")
check("$..book[?(@.price<10 && @.category=='fiction')].title", "Moby Dick")
check("$..book[?(@.author=='Nigel Rees' || @.price > 12)].title", "Sayings", "Sword")
check("$..book[?(!@.isbn)].title", "Sayings", "Sword")
check("$..price", 19.95, 8.95, 12.99, 8.99)
check("$.store.book.length", 3)
check("$.none")
check("$.store.book[9]")
check("store.bicycle.color", "red")
case("nodes", function()
    local nodes = jp.nodes(data, "$..author")
    assert(#nodes == 3 and table.concat(nodes[2].path, "/") == "$/store/book/1/author")
    assert(nodes[2].value == "Evelyn Waugh")
    return "as expected"
end)
case("value", function() assert(jp.value(data, "$.store.bicycle.color") == "red") return "as expected" end)
case("paths", function() assert(#jp.paths(data, "$..price", 2) == 2) return "as expected" end)
for _, path in ipairs({ "", "$.", "$[", "$.a[?(@.b]", "$..", "$.a[?(os.exit())]", "a b" }) do
    case("refused " .. path, function()
        local ast, err = jp.parse(path)
        assert(ast == nil and type(err) == "string", tostring(err))
        return "as expected"
    end)
end
case("no table", function() assert(jp.query(nil, "$.a") == nil) return "as expected" end)
