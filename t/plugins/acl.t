# acl: consumers and users pass by their labels.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

# `acl` is the conf of the plugin. Who asks is a consumer by key-auth, or with `user` what that
# Lua expression says, left where plugins that know their users by themselves leave it.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if !defined $block->acl;
    my $acl = join '', map { "        $_\n" } split /\n/, $block->acl;
    my $auth = "      key-auth: {}\n";
    if (defined $block->user) {
        chomp(my $user = $block->user);
        $auth = <<"YAML";
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                ctx.external_user = $user
            end
YAML
    }
    my $yaml = <<"YAML";
consumers:
  - username: ann
    plugins: {key-auth: {key: ann}}
    labels: {org: apache, project: "gateway,apisix,web-server"}
  - username: bob
    plugins: {key-auth: {key: bob}}
    labels: {org: '["opensource","apache"]', project: '["tomcat","http,server"]'}
  - username: eve
    plugins: {key-auth: {key: eve}}
    labels: {org: '["apache"', project: ","}
  - username: joe
    plugins: {key-auth: {key: joe}}
routes:
  - uri: "/*"
    plugins:
$auth
      acl:
$acl
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
YAML
    $block->set_value("apisix_yaml", $yaml);
});

run_tests;

__DATA__

=== TEST 1: neither list
--- acl
rejected_code: 403
--- request
GET /hello
--- error_code: 404
--- error_log
object matches none of the required



=== TEST 2: a list without labels
--- acl
allow_labels: {}
--- request
GET /hello
--- error_code: 404
--- error_log
property "allow_labels" validation failed: expect object to have at least 1 properties



=== TEST 3: a label without values
--- acl
deny_labels: {org: []}
--- request
GET /hello
--- error_code: 404
--- error_log
property "deny_labels" validation failed



=== TEST 4: a value that is no text
--- acl
deny_labels: {org: [7]}
--- request
GET /hello
--- error_code: 404
--- error_log
wrong type: expected string, got number



=== TEST 5: text in segments without what is between them
--- acl
external_user_label_field_parser: segmented_text
allow_labels: {org: [apache]}
--- request
GET /hello
--- error_code: 404
--- error_log
allOf 1 failed: then clause did not match



=== TEST 6: a parser that is not there
--- acl
external_user_label_field_parser: yaml
allow_labels: {org: [apache]}
--- request
GET /hello
--- error_code: 404
--- error_log
property "external_user_label_field_parser" validation failed: matches none of the enum values



=== TEST 7: a path that is none
--- acl
external_user_label_field: "$..["
allow_labels: {org: [apache]}
--- request
GET /hello
--- error_code: 404
--- error_log
invalid external_user_label_field:



=== TEST 8: a status below all
--- acl
rejected_code: 99
allow_labels: {org: [apache]}
--- request
GET /hello
--- error_code: 404
--- error_log
property "rejected_code" validation failed



=== TEST 9: one value, a value of a list in JSON, none, one of broken JSON, nobody
--- acl
allow_labels: {org: [apache]}
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["apikey: ann", "apikey: bob", "apikey: joe", "apikey: eve", "X-None: 1"]
--- error_code eval
[200, 200, 403, 403, 401]
--- response_body eval
["hello world\n", "hello world\n", "{\"message\":\"The consumer is forbidden.\"}\n",
 "{\"message\":\"The consumer is forbidden.\"}\n",
 "{\"message\":\"Missing API key in request\"}\n"]
--- error_log
failed to decode labels [["apache"] as array, err:



=== TEST 10: values between commas, with spaces or not, as a whole and as a part of JSON
--- acl
allow_labels: {project: [apisix, "http,server"]}
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["apikey: ann", "apikey: bob", "apikey: eve", "apikey: joe"]
--- error_code eval
[200, 200, 403, 403]



=== TEST 11: a part of a value is not the value
--- acl
allow_labels: {org: [apach, pache, Apache, "apache "], project: [web, "", "gateway,apisix"]}
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["apikey: ann", "apikey: bob"]
--- error_code eval
[403, 403]



=== TEST 12: who is denied gets what the conf says, others pass, also those without labels
--- acl
deny_labels: {project: [apisix, tomcat]}
rejected_code: 410
rejected_msg: not here
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["apikey: ann", "apikey: bob", "apikey: joe"]
--- error_code eval
[410, 410, 200]
--- response_body eval
["{\"message\":\"not here\"}\n", "{\"message\":\"not here\"}\n", "hello world\n"]



=== TEST 13: who is on both lists is denied
--- acl
allow_labels: {org: [apache]}
deny_labels: {project: [tomcat]}
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["apikey: ann", "apikey: bob"]
--- error_code eval
[200, 403]



=== TEST 14: a request of nobody
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      acl:
        deny_labels: {org: [apache]}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_body
{"message":"Missing authentication."}



=== TEST 15: a user's groups
--- acl
allow_labels: {groups: [ops, dev]}
--- user
{ groups = ctx.var.arg_g and { "all", ctx.var.arg_g } }
--- pipelined_requests eval
["GET /hello?g=dev", "GET /hello?g=devs", "GET /hello"]
--- error_code eval
[200, 403, 403]



=== TEST 16: a user's groups in one text, without a parser
--- acl
deny_labels: {groups: [ops]}
--- user
{ groups = ngx.unescape_uri(ctx.var.arg_g) }
--- pipelined_requests eval
["GET /hello?g=dev,ops", "GET /hello?g=%5B%22ops%22%5D", "GET /hello?g=ops", "GET /hello?g=opsx"]
--- error_code eval
[403, 403, 403, 200]



=== TEST 17: a path with several places, each split by itself, under another name
--- acl
external_user_label_field: "$.orgs..team"
external_user_label_field_key: team
external_user_label_field_parser: segmented_text
external_user_label_field_separator: "\\|"
allow_labels: {team: [infra]}
deny_labels: {team: [guest, list]}
--- user
{ orgs = { a = { team = "cloud | " .. ctx.var.arg_a }, b = { team = ctx.var.arg_b } } }
--- pipelined_requests eval
["GET /hello?a=infra&b=qa", "GET /hello?a=qa&b=infra", "GET /hello?a=infra&b=qa|guest",
 "GET /hello?a=qa&b=x"]
--- error_code eval
[200, 200, 403, 403]



=== TEST 18: a list among several places is a list, whatever the parser
--- acl
external_user_label_field: "$..team"
external_user_label_field_key: team
external_user_label_field_parser: segmented_text
external_user_label_field_separator: ","
deny_labels: {team: [guest]}
--- user
{ a = { team = "cloud" }, b = { team = { "qa", ctx.var.arg_b } } }
--- pipelined_requests eval
["GET /hello?b=guest", "GET /hello?b=infra"]
--- error_code eval
[403, 200]



=== TEST 19: a list where the parser wants text is no label at all
--- acl
external_user_label_field_parser: segmented_text
external_user_label_field_separator: ","
allow_labels: {groups: [dev]}
--- user
{ groups = { "dev" } }
--- request
GET /hello
--- error_code: 403
--- error_log
failed to split labels, the value type is not string: table



=== TEST 20: text where the parser wants a list
--- acl
external_user_label_field_parser: table
allow_labels: {groups: [dev]}
--- user
{ groups = "dev" }
--- request
GET /hello
--- error_code: 403
--- error_log
extra_values_with_parser(): the parser is specified as table, but the type of value is not table: string



=== TEST 21: JSON that is none, no list, or no text
--- acl
external_user_label_field_parser: json
allow_labels: {groups: [dev]}
--- user
{ groups = ({ '["dev"]', '["dev"', '{"dev":"dev"}', 7 })[tonumber(ctx.var.arg_n)] }
--- pipelined_requests eval
["GET /hello?n=1", "GET /hello?n=2", "GET /hello?n=3", "GET /hello?n=4"]
--- error_code eval
[200, 403, 403, 403]
--- error_log
failed to decode labels [["dev"] as array, err:
but the value do not has prefix '['
but the value type is not string



=== TEST 22: a separator that is no regular expression lets nobody in
--- acl
external_user_label_field_parser: segmented_text
external_user_label_field_separator: "("
allow_labels: {groups: [dev]}
--- user
{ groups = "dev" }
--- request
GET /hello
--- error_code: 403
--- error_log
failed to split labels [dev], err:



=== TEST 23: a user that is no table, numbers and truth
--- acl
external_user_label_field: "$.groups"
allow_labels: {groups: [dev, "7", "true"]}
--- user
({ "a text", { groups = 7 }, { groups = true }, { groups = { 7, true, {} } } })[tonumber(ctx.var.arg_n)]
--- pipelined_requests eval
["GET /hello?n=1", "GET /hello?n=2", "GET /hello?n=3", "GET /hello?n=4"]
--- error_code eval
[403, 403, 403, 403]



=== TEST 24: a consumer's labels come before those of a user
--- apisix_yaml
consumers:
  - username: ann
    plugins: {key-auth: {key: ann}}
    labels: {groups: guest}
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
      serverless-pre-function:
        phase: access
        functions:
          - "return function(conf, ctx) ctx.external_user = { groups = { 'ops' } } end"
      acl:
        allow_labels: {groups: [ops]}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
apikey: ann
--- error_code: 403



=== TEST 25: labels in half a megabyte of text
--- acl
allow_labels: {groups: [last]}
--- user
{ groups = string.rep("x,", 250000) .. ctx.var.arg_g }
--- pipelined_requests eval
["GET /hello?g=last", "GET /hello?g=lost"]
--- error_code eval
[200, 403]
