//! The options of a dialect, from JSON.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    json::{Bytes, Charset, Int64, Style},
    packet::Version,
};

/// Header fields that say where an answer ends, or what it is: only the gateway knows.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What one plugin conf asks for.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) version: Version,
    /// The servant of requests that name none, and the only one if `servants` is empty.
    pub(super) servant: Option<Rc<str>>,
    /// Interfaces of the servants that requests may name.
    pub(super) servants: HashMap<String, String>,
    /// The interface of servants that have none of their own.
    pub(super) interface: Option<String>,
    /// The function of requests that name none.
    pub(super) function: Option<String>,
    /// Milliseconds; the caller's own patience also bounds it.
    pub(super) timeout_ms: Option<u32>,
    pub(super) style: Style,
    /// HTTP status by the framework's code.
    pub(super) statuses: HashMap<i32, u16>,
    /// HTTP status by what the function returned.
    pub(super) ret_statuses: HashMap<i64, u16>,
    pub(super) one_way: OneWay,
    pub(super) unwrap: Unwrap,
    /// Names in the answer's context, and the header fields they become.
    pub(super) headers: Vec<(String, String)>,
    /// Sent with every call.
    pub(super) context: Vec<(String, String)>,
}

/// Which calls want no answer.
#[derive(Debug)]
pub(super) enum OneWay {
    None,
    All,
    Some(HashSet<String>),
}

/// Whether one of the results is the whole body.
#[derive(Debug)]
pub(super) enum Unwrap {
    /// An object with all results.
    No,
    /// The result alone, if there is only one.
    Only,
    /// This result.
    Named(String),
}

impl Options {
    /// Reads an object.
    ///
    /// # Errors
    /// What is wrong with which option.
    pub(super) fn read(options: &Value) -> Result<Self, String> {
        let mut read = Options {
            version: Version::Tars,
            servant: None,
            servants: HashMap::new(),
            interface: None,
            function: None,
            timeout_ms: None,
            style: Style::default(),
            statuses: HashMap::new(),
            ret_statuses: HashMap::new(),
            one_way: OneWay::None,
            unwrap: Unwrap::No,
            headers: Vec::new(),
            context: Vec::new(),
        };
        match options {
            Value::Object(options) => {
                for (name, value) in options {
                    read.set(name, value).map_err(|error| format!("option {name}: {error}"))?;
                }
            }
            Value::Null => {}
            // An empty Lua table.
            Value::Array(options) if options.is_empty() => {}
            _ => return Err("the options are no object".to_owned()),
        }
        Ok(read)
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), String> {
        match name {
            "mode" => {
                self.version = choose(
                    value,
                    &[
                        ("tars", Version::Tars),
                        ("tup", Version::TupSimple),
                        ("tup2", Version::TupComplex),
                        ("json", Version::Json),
                    ],
                )?;
            }
            "servant" => self.servant = Some(text(value)?.into()),
            "servants" => self.servants = table(value)?.into_iter().collect(),
            "interface" => self.interface = Some(text(value)?),
            "function" => self.function = Some(text(value)?),
            "timeout" => {
                let timeout: u32 = plain(value)?;
                if timeout == 0 {
                    return Err("expected milliseconds, got 0".to_owned());
                }
                self.timeout_ms = Some(timeout);
            }
            "status_map" => self.statuses = statuses(value)?,
            "ret_to_status" => self.ret_statuses = statuses(value)?,
            "oneway" => {
                self.one_way = match value {
                    Value::Bool(false) => OneWay::None,
                    Value::Bool(true) => OneWay::All,
                    value => OneWay::Some(plain(value)?),
                }
            }
            "unwrap" => {
                self.unwrap = match value {
                    Value::Bool(false) => Unwrap::No,
                    Value::Bool(true) => Unwrap::Only,
                    value => Unwrap::Named(text(value)?),
                }
            }
            "response_headers" => self.headers = headers(value)?,
            "context" => self.context = table(value)?,
            _ => return self.set_style(name, value),
        }
        Ok(())
    }

    fn set_style(&mut self, name: &str, value: &Value) -> Result<(), String> {
        let style = &mut self.style;
        match name {
            "int64_as_string" => {
                style.int64 = choose(
                    value,
                    &[("auto", Int64::Auto), ("always", Int64::Always), ("never", Int64::Never)],
                )?;
            }
            "bytes" => {
                let known = [("base64", Bytes::Base64), ("array", Bytes::Array)];
                style.bytes = choose(value, &known)?;
            }
            "enums" => style.enum_names = choose(value, &[("number", false), ("name", true)])?,
            "unknown_fields" => {
                style.reject_unknown = choose(value, &[("ignore", false), ("reject", true)])?;
            }
            "charset" => {
                let known = [("utf-8", Charset::Utf8), ("gbk", Charset::Gbk)];
                style.charset = choose(value, &known)?;
            }
            "invalid_text" => {
                style.replace_invalid = choose(value, &[("reject", false), ("replace", true)])?;
            }
            _ => return Err("there is no such option".to_owned()),
        }
        Ok(())
    }
}

fn plain<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string())
}

fn text(value: &Value) -> Result<String, String> {
    let text: String = plain(value)?;
    if text.is_empty() || text.len() > 255 {
        return Err("expected 1 to 255 characters".to_owned());
    }
    Ok(text)
}

fn choose<T: Copy>(value: &Value, known: &[(&str, T)]) -> Result<T, String> {
    let text = value.as_str().map(str::to_ascii_lowercase);
    let found = known.iter().find(|(name, _)| text.as_deref() == Some(*name));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("expected {}, got {value}", names.join(", "))
    })
}

/// An object of strings; an empty array is what an empty Lua table may come as.
fn table(value: &Value) -> Result<Vec<(String, String)>, String> {
    let Value::Object(members) = value else {
        return match value {
            Value::Array(items) if items.is_empty() => Ok(Vec::new()),
            value => Err(format!("expected an object of strings, got {value}")),
        };
    };
    let pairs = members.iter().map(|(name, value)| match value.as_str() {
        Some(value) => Ok((name.clone(), value.to_owned())),
        None => Err(format!("{name}: expected a string, got {value}")),
    });
    pairs.collect()
}

fn statuses<N>(value: &Value) -> Result<HashMap<N, u16>, String>
where
    N: std::str::FromStr + std::hash::Hash + Eq,
{
    let members = match value {
        Value::Object(members) => members,
        Value::Array(items) if items.is_empty() => return Ok(HashMap::new()),
        value => return Err(format!("expected an object, got {value}")),
    };
    let pairs = members.iter().map(|(code, status)| {
        let number = code.parse().map_err(|_| format!("{code} is no integer that fits"))?;
        match status.as_u64() {
            Some(status @ 200..=599) => Ok((number, status as u16)),
            _ => Err(format!("{code}: expected a status from 200 to 599, got {status}")),
        }
    });
    pairs.collect()
}

/// Names of an answer's context, as a list, or with the names of their header fields.
fn headers(value: &Value) -> Result<Vec<(String, String)>, String> {
    let pairs = match value {
        Value::Array(_) => {
            let names: Vec<String> = plain(value)?;
            names.into_iter().map(|name| (name.clone(), name)).collect()
        }
        value => table(value)?,
    };
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    for (_, name) in &pairs {
        if name.is_empty() || !name.chars().all(token) {
            return Err(format!("{name:?} is no name of a header field"));
        }
        if FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
            return Err(format!("{name:?} cannot come from a server"));
        }
    }
    Ok(pairs)
}
