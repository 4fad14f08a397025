//! The fuzz checks over mutated samples: bounded, seeded, in every test run.
//!
//! The samples are what each parser takes, or nearly; a mutation cuts, repeats, flips,
//! splices or plants one of the bytes that parsers stumble over. `MOONGATE_FUZZ_ROUNDS`
//! raises the number of rounds for a longer hunt.

mod checks;
mod hunt;

use hunt::hunt;

#[test]
fn request_heads_hold() {
    hunt(checks::request_head, &[
        b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n",
        b"POST http://h:80?x HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"\r\nPUT / HTTP/1.1\r\nHost: [::1]:8\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
        b"GET /\xff\xc0\xaf HTTP/1.0\r\nConnection: keep-alive\r\nX:\r\n\r\n",
    ]);
}

#[test]
fn response_heads_hold() {
    hunt(checks::response_head, &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
        b"HTTP/1.0 404\nConnection: keep-alive\nContent-Length: 0\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n",
    ]);
}

#[test]
fn request_bodies_hold() {
    hunt(checks::request_body, BODIES);
}

#[test]
fn response_bodies_hold() {
    hunt(checks::response_body, BODIES);
}

#[test]
fn uris_hold() {
    hunt(
        checks::uri,
        &[
            b"/a/b/../c/./d//e?x=%2f&y=..#f",
            b"http://user.example:8080/a%20b/%C3%A9?q",
            b"/%2e%2e/%2E./;v=1/..;/a%5cb/%e0%80%af",
            b"/a%2Fb/..%2f/c",
            b"/",
        ],
    );
}

#[test]
fn expressions_hold() {
    hunt(checks::expr, &[
        br#"[["arg_a","==","1"],["arg_b","~~","^a.*"]]"#,
        br#"["OR",["a","in",["x","y"]],["AND",["b","!","~=",1],["c",">",2.5]]]"#,
        br#"[["remote_addr","ipmatch",["10.0.0.0/8","::1"]],["d","has","x"],["!AND",["e","<",1]]]"#,
        br#"[]"#,
    ]);
}

#[test]
fn tars_holds() {
    for check in checks::tars::CHECKS {
        let samples = (check.samples)();
        let samples: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
        hunt(check.run, &samples);
    }
}

#[test]
fn trpc_frames_hold() {
    hunt(checks::trpc::frame, &[
        b"\x09\x30\0\0\0\0\0\x1e\0\x0c\0\0\0\x07\x01\0\x18\x07\x20\xe8\x07\x2a\x01a\x4a\x02\x0a\0{}",
        b"\x09\x30\0\0\0\0\0\x19\0\x09\0\0\0\0\x01\0\x18\x0a\x28\x91\x4e\x32\x02no",
        b"\x18\x07\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x42\x06\x0a\x01a\x12\x01b\xa3\x06\xa4\x06",
    ]);
}

#[test]
fn trpc_answers_hold() {
    hunt(checks::trpc::answer, &[
        b"\x04\x18\x07\x48\x02{}",
        b"\x00",
        b"\x0b\x18\x07\x42\x05\x0a\x01a\x12\0\x60\x01\x08\x07\x5a\x02\x4a\0",
        b"\x10\x18\x07\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x32\x01!",
        b"\x06\x18\x07\x48\x02\x50\x01\x1f\x8b\x08\0\0\0\0\0\0\xff\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0",
        b"\x06\x18\x07\x48\x02\x50\x05\x02\x04{}",
    ]);
}

#[test]
fn trpc_messages_hold() {
    hunt(checks::trpc::message, &[
        b"\x08\x01\x10\x03\x1d\x01\0\0\0\x21\0\0\0\0\0\0\xf0\x3f\x28\x01\x32\x01a\x3a\x01\0\x40\x01\x4a\0",
        b"\x52\x03\x01\x02\x03\x5a\0\x5a\x02\x08\x01\x62\x07\x0a\x01a\x12\x02\x08\x05\x6a\x04\x08\x07\x10\x01",
        b"\x72\x01x\x7a\0\x82\x01\x07\x0a\x03t/p.M\x12\0",
        b"\x82\x01\x09\x0a\x05t/p.M\x12\0\x8a\x01\x0a\x0a\x08\x0a\x01a\x12\x03\x1a\x01b",
        b"\x92\x01\x06\x08\x80\x80\x80\x80\x06\x9a\x01\x02\x08\x05\xa5\x01\0\0\xc0\x7f\xf8\x3e\x01",
    ]);
}

#[test]
fn trpc_json_holds() {
    hunt(checks::trpc::json_text, &[
        br#"{"i":-1,"s":"5","f":1.0,"d":1e3,"b":true,"t":"a\u0000","y":"AA==","e":"ONE","m":{}}"#,
        br#"{"ri":["1",2],"rm":[{},{"m":null}],"mm":{"":{"i":1}},"me":{"-1":2},"ot":""}"#,
        br#"{"any":{"@type":"t/p.M","i":1},"free":{"a":[1,null,{"b":"c"}]},"boxed":7}"#,
        br#"{"at":"2024-02-29T12:30:00.5Z","fl":"NaN","any":{"value":{},"@type":"t/google.protobuf.Struct"}}"#,
    ]);
}

#[test]
fn trpc_descriptions_hold() {
    hunt(checks::trpc::description, DESCRIPTIONS);
}

const DESCRIPTIONS: &[&[u8]] = &[
    b"syntax='proto3'; package p; message M { int32 i = 1 [deprecated=true]; map<int32, M> m = 2; }
      service S { rpc F(M) returns (stream M) { option deprecated = true; } }",
    b"message A { optional group G = 1 { required string s = 2 [default = \"x\\n\"]; }
      extensions 10 to max; reserved 3, 5 to 7; enum E { X = 0; } oneof o { E e = 4; } }
      extend A { repeated bytes b = 11 [packed=false]; } service S { rpc F(A) returns (A); }",
    b"import 'google/protobuf/descriptor.proto'; import 'trpc.proto';
      extend google.protobuf.FieldOptions { optional A a = 1234; } message A { optional A b = 1; }
      message B { optional int32 c = 1 [(a) = { b { b: {} } }]; }
      service S { rpc F(B) returns (A) { option (trpc.alias) = '/x'; } }",
    // A descriptor set: M with a field and a map, S with a method.
    b"\x0an\x0a\x01a\x12\x01p\"H\x0a\x01M\x12\x09\x0a\x01i\x18\x01\x20\x01(\x05\x12\x12\
      \x0a\x01m\x18\x02\x20\x03(\x0b2\x07.p.M.ME\x1a$\x0a\x02ME\x12\x0b\x0a\x03key\x18\x01\
      \x20\x01(\x05\x12\x0d\x0a\x05value\x18\x02\x20\x01(\x05:\x028\x012\x14\x0a\x01S\x12\
      \x0f\x0a\x01F\x12\x04.p.M\x1a\x04.p.Mb\x06proto3",
];

#[test]
fn signatures_hold() {
    hunt(checks::signature, &[
        b"/a?b=c\nsig1=(\"@method\" \"@target-uri\" \"@query-param\";name=\"b\" \"content-digest\";key=\"sha-256\" \"host\";bs);created=1;keyid=\"k\";alg=\"hmac-sha256\";nonce=\"n\"\nsig1=:AAAA:\nsha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        b"/\nAWS4-HMAC-SHA256 Credential=k/20150830/r/s/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31\n20150830T123600Z\na/b",
        b"/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k%2F20130524%2Fr%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404\n\n\n",
        b"/\nTC3-HMAC-SHA256 Credential=k/2019-02-25/s/tc3_request, SignedHeaders=content-type;host, Signature=63f75ef12de4bbcc77c2b414d82d6e386b6588ac8d8af48d9526462e263f1000\n1551113065\nA/B",
        b"/\nSignature keyId=\"k\",algorithm=\"hmac-sha256\",headers=\"@request-target date\",signature=\"AAAA\"\nSun, 06 Nov 1994 08:49:37 GMT\nx",
    ]);
}

const BODIES: &[&[u8]] = &[
    b"\x03a\r\n0123456789\r\n5;x=\"y\"\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    b"\x03001\r\nx\r\n000\r\nX-Sum: 1\r\nContent-Length: 2\r\n\r\n",
    b"\x031  \r\nx\r\n0\t\r\n\r\n",
    b"\x08hello world",
    b"\x01hello world",
];
