# core.redis, as a plugin calls it.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

add_block_preprocessor(sub {
    my ($block) = @_;
    my $code = $block->lua or return;
    $code =~ s/^/            /mg;
    $block->set_value(apisix_yaml => <<"YAML");
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local core = require("apisix.core")
            local fields = { redis_host = "127.0.0.1", redis_timeout = 500 }
            return function(conf, ctx)
                local lines = {}
                local function say(...)
                    lines[#lines + 1] = core.json.encode({ ... })
                end
                local client = core.redis.new(fields)
$code
                return 200, table.concat(lines, "\\n") .. "\\n"
            end
#END
YAML
    $block->set_value(request => 'GET /hello');
});

run_tests;

__DATA__

=== TEST 1: replies are strings, numbers, arrays, and ngx.null for nothing
--- redis
6379
--- lua
say(client:command("SET", "a", 1))
say(client:command("GET", "a"))
say(client:command("INCRBY", "a", 5))
say(client:command("GET", "nothing"))
say(client:command("MGET", "a", "nothing", "a"))
say(client:command("GET", "nothing") == ngx.null)
--- response_body
["OK"]
["1"]
[6]
[null]
[["6",null,"6"]]
[true]



=== TEST 2: errors of the server, in its words
--- lua
say(client:command("LPUSH", "a", 1))
say(client:command("NOSUCH"))
--- response_body_like eval
qr/\A\[null,"WRONGTYPE Operation against a key holding the wrong kind of value"\]
\[null,"ERR unknown command .*NOSUCH.*\n\z/



=== TEST 3: scripts, with keys and arguments, binary safe
--- lua
local bytes = "\0\r\n\255"
local script = "return { KEYS[1], ARGV[1], ARGV[2], #ARGV, false }"
local reply = client:eval(script, { "k" }, { bytes, 2 })
say(reply[2] == bytes, reply[1], reply[3], reply[4], reply[5])
say(client:eval("return #KEYS", { "a", "b" }, {}))
say(client:eval("return 1"))
say(client:eval("return redis.call('LPUSH', 'a', 1)"))
--- response_body_like eval
qr/\A\[true,"k","2",2,null\]
\[2\]
\[1\]
\[null,"WRONGTYPE .*\n\z/



=== TEST 4: several commands in their order
--- lua
say(client:pipeline({ { "SET", "p", 1 }, { "INCR", "p" }, { "LPUSH", "p", 1 }, { "GET", "p" },
                      { "WAIT", 0, 10 } }))
--- response_body
[["OK",2,[false,"WRONGTYPE Operation against a key holding the wrong kind of value"],"2",0]]



=== TEST 5: what would disturb the others on the connection is refused
--- lua
say(client:command("BLPOP", "q", 0))
say(client:command("multi"))
say(client:pipeline({ { "GET", "a" }, { "SUBSCRIBE", "c" } }))
--- response_body
[null,"BLPOP cannot be used on a shared connection"]
[null,"multi cannot be used on a shared connection"]
[null,"SUBSCRIBE cannot be used on a shared connection"]



=== TEST 6: light threads wait side by side
--- lua
local function slow(n)
    return client:command("ECHO", n)
end
local threads = {}
for i = 1, 5 do
    threads[i] = ngx.thread.spawn(slow, i)
end
for i = 1, 5 do
    say(select(2, ngx.thread.wait(threads[i])))
end
--- response_body
["1"]
["2"]
["3"]
["4"]
["5"]



=== TEST 7: posted without waiting
--- lua
client:post("SET", "posted", "yes")
for _ = 1, 50 do
    if client:command("GET", "posted") == "yes" then
        say("it is there")
        break
    end
    ngx.sleep(0.01)
end
--- response_body
["it is there"]



=== TEST 8: fields that name no Redis
--- lua
say(core.redis.new({}))
say(core.redis.new({ redis_sentinels = { { host = "a", port = 1 } } }))
say(core.redis.new({ redis_cluster_nodes = { "nonsense" } }))
--- response_body
[null,"redis_host, redis_cluster_nodes or redis_sentinels is missing"]
[null,"redis_master_name is missing"]
[null,"no address of a Redis: nonsense"]



=== TEST 9: in a timer, and a client made anew is the same target
--- lua
local done
ngx.timer.at(0, function()
    local again = core.redis.new({ redis_host = "127.0.0.1", redis_timeout = 200 })
    done = again:command("GET", "a")
end)
for _ = 1, 100 do
    if done then break end
    ngx.sleep(0.01)
end
say(done)
--- response_body
["6"]



=== TEST 10: one connection for all of it
--- exec
redis-cli client list | grep -vc 'cmd=client'
--- response_body
1
