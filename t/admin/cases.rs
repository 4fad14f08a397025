//! The cases of `cases.json`: read, spread over the resources, and compared with answers. Whoever
//! runs them says how a request is sent.
//!
//! Signs in texts: `{one}`, `{all}`, `{put}`, `{key}`, `{collection}`, `{kind}` and `{why}` are the
//! resource's, `{64}` and `{65}` ids of that length. `<good>`, `<bad>` and `<change>` are its
//! objects, `<value>` is what `<good>` is stored as, `<cert>` and `<key>` are PEM texts; an object
//! with one of them as its only key has the entries of its value besides. In answers `<number>` is
//! any number, `<id>` twenty digits with a text before them, `<starts>` any text that starts so,
//! and an object with `...` may have more.

#![allow(unreachable_pub)]

use serde_json::{Map, Value};

const DATA: &str = include_str!("cases.json");
const CERT: &str = include_str!("../fixtures/admin/cert.pem");
const KEY: &str = include_str!("../fixtures/admin/key.pem");

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: String,
    /// Below `/apisix/admin`.
    pub path: String,
    /// Whose key it has: `admin`, `viewer`, `wrong` or `nobody`.
    pub who: String,
    pub body: String,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Got {
    pub status: u16,
    pub body: String,
    /// Names are in lower case.
    pub fields: Vec<(String, String)>,
}

/// A request and what its answer must be.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    /// What comes before; all of it must succeed.
    pub given: Vec<Ask>,
    pub ask: Ask,
    status: u16,
    answer: Option<Value>,
    text: Option<String>,
    page: Option<String>,
    fields: Map<String, Value>,
}

/// All cases.
#[must_use]
pub fn all() -> Vec<Case> {
    let data: Value = serde_json::from_str(DATA).unwrap();
    let list = |name: &str| data[name].as_array().unwrap().clone();
    let mut cases = Vec::new();
    for resource in list("resources") {
        let resource = Resource(resource);
        for template in list("templates").iter().filter(|template| resource.fits(template)) {
            cases.push(resource.case(template));
        }
    }
    let none = Resource(Value::Object(Map::new()));
    cases.extend(list("cases").iter().map(|case| none.case(case)));
    cases
}

struct Resource(Value);

impl Resource {
    fn fits(&self, template: &Value) -> bool {
        let has = |name: &Value| self.0["is"].as_array().unwrap().contains(name);
        template.get("is").is_none_or(has) && !template.get("not").is_some_and(has)
    }

    fn case(&self, template: &Value) -> Case {
        let text = |name: &str| template.get(name).and_then(Value::as_str);
        let name = self.0.get("name").map_or("", |name| name.as_str().unwrap());
        let mut given: Vec<Ask> = Vec::new();
        for step in [self.0.get("given"), template.get("given")].into_iter().flatten() {
            given.extend(step.as_array().unwrap().iter().map(|s| self.given(s.as_str().unwrap())));
        }
        let body = template.get("body").map(|body| self.value(body).to_string());
        let body = body.or_else(|| text("raw").map(str::to_owned)).unwrap_or_default();
        let who = text("as").unwrap_or("admin");
        let fields = template.get("fields").and_then(Value::as_object).cloned();
        Case {
            name: format!("{name} {}", text("name").unwrap()).trim().to_owned(),
            given,
            ask: self.ask(text("ask").unwrap(), who, body),
            status: u16::try_from(template["status"].as_u64().unwrap()).unwrap(),
            answer: template.get("answer").map(|answer| self.value(answer)),
            text: text("text").map(|text| self.text(text)),
            page: text("page").map(str::to_owned),
            fields: fields.unwrap_or_default(),
        }
    }

    fn ask(&self, line: &str, who: &str, body: String) -> Ask {
        let (method, path) = line.split_once(' ').unwrap();
        Ask { method: method.into(), path: self.text(path), who: who.into(), body }
    }

    /// A step such as `put`, or `PUT /services/1 {}`.
    fn given(&self, step: &str) -> Ask {
        if step == "put" {
            return self.ask("PUT {put}", "admin", self.value(&"<good>".into()).to_string());
        }
        let (method, rest) = step.split_once(' ').unwrap();
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let body = match serde_json::from_str::<Value>(body) {
            Ok(body) => self.value(&body).to_string(),
            Err(_) => body.to_owned(),
        };
        self.ask(&format!("{method} {path}"), "admin", body)
    }

    fn text(&self, text: &str) -> String {
        let own = |name: &str| self.0.get(name).and_then(Value::as_str).unwrap_or_default();
        let put = self.0.get("put").and_then(Value::as_str).unwrap_or(own("one"));
        let collection = own("key").rsplit_once('/').map_or("", |(before, _)| before);
        let mut text = text.to_owned();
        for (sign, value) in [
            ("{one}", own("one")),
            ("{all}", own("all")),
            ("{put}", put),
            ("{key}", own("key")),
            ("{collection}", collection),
            ("{kind}", own("kind")),
            ("{why}", own("why")),
            ("{64}", &"a".repeat(64)),
            ("{65}", &"a".repeat(65)),
            ("<cert>", CERT),
            ("<key>", KEY),
        ] {
            text = text.replace(sign, value);
        }
        text
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(sign) => match sign.as_str() {
                "<good>" => self.value(&self.0["good"]),
                "<bad>" => self.value(&self.0["bad"]),
                "<change>" => self.value(&self.0["change"]),
                "<value>" => self.stored(),
                text => self.text(text).into(),
            },
            Value::Array(list) => list.iter().map(|value| self.value(value)).collect(),
            Value::Object(map) => {
                let only = map.iter().next().filter(|_| map.len() == 1);
                if let Some((sign @ ("<good>" | "<value>" | "<change>"), more)) =
                    only.map(|(sign, more)| (sign.as_str(), more))
                {
                    let mut all = self.value(&sign.into());
                    let more = self.value(more);
                    let more = more.as_object().unwrap().clone();
                    all.as_object_mut().unwrap().extend(more);
                    return all;
                }
                let pair = |(name, value): (&String, &Value)| (name.clone(), self.value(value));
                Value::Object(map.iter().map(pair).collect())
            }
            other => other.clone(),
        }
    }

    fn stored(&self) -> Value {
        let mut value = self.value(&self.0["good"]);
        let map = value.as_object_mut().unwrap();
        for hidden in self.0["hides"].as_array().into_iter().flatten() {
            map.remove(hidden.as_str().unwrap());
        }
        map.extend(self.0["adds"].as_object().cloned().unwrap_or_default());
        if !self.0["is"].as_array().unwrap().contains(&"timeless".into()) {
            map.insert("create_time".into(), "<number>".into());
            map.insert("update_time".into(), "<number>".into());
        }
        value
    }
}

impl Case {
    /// Whether a request of the case has this word, such as the name of a plugin, so that a gateway
    /// without it can leave the case out.
    #[must_use]
    pub fn speaks_of(&self, word: &str) -> bool {
        let has = |ask: &Ask| ask.path.contains(word) || ask.body.contains(word);
        self.given.iter().any(has) || has(&self.ask)
    }

    /// Sends what the case says.
    ///
    /// # Errors
    ///
    /// How the answer differs from what it must be.
    pub fn run(&self, send: &mut dyn FnMut(&Ask) -> Got) -> Result<(), String> {
        for step in &self.given {
            let got = send(step);
            if got.status >= 300 {
                return Err(format!("{} {}: {} {}", step.method, step.path, got.status, got.body));
            }
        }
        let got = send(&self.ask);
        self.compare(&got).map_err(|why| format!("{why}\nanswer: {} {}", got.status, got.body))
    }

    fn compare(&self, got: &Got) -> Result<(), String> {
        if got.status != self.status {
            return Err(format!("the status is not {}", self.status));
        }
        let field = |name: &str| got.fields.iter().find(|(known, _)| known == name);
        for (name, expected) in &self.fields {
            if field(name).map(|(_, value)| value.as_str()) != expected.as_str() {
                return Err(format!("{name} is {:?}, not {expected}", field(name)));
            }
        }
        if let Some(text) = &self.text
            && *text != got.body
        {
            return Err(format!("the body is not {text:?}"));
        }
        if let Some(page) = &self.page
            && !got.body.contains(page)
        {
            return Err(format!("{page:?} is not on the page"));
        }
        let Some(answer) = &self.answer else { return Ok(()) };
        let body = serde_json::from_str(&got.body).map_err(|error| error.to_string())?;
        fits(answer, &body).map_err(|at| format!("it differs at {at}, expected: {answer}"))
    }
}

/// Whether `found` is what `wanted` says; where not, otherwise.
fn fits(wanted: &Value, found: &Value) -> Result<(), String> {
    let all = |ok: bool, at: &str| if ok { Ok(()) } else { Err(at.to_owned()) };
    match (wanted, found) {
        (Value::String(sign), found) if sign == "<number>" => all(found.is_number(), "<number>"),
        (Value::String(sign), Value::String(text)) => {
            if let Some(start) = sign.strip_prefix("<starts>") {
                return all(text.starts_with(start), start);
            }
            let Some(start) = sign.strip_prefix("<id>") else { return all(sign == text, sign) };
            let digits = text.strip_prefix(start).unwrap_or_default();
            all(digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()), sign)
        }
        (Value::Array(wanted), Value::Array(found)) => {
            all(wanted.len() == found.len(), "the length of a list")?;
            wanted.iter().zip(found).try_for_each(|(wanted, found)| fits(wanted, found))
        }
        (Value::Object(wanted), Value::Object(found)) => {
            let open = wanted.contains_key("...");
            for (name, wanted) in wanted.iter().filter(|(name, _)| *name != "...") {
                let found = found.get(name).ok_or_else(|| format!("{name}: missing"))?;
                fits(wanted, found).map_err(|at| format!("{name}: {at}"))?;
            }
            let more = found.keys().find(|name| !open && !wanted.contains_key(*name));
            more.map_or(Ok(()), |name| Err(format!("{name}: too much")))
        }
        (wanted, found) => all(wanted == found, &wanted.to_string()),
    }
}
