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

const BODIES: &[&[u8]] = &[
    b"\x03a\r\n0123456789\r\n5;x=\"y\"\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    b"\x03001\r\nx\r\n000\r\nX-Sum: 1\r\nContent-Length: 2\r\n\r\n",
    b"\x031  \r\nx\r\n0\t\r\n\r\n",
    b"\x08hello world",
    b"\x01hello world",
];
