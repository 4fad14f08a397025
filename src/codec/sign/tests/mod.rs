//! What the standards publish, what must always hold, and what must never pass.

mod changes;
mod hostile;
mod properties;
mod vectors;

use super::{Claim, Key, Message, Refused, Scheme, Select, claim};

/// Field lines.
type Lines<'a> = Vec<(&'a [u8], &'a [u8])>;

fn lines<'a>(pairs: &[(&'a str, &'a str)]) -> Lines<'a> {
    pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

fn request<'a>(
    method: &'a str,
    host: &'a str,
    target: &'a str,
    fields: &'a Lines<'a>,
) -> Message<'a> {
    Message {
        method: method.as_bytes(),
        scheme: "https",
        authority: host.as_bytes(),
        target: target.as_bytes(),
        fields,
        status: None,
        request: None,
    }
}

fn read(scheme: Scheme, message: &Message<'_>) -> Result<Claim, Refused> {
    claim(scheme, message, Select::default())
}

fn secret(secret: &str) -> Key {
    Key::secret(super::Algorithm::HmacSha256, secret.as_bytes()).unwrap()
}
