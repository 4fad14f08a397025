//! The table of cases, against the fakes.

use super::{ADMIN_KEY, Bench, VIEWER_KEY};

#[path = "../../../t/admin/cases.rs"]
pub(super) mod cases;

use cases::{Ask, Got};

fn send(bench: &Bench, ask: &Ask) -> Got {
    let key = match &*ask.who {
        "admin" => Some(ADMIN_KEY),
        "viewer" => Some(VIEWER_KEY),
        "wrong" => Some("wrong"),
        _ => None,
    };
    let field = key.map(|key| ("x-api-key", key));
    let uri = format!("/apisix/admin{}", ask.path);
    let answer = bench.send(&ask.method, &uri, field.as_slice(), ask.body.clone());
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let fields = answer.fields.iter().map(|(name, value)| (name.to_string(), text(value)));
    Got { status: answer.status, fields: fields.collect(), body: answer.text }
}

#[test]
fn every_case_is_answered_as_the_table_says() {
    let cases = cases::all();
    assert!(cases.len() >= 1000, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let bench = Bench::new();
        if let Err(why) = case.run(&mut |ask| send(&bench, ask)) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

#[test]
fn cases_can_be_left_out_by_what_they_speak_of() {
    let cases = cases::all();
    let about = |word: &str| cases.iter().filter(|case| case.speaks_of(word)).count();
    assert!((1..20).contains(&about("jwt-auth")) && (1..30).contains(&about("mqtt-proxy")));
    assert_eq!(about("no-such-plugin"), 0);
}

#[test]
fn an_answer_that_differs_is_told() {
    let bench = Bench::new();
    let cases = cases::all();
    let case = cases.iter().find(|case| case.name == "routes a new one").unwrap();
    let spoil = |change: &dyn Fn(&mut Got)| {
        case.run(&mut |ask| {
            let mut got = send(&bench, ask);
            change(&mut got);
            got
        })
    };
    assert!(spoil(&|got| got.status = 200).is_err());
    assert!(spoil(&|got| got.body = got.body.replace("/a", "/b")).is_err());
    assert!(spoil(&|got| got.body = got.body.replacen('{', "{\"more\":1,", 1)).is_err());
    assert!(spoil(&|got| got.body = got.body.replace("\"value\"", "\"node\"")).is_err());
}
