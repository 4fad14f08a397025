//! The smallest protocol that has all there is to a protocol, for tests: a length of four bytes,
//! an id of four bytes, text. The length counts itself. Id 0 is a push; a frame of eight bytes
//! is a ping, and its answer the same again.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::{
    Answer, Arguments, Broken, Call, Dialect, Framing, Input, Refusal,
    registry::{Protocol, Source},
};

/// The row of the registry.
pub(crate) const TEXT: Protocol =
    Protocol { name: "text", dialect, suffix: ".text", check: |source| read(source).map(drop) };

/// A frame as it goes over the wire.
pub(crate) fn frame(id: u32, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(id, text, &mut out);
    out
}

fn put(id: u32, text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(text.len() + 8).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(text);
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// How the frames are told apart.
pub(crate) struct TextFraming;

impl Framing for TextFraming {
    fn name(&self) -> &'static str {
        "text"
    }

    fn length(&self, head: &[u8], max: usize) -> Result<Option<usize>, Broken> {
        let Some(length) = word(head, 0) else { return Ok(None) };
        let length = length as usize;
        if length < 8 || length > max {
            return Err(Broken(format!("a length of {length}")));
        }
        Ok(Some(length))
    }

    fn id(&self, frame: &[u8]) -> Result<Option<u32>, Broken> {
        let id = word(frame, 4).ok_or_else(|| Broken("no id".to_owned()))?;
        Ok(Some(id).filter(|id| *id != 0))
    }

    fn ping(&self, id: u32, out: &mut Vec<u8>) -> bool {
        put(id, b"", out);
        true
    }
}

/// A call with this text; one that begins with `!` is one-way.
pub(crate) struct TextCall(pub(crate) Vec<u8>);

impl Call for TextCall {
    fn write(&self, id: u32, out: &mut Vec<u8>) {
        put(id, &self.0, out);
    }

    fn one_way(&self) -> bool {
        self.0.starts_with(b"!")
    }

    fn answer(&self, frame: Option<&[u8]>) -> Result<Answer, Broken> {
        let text = frame.map(|frame| frame.get(8..).unwrap_or_default());
        if text == Some(b"hostile") {
            return Err(Broken("hostile text".to_owned()));
        }
        Ok(Answer {
            status: if text.is_some() { 200 } else { 202 },
            headers: vec![("X-Text".to_owned(), b"yes".to_vec())],
            body: text.unwrap_or_default().to_vec(),
        })
    }
}

struct TextDialect {
    options: Map<String, Value>,
    functions: Vec<String>,
}

fn read(source: &Source<'_>) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(source.text).map_err(|error| error.to_string())?;
    match text.lines().position(|line| line.contains(' ')) {
        Some(at) => Err(format!("{}:{}:1: a space", source.name, at + 1)),
        None => Ok(text.lines().map(str::to_owned).collect()),
    }
}

/// Options go with each call as they are; a source has a function per line.
fn dialect(options: &Value, sources: &[Source<'_>]) -> Result<Rc<dyn Dialect>, String> {
    let Value::Object(options) = options else { return Err("options: no object".to_owned()) };
    if let Some(bad) = options.get("bad") {
        return Err(format!("bad: {bad} is never right"));
    }
    let functions = sources.iter().map(read).collect::<Result<Vec<_>, _>>()?.concat();
    Ok(Rc::new(TextDialect { options: options.clone(), functions }))
}

impl Dialect for TextDialect {
    fn framing(&self) -> &'static dyn Framing {
        &TextFraming
    }

    fn call(&self, input: &Input<'_>) -> Result<Rc<dyn Call>, Refusal> {
        let function = input.function.unwrap_or("-");
        if !self.functions.is_empty() && !self.functions.iter().any(|known| known == function) {
            return Err(Refusal { status: 404, message: format!("no function {function}") });
        }
        let arguments = match input.arguments {
            Arguments::Json(text) => String::from_utf8_lossy(text).into_owned(),
            Arguments::Pairs(pairs) => format!("{pairs:?}"),
        };
        if arguments.contains("refuse") {
            return Err(Refusal { status: 400, message: "a.b[1]: int expected".to_owned() });
        }
        let metadata: Vec<_> = input
            .metadata
            .iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
            .collect();
        let text = format!(
            "{} {function} {arguments} {metadata:?} {:?} {}",
            input.service.unwrap_or("-"),
            input.timeout,
            Value::Object(self.options.clone())
        );
        Ok(Rc::new(TextCall(text.into_bytes())))
    }
}
