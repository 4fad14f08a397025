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

#[cfg(test)]
mod tests {
    use std::{io::BufRead as _, io::BufReader, net::TcpListener, path::PathBuf};

    use super::*;
    use crate::config::local::Format;

    /// Asks somebody who answers so, one connection after the other.
    fn asked(answers: &'static [&'static str]) -> Result<Asked, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place {
            provider: Provider::Embedded,
            why: String::new(),
            admin: Some(listener.local_addr().unwrap()),
            key: Some("the-key".to_owned()),
            etcd_prefix: "/apisix".to_owned(),
            stored: true,
            file: PathBuf::new(),
            format: Format::Yaml,
        };
        let server = thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
                let head: Vec<String> =
                    head.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
                assert_eq!(head[0], "GET /apisix/admin/moongate/history HTTP/1.1");
                assert!(head.iter().any(|line| line == "X-API-KEY: the-key"), "{head:?}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let result = running(&place, 17, ("GET", "/apisix/admin/moongate/history", b""));
        server.join().unwrap();
        result
    }

    const MOVING: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 27\r\n\r\n{\"error_msg\":\"handed over\"}";
    const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn who_has_the_store_is_waited_for() {
        assert_eq!(asked(&[GOOD]).unwrap(), (200, serde_json::json!({})));
        assert_eq!(asked(&[MOVING, MOVING, GOOD]).unwrap().0, 200);
    }

    #[test]
    fn answers_that_are_none_are_told() {
        for (answer, why) in [
            ("", "no answer"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "the answer broke off"),
            ("nothing\r\n\r\n", "without a status"),
            ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}", "refuses the key"),
            ("HTTP/1.1 403 Forbidden\r\nContent-Length: 1\r\n\r\nx", "allow_admin"),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx", "not the Admin API"),
        ] {
            let answers: &'static [&'static str] = vec![answer].leak();
            let error = asked(answers).unwrap_err();
            assert!(error.contains(why) && error.contains("http://127.0.0.1"), "{error}");
        }
    }
}
