//! Files on disk, and a server that answers by hand.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    thread,
};

use clap::Parser;

use super::{Verb, call, check, files, problems};
use crate::codec::tars::packet::Request;

const IDL: &str = "module M { interface I { long add(long a, long b); void note(string s); }; };";

/// An empty folder of this test.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("moongate-idl-{name}-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

#[test]
fn included_files_are_found_beside_a_file_and_in_folders() {
    let folder = folder("found");
    fs::create_dir_all(folder.join("more")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write(
        "a.tars",
        "#include \"b.tars\"\n#include \"c.tars\"\nmodule A { struct S { 0 require B::T t; 1 require C::T u; }; };",
    );
    write("b.tars", "#include \"a.tars\"\nmodule B { struct T { 0 require int a; }; };");
    write("more/c.tars", "module C { struct T { 0 require int a; }; };");
    let main = folder.join("a.tars");
    assert_eq!(check(std::slice::from_ref(&main), &[folder.join("more")]), Ok(()));
    // c.tars is not found, and so are its names.
    let read = files::read(std::slice::from_ref(&main), &[]).unwrap();
    let found = problems(&files::sources(&read));
    let path = main.display();
    assert_eq!(
        found,
        [
            format!("{path}:2:1: the included file \"c.tars\" is not given"),
            format!("{path}:3:51: there is no type `C::T`"),
        ]
    );
    assert_eq!(check(&[main], &[]), Err("2 problems".to_owned()));
    write("x.txt", "");
    let error = check(&[folder.join("x.txt")], &[]).unwrap_err();
    assert_eq!(error, "1 problem");
    assert!(check(&[folder.join("none.tars")], &[]).is_err());
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn imports_are_found_below_folders_and_beside_the_file() {
    let folder = folder("proto");
    fs::create_dir_all(folder.join("more/lib")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write(
        "a.proto",
        "syntax = \"proto3\"; package p; import \"b.proto\"; import \"lib/c.proto\";
         message A { B b = 1; lib.C c = 2; } service S { rpc M(A) returns (A); }",
    );
    write("b.proto", "syntax = \"proto3\"; package p; import \"lib/c.proto\"; message B {}");
    write("more/lib/c.proto", "syntax = \"proto3\"; package lib; message C {}");
    let main = folder.join("a.proto");
    assert_eq!(check(std::slice::from_ref(&main), &[folder.join("more")]), Ok(()));
    let read = files::read(std::slice::from_ref(&main), &[]).unwrap();
    let found = problems(&files::sources(&read));
    assert_eq!(found, ["b.proto:1:31: import 'lib/c.proto' not found"]);
    write("b.proto", "syntax = \"proto3\"; package p;\nmessage B { C c = 1; }");
    let read = files::read(std::slice::from_ref(&main), &[folder.join("more")]).unwrap();
    let found = problems(&files::sources(&read));
    assert!(matches!(&found[..], [one] if one.starts_with("b.proto:2:13: ")), "{found:?}");
    fs::remove_dir_all(&folder).unwrap();
}

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

/// The call of a command line.
fn parse(words: &[&str]) -> call::Call {
    let line = Line::try_parse_from(["idl", "call"].iter().chain(words)).unwrap();
    match line.verb {
        Verb::Call(call) => call,
        Verb::Check { .. } => unreachable!(),
    }
}

#[test]
fn a_call_reads_json_and_gets_json() {
    let folder = folder("call");
    let idl = folder.join("m.tars");
    fs::write(&idl, IDL).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let mut seen = Vec::new();
        for stream in listener.incoming().take(2) {
            let mut stream = stream.unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut frame = length.to_vec();
            frame.resize(u32::from_be_bytes(length) as usize, 0);
            stream.read_exact(&mut frame[4..]).unwrap();
            let request = Request::read(&frame).unwrap();
            let name = String::from_utf8(request.function.to_vec()).unwrap();
            seen.push((name, request.packet_type, request.timeout));
            if request.packet_type == 0 {
                // A push, then the answer in two pieces.
                let push = b"\0\0\0\x12\x10\x01\x2c\x3c\x4c\x5c\x6d\0\x0c\x78\x0c\x86\0\x9c";
                stream.write_all(push).unwrap();
                let answer = b"\0\0\0\x13\x10\x01\x2c\x30\x01\x4c\x5c\x6d\0\0\x02\0\x07\x78\x0c";
                stream.write_all(&answer[..7]).unwrap();
                stream.flush().unwrap();
                stream.write_all(&answer[7..]).unwrap();
            }
        }
        seen
    });
    let idl = idl.to_str().unwrap();
    let words = [&address, "A.B.C", "add", r#"{"a":3,"b":"4"}"#, "--idl", idl, "-t", "2000"];
    let json = words[3];
    let answer = call::exchange(&parse(&words), json).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &br#"{"tars_ret":7}"#[..]));
    let words = [&address, "A.B.C", "note", "-", "-i", idl, "-o", "oneway=true"];
    assert_eq!(call::exchange(&parse(&words), r#"{"s":"x"}"#).unwrap().status, 202);
    let seen = server.join().unwrap();
    assert_eq!(seen, [("add".to_owned(), 0, 2000), ("note".to_owned(), 1, 3000)]);
    let words = [&address, "A.B.C", "add", "{}", "-i", idl];
    let error = call::exchange(&parse(&words), "{}").unwrap_err();
    assert!(error.starts_with("a: required, expected long"), "{error}");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let words = [&address, "A.B.C", "f", "{}", "-o", "mode=json", "-t", "50"];
    let error = call::exchange(&parse(&words), "{}").unwrap_err();
    assert_eq!(error, format!("{address}: no answer within 50 ms"));
    drop(listener);
    let error = call::exchange(&parse(&words), "{}").unwrap_err();
    assert!(error.starts_with(&format!("{address}: ")), "{error}");
}
