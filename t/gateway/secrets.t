# Secrets without a manager: the environment, objects in files, and what a line of the log hides.
# What managers answer is t/secret/run, what leaks t/secret/canaries.
BEGIN {
    $ENV{TEST_TEXT} = "a text";
    $ENV{TEST_OBJECT} = '{"key": "inner", "n": 7}';
}

use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: references to the environment, in any case of letters
--- config
    location /t {
        content_by_lua_block {
            local env = require("apisix.core.env")
            for _, reference in ipairs({ "$env://TEST_TEXT", "$ENV://TEST_TEXT", "$Env://TEST_OBJECT/key",
                                         "$env://TEST_OBJECT/n", "$env://TEST_OBJECT/x", "$env://NOT_SET",
                                         "plain text" }) do
                ngx.say(tostring((env.fetch_by_uri(reference))))
            end
            ngx.say(select(2, env.fetch_by_uri("plain text")))
            ngx.say(select(2, env.look_up("$env://TEST_TEXT/key")))
        }
    }
--- request
GET /t
--- response_body
a text
a text
inner
7
nil
nil
nil
error env_uri prefix: plain text
decode failed, err: Expected value but found invalid token at character 1
--- no_error_log
env uri: plain



=== TEST 2: objects of managers in a file are checked when somebody looks
--- apisix_yaml
secrets:
  - id: vault/1
    prefix: kv
    token: root
    uri: http://127.0.0.1:1
  - id: vault/2
    prefix: kv
    token: root
    uri: no address
  - id: nobody/1
    token: root
#END
--- config
    location /t {
        content_by_lua_block {
            local secret = require("apisix.secret")
            local values, version = secret.secrets()
            ngx.say(#values, " ", values[1].value.id, " ", version > 0)
            for _, uri in ipairs({ "$secret://vault/2/a/b", "$secret://nobody/1/a/b" }) do
                ngx.say(select(2, secret.fetch_by_uri(uri)))
            end
        }
    }
--- request
GET /t
--- response_body
1 vault/1 true
no secret conf, secret_uri: $secret://vault/2/a/b
no secret conf, secret_uri: $secret://nobody/1/a/b
--- error_log
property "uri" validation failed: failed to match pattern
secret manager not exits, manager: nobody



=== TEST 3: what is encoded for a line of the log hides what its names say is secret
--- apisix_yaml
plugins:
  - name: key-auth
#END
--- config
    location /t {
        content_by_lua_block {
            local core = require("apisix.core")
            local function say(value, force)
                ngx.say(tostring(core.json.delay_encode(value, force)))
            end
            local open = { key = "shown", count = 2, list = core.json.decode("[]") }
            say({ redis_password = "canary" })
            say({ rule = { ["Client-Secret"] = "canary" } })
            say({ tokens = { "canary", "canary" } })
            say({ max_tokens = 5 })
            say({ api_key = "$secret://vault/1/a/b" })
            say({ token = "$ENV://A" })
            say({ plugins = { ["key-auth"] = { key = "canary" } } })
            say({ key = "shown" })
            say("a text")
            local ring = { password = "canary" }
            ring.self = ring
            say(ring, true)
            ngx.say(core.json.stably_encode(open) == core.json.stably_encode(
                core.json.decode(tostring(core.json.delay_encode(open)))))
        }
    }
--- request
GET /t
--- response_body_unlike
canary
--- response_body_like
^\{"redis_password":"\*\*\*"\}
\{"rule":\{"Client-Secret":"\*\*\*"\}\}
\{"tokens":\["\*\*\*","\*\*\*"\]\}
\{"max_tokens":5\}
\{"api_key":"\$secret:.+vault.+1.+a.+b"\}
\{"token":"\$ENV:.+A"\}
\{"plugins":\{"key-auth":\{"key":"\*\*\*"\}\}\}
\{"key":"shown"\}
"a text"
\{[^\n]*"password":"\*\*\*"[^\n]*\}
true$



=== TEST 4: a crowd makes one object, and fails once
--- config
    location /t {
        content_by_lua_block {
            local core = require("apisix.core")
            local cache = core.lrucache.new({ ttl = 60, count = 8, neg_ttl = 60, neg_count = 8,
                                              serial_creating = true })
            local made = 0
            local function create(good)
                made = made + 1
                ngx.sleep(0.1)
                if good then
                    return "object"
                end
                return nil, "no object"
            end
            local threads = {}
            for i = 1, 20 do
                threads[i] = ngx.thread.spawn(cache, "good", 1, create, true)
                threads[20 + i] = ngx.thread.spawn(cache, "bad", 1, create, false)
            end
            local seen = {}
            for _, thread in ipairs(threads) do
                local _, object, err = ngx.thread.wait(thread)
                local text = tostring(object or err)
                seen[text] = (seen[text] or 0) + 1
            end
            ngx.say(made, " ", seen.object, " ", seen["no object"])
        }
    }
--- request
GET /t
--- response_body
2 20 20



=== TEST 5: texts of one's own are encrypted as fields are
--- yaml_config
apisix:
    node_listen: 1984
    enable_admin: false
    data_encryption:
        keyring: [edd1c9f0985e76a2, qeddd145sfvddff3]
--- config
    location /t {
        content_by_lua_block {
            local core = require("apisix.core")
            local encryption = require("apisix.core.data_encryption")
            local coded = encryption.encrypt("a text")
            ngx.say(coded == core.data_encryption.encrypt("a text"), " ", coded ~= "a text", " ",
                    encryption.decrypt(coded))
            local other = encryption.init_iv_tbl("qeddd145sfvddff3")
            local old = encryption.aes_cbc_encrypt(other, "old")
            ngx.say(encryption.decrypt(old))
            ngx.say(encryption.aes_cbc_decrypt(other, coded, "ssl key"))
            ngx.say(encryption.decrypt("!", "ssl key"))
            ngx.say(#encryption.init_iv_tbl({ "short", ("k"):rep(32) }))
            ngx.say(encryption.aes_cbc_encrypt({}, "x"))
            ngx.say(encryption.aes_cbc_encrypt(encryption.init_iv_tbl("edd1c9f0985e76a2"), "somekey"))
        }
    }
--- request
GET /t
--- response_body
true true a text
old
nildecrypt ssl key failed
nilbase64 decode ssl key failed
1
nilno keyring configured
5TkP0CN5F2fZytjvOKkdtA==
--- error_log
ignored data_encryption keyring entry 1: expected a key of 16 or 32 bytes
