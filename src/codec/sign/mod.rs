//! Signed HTTP messages: what a request claims about who sent it, when and with which body, and
//! whether that is true.
//!
//! [`claim`] reads the claim from a [`Message`]; nothing of it may be believed until
//! [`Claim::verify`] said yes. Four schemes are known: HTTP Message Signatures (RFC 9421), AWS
//! Signature Version 4, Tencent Cloud's TC3-HMAC-SHA256, and the one of APISIX's `hmac-auth`. No
//! message has two canonical forms, and two messages that a reader behind us could tell apart
//! never share one, as far as the scheme lets us: what is ambiguous is refused. Nothing here reads
//! a clock or does I/O. [`order::sign`] is the other direction.

mod aws;
mod derived;
pub mod digest;
mod hmac_auth;
pub mod key;
mod names;
pub mod order;
mod rfc9421;
pub mod structured;
mod tc3;
pub mod text;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

pub use digest::{Digest, Hashing, Sums};
pub use key::{Algorithm, Key, SigningKey};
pub use names::Names;

use derived::Derived;

/// A way of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP Message Signatures, RFC 9421.
    Rfc9421,
    /// AWS Signature Version 4, in the header or in the query.
    SigV4,
    /// TC3-HMAC-SHA256 of Tencent Cloud.
    Tc3,
    /// `Authorization: Signature keyId=...` as APISIX's plugin `hmac-auth` reads it.
    HmacAuth,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rfc9421, Self::SigV4, Self::Tc3, Self::HmacAuth];

    /// Its name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rfc9421 => "rfc9421",
            Self::SigV4 => "sigv4",
            Self::Tc3 => "tc3",
            Self::HmacAuth => "hmac-auth",
        }
    }

    /// The scheme of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

/// A request, or a response with its request, as far as a signature may look at it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The method as sent.
    pub method: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as sent.
    pub authority: &'a [u8],
    /// Path and query as sent: not decoded, not normalised.
    pub target: &'a [u8],
    /// Field lines in their order, repeated ones too.
    pub fields: &'a [(&'a [u8], &'a [u8])],
    /// The status, if this is a response.
    pub status: Option<u16>,
    /// The request that a response answers.
    pub request: Option<&'a Message<'a>>,
}

/// What kind of reason a message was refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no signature.
    Missing,
    /// It cannot be read.
    Malformed,
    /// It can be read in two ways.
    Ambiguous,
    /// It asks for something that is not done here.
    Unsupported,
}

impl Reason {
    /// For logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Ambiguous => "ambiguous",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Why a message has no claim that can be checked. For the operator, not for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The kind.
    pub reason: Reason,
    /// What exactly.
    pub why: Cow<'static, str>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refused {}

fn refuse(reason: Reason, why: impl Into<Cow<'static, str>>) -> Refused {
    Refused { reason, why: why.into() }
}

fn missing(why: impl Into<Cow<'static, str>>) -> Refused {
    refuse(Reason::Missing, why)
}

fn malformed(why: impl Into<Cow<'static, str>>) -> Refused {
    refuse(Reason::Malformed, why)
}

fn ambiguous(why: impl Into<Cow<'static, str>>) -> Refused {
    refuse(Reason::Ambiguous, why)
}

fn comes_twice(field: &str) -> Refused {
    ambiguous(format!("the field {field} comes more than once"))
}

fn unsupported(why: impl Into<Cow<'static, str>>) -> Refused {
    refuse(Reason::Unsupported, why)
}

/// How the body is tied to the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// Not at all: the signature says nothing of it.
    No,
    /// The client said so: `UNSIGNED-PAYLOAD`.
    Waived,
    /// By digests that the signature covers; all of them must hold.
    Digests(Vec<Digest>),
    /// Its SHA-256 is a part of what is signed, and nowhere else: [`Claim::verify`] needs it.
    Within,
}

/// Which of several signatures of a message is meant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Select<'a> {
    /// Its label.
    pub label: Option<&'a str>,
    /// Its `tag`.
    pub tag: Option<&'a str>,
}

/// What a message says about itself.
#[derive(Debug, Clone)]
pub struct Claim {
    /// How it is signed.
    pub scheme: Scheme,
    /// Whose key signed it.
    pub key_id: String,
    /// The algorithm the message names; the key decides whether that is right.
    pub algorithm: Option<Algorithm>,
    /// When it was signed, in seconds since 1970.
    pub timestamp: Option<i64>,
    /// From when on it is void, in seconds since 1970.
    pub expires: Option<i64>,
    /// The number used once, in schemes that have one.
    pub nonce: Option<String>,
    /// The label of an RFC 9421 signature.
    pub label: Option<String>,
    /// Its `tag`.
    pub tag: Option<String>,
    /// Names of what is covered: `@method`, `@authority`, `@path`, `@query` and their like, and
    /// field names in lower case.
    pub covered: Names,
    /// How the body is tied to it.
    pub body: Bound,
    /// The signature itself.
    pub signature: Vec<u8>,
    proof: Proof,
}

/// What was signed.
#[derive(Debug, Clone)]
enum Proof {
    /// This.
    Text(Vec<u8>),
    /// A digest of this, by a key that is derived from the secret.
    Derived(Derived),
}

impl Claim {
    /// Whether `key` made the signature. `body` is the SHA-256 of the body, which only claims
    /// whose body is [`Bound::Within`] ask for.
    #[must_use]
    pub fn verify(&self, key: &Key, body: Option<&[u8; 32]>) -> bool {
        match &self.proof {
            Proof::Text(text) => {
                let named = self.algorithm.unwrap_or(key.algorithm());
                named == key.algorithm() && key.verify(text, &self.signature)
            }
            Proof::Derived(derived) => match key {
                Key::Secret(secret) => derived.verify(secret.bytes(), &self.signature, body),
                Key::Public { .. } => false,
            },
        }
    }

    /// Whether [`Claim::verify`] must know the body's SHA-256.
    #[must_use]
    pub fn needs_body(&self) -> bool {
        self.body == Bound::Within
    }

    /// Names this signed message among all others of its key, in schemes without a number used
    /// once: two signatures of the same text have the same name, whatever their bytes are.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        match &self.proof {
            Proof::Text(text) => digest::sha256(text),
            // An HMAC of hexadecimal digits: nobody can write it in another way.
            Proof::Derived(_) => digest::sha256(&self.signature),
        }
    }

    /// What was signed, to be read by somebody who looks for a difference. Not what is compared
    /// if a body is [`Bound::Within`] it.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        match &self.proof {
            Proof::Text(text) => text,
            Proof::Derived(derived) => derived.canonical(),
        }
    }
}

/// Reads what `message` claims, by `scheme`.
///
/// # Errors
///
/// [`Refused`]: there is no signature, or none that can be checked.
pub fn claim(scheme: Scheme, message: &Message<'_>, select: Select<'_>) -> Result<Claim, Refused> {
    message.check()?;
    match scheme {
        Scheme::Rfc9421 => rfc9421::claim(message, select),
        Scheme::SigV4 => aws::claim(message),
        Scheme::Tc3 => tc3::claim(message),
        Scheme::HmacAuth => hmac_auth::claim(message),
    }
}

/// Fields of which a message has one at most; two of them are read differently by everybody.
const SINGLE: [&str; 13] = [
    "authorization",
    "content-length",
    "content-type",
    "date",
    "digest",
    "expect",
    "host",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-tc-action",
    "x-tc-content-sha256",
    "x-tc-timestamp",
];

impl<'a> Message<'a> {
    /// The lines of a field, trimmed.
    pub fn lines<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'a [u8]> + 'm {
        let named = move |field: &&(&[u8], &[u8])| field.0.eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(named).map(|(_, value)| text::trim(value))
    }

    /// The only line of a field.
    ///
    /// # Errors
    ///
    /// When there are several.
    pub fn only(&self, name: &str) -> Result<Option<&'a [u8]>, Refused> {
        let mut lines = self.lines(name);
        let first = lines.next();
        if lines.next().is_some() {
            return Err(comes_twice(name));
        }
        Ok(first)
    }

    /// The value of a field: its lines, joined.
    fn value(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let mut lines = self.lines(name);
        let mut value = Cow::Borrowed(lines.next()?);
        for line in lines {
            let all = value.to_mut();
            all.extend_from_slice(b", ");
            all.extend_from_slice(line);
        }
        Some(value)
    }

    /// The target before `?`.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        match memchr::memchr(b'?', self.target) {
            Some(at) => self.target.get(..at).unwrap_or_default(),
            None => self.target,
        }
    }

    /// The target behind `?`, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        let at = memchr::memchr(b'?', self.target)?;
        self.target.get(at + 1..)
    }

    /// Host and port in lower case, without the scheme's own port.
    #[must_use]
    pub fn normal_authority(&self) -> Cow<'a, [u8]> {
        let own: &[u8] = if self.scheme == "https" { b":443" } else { b":80" };
        let authority = self.authority;
        let bare = authority.strip_suffix(own).or_else(|| authority.strip_suffix(b":"));
        let bare = bare.unwrap_or(authority);
        if bare.iter().any(u8::is_ascii_uppercase) {
            return bare.to_ascii_lowercase().into();
        }
        bare.into()
    }

    /// What every scheme relies on: nothing can end a line of a canonical form early, the host
    /// is named once, and no field that must be one is two.
    fn check(&self) -> Result<(), Refused> {
        let splits = |bytes: &[u8]| memchr::memchr3(b'\r', b'\n', 0, bytes).is_some();
        if self.status.is_none() {
            if !text::is_token(self.method) {
                return Err(malformed("the method is no token"));
            }
            let odd = |byte: &u8| *byte <= b' ' || *byte == 0x7f || *byte == b'#';
            if self.target.is_empty() || self.target.iter().any(odd) {
                return Err(malformed("the target has bytes that no target has"));
            }
            if self.authority.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
                return Err(malformed("the host has bytes that no host has"));
            }
        }
        let mut seen = 0_u32;
        for (name, value) in self.fields {
            if !text::is_token(name) || splits(value) {
                return Err(malformed("a field has bytes that no field has"));
            }
            let single = SINGLE.iter().position(|one| name.eq_ignore_ascii_case(one.as_bytes()));
            let Some(at) = single else { continue };
            if seen & 1 << at != 0 {
                return Err(comes_twice(SINGLE[at]));
            }
            seen |= 1 << at;
        }
        match self.lines("host").next() {
            Some(host) if !host.eq_ignore_ascii_case(self.authority) => {
                Err(ambiguous("the field Host and the target name different hosts"))
            }
            _ => Ok(()),
        }
    }
}

/// UTF-8 text of bytes that a scheme says are text.
fn utf8(bytes: &[u8], what: &'static str) -> Result<String, Refused> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(malformed(format!("{what} is no UTF-8"))),
    }
}
