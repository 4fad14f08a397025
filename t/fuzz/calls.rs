//! What must hold of calls that a client asks for, whatever it sends.

use std::{cell::OnceCell, time::Duration};

use moongate::codec::{Arguments, Dialect, Input, tars, trpc};
use serde_json::json;

use super::{Check, LARGE, owned, tars::sources, trpc::description_source};

pub const CHECKS: &[Check] = &[
    Check {
        name: "tars_call",
        run: |data| TARS.with(|known| call(known.get_or_init(tars_dialects), data)),
        samples: || owned(TARS_CALLS),
        large: || large("a", "echo"),
        bytes_max: call_bytes,
    },
    Check {
        name: "trpc_call",
        run: |data| TRPC.with(|known| call(known.get_or_init(trpc_dialects), data)),
        samples: || owned(TRPC_CALLS),
        large: || large("ri", "F"),
        bytes_max: call_bytes,
    },
];

/// Function, metadata and arguments in lines; the arguments are read as JSON and as a query.
const TARS_CALLS: &[&[u8]] = &[
    b"S swap\nx-a=b&STATUS_DYED_KEY=d\na=1&c=x",
    b" getItem\n\nreq.flag=true&req.s=3&req.l=-5&req.vi=1&req.vi=2&req.p.x=1&req.p.y=2&req.c=BLUE&k=5",
    b"S echo\na=\n{\"msg\":\"\xe4\xbd\xa0\"}",
    b"T add\n\na=9223372036854775807&b=1e3",
    b" nothing\nSTATUS_=&=\n{\"a\":null}",
];

const TRPC_CALLS: &[&[u8]] = &[
    b"p.S F\na=b\ni=-1&s=5&ri=1&ri=2&m.m.i=3&e=ONE&boxed=7&at=2024-02-29T12:30:00Z&y=AA==&b=1",
    b" /p.S/F\n\n{\"rm\":[{}],\"ot\":\"\"}",
    b" F\ntrpc-x=\x01&b=\xff\nom.t=x&fl=NaN&d=1e3&any.value=x&free=y",
    b"q G\n\n",
];

thread_local! {
    static TARS: OnceCell<Vec<Box<dyn Dialect>>> = const { OnceCell::new() };
    static TRPC: OnceCell<Vec<Box<dyn Dialect>>> = const { OnceCell::new() };
}

fn tars_dialects() -> Vec<Box<dyn Dialect>> {
    let make = |mode: &str| -> Box<dyn Dialect> {
        let options = json!({"mode": mode, "interface": "Farm.Hello"});
        Box::new(tars::Dialect::new(&options, &sources()).expect("made"))
    };
    ["tars", "tup", "tup2", "json"].map(make).into()
}

fn trpc_dialects() -> Vec<Box<dyn Dialect>> {
    let make = |mode: &str| -> Box<dyn Dialect> {
        let options = json!({"mode": mode});
        Box::new(trpc::Dialect::new(&options, &[description_source()]).expect("made"))
    };
    ["passthrough", "protobuf"].map(make).into()
}

/// Four or two calls by each of two kinds of arguments, one after the other: a table of the
/// arguments, a value of each, and the frame.
fn call_bytes(input: usize) -> usize {
    96 * input + (64 << 10)
}

/// A call makes a frame that says its own length, or is refused as the client's mistake.
fn call(dialects: &[Box<dyn Dialect>], data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (called, metadata, arguments) = (line(), line(), line());
    let (service, function) = called.split_once(' ').unwrap_or(("", called));
    let metadata: Vec<(&str, &[u8])> =
        split(metadata).map(|(name, value)| (name, value.as_bytes())).collect();
    let pairs: Vec<(&str, &str)> = split(arguments).collect();
    for dialect in dialects {
        for arguments in [Arguments::Pairs(&pairs), Arguments::Json(arguments.as_bytes())] {
            let input = Input {
                service: (!service.is_empty()).then_some(service),
                function: (!function.is_empty()).then_some(function),
                arguments,
                metadata: &metadata,
                timeout: Duration::from_secs(1),
            };
            match dialect.call(&input) {
                Ok(call) => {
                    let mut frame = Vec::new();
                    call.write(7, &mut frame);
                    let length = dialect.framing().length(&frame, usize::MAX);
                    assert_eq!(length, Ok(Some(frame.len())));
                }
                Err(refusal) => assert!((400..500).contains(&refusal.status), "{refusal}"),
            }
        }
    }
}

fn split(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// Many arguments, also of one name, with long and with dotted names, and much metadata.
fn large(list: &str, function: &str) -> Vec<Vec<u8>> {
    let many = |one: &str| one.repeat(LARGE / one.len());
    let call = |arguments: &str| format!(" {function}\n\n{arguments}").into_bytes();
    let deep: String = (0..LARGE / 80).map(|_| format!("{}i=1&", "m.".repeat(30))).collect();
    let names: String = (0..LARGE / 12).map(|n| format!("n{n}=&")).collect();
    let lists: String = (0..LARGE / 12).map(|n| format!("m.rm.n{n}=&")).collect();
    vec![
        call(&many("a=1&")),
        call(&many(&format!("{list}=1&"))),
        call(&many("a.")),
        call(&deep),
        call(&names),
        call(&lists),
        call(&format!("msg={}", many("x"))),
        format!("{} {}\n\n", many("s"), many("f")).into_bytes(),
        format!(" {function}\n{}\n", many("x=y&")).into_bytes(),
        format!(" {function}\n{}\nmsg=&", many("STATUS_A=&")).into_bytes(),
    ]
}
