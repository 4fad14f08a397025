//! What must hold of `vars` expressions for any bytes.

use moongate::route::expr::{Expr, VarValue, Vars};

use super::{Check, LARGE, owned};

pub const CHECKS: &[Check] = &[Check {
    name: "expr",
    run: expr,
    samples: || owned(EXPRESSIONS),
    large,
    bytes_max: |input| 128 * input + (64 << 10),
}];

const EXPRESSIONS: &[&[u8]] = &[
    br#"[["arg_a","==","1"],["arg_b","~~","^a.*"]]"#,
    br#"["OR",["a","in",["x","y"]],["AND",["b","!","~=",1],["c",">",2.5]]]"#,
    br#"[["remote_addr","ipmatch",["10.0.0.0/8","::1"]],["d","has","x"],["!AND",["e","<",1]]]"#,
    br#"[]"#,
];

/// Some variables, of every kind.
struct Known;

impl Vars for Known {
    fn get(&self, name: &str) -> Option<VarValue<'_>> {
        match name {
            "remote_addr" => Some("10.1.2.3".into()),
            "arg_b" | "b" => Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!".into()),
            "c" => Some(VarValue::Num(1e308)),
            "e" => Some(VarValue::Bool(false)),
            "d" => Some(VarValue::List(vec!["x".into(), VarValue::Num(2.0)])),
            _ => None,
        }
    }
}

/// Whatever JSON stands in `vars`, it is compiled or refused, and holds or not, always the same.
pub fn expr(data: &[u8]) {
    let Ok(value) = serde_json::from_slice(data) else { return };
    match Expr::compile(&value) {
        Ok(expr) => assert_eq!(expr.eval(&Known), expr.eval(&Known)),
        Err(why) => assert!(!why.is_empty() && why.len() < 8 * data.len() + 1024),
    }
}

fn large() -> Vec<Vec<u8>> {
    let many = |one: &str| {
        let all = one.repeat(LARGE / one.len());
        format!("[{}]", all.trim_end_matches(',')).into_bytes()
    };
    let list = |op: &str, one: &str| {
        let all = one.repeat(LARGE / one.len());
        format!("[\"a\",\"{op}\",[{}]]", all.trim_end_matches(',')).into_bytes()
    };
    vec![
        many("[\"a\",\"1\"],"),
        many("[[]],"),
        many("[\"a\",\"~~\",\"\"],")[..LARGE / 64].to_vec(),
        many("["),
        list("in", "\"\","),
        list("in", "1,"),
        list("ipmatch", "\"::1\","),
    ]
}
