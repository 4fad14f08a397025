# trpc-transcode: HTTP for services that speak tRPC, played by t/trpc/peer.py.
use t::APISIX 'no_plan';

use Cwd qw(cwd);
use t::lib::Process;

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

my $peer;
add_block_preprocessor(sub {
    my ($block) = @_;
    if (!$peer) {
        $peer = t::lib::Process::start(
            command => ['python3', cwd() . '/t/trpc/peer.py', 9301],
            log     => server_root() . '/../peer.log',
        );
        t::lib::Process::wait_until(5, sub { t::lib::Process::port_open(9301) });
    }
    $block->set_value('error_code', 404) if $block->bad && !defined $block->error_code;
    $block->set_value('request', 'GET /bad') if $block->bad;
    $block->set_value('apisix_yaml', bad_conf($block->bad)) if $block->bad;
    # Most blocks post to a function of the peer: path, then the body.
    if (defined $block->call) {
        my ($path, $body) = split ' ', $block->call, 2;
        $body = '' if !defined $body;
        chomp $body;
        $block->set_value('request', "POST $path\n$body");
    }
});

sub bad_conf {
    my ($conf) = @_;
    $conf =~ s/^/        /mg;
    return <<"END";
routes:
  - uri: "/bad"
    plugins:
      trpc-transcode:
$conf
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:9301": 1
#END
END
}

run_tests;

__DATA__

=== TEST 1: a mode that is none
--- bad
mode: json
--- error_log
property "mode" validation failed



=== TEST 2: protobuf without a description
--- bad
mode: protobuf
--- error_log
mode: protobuf needs a description



=== TEST 3: a description that does not compile
--- bad
mode: protobuf
idl: |
  syntax = "proto3";
  message A {
    int32 = 1;
  }
--- error_log
idl:3:9: expected an identifier



=== TEST 4: a service that the description does not have
--- bad
mode: protobuf
service: a.B
idl: |
  syntax = "proto3"; package p; message A {} service S { rpc M(A) returns (A); }
--- error_log
the description has no service a.B, but p.S



=== TEST 5: a function that the description does not have
--- bad
mode: protobuf
service: p.S
function: N
idl: |
  syntax = "proto3"; package p; message A {} service S { rpc M(A) returns (A); }
--- error_log
there is no function /p.S/N



=== TEST 6: statuses of no code
--- bad
status_map:
  x: 500
--- error_log
property "status_map" validation failed



=== TEST 7: a header field that frames the answer
--- bad
response_headers: ["Content-Length"]
--- error_log
"Content-Length" cannot come from a server



=== TEST 8: both kinds of description
--- bad
mode: protobuf
idl: x
proto_id: "1"
--- error_log
idl and proto_id are both there



=== TEST 9: JSON goes to the service as it is
--- apisix_yaml
protos:
  - id: peer.proto
    content: |
      syntax = "proto3";
      package trpc.app.peer;
      import "google/protobuf/timestamp.proto";
      import "trpc.proto";
      import "shared.proto";
      enum Color { UNSET = 0; RED = 1; }
      message All {
        int32 number = 1; int64 large = 2; uint64 larger = 3; double real = 4; bool truth = 5;
        string text = 6; bytes blob = 7; Color color = 8; shared.Inner inner = 9;
        repeated shared.Inner inners = 10; map<string, int64> counts = 11;
        map<int32, shared.Inner> by_id = 12; oneof one { string left = 13; int32 right = 14; }
        optional int32 maybe = 15; google.protobuf.Timestamp at = 16; sint32 zigzag = 17;
        fixed64 fixed = 18; repeated int32 numbers = 19; string camelCase = 20;
      }
      service Peer {
        rpc Echo(All) returns (All);
        rpc Fail(All) returns (All);
        rpc Hostile(All) returns (All);
        rpc Aliased(All) returns (All) { option (trpc.alias) = "/v1/alias"; }
        rpc Watch(All) returns (stream All);
      }
  - id: shared.proto
    content: |
      syntax = "proto3";
      package shared;
      message Inner { string name = 1; Inner child = 2; }
upstreams:
  - id: peer
    type: roundrobin
    retries: 0
    timeout: { connect: 2, send: 2, read: 2 }
    nodes:
      "127.0.0.1:9301": 1
routes:
  - uri: "/json/*"
    upstream_id: peer
    plugins:
      trpc-transcode:
        request_headers: ["uid", "X-Trace"]
        metadata: { app-fixed: "yes", app-addr: "$remote_addr" }
        response_headers: { app-peer: "X-Peer", uid: "X-Uid" }
        max_body_size: 100000
        business_status_map: { "10001": 409 }
  - uri: "/hello"
    upstream_id: peer
    plugins:
      trpc-transcode: { service: trpc.helloworld.Greeter, function: Hello }
  - uri: "/hello.pb"
    upstream_id: peer
    plugins:
      trpc-transcode:
        service: trpc.helloworld.Greeter
        function: Hello
        mode: protobuf
        idl: |
          syntax = "proto3"; package trpc.helloworld;
          message HelloRequest { string msg = 1; } message HelloReply { string msg = 1; }
          service Greeter { rpc Hello(HelloRequest) returns (HelloReply); }
  - uri: "/typed/*"
    upstream_id: peer
    plugins:
      trpc-transcode:
        service: trpc.app.peer.Peer
        mode: protobuf
        proto_id: ["peer.proto", "shared.proto"]
        json: { defaults: omit }
  - uri: "/camel/*"
    upstream_id: peer
    plugins:
      trpc-transcode:
        service: trpc.app.peer.Peer
        mode: protobuf
        proto_id: ["peer.proto", "shared.proto"]
        compress: gzip
        json: { int64: number, enums: number, names: camel, unknown: ignore }
  - uri: "/quick/*"
    upstream_id: peer
    plugins:
      trpc-transcode: { timeout: 0.3, compress: zlib, caller: me }
  - uri: "/note/*"
    upstream_id: peer
    plugins:
      trpc-transcode: { oneway: true }
  - uri: "/mapped/*"
    upstream_id: peer
    plugins:
      trpc-transcode:
        error_body: empty
        status_map: { "22": 503, "default": 599 }
  - uri: "/missing/*"
    upstream_id: peer
    plugins:
      trpc-transcode: { mode: protobuf, proto_id: nowhere }
  - uri: "/dead/*"
    plugins:
      trpc-transcode: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:9399": 1
#END
--- call
/json/trpc.app.peer.Peer/Echo {"a" : [1, 9007199254740993],"b":null}
--- response_body chomp
{"a" : [1, 9007199254740993],"b":null}
--- response_headers
Content-Type: application/json
X-Content-Type-Options: nosniff
X-Peer: yes
! trpc-ret



=== TEST 10: an empty body is an empty object
--- call
/json/trpc.app.peer.Peer/Echo
--- response_body chomp
{}



=== TEST 11: a query is an object
--- request
GET /json/trpc.app.peer.Peer/Echo?a=1&a=2
--- response_body chomp
{"a":["1","2"]}



=== TEST 12: the head tells who calls whom, with metadata
--- request
POST /json/trpc.app.peer.Peer/Head
{}
--- more_headers
UID: 42
X-Trace: abc
X-Other: not for the service
--- response_body_like eval
qr/^\{"request_id": (\d+), "timeout": 2000, "caller": "trpc.gateway.moongate.http", "callee": "trpc.app.peer.Peer", "func": "\/trpc.app.peer.Peer\/Head", "content_type": 2, "trans_info": \{(?=.*"uid": "42")(?=.*"x-trace": "abc")(?=.*"app-fixed": "yes")(?=.*"app-addr": "127.0.0.1")(?!.*not for)[^}]*\}, "id": \1, "wire": 1, "body": "\{\}"\}$/



=== TEST 13: metadata becomes header fields
--- request
POST /json/trpc.app.peer.Peer/Echo
{}
--- more_headers
uid: 42
--- response_headers
X-Uid: 42
X-Peer: yes



=== TEST 14: service and function of the route
--- call
/hello {"msg":"bob"}
--- response_body chomp
{"msg": "Hello bob"}



=== TEST 15: the same in protobuf
--- call
/hello.pb {"msg":"bob \u00e9"}
--- response_body chomp
{"msg":"Hello bob é"}



=== TEST 16: every kind of field
--- call
/typed/Echo {"number":-5,"large":"-9007199254740993","larger":"18446744073709551615","real":0.1,"truth":true,"text":"h\u00e9\u0000","blob":"AP8=","color":"RED","inner":{"name":"x","child":{}},"inners":[{},{"name":"y"}],"counts":{"a":"0"},"by_id":{"-1":{"name":"z"}},"right":0,"maybe":0,"at":"2024-02-29T12:30:00.500Z","zigzag":-1,"fixed":"1","numbers":[1,-1]}
--- response_body chomp
{"number":-5,"large":"-9007199254740993","larger":"18446744073709551615","real":0.1,"truth":true,"text":"hé\u0000","blob":"AP8=","color":"RED","inner":{"name":"x","child":{}},"inners":[{},{"name":"y"}],"counts":{"a":"0"},"by_id":{"-1":{"name":"z"}},"right":0,"maybe":0,"at":"2024-02-29T12:30:00.500Z","zigzag":-1,"fixed":"1","numbers":[1,-1]}



=== TEST 17: other choices, compressed both ways
--- call
/camel/Echo {"number":1,"camelCase":"x","color":"RED","nobody":1}
--- response_body_like
^\{"number":1,"large":0,"larger":0,"real":0\.0,"truth":false,"text":"","blob":"","color":1,"inners":\[\],"counts":\{\},"byId":\{\},"zigzag":0,"fixed":0,"numbers":\[\],"camelCase":"x"\}$



=== TEST 18: a method is called by its alias
--- call
/typed/Aliased {"number":7}
--- response_body chomp
{"number":7}



=== TEST 19: a query with types
--- request
GET /typed/Echo?number=5&truth=1&inner.name=x&numbers=1&numbers=2&color=RED
--- response_body chomp
{"number":5,"truth":true,"color":"RED","inner":{"name":"x"},"numbers":[1,2]}



=== TEST 20: a form with types
--- request
POST /typed/Echo
large=5&text=a%26b
--- more_headers
Content-Type: application/x-www-form-urlencoded
--- response_body chomp
{"large":"5","text":"a&b"}



=== TEST 21: a body with a wrong type
--- call
/typed/Echo {"inner":{"child":{"name":5}}}
--- error_code: 400
--- response_body
{"message":"body.inner.child.name: invalid type: integer `5` (expected a string)"}



=== TEST 22: a body with an unknown field
--- call
/typed/Echo {"inner":{"nam":"x"}}
--- error_code: 400
--- response_body_like
body\.inner\.nam: there is no such field in shared\.Inner



=== TEST 23: a body that is no JSON
--- call
/typed/Echo {"number":
--- error_code: 400
--- response_body_like
the body is no JSON: EOF



=== TEST 24: a query with a wrong type
--- request
GET /typed/Echo?number=five
--- error_code: 400
--- response_body_like
body\.number: invalid digit found in string \(expected a 32-bit integer\)



=== TEST 25: a function that is not in the description
--- call
/typed/Nope {}
--- error_code: 404
--- response_body
{"message":"there is no function /trpc.app.peer.Peer/Nope"}



=== TEST 26: a function with a stream
--- call
/typed/Watch {}
--- error_code: 404
--- response_body_like
called by streams



=== TEST 27: a function that the service does not have
--- call
/json/trpc.app.peer.Peer/Nope {}
--- error_code: 404
--- response_body chomp
{"code":12,"message":"no /trpc.app.peer.Peer/Nope here"}
--- response_headers
trpc-ret: 12
trpc-error-msg: no /trpc.app.peer.Peer/Nope here



=== TEST 28: a path without a function
--- call
/json/ {}
--- error_code: 404



=== TEST 29: a body that the service cannot read
--- call
/json/trpc.app.peer.Peer/Late {"ms":
--- error_code: 400
--- response_body_like
^\{"code":1,"message":"service codec:



=== TEST 30: a business error keeps its status 200
--- call
/json/trpc.app.peer.Peer/Fail {"func_ret":10002,"msg":"no"}
--- response_body chomp
{"code":10002,"message":"no"}
--- response_headers
trpc-func-ret: 10002
! trpc-ret



=== TEST 31: a business error with a status and a body of its own
--- call
/json/trpc.app.peer.Peer/Fail {"func_ret":10001,"msg":"no","body":{"left":3}}
--- error_code: 409
--- response_body chomp
{"left": 3}
--- response_headers
trpc-func-ret: 10001
trpc-error-msg: no



=== TEST 32: framework errors by the usual statuses
--- pipelined_requests eval
[map { "POST /json/trpc.app.peer.Peer/Fail\n{\"ret\":$_,\"msg\":\"x\"}" } 1, 2, 11, 12, 21, 22, 23, 24, 31, 41, 51, 101, 111, 122, 141, 171, 999, -7]
--- error_code eval
[400, 500, 404, 404, 504, 429, 429, 504, 500, 401, 400, 504, 502, 502, 502, 502, 500, 500]
--- response_body_like eval
[map { qr/^\{"code":$_,"message":"x"\}$/ } 1, 2, 11, 12, 21, 22, 23, 24, 31, 41, 51, 101, 111, 122, 141, 171, 999, -7]



=== TEST 33: framework errors by statuses of the route, without a body
--- pipelined_requests eval
[map { "POST /mapped/trpc.app.peer.Peer/Fail\n{\"ret\":$_,\"msg\":\"x\"}" } 22, 1]
--- error_code eval
[503, 599]
--- response_body eval
["", ""]



=== TEST 34: answers out of order, each to its own call
--- exec
for n in 1 2 3 4 5 6 7 8; do
    curl -s --json "{\"of\":8,\"n\":$n}" http://127.0.0.1:1984/json/trpc.app.peer.Peer/Batch > "${TMPDIR:-/tmp}/trpc-batch-$$-$n" &
done
wait
for n in 1 2 3 4 5 6 7 8; do
    cat "${TMPDIR:-/tmp}/trpc-batch-$$-$n"; echo
    rm "${TMPDIR:-/tmp}/trpc-batch-$$-$n"
done
--- response_body
{"of": 8, "n": 1}
{"of": 8, "n": 2}
{"of": 8, "n": 3}
{"of": 8, "n": 4}
{"of": 8, "n": 5}
{"of": 8, "n": 6}
{"of": 8, "n": 7}
{"of": 8, "n": 8}



=== TEST 35: an answer byte by byte
--- call
/json/trpc.app.peer.Peer/Split {"split":"into single bytes"}
--- response_body chomp
{"split":"into single bytes"}



=== TEST 36: an attachment is left out
--- call
/json/trpc.app.peer.Peer/Attach {}
--- response_body chomp
{"ok": true}



=== TEST 37: a slow call does not hold up a fast one
--- exec
curl -s --json '{"ms":1000}' http://127.0.0.1:1984/json/trpc.app.peer.Peer/Late > /dev/null &
sleep 0.1
curl -s -w ' %{http_code} %{time_total}\n' --json '{"fast":1}' http://127.0.0.1:1984/json/trpc.app.peer.Peer/Echo | sed 's/0\.[0-4][0-9]*$/in time/'
wait
--- response_body
{"fast":1} 200 in time



=== TEST 38: a call that is not answered in time
--- call
/quick/trpc.app.peer.Peer/Silent {}
--- error_code: 504
--- error_log
timed out (read)



=== TEST 39: the head tells the time that is left, and bodies may be zlib
--- call
/quick/trpc.app.peer.Peer/Head {"a":1}
--- response_body_like eval
qr/"timeout": 300, "caller": "me".*"content_encoding": 3.*"body": "\{\\"a\\":1\}"/



=== TEST 40: a late answer is nobody else's
--- exec
curl -s -o /dev/null -w '%{http_code}\n' --json '{"ms":500,"late":1}' http://127.0.0.1:1984/quick/trpc.app.peer.Peer/Late
for n in 1 2 3 4 5 6; do
    curl -s --json "{\"n\":$n}" http://127.0.0.1:1984/quick/trpc.app.peer.Peer/Echo; sleep 0.08
done
--- response_body chomp
504
{"n":1}{"n":2}{"n":3}{"n":4}{"n":5}{"n":6}
--- error_log
timed out (read)



=== TEST 41: a one-way call
--- pipelined_requests eval
["POST /note/trpc.app.peer.Peer/Note\n{\"note\":1}", "POST /json/trpc.app.peer.Peer/Late\n{\"ms\":100}", "GET /json/trpc.app.peer.Peer/Stats"]
--- error_code eval
[202, 200, 200]
--- response_body_like eval
[qr/^$/, qr/100/, qr/"one_way": \[\{"note": 1\}\]/]



=== TEST 42: a body that is larger than the route allows
--- request eval
"POST /json/trpc.app.peer.Peer/Echo\n" . "1" x 100001
--- error_code: 413



=== TEST 43: metadata that no head can hold
--- request
POST /json/trpc.app.peer.Peer/Echo
{}
--- more_headers eval
"uid: " . "x" x 6000
--- error_code: 200



=== TEST 44: a description that is not stored
--- call
/missing/a.B/C {}
--- error_code: 503
--- error_log
protos [nowhere] does not exist



=== TEST 45: a node that is not there
--- call
/dead/a.B/C {}
--- error_code: 502
--- error_log
127.0.0.1:9399



=== TEST 46: what no server should send is a 502, and the next call is served
--- exec
for kind in magic http short huge head-over-total no-head stream type head attachment content-type encoding gzip bomb half; do
    curl -s -o /dev/null -w "$kind %{http_code} " --json "{\"kind\":\"$kind\"}" http://127.0.0.1:1984/quick/trpc.app.peer.Peer/Hostile
    curl -s --json '{"next":1}' http://127.0.0.1:1984/json/trpc.app.peer.Peer/Echo
    echo
done
--- timeout: 20
--- response_body
magic 502 {"next":1}
http 502 {"next":1}
short 502 {"next":1}
huge 502 {"next":1}
head-over-total 502 {"next":1}
no-head 502 {"next":1}
stream 502 {"next":1}
type 502 {"next":1}
head 502 {"next":1}
attachment 502 {"next":1}
content-type 502 {"next":1}
encoding 502 {"next":1}
gzip 502 {"next":1}
bomb 502 {"next":1}
half 502 {"next":1}
--- error_log
[error]



=== TEST 47: an answer to nobody is dropped
--- exec
curl -s -o /dev/null -w '%{http_code} ' --json '{"kind":"other-id"}' http://127.0.0.1:1984/quick/trpc.app.peer.Peer/Hostile
curl -s -w ' %{http_code} ' --json '{"kind":"twice"}' http://127.0.0.1:1984/quick/trpc.app.peer.Peer/Hostile
curl -s --json '{"next":1}' http://127.0.0.1:1984/json/trpc.app.peer.Peer/Echo
--- response_body chomp
504 {"n":1} 200 {"next":1}
--- error_log
timed out (read)



=== TEST 48: a message cannot break the head of the answer
--- call
/json/trpc.app.peer.Peer/Hostile {"kind":"header-injection"}
--- error_code: 500
--- response_headers
trpc-error-msg: bad  Set-Cookie: a=b    body
! Set-Cookie



=== TEST 49: nor can metadata
--- call
/json/trpc.app.peer.Peer/Hostile {"kind":"metadata-injection"}
--- response_headers
! X-Peer
! Set-Cookie



=== TEST 50: a negative code
--- call
/json/trpc.app.peer.Peer/Hostile {"kind":"negative"}
--- error_code: 500
--- response_headers
trpc-ret: -1



=== TEST 51: a server that leaves takes only the calls in flight with it
--- exec
curl -s -o /dev/null -w '%{http_code} ' --json '{}' http://127.0.0.1:1984/json/trpc.app.peer.Peer/Leave
curl -s --json '{"next":1}' http://127.0.0.1:1984/json/trpc.app.peer.Peer/Echo
--- response_body chomp
502 {"next":1}
--- error_log
prematurely closed



=== TEST 52: a thousand calls over few connections
--- exec
dir=$(mktemp -d)
curl -s -Z --parallel-max 100 -o "$dir/#1" 'http://127.0.0.1:1984/json/trpc.app.peer.Peer/Echo?n=[1-1000]'
for n in $(seq 1000); do [ "$(cat "$dir/$n")" = "{\"n\":\"$n\"}" ] && echo "$n"; done | wc -l
rm -r "$dir"
curl -s http://127.0.0.1:1984/json/trpc.app.peer.Peer/Stats | grep -c '"connections": [1-4],'
--- timeout: 20
--- response_body
1000
1



=== TEST 53: a call from the command line
--- exec
"${MOONGATE_BIN:-target/release/moongate}" idl call --protocol trpc 127.0.0.1:9301 trpc.helloworld.Greeter Hello '{"msg":"shell"}'
--- response_body
{"msg": "Hello shell"}



=== TEST 54: a call in protobuf from the command line, by a file with an import
--- exec
dir=$(mktemp -d)
cat > "$dir/hello.proto" <<'EOF'
syntax = "proto3";
package trpc.helloworld;
import "types.proto";
service Greeter { rpc Hello(HelloRequest) returns (HelloRequest); }
EOF
cat > "$dir/types.proto" <<'EOF'
syntax = "proto3";
package trpc.helloworld;
message HelloRequest { string msg = 1; }
EOF
moongate="${MOONGATE_BIN:-target/release/moongate}"
"$moongate" idl check "$dir/hello.proto" && echo good
"$moongate" idl call -i "$dir/hello.proto" 127.0.0.1:9301 trpc.helloworld.Greeter Hello '{"msg":"shell"}'
"$moongate" idl call -i "$dir/hello.proto" 127.0.0.1:9301 trpc.helloworld.Greeter Hello '{"msg":5}' 2>&1
rm -r "$dir"
--- response_body_like eval
qr/^good\n\{"msg":"Hello shell"\}\n.*body\.msg: invalid type: integer `5` \(expected a string\)\n$/s



=== TEST 55: an answer that cannot be read touches no other call on its connection
--- exec
curl -s --json '{"ms":700}' http://127.0.0.1:1984/json/trpc.app.peer.Peer/Late > "${TMPDIR:-/tmp}/trpc-late-$$" &
sleep 0.2
for kind in no-head head attachment content-type encoding gzip; do
    curl -s -o /dev/null -w '%{http_code} ' --json "{\"kind\":\"$kind\"}" http://127.0.0.1:1984/json/trpc.app.peer.Peer/Hostile
done
wait
cat "${TMPDIR:-/tmp}/trpc-late-$$"
rm "${TMPDIR:-/tmp}/trpc-late-$$"
--- response_body chomp
502 502 502 502 502 502 {"ms": 700}
--- error_log
an answer that cannot be read



=== TEST 56: a description is checked when it is stored
--- apisix_yaml
protos:
  - id: bad.proto
    content: |
      syntax = "proto3";
      message A { int32 = 1; }
#END
--- request
GET /
--- error_code: 404
--- error_log
bad.proto:2:19: expected an identifier
