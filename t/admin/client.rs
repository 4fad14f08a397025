//! Sends cases to a gateway over one HTTP connection.
#![allow(unreachable_pub)]

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::cases::{Ask, Got};

/// All collections that have objects of their own.
const COLLECTIONS: [&str; 12] = [
    "routes",
    "stream_routes",
    "services",
    "upstreams",
    "consumers",
    "consumer_groups",
    "plugin_configs",
    "global_rules",
    "plugin_metadata",
    "ssls",
    "protos",
    "secrets",
];

/// How long an answer may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, and the keys that cases have.
pub struct Client {
    stream: BufReader<TcpStream>,
    admin: String,
    viewer: String,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn connect(address: SocketAddr, admin: &str, viewer: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let (admin, viewer) = (admin.to_owned(), viewer.to_owned());
        Ok(Self { stream: BufReader::new(stream), admin, viewer })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub fn send(&mut self, ask: &Ask) -> io::Result<Got> {
        let key = match &*ask.who {
            "admin" => format!("X-API-KEY: {}\r\n", self.admin),
            "viewer" => format!("X-API-KEY: {}\r\n", self.viewer),
            "wrong" => "X-API-KEY: wrong\r\n".to_owned(),
            _ => String::new(),
        };
        let Ask { method, path, body, .. } = ask;
        let length = body.len();
        let request = format!(
            "{method} /apisix/admin{path} HTTP/1.1\r\nHost: a\r\n{key}Content-Length: {length}\r\n\
             \r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut got = Got { status: status.ok_or(io::ErrorKind::InvalidData)?, ..Got::default() };
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            got.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length = got.fields.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        if method != "HEAD" {
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body)?;
            got.body = String::from_utf8(body).map_err(|_| io::ErrorKind::InvalidData)?;
        }
        Ok(got)
    }

    /// Deletes all objects.
    ///
    /// # Errors
    ///
    /// The connection broke, or there is something that cannot be deleted.
    pub fn clean(&mut self) -> io::Result<()> {
        for collection in COLLECTIONS {
            let list = self.send(&ask("GET", format!("/{collection}")))?;
            let list: Value = serde_json::from_str(&list.body)?;
            for item in list["list"].as_array().into_iter().flatten() {
                let key = item["key"].as_str().unwrap_or_default();
                let path = key.trim_start_matches("/apisix");
                let gone = self.send(&ask("DELETE", format!("{path}?force=true")))?;
                if gone.status != 200 {
                    return Err(io::Error::other(format!("{key}: {}", gone.body)));
                }
            }
        }
        Ok(())
    }
}

fn ask(method: &str, path: String) -> Ask {
    Ask { method: method.into(), path, who: "admin".into(), body: String::new() }
}
