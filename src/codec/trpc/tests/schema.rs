//! Descriptions: what compiles, what is refused and where.

use std::rc::Rc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;

use super::{PROTO, compiled, source};
use crate::codec::{
    registry::Source,
    trpc::schema::{self, ENTRIES_MAX, LEVELS_MAX, SOURCES_BYTES_MAX, Schema},
};

#[track_caller]
fn check_refused(text: &str, why: &str) {
    let error = Schema::compile(&[source(text)]).expect_err(text);
    assert!(error.contains(why), "{error}");
}

#[test]
fn methods_are_found_by_full_name_and_by_alias() {
    let schema = compiled();
    let echo = schema.method("/trpc.app.demo.Demo/Echo").expect("Echo");
    assert_eq!((echo.func.as_str(), echo.streaming), ("/trpc.app.demo.Demo/Echo", false));
    let named = schema.method("/v1/named").expect("by alias");
    assert_eq!((named.name.as_str(), named.func.as_str()), ("Named", "/v1/named"));
    let same = schema.method("/trpc.app.demo.Demo/Named").expect("by name");
    assert_eq!(same.func, "/v1/named");
    assert!(schema.method("/trpc.app.demo.Demo/Watch").expect("Watch").streaming);
    assert!(schema.method("Echo").is_none());
    assert_eq!(schema.services(), ["trpc.app.demo.Demo"]);
    let names: Vec<&str> = schema.methods().map(|method| method.name.as_str()).collect();
    assert_eq!(names, ["Echo", "Named", "Watch"]);
}

#[test]
fn an_error_has_file_line_and_column() {
    check_refused("syntax = \"proto3\";\nmessage A {\n  int32 = 1;\n}\n", "demo.proto:3:9: ");
    check_refused("syntax = \"proto3\";\nmessage A { Missing a = 1; }", "demo.proto:2:13: ");
    check_refused("syntax = \"proto3\";\nimport \"no.proto\";\n", "demo.proto:2:1: ");
    check_refused("message A { required int32 a = 1; required int32 b = 1; }", "demo.proto:1:");
    check_refused("not a description", "demo.proto:1:1: ");
}

#[test]
fn sources_import_each_other_and_only_each_other() {
    let sources = [
        Source {
            name: "main.proto",
            text: b"syntax='proto3'; import 'lib/b.proto'; import 'trpc/api/annotations.proto';
                package p; service S { rpc M(lib.B) returns (lib.B) {
                option (trpc.api.http) = { post: '/m' body: '*' }; } }",
        },
        Source { name: "lib/b.proto", text: b"syntax='proto3'; package lib; message B {}" },
        Source { name: "broken.proto", text: b"this one is not imported" },
    ];
    let schema = Schema::compile(&sources).expect("compiles");
    assert!(schema.method("/p.S/M").is_some());
    let error = Schema::compile(&sources[..1]).expect_err("the import is not there");
    assert!(error.contains("main.proto:1:18: ") && error.contains("lib/b.proto"), "{error}");
}

#[test]
fn a_text_says_what_it_imports() {
    let text = "import 'a/b.proto'; import public 'c.proto'; import 'google/protobuf/any.proto';
        import 'trpc.proto';";
    assert_eq!(schema::imports(&source(text)), ["a/b.proto", "c.proto"]);
    assert!(schema::imports(&source("import a;")).is_empty());
    assert!(schema::imports(&source("\u{1}")).is_empty());
}

#[test]
fn files_that_import_themselves_are_refused() {
    let sources = [
        Source { name: "a.proto", text: b"import 'b.proto';" },
        Source { name: "b.proto", text: b"import 'a.proto';" },
    ];
    let error = Schema::compile(&sources).expect_err("a cycle");
    assert!(error.contains("cycle"), "{error}");
}

#[test]
fn a_descriptor_set_works_as_bytes_and_as_base64() {
    let set = set_of(PROTO);
    for text in [set.clone(), STANDARD.encode(&set).into_bytes(), wrapped(&set)] {
        let source = Source { name: "1", text: &text };
        schema::check(&source).expect("is a set");
        let schema = Schema::compile(&[source]).expect("compiles");
        // The alias is an extension of an option, and must survive.
        assert!(schema.method("/v1/named").is_some());
    }
}

#[test]
fn a_damaged_descriptor_set_is_refused() {
    let set = set_of(PROTO);
    for cut in [2, 3, 10, set.len() / 2, set.len() - 1] {
        let source = Source { name: "1", text: &set[..cut] };
        assert!(Schema::compile(&[source]).is_err(), "{cut}");
    }
}

#[test]
fn a_descriptor_set_that_no_compiler_wrote_is_refused() {
    use prost_types::{FileOptions, UninterpretedOption};
    let text = "syntax='proto3'; message A {} service S { rpc M(A) returns (A); }";
    let good = prost_types::FileDescriptorSet::decode(set_of(text).as_slice()).expect("a set");
    let check = |set: prost_types::FileDescriptorSet, why: &str| {
        let text = set.encode_to_vec();
        let error = Schema::compile(&[Source { name: "1", text: &text }]).expect_err(why);
        assert!(error.contains(why), "{error}");
    };
    let mut set = good.clone();
    set.file[0].syntax = Some("proto4".to_owned());
    check(set, "unknown syntax");
    let mut set = good.clone();
    let option = UninterpretedOption {
        aggregate_value: Some("a {".repeat(10_000)),
        ..UninterpretedOption::default()
    };
    let options = FileOptions { uninterpreted_option: vec![option], ..FileOptions::default() };
    set.file[0].options = Some(options);
    check(set, "not interpreted");
    let mut set = good;
    set.file[0].service[0].method[0].input_type = Some(".B".to_owned());
    check(set, "demo.proto");
}

#[test]
fn a_map_that_is_none_is_refused() {
    let text = "syntax='proto3'; message A { map<int32, int32> m = 1; } service S {}";
    let mut set = prost_types::FileDescriptorSet::decode(set_of(text).as_slice()).expect("a set");
    let entry = &mut set.file[0].message_type[0].nested_type[0];
    entry.field[0].set_type(prost_types::field_descriptor_proto::Type::Double);
    let text = set.encode_to_vec();
    let error = Schema::compile(&[Source { name: "1", text: &text }]).expect_err("refused");
    assert!(error.contains("A.MEntry"), "{error}");
}

#[test]
fn a_source_may_have_any_name_but_its_own_only() {
    for name in ["1", "/a/b.proto", "../a.proto", "a\\b", "a//b", "./x", "."] {
        let source = Source { name, text: b"message A {\n  x\n}" };
        let error = Schema::compile(&[source]).expect_err(name);
        assert!(error.starts_with(&format!("{name}:3:1: ")), "{error}");
        Schema::compile(&[Source { name, text: b"message A {}" }]).expect(name);
    }
    for name in ["", "a\nb", &"x".repeat(5000)] {
        let error = Schema::compile(&[Source { name, text: b"" }]).expect_err(name);
        assert!(error.contains("no name for a file"), "{error}");
    }
    let twice = [source("message A {}"), source("message A {}")];
    assert!(Schema::compile(&twice).expect_err("twice").contains("two of this name"));
}

#[test]
fn sizes_and_depths_are_bounded() {
    let long = " ".repeat(SOURCES_BYTES_MAX + 1);
    check_refused(&long, "are allowed");
    let deep = format!("\n\n{}", "[{".repeat(LEVELS_MAX));
    check_refused(&deep, "demo.proto:3: brackets nest deeper than 64");
    // Neither comments nor strings count.
    let quoted = format!(
        "syntax='proto3'; /* {0} */ // {0}\n message A {{ string a = 1 [json_name = \"{0}\\\"{0}\"]; }}",
        "{".repeat(LEVELS_MAX),
    );
    Schema::compile(&[source(&quoted)]).expect("compiles");
    let many = vec![Source { name: "a.proto", text: b"" }; 257];
    assert!(Schema::compile(&many).expect_err("many").contains("more than 256 files"));
}

#[test]
fn a_block_has_a_bounded_number_of_entries() {
    let options = |count| "option java_package = 'x';".repeat(count);
    check_refused(&options(ENTRIES_MAX + 1), "demo.proto:1: more than 4096 entries in one block");
    let values: String = (0..ENTRIES_MAX).map(|at| format!("A{at} = {at};\n")).collect();
    Schema::compile(&[source(&format!("enum E {{ {values} }}"))]).expect("compiles");
    check_refused(
        &format!("enum E {{ {values} B = 9999; }}"),
        "demo.proto:4097: more than 4096 entries",
    );
    // Of one block, not of all.
    let many = format!("enum E {{ {values} }} message M {{ enum F {{ {values} }} }}");
    Schema::compile(&[source(&many)]).expect("compiles");
}

#[test]
fn the_same_sources_are_compiled_once() {
    let first = Schema::shared(&[source(PROTO)]).expect("compiles");
    let again = Schema::shared(&[source(PROTO)]).expect("compiles");
    assert!(Rc::ptr_eq(&first, &again));
    let renamed = Source { name: "other.proto", ..source(PROTO) };
    let other = Schema::shared(&[renamed]).expect("compiles");
    assert!(!Rc::ptr_eq(&first, &other));
    let old = Rc::downgrade(&first);
    drop((first, again));
    assert!(old.upgrade().is_none());
    assert!(Schema::shared(&[source("message")]).is_err());
}

#[test]
fn one_file_is_checked_without_its_imports() {
    schema::check(&source("import 'elsewhere.proto'; message A { optional b.C c = 1; }"))
        .expect("syntax");
    let error =
        schema::check(&source("message A {\n  optional int32 a 1;\n}")).expect_err("syntax");
    assert!(error.starts_with("demo.proto:2:20: "), "{error}");
}

fn set_of(text: &str) -> Vec<u8> {
    let file = |name: &str, text: &str| protox::file::File::from_source(name, text);
    let trpc = "syntax='proto3'; package trpc; import 'google/protobuf/descriptor.proto';
        extend google.protobuf.MethodOptions { string alias = 50001; }";
    let mut resolver = protox::file::ChainFileResolver::new();
    let files = vec![file("demo.proto", text), file("trpc.proto", trpc)];
    let set = files.into_iter().map(|file| file.expect("parses").file_descriptor_proto().clone());
    let set = prost_types::FileDescriptorSet { file: set.collect() };
    resolver.add(protox::file::DescriptorSetFileResolver::new(set));
    resolver.add(protox::file::GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("demo.proto").expect("compiles");
    compiler.encode_file_descriptor_set()
}

/// Base64 as some tools print it, in lines.
fn wrapped(set: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(set).into_bytes();
    text.chunks(76).flat_map(|line| [line, b"\n"].concat()).collect()
}
