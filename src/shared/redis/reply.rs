//! What comes back: an answer of the server, or why there is none.

use std::{error, fmt, time::Duration};

use redis::{RedisError, Value};

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Nothing: no such key, or a condition that did not hold.
    Null,
    /// An integer.
    Int(i64),
    /// A string of any bytes.
    Bytes(Vec<u8>),
    /// Several answers.
    List(Vec<Reply>),
    /// An error inside of a list: what one command of several was answered.
    Error(String),
}

impl Reply {
    /// Takes over what the codec read.
    pub(super) fn from_value(value: Value) -> Self {
        let list =
            |values: Vec<Value>| Self::List(values.into_iter().map(Self::from_value).collect());
        match value {
            Value::Nil => Self::Null,
            Value::Int(number) => Self::Int(number),
            Value::BulkString(bytes) | Value::BigNumber(bytes) => Self::Bytes(bytes),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => {
                Self::Bytes(text.into_bytes())
            }
            Value::Okay => Self::Bytes(b"OK".to_vec()),
            Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
                list(values)
            }
            Value::Map(pairs) => {
                list(pairs.into_iter().flat_map(|(key, item)| [key, item]).collect())
            }
            Value::Attribute { data, .. } => Self::from_value(*data),
            Value::Double(number) => Self::Bytes(number.to_string().into_bytes()),
            Value::Boolean(truth) => Self::Int(i64::from(truth)),
            Value::ServerError(error) => Self::Error(text_of(error.code(), error.details())),
            _ => Self::Null,
        }
    }

    /// The answer of one command: an error of the server is an [`Error`].
    pub(super) fn of_one(value: Value) -> Result<Self, Error> {
        match value {
            Value::ServerError(error) => Err(Error::Server {
                code: error.code().to_owned(),
                detail: error.details().unwrap_or_default().to_owned(),
            }),
            value => Ok(Self::from_value(value)),
        }
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

fn text_of(code: &str, detail: Option<&str>) -> String {
    match detail {
        Some(detail) if !detail.is_empty() => format!("{code} {detail}"),
        _ => code.to_owned(),
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The time was over, this long; what was sent may have run.
    Timeout(Duration),
    /// Nothing was sent: the server cannot be reached; the text says why.
    Unavailable(String),
    /// The connection ended before the answer; what was sent may have run.
    Broken(String),
    /// Too many calls wait already; nothing was sent.
    Busy,
    /// The server refused.
    Server {
        /// Its first word, such as `OOM`.
        code: String,
        /// The rest.
        detail: String,
    },
    /// The command cannot be used here; nothing was sent.
    Invalid(String),
}

impl Error {
    /// Whether the server answered with this code.
    #[must_use]
    pub fn is_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Server { code, .. } if code == wanted)
    }

    /// An error of the connection itself.
    pub(super) fn of_link(error: &RedisError) -> Self {
        match error.code() {
            Some(code) => Self::Server {
                code: code.to_owned(),
                detail: error.detail().unwrap_or_default().to_owned(),
            },
            None => Self::Broken(error.to_string()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(after) => write!(f, "timeout: no answer within {} ms", after.as_millis()),
            Self::Unavailable(why) => f.write_str(why),
            Self::Broken(why) => write!(f, "connection lost: {why}"),
            Self::Busy => write!(f, "too many calls wait for Redis"),
            Self::Server { code, detail } => f.write_str(&text_of(code, Some(detail))),
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl error::Error for Error {}
