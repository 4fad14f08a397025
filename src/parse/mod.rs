//! Turning a request head into what the later steps work on.

pub mod client_addr;
pub mod uri;

use client_addr::ClientAddr;

use crate::{
    config::Local,
    error::{Error, Kind, Result},
    exchange::Exchange,
    http1::{self, Form},
};

/// Fills in path, query, host and method of `x` from its head.
///
/// # Errors
///
/// [`Kind::BadRequest`] for a target or a host that router and upstream could read
/// differently, [`Kind::BadHead`] with 405 for CONNECT.
pub fn prepare(x: &mut Exchange, local: &Local, client: &ClientAddr) -> Result<()> {
    if x.head.form() == Form::Authority {
        return Err(Kind::BadHead { status: 405, why: "the method CONNECT" }.into());
    }
    x.method.extend_from_slice(x.head.method());
    if x.head.form() == Form::Asterisk {
        x.path.push(b'*');
        x.forward.push(b'*');
    } else {
        let normal = uri::normalise(x.head.target())
            .map_err(|error| Error::from(Kind::BadRequest(error.reason())))?;
        x.path.extend_from_slice(&normal.path);
        if let Some(args) = normal.args {
            x.args.extend_from_slice(args);
        }
        normal.write_forward(&mut x.forward);
    }
    if local.delete_uri_tail_slash && x.path.len() > 1 && x.path.last() == Some(&b'/') {
        x.path.pop();
        x.rewritten = true;
    }
    if local.normalize_uri_like_servlet {
        let stripped = uri::strip_path_params(&x.path)
            .map_err(|error| Error::from(Kind::BadRequest(error.reason())))?
            .into_owned();
        x.path = stripped;
    }
    http1::remove_nominated(&mut x.head.fields);
    set_host(&mut x.host, x.head.host());
    if !local.underscores_in_headers {
        x.head.fields.retain(|name, _| !name.contains(&b'_'));
    }
    client.apply(x);
    Ok(())
}

/// Makes `host` the `$host` of a Host field: lower case, no port.
pub fn set_host(host: &mut Vec<u8>, value: &[u8]) {
    let end = match value.first() {
        Some(b'[') => memchr::memchr(b']', value).map_or(value.len(), |at| at + 1),
        _ => memchr::memchr(b':', value).unwrap_or(value.len()),
    };
    let name = &value[..end];
    let name = name.strip_suffix(b".").unwrap_or(name);
    host.clear();
    host.extend(name.iter().map(u8::to_ascii_lowercase));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_port_and_no_case() {
        for (value, host) in [
            ("Example.COM", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            let mut found = b"old".to_vec();
            set_host(&mut found, value.as_bytes());
            assert_eq!(found, host.as_bytes());
        }
    }
}
