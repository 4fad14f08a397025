//! `host.dns`: the addresses of a name, as records.

use std::net::IpAddr;

use super::{failure, not_resolved, wait};
use crate::lua::{
    host::push_failure,
    raw::{
        co::Value,
        frame::{Called, Frame},
    },
};

/// `(name, type)` -> array of `{ name, type, class, address }` | nil, error.
pub(super) fn dns(frame: &mut Frame<'_>) -> Called {
    let name = String::from_utf8_lossy(frame.need_str(1, "dns")?).into_owned();
    let kind = if frame.is_nil(2) { b"A" } else { frame.need_str(2, "dns")? };
    let (number, v4) = match kind {
        b"A" | b"1" => (1.0, true),
        b"AAAA" | b"28" => (28.0, false),
        other => {
            let text = String::from_utf8_lossy(other);
            return push_failure(
                frame,
                &format!(
                    "DNS records of type {text} are not supported by moongate: its resolver asks for A and AAAA"
                ),
            );
        }
    };
    let Some(resolver) = frame.core()?.env.resolver.clone() else {
        return push_failure(frame, &format!("no resolver defined to resolve \"{name}\""));
    };
    wait(frame, async move {
        let found = match resolver.resolve_all(&name).await {
            Ok(found) => found,
            Err(error) => return failure(not_resolved(&name, &error)),
        };
        let records: Vec<_> = found
            .into_iter()
            .filter(|addr| addr.is_ipv4() == v4)
            .map(|addr| record(&name, number, addr))
            .collect();
        if records.is_empty() {
            return failure("empty record received");
        }
        vec![Value::Records(records)]
    })
}

fn record(name: &str, number: f64, addr: IpAddr) -> Vec<(&'static str, Value)> {
    vec![
        ("name", Value::from(name)),
        ("type", Value::Num(number)),
        ("class", Value::Num(1.0)),
        ("address", Value::Str(addr.to_string().into_bytes())),
    ]
}
