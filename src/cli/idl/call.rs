//! `moongate idl call`: one call over a connection of its own.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Map, Value};

use super::{
    super::process::{complain, say},
    files,
};
use crate::{
    clock,
    codec::{
        Answer, Arguments, Framing, Input,
        registry::{self, PROTOCOLS},
    },
};

/// Bytes of an answer.
const FRAME_BYTES_MAX: usize = 32 << 20;

/// The id of the only call; a protocol may keep 0 for frames that answer none.
const ID: u32 = 1;

/// A call of a function.
#[derive(Debug, Args)]
pub(in super::super) struct Call {
    /// Host and port of the server.
    address: String,
    /// The servant or service, such as App.Server.Obj.
    service: String,
    /// The function.
    function: String,
    /// The arguments as a JSON object; - reads them from standard input.
    #[arg(default_value = "{}")]
    json: String,
    /// The protocol; without it the one that the file of the interface is of, else tars.
    #[arg(long)]
    protocol: Option<String>,
    /// A file that describes the interface; what it includes is read, too.
    #[arg(short, long = "idl")]
    idl: Vec<PathBuf>,
    /// A folder with included files.
    #[arg(short = 'I', long = "include")]
    folders: Vec<PathBuf>,
    /// Options of the protocol, as in the plugin's conf: NAME=VALUE, where VALUE is JSON or text.
    #[arg(short, long = "option", value_parser = pair)]
    options: Vec<(String, String)>,
    /// What travels beside the arguments: NAME=VALUE.
    #[arg(short, long = "metadata", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Milliseconds until the call is given up.
    #[arg(short, long, default_value_t = 3000, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Also prints status and headers, to standard error.
    #[arg(short, long)]
    verbose: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Calls, and prints the answer's body.
///
/// # Errors
///
/// Why there is no answer, or which status the gateway would have made of it.
pub(super) fn run(call: &Call) -> Result<(), String> {
    let json = match call.json.as_str() {
        "-" => io::read_to_string(io::stdin()).map_err(|error| error.to_string())?,
        json => json.to_owned(),
    };
    let answer = exchange(call, &json)?;
    if call.verbose {
        complain(&format!("status {}", answer.status));
        for (name, value) in &answer.headers {
            complain(&format!("{name}: {}", String::from_utf8_lossy(value)));
        }
    }
    say(&String::from_utf8_lossy(&answer.body));
    match answer.status {
        200..=299 => Ok(()),
        status => Err(format!("the call failed with status {status}")),
    }
}

/// Makes the call of `json` and waits for its answer.
pub(super) fn exchange(call: &Call, json: &str) -> Result<Answer, String> {
    let of_file = || {
        let file = call.idl.first()?.to_str()?;
        PROTOCOLS.iter().find(|protocol| file.ends_with(protocol.suffix))
    };
    let protocol = match &call.protocol {
        Some(name) => registry::find(PROTOCOLS, name)?,
        None => of_file().map_or_else(|| registry::find(PROTOCOLS, "tars"), Ok)?,
    };
    let read = files::read(&call.idl, &call.folders)?;
    let options: Map<String, Value> = call
        .options
        .iter()
        .map(|(name, text)| {
            let value = serde_json::from_str(text);
            (name.clone(), value.unwrap_or_else(|_| Value::String(text.clone())))
        })
        .collect();
    let dialect = (protocol.dialect)(&Value::Object(options), &files::sources(&read))?;
    let metadata = call.metadata.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let metadata: Vec<(&str, &[u8])> = metadata.collect();
    let timeout = Duration::from_millis(call.timeout);
    let made = dialect
        .call(&Input {
            service: Some(&call.service),
            function: Some(&call.function),
            arguments: Arguments::Json(json.as_bytes()),
            metadata: &metadata,
            timeout,
        })
        .map_err(|refusal| refusal.to_string())?;
    let mut frame = Vec::new();
    made.write(ID, &mut frame);
    let deadline = clock::now() + timeout;
    let named = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("{}: no answer within {} ms", call.address, call.timeout)
        }
        _ => format!("{}: {error}", call.address),
    };
    let mut stream = connect(&call.address, deadline).map_err(named)?;
    stream.write_all(&frame).map_err(named)?;
    if made.one_way() {
        return made.answer(None).map_err(|broken| broken.to_string());
    }
    let frame = receive(&mut stream, dialect.framing(), deadline).map_err(named)?;
    made.answer(Some(&frame)).map_err(|broken| broken.to_string())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(clock::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Connects to the first of the host's addresses that takes it.
fn connect(address: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => {
                stream.set_write_timeout(Some(left(deadline)?))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads frames until the answer comes.
fn receive(
    stream: &mut TcpStream,
    framing: &dyn Framing,
    deadline: Instant,
) -> io::Result<Vec<u8>> {
    let broken = |broken: crate::codec::Broken| io::Error::new(ErrorKind::InvalidData, broken);
    let mut buffer = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        while let Some(length) = framing.length(&buffer, FRAME_BYTES_MAX).map_err(broken)? {
            if buffer.len() < length {
                break;
            }
            let rest = buffer.split_off(length);
            let frame = std::mem::replace(&mut buffer, rest);
            if framing.id(&frame).map_err(broken)? == Some(ID) {
                return Ok(frame);
            }
        }
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => buffer.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
}
