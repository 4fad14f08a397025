//! `moongate health`: whether the running gateway is ready, for a container's HEALTHCHECK.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    config::{env, local},
    control::Options,
};

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/status/ready` on the configured status port.
///
/// # Errors
///
/// What the gateway answered instead of 200, or why it did not.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let path = options.config_path();
    let loaded = if path.exists() || options.config.is_some() {
        local::load(&path, &env::process)
    } else {
        local::parse("", "(built-in defaults)", &env::process)
    };
    let problems = |list: Vec<crate::config::Problem>| {
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let (ip, port) = loaded.map_err(problems)?.local.status;
    ready(SocketAddr::new(reachable(ip), port))
}

/// An address to connect to for one that is listened on.
pub(super) fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn ready(addr: SocketAddr) -> Result<(), String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request =
            format!("GET /status/ready HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(64 << 10).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|error| format!("http://{addr}/status/ready: {error}"))?;
    if answer.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    Err(format!("not ready: {status} {}", body.trim()))
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn asked(answer: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let result = ready(addr);
        assert!(server.join().unwrap().starts_with("GET /status/ready HTTP/1.1\r\n"));
        result
    }

    #[test]
    fn only_200_is_healthy() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\n\r\n{}"), Ok(()));
        let error = asked("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"status\":\"error\"}\n");
        assert_eq!(
            error.unwrap_err(),
            "not ready: HTTP/1.1 503 Service Unavailable {\"status\":\"error\"}"
        );
        assert!(asked("").is_err());
    }

    #[test]
    fn nobody_listening_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        assert!(ready(addr).unwrap_err().contains("/status/ready: "));
    }

    #[test]
    fn all_addresses_are_reached_by_the_loopback() {
        assert_eq!(reachable([0, 0, 0, 0].into()), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(reachable([10, 0, 0, 1].into()), IpAddr::from([10, 0, 0, 1]));
    }
}
