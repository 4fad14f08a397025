# tars-transcode: HTTP for services that speak TARS, played by t/tars/peer.py. Real peers and all
# types: t/tars/run.
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
            command => ['python3', cwd() . '/t/tars/peer.py', 9302],
            log     => server_root() . '/../tars-peer.log',
        );
        t::lib::Process::wait_until(5, sub { t::lib::Process::port_open(9302) });
    }
    if (defined $block->bad) {
        $block->set_value('error_code', 404);
        $block->set_value('request', 'GET /bad');
        $block->set_value('apisix_yaml', bad_conf($block->bad));
        return;
    }
    $block->set_value('apisix_yaml', good_conf($block->conf || '{proto_id: m}'));
    # Most blocks post to a function of the peer: its name, then the body.
    if (defined $block->call) {
        my ($name, $body) = split ' ', $block->call, 2;
        $body = '' if !defined $body;
        chomp $body;
        my $path = $name =~ m{^/} ? $name : "/json/A.B.Obj/$name";
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
      tars-transcode:
$conf
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:9302": 1
#END
END
}

sub good_conf {
    my ($conf) = @_;
    chomp $conf;
    return <<"END";
routes:
  - uri: "/*"
    plugins:
      tars-transcode: $conf
    upstream:
      type: roundrobin
      timeout: {connect: 1, send: 1, read: 1}
      nodes:
        "127.0.0.1:9302": 1
protos:
  - id: m
    name: m.tars
    content: |
      #include "p.tars"
      module M {
        interface I {
          string hello(string name); P::Point point(P::Point p); int fail(int code);
          int push(); int garbage(); int closes(); int pieces(); void note(string text);
          int nothing();
        };
      };
  - id: p
    name: p.tars
    content: |
      module P { struct Point { 0 require int x; 1 require int y; }; };
  - id: q
    name: q.tars
    content: |
      module M { interface I {
          string hello(string name); int fail(int code); int push(); int garbage(); int closes();
          int pieces(); void note(string text); int nothing(); }; };
#END
END
}

run_tests;

__DATA__

=== TEST 1: a mode that is none
--- bad
mode: xml
--- error_log
property "mode" validation failed



=== TEST 2: no description
--- bad
mode: tars
--- error_log
there is no interface, and only mode json needs none



=== TEST 3: a description that does not compile
--- bad
idl: |
  module M {
    struct S { 0 require Foo a; };
  };
--- error_log
idl:2:24: there is no type `Foo`



=== TEST 4: an interface that the description does not have
--- bad
interface: M.J
idl: "module M { interface I { void f(); }; };"
--- error_log
there is no interface "M.J" among M.I



=== TEST 5: a status that is none
--- bad
status_map: {"77": 99}
idl: "module M { interface I { void f(); }; };"
--- error_log
property "status_map" validation failed



=== TEST 6: a header field that frames the answer
--- bad
response_headers: ["Content-Length"]
idl: "module M { interface I { void f(); }; };"
--- error_log
"Content-Length" cannot come from a server



=== TEST 7: a result that no function has
--- bad
unwrap: nope
idl: "module M { interface I { void f(); }; };"
--- error_log
no function has a result "nope"



=== TEST 8: servant and function from the path, arguments from a body
--- conf
{proto_id: [m, p]}
--- call
hello {"name": "you"}
--- response_headers
Content-Type: application/json
--- response_body eval
'{"tars_ret":"hello you"}'



=== TEST 9: arguments from the query, names from the conf
--- conf
{proto_id: q, service: A.B.Obj, function: hello}
--- request
GET /anything?name=a%20b
--- response_body eval
'{"tars_ret":"hello a b"}'



=== TEST 10: a struct of an included file
--- conf
{proto_id: [m, p]}
--- call
point {"p": {"y": 2, "x": -70000}}
--- response_body eval
'{"tars_ret":{"x":2,"y":-70000}}'



=== TEST 11: a wrong type is refused with its path
--- conf
{proto_id: [m, p]}
--- call
point {"p": {"y": "2", "x": 1}}
--- error_code: 400
--- response_body eval
qr/^\{"message":"p\.y: expected int \(-2147483648 to 2147483647\), got \\"2\\""\}/



=== TEST 12: a function that is not there
--- conf
{proto_id: q}
--- call
nope {}
--- error_code: 404
--- response_body eval
qr/M\.I has no function \\"nope\\"/



=== TEST 13: context both ways, and none that breaks the head
--- conf
{proto_id: q, request_headers: [X-User], response_headers: [x-who, x-bad]}
--- request
GET /json/A.B.Obj/hello?name=x
--- more_headers
X-User: me
--- response_headers
x-who: me
! x-bad
! Set-Cookie



=== TEST 14: a code of the framework
--- conf
{proto_id: q}
--- call
fail {"code": 77}
--- error_code: 502
--- response_headers
X-Tars-Ret: 77
--- response_body eval
'{"tars_code":77,"message":"as asked"}'



=== TEST 15: a code with a status of its own
--- conf
{proto_id: q, status_map: {"77": 409}}
--- call
fail {"code": 77}
--- error_code: 409



=== TEST 16: the code of a queue that is too long
--- conf
{proto_id: q}
--- call
fail {"code": -6}
--- error_code: 503
--- response_body eval
'{"tars_code":-6,"message":"the call waited too long in the server\'s queue"}'



=== TEST 17: the code of an overload says when to come again
--- conf
{proto_id: q}
--- call
fail {"code": -9}
--- error_code: 503
--- response_headers
Retry-After: 1



=== TEST 18: one result alone
--- conf
{proto_id: q, unwrap: true}
--- call
hello {"name": "you"}
--- response_body eval
'"hello you"'



=== TEST 19: a call without an answer
--- conf
{proto_id: q, oneway: [note]}
--- call
note {"text": "x"}
--- error_code: 202
--- response_body eval
''



=== TEST 20: a push in front of the answer
--- conf
{proto_id: q}
--- call
push {}
--- response_body eval
'{"tars_ret":1}'



=== TEST 21: an answer in pieces of one byte
--- conf
{proto_id: q}
--- call
pieces {}
--- response_body eval
'{"tars_ret":7}'



=== TEST 22: an answer that cannot be read
--- conf
{proto_id: q}
--- call
garbage {}
--- error_code: 502
--- error_log
an item has the unknown type 14



=== TEST 23: a connection that ends instead of an answer
--- conf
{proto_id: q}
--- call
closes {}
--- error_code: 502
--- error_log
prematurely closed the connection



=== TEST 24: no answer in time
--- conf
{proto_id: q, timeout: 0.2}
--- call
nothing {}
--- error_code: 504
--- error_log
timed out (read)



=== TEST 25: JSON as it is, without a description
--- conf
{mode: json}
--- call
any {"a": [1, {"b": 12345678901234567890}]}
--- response_body eval
'{"tars_ret":{"a": [1, {"b": 12345678901234567890}]}}'



=== TEST 26: only servants that are named
--- conf
{proto_id: q, servants: {A.B.Other: M.I}}
--- call
hello {"name": "you"}
--- error_code: 404
--- response_body eval
qr/there is no such servant/
