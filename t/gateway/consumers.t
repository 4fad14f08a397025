# apisix.consumer: who has a credential, among many, and after changes.
use t::APISIX 'no_plan';

BEGIN {
    $ENV{CONSUMERS_TEST_KEY} = "key-of-env";
}

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

our $Functions = <<'LUA';
local function consumer_file(many, changed, more)
    local lines = { "consumers:" }
    for number = 1, many do
        local key = changed[number] or ("key-" .. number)
        if key ~= "" then
            lines[#lines + 1] = ' - {username: "u' .. number .. '", plugins: {key-auth: {key: "'
                                .. key .. '"}}}'
        end
    end
    lines[#lines + 1] = more or ""
    lines[#lines + 1] = "#END\n"
    local path = os.getenv("TEST_NGINX_HTML_DIR") .. "/../conf/apisix.yaml"
    local file = assert(io.open(path .. ".new", "w"))
    file:write(table.concat(lines, "\n"))
    file:close()
    assert(os.rename(path .. ".new", path))
end

-- A question of its own, since a request keeps the objects that it began with.
local function ask(what)
    local answer = assert(require("resty.http").new():request_uri("http://127.0.0.1:1984/ask", {
        query = what }))
    return answer.body
end

local function wait_for(what, expected)
    local found
    for _ = 1, 300 do
        found = ask(what)
        if found == expected then
            return found
        end
        ngx.sleep(0.1)
    end
    return found
end
LUA

our $Ask = <<'NGINX';
location /ask {
    content_by_lua_block {
        local consumer_mod = require("apisix.consumer")
        local args = ngx.req.get_uri_args()
        local consumer = consumer_mod.find_consumer("key-auth", "key", args.key)
        if not consumer then
            ngx.print("nobody")
            return
        end
        ngx.print(consumer.consumer_name, " ", consumer.credential_id, " ", consumer.custom_id)
    }
}
NGINX

run_tests;

__DATA__

=== TEST 1: changed, added and removed consumers; the last of two with one key
--- config eval
$main::Ask . "location /t { content_by_lua_block {" . $main::Functions . <<'LUA' . "}}"
ngx.say(ask("key=key-1"))
consumer_file(3, {})
ngx.say(wait_for("key=key-1", "u1 nil nil"))
consumer_file(4, { "other", [2] = "" })
ngx.say(wait_for("key=other", "u1 nil nil"))
ngx.say(ask("key=key-1"), ", ", ask("key=key-2"), ", ", ask("key=key-4"), ", ", ask("key=key-3"))
consumer_file(4, { "key-4" })
ngx.say(wait_for("key=key-2", "u2 nil nil"))
ngx.say(ask("key=key-4"), ", ", ask("key=other"))
consumer_file(0, {})
ngx.say(wait_for("key=key-4", "nobody"))
LUA
--- timeout: 120
--- request
GET /t
--- response_body
nobody
u1 nil nil
u1 nil nil
nobody, nobody, u4 nil nil, u3 nil nil
u2 nil nil
u4 nil nil, nobody
nobody



=== TEST 2: credentials follow their consumer
--- config eval
$main::Ask . "location /t { content_by_lua_block {" . $main::Functions . <<'LUA' . "}}"
local credential = ' - {id: u1/credentials/c, plugins: {key-auth: {key: "of-c"}}}\n'
local lonely = ' - {id: nobody/credentials/c, plugins: {key-auth: {key: "lonely"}}}\n'
consumer_file(1, {}, credential .. lonely)
ngx.say(wait_for("key=of-c", "u1 c nil"), ", ", ask("key=lonely"))
consumer_file(0, {}, ' - {username: u1, labels: {custom_id: "7"}}\n' .. credential .. lonely)
ngx.say(wait_for("key=of-c", "u1 c 7"), ", ", ask("key=key-1"))
consumer_file(0, {}, credential .. lonely)
ngx.say(wait_for("key=of-c", "nobody"))
LUA
--- timeout: 120
--- request
GET /t
--- response_body
u1 c nil, nobody
u1 c 7, nobody
nobody
--- error_log
failed to get the consumer for the credential



=== TEST 3: a key from the environment, and one that is not there
--- config eval
$main::Ask . "location /t { content_by_lua_block {" . $main::Functions . <<'LUA' . "}}"
consumer_file(3, { "$ENV://CONSUMERS_TEST_KEY", "$ENV://CONSUMERS_TEST_NONE" })
ngx.say(wait_for("key=key-of-env", "u1 nil nil"))
ngx.say(ask("key=$ENV://CONSUMERS_TEST_KEY"), ", ", ask("key=$ENV://CONSUMERS_TEST_NONE"), ", ",
        ask("key=key-3"))
consumer_file(3, { "plain", "$ENV://CONSUMERS_TEST_NONE" })
ngx.say(wait_for("key=plain", "u1 nil nil"), ", ", ask("key=key-of-env"))
consumer_file(0, {})
LUA
--- timeout: 120
--- request
GET /t
--- response_body
u1 nil nil
nobody, nobody, u3 nil nil
u1 nil nil, nobody
--- error_log
failed to resolve secret reference in consumer auth credential, skipping consumer: u2



=== TEST 4: one change among thousands is little work: the others are neither read nor made
--- config eval
$main::Ask . "location /t { content_by_lua_block {" . $main::Functions . <<'LUA' . "}}"
consumer_file(3000, {})
ngx.say(wait_for("key=key-3000", "u3000 nil nil"))
local read, made = ask("key=key-7"), wait_for("key=key-8", "u8 nil nil")
ngx.say(read, ", ", made)
consumer_file(3000, { [7] = "changed" })
ngx.say(wait_for("key=changed", "u7 nil nil"))
ngx.say(require("resty.http").new():request_uri("http://127.0.0.1:1984/work").body)
consumer_file(3000, { [7] = "again" })
ngx.say(wait_for("key=again", "u7 nil nil"))
ngx.say(require("resty.http").new():request_uri("http://127.0.0.1:1984/work").body)
LUA
. <<'NGINX'
location /work {
    content_by_lua_block {
        local consumer_mod = require("apisix.consumer")
        local count = require("moongate.host").consumer_count
        local _, read = count("key-auth", "key")
        local before = package.loaded.seen or read
        package.loaded.seen = read
        collectgarbage()
        collectgarbage("stop")
        local kilobytes = collectgarbage("count")
        consumer_mod.find_consumer("key-auth", "key", "key-9")
        consumer_mod.find_consumer("key-auth", "key", "nobody's")
        kilobytes = collectgarbage("count") - kilobytes
        collectgarbage("restart")
        ngx.print(count("key-auth", ""), " ", read - before, " ", kilobytes < 64)
    }
}
NGINX
--- timeout: 120
--- request
GET /t
--- response_body
u3000 nil nil
u7 nil nil, u8 nil nil
u7 nil nil
3000 0 true
u7 nil nil
3000 2 true



=== TEST 5: all of them, for who wants them
--- config eval
$main::Ask . "location /all { content_by_lua_block {" . <<'ALL' . "}} location /t { content_by_lua_block {" . $main::Functions . <<'LUA' . "}}"
local consumer_mod = require("apisix.consumer")
local conf = consumer_mod.plugin("key-auth")
local names, keys = {}, {}
for _, node in ipairs(conf.nodes) do
    names[#names + 1] = node.username
end
local index = consumer_mod.consumers_kv("key-auth", conf, "key")
for key, consumer in pairs(index) do
    keys[#keys + 1] = key .. "=" .. consumer.username
end
table.sort(keys)
local own = consumer_mod.consumers_kv("key-auth", { nodes = { conf.nodes[2] } }, "key")
ngx.say(conf.len, " ", table.concat(names, ","), " ", table.concat(keys, ","), " ",
        own["key-2"].username, " ", tostring(own["key-1"]), " ", tostring(index[{}]), " ",
        tostring(index[2]), " ", tostring(index[true]))
ALL
consumer_file(3, {})
wait_for("key=key-9", "nobody")
ngx.print(require("resty.http").new():request_uri("http://127.0.0.1:1984/all").body)
LUA
--- timeout: 120
--- request
GET /t
--- response_body
3 u1,u2,u3 key-1=u1,key-2=u2,key-3=u3 u2 nil nil nil nil
