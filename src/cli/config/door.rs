//! Who answers: the gateway that runs, or this command itself.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    config::provider::Provider,
    control::{self, Door, Options, Place},
    sys::platform,
};

/// Status and body of an answer.
pub(super) type Asked = (u16, Value);

/// How long the running gateway may take for an answer: large imports are checked object by object.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);

/// How long somebody else may take to have the store open: another process takes it over just now.
const MOVING: Duration = Duration::from_secs(10);

/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Asks for `path`, below moongate's own part of the Admin API.
///
/// # Errors
///
/// Nobody answers: why, and what helps.
pub(super) fn ask(
    options: &Options,
    place: &Place,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Result<Asked, String> {
    let target = format!("/apisix/admin/moongate/{path}");
    let owner = match place.provider {
        Provider::Embedded => control::store_owner(&options.prefix),
        // Whoever follows etcd hears of what is written to it.
        Provider::Etcd | Provider::File(_) => None,
    };
    let reads = !path.starts_with("import");
    if place.provider == Provider::Embedded && reads && owner.is_none() && !place.stored {
        let prefix = options.prefix.display();
        return Err(format!("nothing is stored below {prefix}/data; --prefix names another place"));
    }
    match owner {
        Some(pid) if !options.takeover => running(place, pid, (method, &target, &body)),
        owner => {
            let answer =
                Door::open(options, place).and_then(|door| door.ask(method, &target, body));
            if let Some(pid) = owner {
                // A reload opens the store again. If the process has ended meanwhile, all is well.
                let _ = platform::signal(pid, libc::SIGHUP);
            }
            let (status, body) = answer?;
            Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
        }
    }
}

fn running(place: &Place, pid: i32, request: (&str, &str, &[u8])) -> Result<Asked, String> {
    let help = "--takeover has it hand the store over to this command meanwhile";
    let Some(addr) = place.admin else {
        return Err(format!(
            "process {pid} has the store open, and its Admin API is off (apisix.enable_admin); {help}"
        ));
    };
    let addr = SocketAddr::new(super::super::health::reachable(addr.ip()), addr.port());
    let end = Instant::now() + MOVING;
    loop {
        let asked = over_http(addr, place.key.as_deref(), request);
        let (status, body) = asked.map_err(|error| {
            format!("process {pid} has the store open, but http://{addr}: {error}; {help}")
        })?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = answer.get("error_msg").and_then(Value::as_str).unwrap_or_default();
        if status == 503 && message == "handed over" && Instant::now() < end {
            thread::sleep(Duration::from_millis(100));
            continue;
        }
        return match status {
            401 => Err(format!(
                "http://{addr} refuses the key of config.yaml or data/admin.key: it was changed \
                 after process {pid} began, or another gateway listens there"
            )),
            403 => Err(format!("http://{addr} lets nobody in from here (allow_admin); {help}")),
            404 if answer.is_null() => {
                Err(format!("http://{addr} is not the Admin API of this moongate; {help}"))
            }
            status => Ok((status, answer)),
        };
    }
}

fn over_http(
    addr: SocketAddr,
    key: Option<&str>,
    (method, target, body): (&str, &str, &[u8]),
) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&addr, CONNECT)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let key = key.map(|key| format!("X-API-KEY: {key}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {addr}\r\n{key}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // What is refused early is answered before the body is read.
    let sent = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    let broken = |why: &str| std::io::Error::other(why.to_owned());
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        sent?;
        read?;
        return Err(broken("no answer"));
    };
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken("an answer without a status"))?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    if length.is_some_and(|length: usize| length != body.len()) {
        return Err(broken("the answer broke off"));
    }
    Ok((status, body))
}
