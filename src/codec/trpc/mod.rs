//! tRPC (Tencent's): a multiplexed protocol with a protobuf head and bodies of several kinds.
//!
//! `frame` and `head` are the bytes on the wire, [`Dialect`] turns HTTP into calls and answers
//! into HTTP. In mode `passthrough` bodies stay the JSON they are, which needs no description
//! and a service that takes JSON. In mode `protobuf` a [`schema`] says how JSON becomes
//! protobuf ([`json`], [`pairs`]). Streams are not supported.

pub mod frame;
pub mod head;
pub mod json;
pub mod options;
pub mod pairs;
pub mod schema;
pub mod squeeze;
pub mod status;
#[cfg(test)]
mod tests;
mod wire;

use std::{rc::Rc, time::Duration};

use serde_json::Value;

use self::{
    frame::{Frame, Frames},
    head::{Request, Response},
    options::{ErrorBody, Mode, Options},
    schema::{Method, Schema},
};
use super::{Answer, Arguments, Broken, Call, Framing, Input, Refusal, registry};

/// `content_type` of protobuf bodies.
const PROTOBUF: u32 = 0;

/// `content_type` of JSON bodies.
const JSON: u32 = 2;

/// `call_type` of a call that gets no answer.
const ONE_WAY: u32 = 1;

/// The bit of `message_type` that marks a dyed call, and the metadata that comes with it.
const DYEING: u32 = 1;
const DYEING_KEY: &str = "trpc-dyeing-key";

/// Bytes of the `trpc-error-msg` field; the body has all of it.
const MESSAGE_BYTES_MAX: usize = 1024;

/// How tRPC is found among the protocols.
pub const PROTOCOL: registry::Protocol = registry::Protocol {
    name: "trpc",
    dialect: |options, sources| Ok(Rc::new(Dialect::new(options, sources)?)),
    suffix: ".proto",
    check: schema::check,
};

/// tRPC with options and, for mode `protobuf`, a description.
pub struct Dialect {
    shared: Rc<Shared>,
}

/// What all calls of a dialect look at.
struct Shared {
    options: Options,
    mode: Mode,
    schema: Option<Rc<Schema>>,
}

impl Dialect {
    /// Checks options and compiles the description, with which mode `protobuf` is the default.
    /// Mode `passthrough` uses one too, for aliases and to refuse functions that are not there.
    ///
    /// # Errors
    /// What is wrong with which option, or where in which file.
    pub fn new(options: &Value, sources: &[registry::Source<'_>]) -> Result<Self, String> {
        let options = Options::new(options)?;
        let schema = match sources {
            [] if options.mode == Some(Mode::Protobuf) => {
                return Err("mode: protobuf needs a description (.proto)".to_owned());
            }
            [] => None,
            sources => Some(Schema::shared(sources)?),
        };
        let described = if schema.is_some() { Mode::Protobuf } else { Mode::Passthrough };
        let mode = options.mode.unwrap_or(described);
        let shared = Shared { options, mode, schema };
        shared.check_names()?;
        Ok(Self { shared: Rc::new(shared) })
    }
}

impl Shared {
    /// What the options name must be in the description.
    fn check_names(&self) -> Result<(), String> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let services = schema.services();
        if services.is_empty() {
            return Err("the description has no service".to_owned());
        }
        let options = &self.options;
        if let Some(service) = options.proto_service.as_ref().or(options.service.as_ref())
            && !services.contains(&service.as_str())
        {
            return Err(format!(
                "the description has no service {service}, but {}",
                services.join(", ")
            ));
        }
        if let Some(function) = &options.function
            && (function.starts_with('/') || self.proto_service(None).is_some())
        {
            self.method(schema, None, function).map_err(|refusal| refusal.message)?;
        }
        Ok(())
    }

    /// The service in whose package a bare function is looked for.
    fn proto_service<'a>(&'a self, named: Option<&'a str>) -> Option<&'a str> {
        let options = &self.options;
        let own = options.proto_service.as_deref();
        own.or(named).or(options.service.as_deref()).or_else(|| {
            match self.schema.as_ref()?.services()[..] {
                [only] => Some(only),
                _ => None,
            }
        })
    }

    fn method<'a>(
        &self,
        schema: &'a Schema,
        service: Option<&str>,
        function: &str,
    ) -> Result<&'a Rc<Method>, Refusal> {
        let full = self.full_name(service, function)?;
        // An alias need not begin with a slash.
        let method = schema.method(&full).or_else(|| schema.method(function));
        let method = method.ok_or_else(|| refusal(404, format!("there is no function {full}")))?;
        if method.streaming {
            return Err(refusal(404, format!("{full} is called by streams, not supported here")));
        }
        Ok(method)
    }

    /// `/{service}/{function}`, unless the function says all.
    fn full_name(&self, service: Option<&str>, function: &str) -> Result<String, Refusal> {
        if function.starts_with('/') {
            return Ok(function.to_owned());
        }
        match self.proto_service(service) {
            Some(service) => Ok(format!("/{service}/{function}")),
            None => Err(refusal(404, format!("no service is named for function {function}"))),
        }
    }

    /// The string for the head, and the method, if there is a description.
    fn resolve(&self, input: &Input<'_>) -> Result<(String, Option<Rc<Method>>), Refusal> {
        let function = input.function.or(self.options.function.as_deref());
        let function = function.ok_or_else(|| refusal(404, "no function is named".to_owned()))?;
        for (what, name) in [("service", input.service), ("function", Some(function))] {
            if name.is_some_and(|name| !options::is_name(name)) {
                return Err(refusal(404, format!("this is no name of a {what}")));
            }
        }
        match &self.schema {
            None => Ok((self.full_name(input.service, function)?, None)),
            Some(schema) => {
                let method = self.method(schema, input.service, function)?;
                Ok((method.func.clone(), Some(Rc::clone(method))))
            }
        }
    }

    fn body(&self, arguments: Arguments<'_>, method: Option<&Method>) -> Result<Vec<u8>, Refusal> {
        let bad = |message: String| refusal(400, message);
        let message = match (self.mode, method) {
            (Mode::Protobuf, Some(method)) => &method.input,
            _ => {
                return Ok(match arguments {
                    Arguments::Json([]) => b"{}".to_vec(),
                    Arguments::Json(text) => text.to_vec(),
                    Arguments::Pairs(list) => pairs::untyped(list).to_string().into_bytes(),
                });
            }
        };
        let json = &self.options.json;
        match arguments {
            Arguments::Json([]) => json.encode(message, b"{}"),
            Arguments::Json(text) => json.encode(message, text),
            Arguments::Pairs(list) => pairs::typed(message, list)
                .and_then(|value| json.encode(message, value.to_string().as_bytes())),
        }
        .map_err(bad)
    }

    fn metadata(&self, metadata: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        let allowed = |name: &str| match &self.options.metadata {
            None => true,
            Some(names) => names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)),
        };
        let chosen = metadata.iter().filter(|(name, _)| allowed(name));
        chosen.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
    }

    /// Milliseconds for the head: what is less of the caller's and the option's, and not 0,
    /// which would mean no limit.
    fn timeout_ms(&self, timeout: Duration) -> u32 {
        let given = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        given.min(self.options.timeout_ms.unwrap_or(u32::MAX)).max(1)
    }
}

impl super::Dialect for Dialect {
    fn framing(&self) -> &'static dyn Framing {
        &Frames
    }

    fn call(&self, input: &Input<'_>) -> Result<Rc<dyn Call>, Refusal> {
        let shared = &self.shared;
        let (func, method) = shared.resolve(input)?;
        let body = shared.body(input.arguments, method.as_deref())?;
        let body = shared.options.compress.compress(body).map_err(|error| refusal(413, error))?;
        let service = input.service.or(shared.options.service.as_deref());
        let callee = service.or(method.as_ref().map(|method| method.service.as_str()));
        let unary = Unary {
            callee: callee.unwrap_or_else(|| service_of(&func)).to_owned(),
            timeout_ms: shared.timeout_ms(input.timeout),
            metadata: shared.metadata(input.metadata),
            shared: Rc::clone(shared),
            func,
            method,
            body,
        };
        // Any id may come, so the longest counts.
        let mut head = Vec::new();
        unary.head(u32::MAX).encode(&mut head);
        if head.len() > frame::HEAD_BYTES_MAX {
            let most = frame::HEAD_BYTES_MAX;
            return Err(refusal(431, format!("the metadata has more than {most} bytes")));
        }
        let total = frame::HEADER_BYTES + head.len() + unary.body.len();
        if total > shared.options.max_frame {
            let most = shared.options.max_frame;
            return Err(refusal(413, format!("the call has {total} bytes, {most} are allowed")));
        }
        Ok(Rc::new(unary))
    }
}

/// A call that is ready.
struct Unary {
    shared: Rc<Shared>,
    callee: String,
    func: String,
    /// There is one if there is a description.
    method: Option<Rc<Method>>,
    timeout_ms: u32,
    metadata: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Unary {
    fn content_type(&self) -> u32 {
        match self.shared.mode {
            Mode::Passthrough => JSON,
            Mode::Protobuf => PROTOBUF,
        }
    }

    fn head(&self, id: u32) -> Request<'_> {
        let options = &self.shared.options;
        let dyed = self.metadata.iter().any(|(name, _)| name == DYEING_KEY);
        Request {
            call_type: if options.oneway { ONE_WAY } else { 0 },
            request_id: id,
            timeout_ms: self.timeout_ms,
            caller: options.caller.as_bytes(),
            callee: self.callee.as_bytes(),
            func: self.func.as_bytes(),
            message_type: if dyed { DYEING } else { 0 },
            trans_info: self.metadata.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect(),
            content_type: self.content_type(),
            content_encoding: options.compress.encoding(),
            ..Request::default()
        }
    }

    /// The body of an answer as JSON.
    fn json(&self, head: &Response<'_>, body: &[u8]) -> Result<Vec<u8>, Broken> {
        let options = &self.shared.options;
        let body = squeeze::decompress(head.content_encoding, body, options.max_frame)?;
        let wanted = self.content_type();
        // Protobuf leaves out a zero, and a message of defaults has no bytes at all.
        if head.content_type != wanted && !body.is_empty() {
            return Err(Broken(format!(
                "the answer has content type {}, {wanted} was asked for",
                head.content_type
            )));
        }
        match (self.shared.mode, &self.method) {
            (Mode::Protobuf, Some(method)) => options.json.decode(&method.output, &body),
            _ => Ok(body),
        }
    }

    fn failed(&self, head: &Response<'_>, body: &[u8]) -> Result<Answer, Broken> {
        let options = &self.shared.options;
        let (code, status) = match head.ret {
            0 => (head.func_ret, options.business_status_map.get(head.func_ret).unwrap_or(200)),
            ret => {
                let mapped = options.status_map.get(ret);
                (ret, mapped.unwrap_or_else(|| status::of_framework(ret)))
            }
        };
        let text = String::from_utf8_lossy(head.error_msg);
        let body = if head.ret == 0 && !body.is_empty() {
            self.json(head, body)?
        } else if options.error_body == ErrorBody::Json {
            serde_json::json!({ "code": code, "message": text }).to_string().into_bytes()
        } else {
            Vec::new()
        };
        let mut headers = self.headers(head, !body.is_empty());
        for (name, code) in [("trpc-ret", head.ret), ("trpc-func-ret", head.func_ret)] {
            if code != 0 {
                headers.push((name.to_owned(), code.to_string().into_bytes()));
            }
        }
        if !head.error_msg.is_empty() {
            headers.push(("trpc-error-msg".to_owned(), one_line(&text)));
        }
        Ok(Answer { status, headers, body })
    }

    fn headers(&self, head: &Response<'_>, has_body: bool) -> Vec<(String, Vec<u8>)> {
        let mut headers = Vec::new();
        if has_body {
            headers.push(("Content-Type".to_owned(), b"application/json".to_vec()));
        }
        headers.push(("X-Content-Type-Options".to_owned(), b"nosniff".to_vec()));
        for (name, field) in &self.shared.options.response_headers {
            let values = head.trans_info.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            // A value that a header cannot carry is left out: half of it would be worse.
            for (_, value) in values.filter(|(_, value)| !value.iter().any(is_control)) {
                headers.push((field.clone(), value.to_vec()));
            }
        }
        headers
    }
}

impl Call for Unary {
    fn write(&self, id: u32, out: &mut Vec<u8>) {
        let mut head = Vec::new();
        self.head(id).encode(&mut head);
        Frame { id, version: frame::VERSION, head: &head, rest: &self.body }.write(out);
    }

    fn one_way(&self) -> bool {
        self.shared.options.oneway
    }

    fn answer(&self, frame: Option<&[u8]>) -> Result<Answer, Broken> {
        let Some(frame) = frame else {
            return match self.one_way() {
                true => Ok(Answer { status: 202, headers: Vec::new(), body: Vec::new() }),
                false => Err(Broken("there is no answer".to_owned())),
            };
        };
        let frame = Frame::parse(frame)?;
        let head = Response::decode(frame.head)?;
        let (body, _attachment) = frame.split(head.attachment_size)?;
        if (head.ret, head.func_ret) != (0, 0) {
            return self.failed(&head, body);
        }
        let body = self.json(&head, body)?;
        Ok(Answer { status: 200, headers: self.headers(&head, true), body })
    }
}

/// The service in `/{service}/{function}`.
fn service_of(func: &str) -> &str {
    func.strip_prefix('/').and_then(|func| func.split_once('/')).map_or("", |(name, _)| name)
}

fn is_control(byte: &u8) -> bool {
    *byte < 0x20 || *byte == 0x7f
}

/// Text for a header field: without control characters, and cut.
fn one_line(text: &str) -> Vec<u8> {
    let mut line = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + c.len_utf8() > MESSAGE_BYTES_MAX {
            break;
        }
        line.push(c);
    }
    line.trim().as_bytes().to_vec()
}

fn refusal(status: u16, message: String) -> Refusal {
    Refusal { status, message }
}
