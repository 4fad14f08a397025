//! What compiles, what does not, and where the messages point.

use super::{Default, Schema, Type, lines};
use crate::codec::registry::Source;

fn source<'a>(name: &'a str, text: &'a str) -> Source<'a> {
    Source { name, text: text.as_bytes() }
}

fn compile(text: &str) -> Result<Schema, String> {
    Schema::compile(&[source("a.tars", text)]).map_err(|errors| lines(&errors))
}

/// Checks that `text`, the inside of a module in line 1, is refused with `expected`.
#[track_caller]
fn refused(text: &str, expected: &str) {
    let text = format!("module M {{\n{text}\n}};");
    assert_eq!(compile(&text).unwrap_err(), expected, "{text}");
}

#[track_caller]
fn good(text: &str) -> Schema {
    compile(&format!("module M {{\n{text}\n}};")).unwrap()
}

#[test]
fn the_demo_compiles() {
    let schema = compile(include_str!("../../../../t/fixtures/Demo.tars")).unwrap();
    let hello = schema.interface("Farm::Hello").unwrap();
    assert_eq!(hello.functions.len(), 7);
    let get = hello.functions.get("getItem").unwrap();
    let tags = |record: &super::Record| -> Vec<(u8, String)> {
        record.fields.iter().map(|field| (field.tag, field.name.clone())).collect()
    };
    assert_eq!(tags(&get.input), [(1, "req".to_owned()), (2, "k".to_owned())]);
    let names = [(0, "tars_ret".to_owned()), (3, "rsp".to_owned()), (4, "note".to_owned())];
    assert_eq!(tags(&get.output), names);
    let item = schema.structs.iter().find(|found| found.name == "Farm.Item").unwrap();
    let field = |name: &str| &item.record.fields[item.record.find(name, 0).unwrap()];
    assert_eq!(field("b").default, Default::Integer(7));
    assert_eq!(field("c").default, Default::Integer(5));
    assert_eq!(field("vb").of, Type::Bytes);
    assert_eq!(field("ui").of, Type::UnsignedInt);
    assert_eq!((field("far").tag, field("far").required), (200, false));
    assert_eq!(schema.type_name(field("m").of), "map<string, int>");
    assert!(schema.enums[0].members.contains(&("BLUE".to_owned(), 6)));
    compile(include_str!("../../../../t/fixtures/DemoGo.tars")).unwrap();
}

#[test]
fn literals_are_read_as_c_writes_them() {
    let schema = good(
        r#"const int HEX = 0x1F; const int OCT = -017; const long BIG = -9223372036854775808;
        enum E { A = -1, B, C = HEX, D = A, };
        struct S {
            0 optional int i = HEX; 1 optional short s = OCT; 2 optional double d = -1.5e+3;
            3 optional float f = .25f; 4 optional string t = "a\tb\"\x41\101\\"; 5 optional bool b = true;
            6 optional E e = C; 7 optional long l = BIG; 8 optional E g = M::D; 9 optional double n = 4;
            10 optional bool z = 1;
        };"#,
    );
    let defaults: Vec<Default> =
        schema.structs[0].record.fields.iter().map(|field| field.default.clone()).collect();
    assert_eq!(
        defaults,
        [
            Default::Integer(31),
            Default::Integer(-15),
            Default::Float(-1500.0),
            Default::Float(0.25),
            Default::Text("a\tb\"AA\\".into()),
            Default::Bool(true),
            Default::Integer(31),
            Default::Integer(i64::MIN),
            Default::Integer(-1),
            Default::Float(4.0),
            Default::Bool(true),
        ]
    );
}

#[test]
fn arrays_are_vectors_and_modules_may_be_reopened() {
    let schema = compile(
        "module A { struct P { 0 require B::Q q; 1 require byte a[8]; 2 require int:3 b;
             3 require string * c; 4 require map<P, vector<vector<byte>>> d; }; };
         module B { struct Q { 7 optional unsigned short u = 65535; }; };
         module A { interface I { void f(routekey P p, out vector<P> q); unsigned int g(); }; };",
    );
    // A struct may contain itself only through vectors and maps.
    let schema = schema.unwrap();
    let types: Vec<String> =
        schema.structs[0].record.fields.iter().map(|field| schema.type_name(field.of)).collect();
    assert_eq!(
        types,
        ["B.Q", "vector<byte>", "vector<int>", "vector<string>", "map<A.P, vector<vector<byte>>>",]
    );
    assert!(schema.interface("I").is_some());
}

#[test]
fn included_files_come_first_wherever_they_are_given() {
    let main = source(
        "svc/main.tars",
        "#include \"../base/b.tars\"\nmodule M { struct S { 0 require N::E e = N::TWO; }; };",
    );
    let base =
        source("base/b.tars", "#include \"svc/main.tars\"\nmodule N { enum E { ONE = 1, TWO }; };");
    for files in [[main, base], [base, main]] {
        let schema = Schema::compile(&files).unwrap();
        assert_eq!(schema.structs[0].record.fields[0].default, Default::Integer(2));
    }
    let errors = Schema::compile(&[main]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "svc/main.tars:1:1: the included file \"../base/b.tars\" is not given"
    );
    // A file alone is checked without what stands in the others.
    assert_eq!(Schema::check(&main), Ok(()));
    let wrong =
        source("w.tars", "#include \"x.tars\"\nmodule M { struct S { 0 require N::E; }; };");
    let errors = Schema::check(&wrong).unwrap_err();
    assert_eq!(lines(&errors), "w.tars:2:37: expected the member's name, found `;`");
}

#[test]
fn comments_may_be_in_any_character_set() {
    good("/* \u{4f60} */ struct S { 0 require int a; // x\n };");
    let text = b"// \xc4\xe3\xba\xc3\nmodule M { /* \xc4\xe3 */ struct S { 0 require int a; }; };";
    assert!(Schema::compile(&[Source { name: "gbk.tars", text }]).is_ok());
}

/// The inside of a module, and the lines that refuse it.
const REFUSED: &[(&str, &str)] = &[
    ("struct { 0 require int a; };", "a.tars:2:8: expected the struct's name, found `{`"),
    ("struct S { };", "a.tars:2:12: expected at least one member, found `}`"),
    (
        "struct S { 0 require int a }",
        "a.tars:2:28: expected `;` behind the member, found `}`\na.tars:3:1: expected `;` behind the definition, found `}`",
    ),
    ("struct S { 256 require int a; };", "a.tars:2:12: expected a tag from 0 to 255, found `256`"),
    ("struct S { 0 int a; };", "a.tars:2:14: expected require or optional, found `int`"),
    (
        "struct S { 0 require int struct; };",
        "a.tars:2:26: expected the member's name, found `struct`",
    ),
    (
        "struct S { 0 require int a; 0 require int b; };",
        "a.tars:2:43: the struct has two members 0",
    ),
    (
        "struct S { 0 require int a; 1 require int a; };",
        "a.tars:2:43: the struct has two members `a`",
    ),
    ("struct S { 0 require Nope a; };", "a.tars:2:22: there is no type `Nope`"),
    ("struct S { 0 require X::Y a; };", "a.tars:2:22: there is no type `X::Y`"),
    ("struct S { 0 require byte a = 128; };", "a.tars:2:31: this is no byte (-128 to 127)"),
    (
        "struct S { 0 require unsigned byte a = -1; };",
        "a.tars:2:40: this is no unsigned byte (0 to 255)",
    ),
    (
        "struct S { 0 require int a = \"x\"; };",
        "a.tars:2:30: this is no int (-2147483648 to 2147483647)",
    ),
    ("struct S { 0 require float a = 1e300; };", "a.tars:2:32: this is no float"),
    ("struct S { 0 require vector<int> a = 1; };", "a.tars:2:38: this is no vector<int>"),
    (
        "struct S { 0 require int a = NOPE; };",
        "a.tars:2:30: there is no constant or member of an enum `NOPE`",
    ),
    (
        "struct S { 0 require unsigned long a; };",
        "a.tars:2:31: expected byte, short or int behind unsigned, found `long`",
    ),
    (
        "struct S { 0 require vector<int a; };",
        "a.tars:2:33: expected `>` at the end of the vector's type, found `a`",
    ),
    (
        "struct S { 0 require map<int> a; };",
        "a.tars:2:29: expected `,` behind the type of the map's keys, found `>`",
    ),
    ("struct S { 0 require int a[0]; };", "a.tars:2:28: expected a size below 1000000, found `0`"),
    ("struct S { 0 require S s; };", "a.tars:2:8: the struct contains itself"),
    ("enum E { };", "a.tars:2:10: expected the name of a member, found `}`"),
    ("enum E { A, A };", "a.tars:2:13: the enum has two members `A`"),
    ("enum E { A = 2147483647, B };", "a.tars:2:26: 2147483648 does not fit into 32 bits"),
    ("const vector<int> V = 1;", "a.tars:2:19: a constant cannot be a vector<int>"),
    ("const int V;", "a.tars:2:12: expected `=` behind the constant's name, found `;`"),
    ("key[S, a];", "a.tars:2:1: there is no struct `S`"),
    ("struct S { 0 require int a; }; key[S, b];", "a.tars:2:39: struct `S` has no member `b`"),
    ("interface I { int f(int a) };", "a.tars:2:28: expected `;` behind the function, found `}`"),
    (
        "interface I { int f(out int a, out int a); };",
        "a.tars:2:40: the function has two parameters `a`",
    ),
    (
        "interface I { int f(int tars_ret); };",
        "a.tars:2:25: `tars_ret` stands for the return value",
    ),
    ("interface I { int f(); void f(); };", "a.tars:2:29: the interface has two functions `f`"),
    ("interface I { f(); };", "a.tars:2:16: expected the function's name, found `(`"),
    ("interface I { I f(); };", "a.tars:2:15: `I` is no type"),
    (
        "const int A = 08;",
        "a.tars:2:15: `08` is no number that fits\na.tars:2:17: expected a value, found `;`",
    ),
    (
        "const string A = \"x\n;",
        "a.tars:2:18: this string has no end\na.tars:3:1: expected a value, found `;`",
    ),
    ("const string A = \"\\q\";", "a.tars:2:19: unknown escape in a string"),
    (
        "const int A = 1 const int B = 2;",
        "a.tars:2:17: expected `;` behind the definition, found `const`",
    ),
    ("module N { };", "a.tars:2:1: expected no module within a module, found `module`"),
    ("class C {};", "a.tars:2:1: expected struct, enum, const, interface or key, found `class`"),
    (
        "struct \u{e9}\u{e8} S { 0 require int a; };",
        "a.tars:2:8: only ASCII may stand outside of comments and strings",
    ),
    ("@", "a.tars:2:1: unexpected character `@`"),
];

#[test]
fn errors_have_a_place_and_say_what_was_expected() {
    let s = "struct S { 0 require int a; };";
    for (text, expected) in REFUSED {
        refused(text, expected);
    }
    let open = compile("module M {\n/* never closed").unwrap_err();
    assert!(open.starts_with("a.tars:2:1: this comment has no end\n"), "{open}");
    let again = format!("{s}\n{s}");
    refused(&again, "a.tars:3:8: `S` is already defined in a.tars:2");
}

#[test]
fn several_errors_are_reported_at_once() {
    refused(
        "struct A { 0 require Foo a; 1 optional x; 2 require int b };\nenum E { A B };\ninterface I { int f(; void g(Bar b); };",
        "a.tars:2:22: there is no type `Foo`\n\
         a.tars:2:41: expected the member's name, found `;`\n\
         a.tars:2:59: expected `;` behind the member, found `}`\n\
         a.tars:3:12: expected `,` or `}`, found `B`\n\
         a.tars:4:21: expected a type, found `;`\n\
         a.tars:4:30: there is no type `Bar`",
    );
    let many = "@".repeat(1000);
    assert_eq!(compile(&many).unwrap_err().lines().count(), 50);
}

#[test]
fn what_stands_outside_of_modules_is_refused() {
    for (text, expected) in [
        ("struct S", "a.tars:1:1: expected `module` or `#include`, found `struct`"),
        ("#define X", "a.tars:1:1: expected #include \"file\""),
        (
            "module M {",
            "a.tars:1:11: expected `}` at the end of the module, found the end of the file",
        ),
        ("module M { }", "a.tars:1:13: expected `;` behind the module, found the end of the file"),
    ] {
        assert_eq!(compile(text).unwrap_err(), expected, "{text}");
    }
    let twice = [source("x.tars", ""), source("./x.tars", "")];
    let errors = Schema::compile(&twice).unwrap_err();
    assert!(lines(&errors).contains("given twice"), "{}", lines(&errors));
}

#[test]
fn depth_and_size_are_bounded() {
    let deep =
        format!("struct S {{ 0 require {}int{} a; }};", "vector<".repeat(17), ">".repeat(17));
    let text = format!("module M {{\n{deep}\n}};");
    assert!(compile(&text).unwrap_err().contains("no more than 16 levels"));
    // 2^20 members once it is written out.
    let mut text = String::from("module M { struct S0 { 0 require int a; };\n");
    for n in 1..=20 {
        let m = n - 1;
        text += &format!("struct S{n} {{ 0 optional S{m} a; 1 optional S{m} b; }};\n");
    }
    assert!(
        compile(&(text + "};")).unwrap_err().contains("the structs in this struct are too many")
    );
    let large = " ".repeat(super::SOURCE_BYTES_MAX + 1);
    assert!(compile(&large).unwrap_err().contains("are allowed"));
    let name = "x".repeat(300);
    assert!(compile(&name).unwrap_err().contains("more than 255 characters"));
    let parameters: Vec<String> = (0..256).map(|n| format!("int p{n}")).collect();
    let text = format!("module M {{ interface I {{ void f({}); }}; }};", parameters.join(", "));
    assert!(compile(&text).unwrap_err().contains("no more than 255 parameters"));
}
