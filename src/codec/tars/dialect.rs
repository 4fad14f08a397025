//! HTTP with JSON to calls, and answers back.

use std::rc::Rc;

use serde_json::Value;

use super::{
    super::{
        Answer, Arguments, Broken, Call as CallTrait, Dialect as DialectTrait, Framing, Input,
        Refusal, registry::Source,
    },
    idl::{self, Function, Interface, Record, Schema},
    json::{Decoder, Encoder, Fail},
    options::{OneWay, Options, Unwrap},
    outcome,
    packet::{
        PACKET_BYTES_MAX, Packets, PairList, Prepared, Response, Version, message_type, tail,
    },
    tup,
    wire::{Fault, Reader},
};

/// Room in a packet for all but the arguments.
const PACKET_HEAD_BYTES: usize = 4096;

/// Names of metadata that begin so travel in a call's status instead of its context.
const STATUS_PREFIX: &str = "STATUS_";

/// TARS with the options and the description of one plugin conf.
pub struct Dialect {
    shared: Rc<Shared>,
}

struct Shared {
    options: Options,
    schema: Schema,
}

impl Dialect {
    /// Reads `options`, an object, and `sources`, the files of a description.
    ///
    /// # Errors
    /// What is wrong with which option, or where in which file, a line each.
    pub fn new(options: &Value, sources: &[Source<'_>]) -> Result<Self, String> {
        let options = Options::read(options)?;
        let schema = Schema::compile(sources).map_err(|errors| idl::lines(&errors))?;
        if schema.interfaces.is_empty() && options.version != Version::Json {
            return Err("there is no interface, and only mode json needs none".to_owned());
        }
        let shared = Shared { options, schema };
        let named = shared.options.servants.values().chain(&shared.options.interface);
        for name in named {
            if shared.schema.interface(name).is_none() {
                return Err(shared.no_interface(name));
            }
        }
        if let Unwrap::Named(name) = &shared.options.unwrap {
            let all = shared.schema.interfaces.iter().flat_map(|found| found.functions.values());
            let known = |function: &Rc<Function>| function.output.find(name, 0).is_some();
            if shared.options.version != Version::Json && !all.into_iter().any(known) {
                return Err(format!("option unwrap: no function has a result {name:?}"));
            }
        }
        Ok(Dialect { shared: Rc::new(shared) })
    }

    fn refuse(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }
}

impl Shared {
    fn no_interface(&self, name: &str) -> String {
        let known = self.schema.interfaces.iter().map(|known| known.name.as_str());
        let known: Vec<&str> = known.take(20).collect();
        format!("there is no interface {name:?} among {}", known.join(", "))
    }

    /// The servant that a request is for, and the interface that was configured for it.
    fn servant(&self, asked: Option<&str>) -> Result<(Rc<str>, Option<&str>), Refusal> {
        let options = &self.options;
        let Some(name) = asked else {
            let Some(servant) = &options.servant else {
                return Err(Dialect::refuse(404, "the request names no servant"));
            };
            let own = options.servants.get(&**servant);
            return Ok((Rc::clone(servant), own.map(String::as_str)));
        };
        let own = options.servants.get(name).map(String::as_str);
        let fixed = options.servant.as_deref();
        let open = options.servants.is_empty() && fixed.is_none();
        if own.is_none() && fixed != Some(name) && !open || name.len() > 255 {
            return Err(Dialect::refuse(404, "there is no such servant"));
        }
        Ok((name.into(), own))
    }

    /// The interface called `own`, or the configured one, or the only one there is.
    fn interface(&self, own: Option<&str>) -> Option<&Interface> {
        match own.or(self.options.interface.as_deref()) {
            Some(name) => self.schema.interface(name),
            None => match self.schema.interfaces.as_slice() {
                [only] => Some(only),
                _ => None,
            },
        }
    }

    /// The function's description; `None` if there is none and the mode needs none.
    fn function(&self, own: Option<&str>, name: &str) -> Result<Option<Rc<Function>>, Refusal> {
        let Some(interface) = self.interface(own) else {
            return match self.options.version {
                Version::Json => Ok(None),
                _ => Err(Dialect::refuse(404, "no interface is configured for this servant")),
            };
        };
        match interface.functions.get(name) {
            Some(function) => Ok(Some(Rc::clone(function))),
            None => {
                let shown: String = name.chars().take(64).collect();
                let message = format!("{} has no function {shown:?}", interface.name);
                Err(Dialect::refuse(404, message))
            }
        }
    }

    fn arguments(
        &self,
        arguments: Arguments<'_>,
        function: Option<&Function>,
    ) -> Result<Vec<u8>, Fail> {
        let function = match (self.options.version, function) {
            (Version::Json, function) => return super::plain::arguments(arguments, function),
            (_, Some(function)) => function,
            (_, None) => return Err(Fail::from(Fault::Missing)),
        };
        let encoder = Encoder::new(&self.schema, &self.options.style);
        let record = &function.input;
        let items = match arguments {
            Arguments::Json(text) => encoder.object(text, record)?,
            Arguments::Pairs(pairs) => encoder.pairs(pairs, record)?,
        };
        Ok(match self.options.version {
            Version::TupSimple => tup::pack(&items, record, None)?,
            Version::TupComplex => tup::pack(&items, record, Some(&self.schema))?,
            _ => items,
        })
    }

    /// What stands behind the arguments, and the bits that go with it.
    fn tail(&self, input: &Input<'_>) -> (Vec<u8>, i32) {
        let timeout = input.timeout.as_millis().try_into().unwrap_or(u32::MAX);
        let timeout = self.options.timeout_ms.map_or(timeout, |own| own.min(timeout)).max(1);
        let timeout = i32::try_from(timeout).unwrap_or(i32::MAX);
        let sent = |name: &str| input.metadata.iter().any(|(given, _)| *given == name);
        let fixed = self.options.context.iter().filter(|(name, _)| !sent(name));
        let fixed = fixed.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let given = input.metadata.iter().map(|(name, value)| (name.as_bytes(), *value));
        let (status, context): (Vec<_>, Vec<_>) =
            fixed.chain(given).partition(|(name, _)| name.starts_with(STATUS_PREFIX.as_bytes()));
        let pairs: (&PairList<'_>, &PairList<'_>) = (&context, &status);
        (tail(timeout, pairs.0, pairs.1), message_type(pairs.1))
    }
}

impl DialectTrait for Dialect {
    fn framing(&self) -> &'static dyn Framing {
        &Packets
    }

    fn call(&self, input: &Input<'_>) -> Result<Rc<dyn CallTrait>, Refusal> {
        let shared = &self.shared;
        let (servant, own) = shared.servant(input.service)?;
        let name = input.function.or(shared.options.function.as_deref());
        let name = name.ok_or_else(|| Self::refuse(404, "the request names no function"))?;
        let function = shared.function(own, name)?;
        let body = shared
            .arguments(input.arguments, function.as_deref())
            .map_err(|fail| Self::refuse(400, fail.to_string()))?;
        let (tail, message_type) = shared.tail(input);
        if body.len() + tail.len() > PACKET_BYTES_MAX - PACKET_HEAD_BYTES {
            return Err(Self::refuse(413, "the arguments are too large for a TARS packet"));
        }
        let one_way = match &shared.options.one_way {
            OneWay::None => false,
            OneWay::All => true,
            OneWay::Some(names) => names.contains(name),
        };
        let packet = Prepared {
            version: shared.options.version,
            one_way,
            message_type,
            servant,
            function: function.as_ref().map_or_else(|| name.into(), |f| Rc::clone(&f.name)),
            body,
            tail,
        };
        Ok(Rc::new(Call { shared: Rc::clone(shared), function, packet }))
    }
}

struct Call {
    shared: Rc<Shared>,
    function: Option<Rc<Function>>,
    packet: Prepared,
}

impl CallTrait for Call {
    fn write(&self, id: u32, out: &mut Vec<u8>) {
        self.packet.write(id, out);
    }

    fn one_way(&self) -> bool {
        self.packet.one_way
    }

    fn answer(&self, frame: Option<&[u8]>) -> Result<Answer, Broken> {
        let Some(frame) = frame else {
            return Ok(Answer { status: 202, headers: Vec::new(), body: Vec::new() });
        };
        let response = Response::read(frame)?;
        let mut answer = if response.ret == 0 {
            self.results(&response)?
        } else {
            failure(&response, &self.shared.options)
        };
        for (name, header) in &self.shared.options.headers {
            let context = response.context.as_ref().and_then(|pairs| pairs.get(name.as_bytes()));
            let value = context.or_else(|| response.status.get(name.as_bytes()));
            // What could end the field early is left out.
            if let Some(value) = value.filter(|value| value.iter().all(|byte| is_visible(*byte))) {
                answer.headers.push((header.clone(), value.to_vec()));
            }
        }
        Ok(answer)
    }
}

fn is_visible(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

fn json_header() -> (String, Vec<u8>) {
    ("Content-Type".to_owned(), b"application/json".to_vec())
}

/// The answer for a code of the framework.
fn failure(response: &Response<'_>, options: &Options) -> Answer {
    let ret = response.ret;
    let text = String::from_utf8_lossy(response.text.unwrap_or_default());
    let message = if text.is_empty() { outcome::meaning(ret) } else { &*text };
    let body = serde_json::json!({ "tars_code": ret, "message": message }).to_string();
    let ret = ret.to_string().into_bytes();
    let mut headers = vec![json_header(), ("X-Tars-Ret".to_owned(), ret)];
    if response.ret == -9 {
        headers.push(("Retry-After".to_owned(), b"1".to_vec()));
    }
    let status = outcome::status(response.ret, options);
    Answer { status, headers, body: body.into_bytes() }
}

impl Call {
    /// The answer of a function that ran.
    fn results(&self, response: &Response<'_>) -> Result<Answer, Broken> {
        let options = &self.shared.options;
        let made = match (&self.function, options.version) {
            (_, Version::Json) => super::plain::results(response.body, &options.unwrap),
            (Some(function), _) => self.typed(response, &function.output),
            (None, _) => Err(Fault::Missing.into()),
        };
        let (body, ret) =
            made.map_err(|fail| Broken(format!("the answer cannot be read: {fail}")))?;
        let status = ret.and_then(|ret| options.ret_statuses.get(&ret)).copied().unwrap_or(200);
        Ok(Answer { status, headers: vec![json_header()], body })
    }

    /// JSON of the results, and the return value if it is an integer.
    fn typed(
        &self,
        response: &Response<'_>,
        record: &Record,
    ) -> Result<(Vec<u8>, Option<i64>), Fail> {
        let Shared { options, schema } = &*self.shared;
        let mut decoder = Decoder::new(schema, &options.style, response.body.len());
        let mut reader = Reader::new(response.body);
        let only = match &options.unwrap {
            Unwrap::No => None,
            Unwrap::Only => (record.fields.len() == 1).then_some(0),
            Unwrap::Named(name) => record.find(name, 0),
        };
        let ret = if options.version == Version::Tars {
            let ret = integer(reader.clone());
            match only.and_then(|at| record.fields.get(at)) {
                Some(field) => decoder.only(&mut reader, field.tag, field)?,
                None => decoder.object(&mut reader, record)?,
            }
            ret
        } else {
            let items = tup::unpack(response.body, record)?;
            match only.and_then(|at| Some((record.fields.get(at)?, items.get(at)?))) {
                Some((field, item)) => {
                    decoder.only(&mut Reader::new(item.unwrap_or_default()), 0, field)?;
                }
                None => decoder.named(&items, record)?,
            }
            items.first().copied().flatten().and_then(|item| integer(Reader::new(item)))
        };
        let has_ret = record.fields.first().is_some_and(|field| field.name == idl::RETURN);
        Ok((decoder.finish(), ret.filter(|_| has_ret)))
    }
}

/// The integer with tag 0, if there is one.
fn integer(mut reader: Reader<'_>) -> Option<i64> {
    let kind = reader.find(0).ok()??;
    reader.integer(kind, super::wire::Width::Eight).ok()
}
