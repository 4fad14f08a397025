//! The fuzz checks over mutated samples: bounded, seeded, in every test run.
//!
//! The samples are what each parser takes, or nearly; a mutation cuts, repeats, flips,
//! splices or plants one of the bytes that parsers stumble over. `MOONGATE_FUZZ_ROUNDS`
//! raises the number of rounds for a longer hunt.

mod checks;

use std::panic;

const ROUNDS: u32 = 20_000;
const MUTATIONS_MAX: u64 = 6;
const BYTES_MAX: usize = 4096;

/// Bytes and words worth planting anywhere.
const SPICES: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "%",
    "%2f",
    "%00",
    "..",
    "/",
    "//",
    "\\",
    "?",
    "#",
    "@",
    "[",
    "]",
    "\"",
    "{",
    "}",
    "0",
    "1",
    "ffffffffffffffff",
    "9223372036854775807",
    "-1",
    "0x",
    "+",
    "chunked",
    "close",
    "\u{e9}",
    "\u{7f}",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 5\r\n",
    "Host: h\r\n",
    "\r\n\r\n",
    "HTTP/1.1",
    "http://h",
    "null",
    "1e999",
];

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

/// Runs `check` on every sample and on [`ROUNDS`] mutations of them.
#[track_caller]
fn hunt(check: fn(&[u8]), samples: &[&[u8]]) {
    let rounds = std::env::var("MOONGATE_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for sample in samples {
        check(sample);
    }
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let mut data = random.pick(samples).to_vec();
        for _ in 0..=random.below(MUTATIONS_MAX) {
            mutate(&mut data, samples, &mut random);
        }
        data.truncate(BYTES_MAX);
        if let Err(panic) = panic::catch_unwind(|| check(&data)) {
            eprintln!("round {round}: b\"{}\"", data.escape_ascii());
            panic::resume_unwind(panic);
        }
    }
}

fn mutate(data: &mut Vec<u8>, samples: &[&[u8]], random: &mut Random) {
    let at = random.below(data.len() as u64 + 1) as usize;
    let end = at + random.below((data.len() - at) as u64 + 1) as usize;
    match random.below(8) {
        0 => data.truncate(at),
        1 => drop(data.drain(at..end)),
        2 => {
            let piece = data[at..end].to_vec();
            data.splice(at..at, piece);
        }
        3 => {
            let other = random.pick(samples);
            let from = random.below(other.len() as u64 + 1) as usize;
            data.truncate(at);
            data.extend_from_slice(&other[from..]);
        }
        4 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        5 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        _ => {
            data.splice(at..at, random.pick(SPICES).bytes());
        }
    }
}

/// xorshift64*: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }
}
