//! The options of a dialect.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{frame, json::Json, squeeze::Compress, status::StatusMap};

/// Bytes of a frame that both sides take if nothing is said; also trpc-go's default.
const FRAME_BYTES: usize = 10 << 20;

/// The largest value of `max_frame`.
pub const FRAME_BYTES_MAX: usize = 256 << 20;

/// Bytes of a service, function or caller.
pub const NAME_BYTES_MAX: usize = 1024;

/// Options of `core.upstream.set_protocol(ctx, "trpc", options)`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The service that is called, if the request does not name one; also the default of
    /// `proto_service`.
    #[serde(default, deserialize_with = "name")]
    pub service: Option<String>,
    /// The function, if the request does not name one: a method's name, or, beginning with a
    /// slash, all that goes into the head.
    #[serde(default, deserialize_with = "name")]
    pub function: Option<String>,
    /// The service's name in the description, if it is not called by that name. It also
    /// stands before a service that a request names.
    #[serde(default, deserialize_with = "name")]
    pub proto_service: Option<String>,
    /// What becomes of the body; without it, `protobuf` if there is a description.
    pub mode: Option<Mode>,
    /// Who calls.
    #[serde(default = "caller", deserialize_with = "caller_name")]
    pub caller: String,
    /// Milliseconds a call may take at most, in the head too. Without it the route's timeout.
    pub timeout_ms: Option<u32>,
    /// How bodies of calls are compressed.
    #[serde(default)]
    pub compress: Compress,
    /// Statuses for framework codes, before the usual ones.
    #[serde(default)]
    pub status_map: StatusMap,
    /// Statuses for codes of the service; 200 without.
    #[serde(default)]
    pub business_status_map: StatusMap,
    /// Whether no answer is expected.
    #[serde(default)]
    pub oneway: bool,
    /// Bytes of a frame, and of a body after decompression.
    #[serde(default = "frame_bytes", deserialize_with = "frame_size")]
    pub max_frame: usize,
    /// Names of metadata that calls may carry; all without.
    pub metadata: Option<Vec<String>>,
    /// Names of metadata and the header fields of answers that they become: an object, or a
    /// list of names that are both.
    #[serde(default, deserialize_with = "fields")]
    pub response_headers: Vec<(String, String)>,
    /// The body of an answer that has a code and no body of its own.
    #[serde(default)]
    pub error_body: ErrorBody,
    /// How protobuf becomes JSON.
    #[serde(default)]
    pub json: Json,
}

/// What becomes of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The service takes JSON; bodies stay as they are.
    Passthrough,
    /// The service takes protobuf.
    Protobuf,
}

/// The body of an answer that has a code and no body of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorBody {
    /// `{"code":…,"message":…}`.
    #[default]
    Json,
    /// Nothing; the code is in the header fields only.
    Empty,
}

impl Options {
    /// Reads options.
    ///
    /// # Errors
    /// The option's path, and what is wrong with it.
    pub fn new(options: &serde_json::Value) -> Result<Self, String> {
        // An empty table of Lua's may arrive as a list.
        let empty = serde_json::Value::Object(serde_json::Map::new());
        let options = match options {
            serde_json::Value::Null => &empty,
            serde_json::Value::Array(list) if list.is_empty() => &empty,
            other => other,
        };
        serde_path_to_error::deserialize(options).map_err(|error| match error.path().iter().len() {
            0 => error.inner().to_string(),
            _ => format!("{}: {}", error.path(), error.inner()),
        })
    }
}

/// Whether `name` can be a service or a function: it has neither blanks nor control
/// characters.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(plain)
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let found = String::deserialize(from)?;
    if !is_name(&found) {
        return Err(D::Error::custom(format!("{found:?} is no name")));
    }
    Ok(Some(found))
}

fn caller_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(name(from)?.unwrap_or_else(caller))
}

fn caller() -> String {
    "trpc.gateway.moongate.http".to_owned()
}

fn frame_bytes() -> usize {
    FRAME_BYTES
}

fn frame_size<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let least = frame::HEADER_BYTES + frame::HEAD_BYTES_MAX;
    let size = usize::deserialize(from)?;
    if !(least..=FRAME_BYTES_MAX).contains(&size) {
        return Err(D::Error::custom(format!("{size} is not in {least}..{FRAME_BYTES_MAX}")));
    }
    Ok(size)
}

fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of names or an object of names")]
    enum Fields {
        Same(Vec<String>),
        Named(BTreeMap<String, String>),
    }
    let fields: Vec<(String, String)> = match Fields::deserialize(from)? {
        Fields::Same(names) => names.into_iter().map(|name| (name.clone(), name)).collect(),
        Fields::Named(names) => names.into_iter().collect(),
    };
    for (_, name) in &fields {
        check_field(name).map_err(D::Error::custom)?;
    }
    Ok(fields)
}

fn check_field(name: &str) -> Result<(), String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    // A server that could set these would decide where the answer ends.
    let framing = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is no name of a header field"));
    }
    if framing.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("{name:?} cannot come from a server"));
    }
    Ok(())
}
