//! Packets: a length, then the members of a struct without its begin and end.
//!
//! A call is always a [`Request`]. An answer is a [`Response`], except that TUP servers answer
//! with the form of a request; [`Response::read`] takes both.

use super::{
    super::{Broken, Framing},
    wire::{Fault, Kind, Reader, Width, write_bytes, write_head, write_integer, write_string},
};

/// Bytes of a packet that are sent or taken, whatever is configured. The Go server refuses more.
pub const PACKET_BYTES_MAX: usize = 10 << 20;

/// Bytes of the length in front of a packet.
const LENGTH_BYTES: usize = 4;

/// Fewer bytes cannot even hold a head.
const PACKET_BYTES_MIN: usize = 5;

/// What the body of a packet is, by the number in its first member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Arguments as items; their tags are their positions.
    Tars = 1,
    /// A map from name to a map from class name to an item with tag 0.
    TupComplex = 2,
    /// A map from name to an item with tag 0.
    TupSimple = 3,
    /// A JSON object.
    Json = 5,
}

/// Names and values of a packet, checked to be whole.
#[derive(Debug, Clone, Default)]
pub struct Pairs<'a> {
    items: &'a [u8],
    count: usize,
}

impl<'a> Pairs<'a> {
    /// Reads a map of strings whose head was taken.
    fn read(reader: &mut Reader<'a>, kind: Kind) -> Result<Self, Fault> {
        if kind != Kind::Map {
            return Err(Fault::Kind { found: kind, wanted: "a map" });
        }
        let count = reader.count(2)?;
        let items = reader.rest();
        for _ in 0..count {
            string_pair(reader)?;
        }
        Ok(Pairs { items, count })
    }

    /// In the order of the packet.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut reader = Reader::new(self.items);
        // They were all read once already.
        (0..self.count).map_while(move |_| string_pair(&mut reader).ok())
    }

    /// The value of `name`; the last, if there are several.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value)
    }
}

fn string_pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Fault> {
    let kind = reader.need(0)?;
    let name = reader.string(kind)?;
    let kind = reader.need(1)?;
    Ok((name, reader.string(kind)?))
}

/// Appends a map of strings.
pub fn write_pairs<'a>(
    out: &mut Vec<u8>,
    tag: u8,
    pairs: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>,
) {
    write_head(out, tag, Kind::Map);
    write_integer(out, 0, pairs.len() as i64);
    for (name, value) in pairs {
        write_string(out, 0, name);
        write_string(out, 1, value);
    }
}

/// A call.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// See [`Version`]; others are kept as they are.
    pub version: i16,
    /// 0, or 1 for a call that wants no answer.
    pub packet_type: i8,
    /// Bits, see [`message_type`].
    pub message_type: i32,
    /// Finds the answer.
    pub id: i32,
    /// `App.Server.Obj`.
    pub servant: &'a [u8],
    /// The function's name.
    pub function: &'a [u8],
    /// The arguments.
    pub body: &'a [u8],
    /// Milliseconds after which the server need not begin any more.
    pub timeout: i32,
    /// Names and values for the function's code.
    pub context: Pairs<'a>,
    /// Names and values for the framework.
    pub status: Pairs<'a>,
}

impl<'a> Request<'a> {
    /// Reads a whole frame. Only what every peer writes must be there.
    ///
    /// # Errors
    /// The frame is no request.
    pub fn read(frame: &'a [u8]) -> Result<Self, Broken> {
        let read = || -> Result<Self, Fault> {
            let mut reader = Reader::new(frame.get(LENGTH_BYTES..).unwrap_or_default());
            let version = required(&mut reader, 1, Width::Two)?;
            let packet_type = optional(&mut reader, 2, Width::One)?;
            let message_type = optional(&mut reader, 3, Width::Four)?;
            let id = required(&mut reader, 4, Width::Four)?;
            let mut request = Request {
                version: version as i16,
                packet_type: packet_type as i8,
                message_type: message_type as i32,
                id: id as i32,
                servant: b"",
                function: b"",
                body: b"",
                timeout: 0,
                context: Pairs::default(),
                status: Pairs::default(),
            };
            let kind = reader.need(5)?;
            request.servant = reader.string(kind)?;
            let kind = reader.need(6)?;
            request.function = reader.string(kind)?;
            let kind = reader.need(7)?;
            request.body = reader.bytes(kind)?;
            request.timeout = optional(&mut reader, 8, Width::Four)? as i32;
            request.context = pairs(&mut reader, 9)?;
            request.status = pairs(&mut reader, 10)?;
            Ok(request)
        };
        read().map_err(|fault| Broken(format!("not a TARS request: {fault}")))
    }

    /// Appends the whole frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let context: Vec<_> = self.context.iter().collect();
        let status: Vec<_> = self.status.iter().collect();
        let start = self.write_head(out);
        write_bytes(out, 7, self.body);
        write_integer(out, 8, self.timeout.into());
        write_pairs(out, 9, context.into_iter());
        write_pairs(out, 10, status.into_iter());
        end_frame(out, start);
    }

    /// Appends the length, to be filled in by [`end_frame`], and the members before the body.
    fn write_head(&self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        write_integer(out, 1, self.version.into());
        write_integer(out, 2, self.packet_type.into());
        write_integer(out, 3, self.message_type.into());
        write_integer(out, 4, self.id.into());
        write_string(out, 5, self.servant);
        write_string(out, 6, self.function);
        start
    }
}

/// A call whose parts are owned, written once for each try.
#[derive(Debug)]
pub struct Prepared {
    /// What the body is.
    pub version: Version,
    /// Whether no answer is wanted.
    pub one_way: bool,
    /// Bits, see [`message_type`].
    pub message_type: i32,
    /// `App.Server.Obj`.
    pub servant: std::rc::Rc<str>,
    /// The function's name.
    pub function: std::rc::Rc<str>,
    /// The arguments.
    pub body: Vec<u8>,
    /// What follows the body: timeout, context, status, as items.
    pub tail: Vec<u8>,
}

impl Prepared {
    /// Appends the whole frame with `id`.
    pub fn write(&self, id: u32, out: &mut Vec<u8>) {
        out.reserve(self.body.len() + self.tail.len() + 128);
        let request = Request {
            version: self.version as i16,
            packet_type: self.one_way.into(),
            message_type: self.message_type,
            id: id.cast_signed(),
            servant: self.servant.as_bytes(),
            function: self.function.as_bytes(),
            body: b"",
            timeout: 0,
            context: Pairs::default(),
            status: Pairs::default(),
        };
        let start = request.write_head(out);
        write_bytes(out, 7, &self.body);
        out.extend_from_slice(&self.tail);
        end_frame(out, start);
    }
}

/// Names and values as they are written into a packet.
pub type PairList<'a> = [(&'a [u8], &'a [u8])];

/// The items behind the body of a request.
#[must_use]
pub fn tail(timeout_ms: i32, context: &PairList<'_>, status: &PairList<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    write_integer(&mut out, 8, timeout_ms.into());
    write_pairs(&mut out, 9, context.iter().copied());
    write_pairs(&mut out, 10, status.iter().copied());
    out
}

/// The bits of a request's message type that go with these keys of its status.
#[must_use]
pub fn message_type(status: &PairList<'_>) -> i32 {
    status.iter().fold(0, |bits, (name, _)| {
        bits | match *name {
            b"STATUS_GRID_KEY" => 0x2,
            b"STATUS_DYED_KEY" => 0x4,
            b"STATUS_SETNAME_VALUE" => 0x80,
            b"STATUS_TRACE_KEY" => 0x100,
            _ => 0,
        }
    })
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response<'a> {
    /// See [`Version`]; others are kept as they are.
    pub version: i16,
    /// 0 for all that is known.
    pub packet_type: i8,
    /// The id of the call; 0 for a push.
    pub id: i32,
    /// Bits.
    pub message_type: i32,
    /// What became of the call: 0, or a code of the framework or of the function's choosing.
    pub ret: i32,
    /// The results.
    pub body: &'a [u8],
    /// Names and values of the framework.
    pub status: Pairs<'a>,
    /// Goes with `ret`. `None` if the peer left it out.
    pub text: Option<&'a [u8]>,
    /// Names and values of the function's code. `None` if the peer left it out.
    pub context: Option<Pairs<'a>>,
    /// Servant and function, repeated by TUP servers, with their timeout.
    pub tup: Option<(&'a [u8], &'a [u8], i32)>,
}

impl<'a> Response<'a> {
    /// Reads a whole frame.
    ///
    /// # Errors
    /// The frame is no answer.
    pub fn read(frame: &'a [u8]) -> Result<Self, Broken> {
        let data = frame.get(LENGTH_BYTES..).unwrap_or_default();
        Self::read_members(data).map_err(|fault| Broken(format!("not a TARS answer: {fault}")))
    }

    fn read_members(data: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(data);
        let version = required(&mut reader, 1, Width::Two)? as i16;
        let packet_type = optional(&mut reader, 2, Width::One)? as i8;
        let third = optional(&mut reader, 3, Width::Four)? as i32;
        let fourth = optional(&mut reader, 4, Width::Four)? as i32;
        let fifth = reader.need(5)?;
        let mut response = Response {
            version,
            packet_type,
            id: third,
            message_type: fourth,
            ret: 0,
            body: b"",
            status: Pairs::default(),
            text: None,
            context: None,
            tup: None,
        };
        if matches!(fifth, Kind::String1 | Kind::String4) {
            (response.id, response.message_type) = (fourth, third);
            response.read_tup(fifth, &mut reader)?;
            return Ok(response);
        }
        response.ret = reader.integer(fifth, Width::Four)? as i32;
        if let Some(kind) = reader.find(6)? {
            response.body = reader.bytes(kind)?;
        }
        response.status = pairs(&mut reader, 7)?;
        if let Some(kind) = reader.find(8)? {
            response.text = Some(reader.string(kind)?);
        }
        if let Some(kind) = reader.find(9)? {
            response.context = Some(Pairs::read(&mut reader, kind)?);
        }
        Ok(response)
    }

    /// The members of a TUP answer from the servant on.
    fn read_tup(&mut self, fifth: Kind, reader: &mut Reader<'a>) -> Result<(), Fault> {
        let servant = reader.string(fifth)?;
        let kind = reader.need(6)?;
        let function = reader.string(kind)?;
        let kind = reader.need(7)?;
        self.body = reader.bytes(kind)?;
        let timeout = optional(reader, 8, Width::Four)? as i32;
        self.context = Some(pairs(reader, 9)?);
        self.status = pairs(reader, 10)?;
        let code = self.status.get(b"STATUS_RESULT_CODE").unwrap_or(b"0");
        let code = str::from_utf8(code).ok().and_then(|code| code.trim().parse().ok());
        // A code that is no number says at least that the call failed.
        self.ret = code.unwrap_or(-99);
        self.text = self.status.get(b"STATUS_RESULT_DESC");
        self.tup = Some((servant, function, timeout));
        Ok(())
    }

    /// Appends the whole frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let status: Vec<_> = self.status.iter().collect();
        let context: Option<Vec<_>> = self.context.as_ref().map(|pairs| pairs.iter().collect());
        if let Some((servant, function, timeout)) = self.tup {
            let request = Request {
                version: self.version,
                packet_type: self.packet_type,
                message_type: self.message_type,
                id: self.id,
                servant,
                function,
                body: self.body,
                timeout,
                context: self.context.clone().unwrap_or_default(),
                status: self.status.clone(),
            };
            return request.write(out);
        }
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        write_integer(out, 1, self.version.into());
        write_integer(out, 2, self.packet_type.into());
        write_integer(out, 3, self.id.into());
        write_integer(out, 4, self.message_type.into());
        write_integer(out, 5, self.ret.into());
        write_bytes(out, 6, self.body);
        write_pairs(out, 7, status.into_iter());
        if let Some(text) = self.text {
            write_string(out, 8, text);
        }
        if let Some(context) = context {
            write_pairs(out, 9, context.into_iter());
        }
        end_frame(out, start);
    }
}

fn required(reader: &mut Reader<'_>, tag: u8, widest: Width) -> Result<i64, Fault> {
    let kind = reader.need(tag)?;
    reader.integer(kind, widest)
}

fn optional(reader: &mut Reader<'_>, tag: u8, widest: Width) -> Result<i64, Fault> {
    match reader.find(tag)? {
        Some(kind) => reader.integer(kind, widest),
        None => Ok(0),
    }
}

fn pairs<'a>(reader: &mut Reader<'a>, tag: u8) -> Result<Pairs<'a>, Fault> {
    match reader.find(tag)? {
        Some(kind) => Pairs::read(reader, kind),
        None => Ok(Pairs::default()),
    }
}

/// Fills in the length of the frame that began at `start`.
fn end_frame(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    if let Some(place) = out.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// How TARS packets follow each other on a connection.
#[derive(Debug, Clone, Copy)]
pub struct Packets;

impl Framing for Packets {
    fn name(&self) -> &'static str {
        "tars"
    }

    fn length(&self, head: &[u8], max: usize) -> Result<Option<usize>, Broken> {
        let Some(length) = head.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length < PACKET_BYTES_MIN {
            return Err(Broken(format!("a TARS packet of {length} bytes")));
        }
        let max = max.min(PACKET_BYTES_MAX);
        if length > max {
            return Err(Broken(format!("a TARS packet of {length} bytes, {max} are allowed")));
        }
        Ok(Some(length))
    }

    fn id(&self, frame: &[u8]) -> Result<Option<u32>, Broken> {
        let id = || -> Result<i32, Fault> {
            let mut reader = Reader::new(frame.get(LENGTH_BYTES..).unwrap_or_default());
            let third = optional(&mut reader, 3, Width::Four)? as i32;
            let fourth = optional(&mut reader, 4, Width::Four)? as i32;
            let fifth = reader.need(5)?;
            let tup = matches!(fifth, Kind::String1 | Kind::String4);
            Ok(if tup { fourth } else { third })
        };
        match id() {
            Ok(0) => Ok(None),
            Ok(id) => Ok(Some(id.cast_unsigned())),
            Err(fault) => Err(Broken(format!("not a TARS answer: {fault}"))),
        }
    }

    fn ping(&self, id: u32, out: &mut Vec<u8>) -> bool {
        // Every servant has this function. A server that looks for the servant first answers
        // that it has none such, which is an answer, too.
        let ping = Request {
            version: Version::Tars as i16,
            packet_type: 0,
            message_type: 0,
            id: id.cast_signed(),
            servant: b"moongate",
            function: b"tars_ping",
            body: b"",
            timeout: PING_TIMEOUT_MS,
            context: Pairs::default(),
            status: Pairs::default(),
        };
        ping.write(out);
        true
    }
}

/// Milliseconds after which a server need not answer a ping any more.
const PING_TIMEOUT_MS: i32 = 3000;
