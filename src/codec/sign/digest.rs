//! Digests of bodies: the fields that carry them, and comparing a body that comes in pieces.

use hmac::digest::Digest as _;
use sha2::{Sha256, Sha512};

use super::{Refused, malformed, structured, structured::Bare, structured::Member, text};

/// A digest that a body must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512(Box<[u8; 64]>),
}

impl Digest {
    /// A digest by the name of its algorithm; `None` for one that is not known, or that nobody
    /// should rely on any more.
    fn of(name: &str, bytes: &[u8]) -> Result<Option<Self>, Refused> {
        let length = || malformed(format!("a digest {name} of another length"));
        if name.eq_ignore_ascii_case("sha-256") {
            return bytes.try_into().map(|sum| Some(Self::Sha256(sum))).map_err(|_| length());
        }
        if name.eq_ignore_ascii_case("sha-512") {
            let sum: [u8; 64] = bytes.try_into().map_err(|_| length())?;
            return Ok(Some(Self::Sha512(Box::new(sum))));
        }
        Ok(None)
    }
}

/// The digests of a field `Content-Digest` (RFC 9530), or only that of the member `key`.
///
/// # Errors
///
/// [`Refused`]: it is no dictionary of byte sequences, or has none of a known algorithm.
pub fn content_digest(value: &[u8], key: Option<&str>) -> Result<Vec<Digest>, Refused> {
    let members = structured::dictionary(value)
        .map_err(|error| malformed(format!("Content-Digest: {}", error.0)))?;
    let mut digests = Vec::new();
    for (name, member) in &members {
        if key.is_some_and(|key| key != *name) {
            continue;
        }
        let Member::Item(structured::Item { bare: Bare::Bytes(bytes), .. }) = member else {
            return Err(malformed("Content-Digest: a member is no byte sequence"));
        };
        digests.extend(Digest::of(name, bytes)?);
    }
    if digests.is_empty() {
        return Err(malformed("Content-Digest has neither sha-256 nor sha-512"));
    }
    Ok(digests)
}

/// The digests of a field `Digest` (RFC 3230): `SHA-256=base64`.
///
/// # Errors
///
/// [`Refused`]: it cannot be read, or has none of a known algorithm.
pub fn digest(value: &[u8]) -> Result<Vec<Digest>, Refused> {
    let mut digests = Vec::new();
    for part in value.split(|byte| *byte == b',') {
        let part = text::trim(part);
        let at = memchr::memchr(b'=', part).ok_or_else(|| malformed("Digest without ="))?;
        let (name, sum) = part.split_at(at);
        let name = String::from_utf8_lossy(name);
        let sum = sum.get(1..).and_then(text::unbase64);
        let sum = sum.ok_or_else(|| malformed("Digest: bad base64"))?;
        digests.extend(Digest::of(&name, &sum)?);
    }
    if digests.is_empty() {
        return Err(malformed("Digest has neither SHA-256 nor SHA-512"));
    }
    Ok(digests)
}

/// A digest as the scheme's headers with a hexadecimal SHA-256 have it.
pub(super) fn hexadecimal(value: &[u8], what: &str) -> Result<Digest, Refused> {
    let sum = std::str::from_utf8(value).ok().and_then(text::unhex);
    let sum: Option<[u8; 32]> = sum.and_then(|sum| sum.try_into().ok());
    sum.map(Digest::Sha256).ok_or_else(|| malformed(format!("{what} is no hexadecimal SHA-256")))
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of `parts`, one behind the other.
#[must_use]
pub fn sha256_of(parts: &[&[u8]]) -> [u8; 32] {
    let begun = Sha256::new();
    parts.iter().fold(begun, |hasher, part| hasher.chain_update(part)).finalize().into()
}

/// SHA-512 of `bytes`.
#[must_use]
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    Sha512::digest(bytes).into()
}

/// Digests of one body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// SHA-256, if it was asked for.
    pub sha256: Option<[u8; 32]>,
    /// SHA-512, if it was asked for.
    pub sha512: Option<Box<[u8; 64]>>,
}

impl Sums {
    /// Whether the body that these are of has all of `expected`, of which there must be one.
    #[must_use]
    pub fn hold(&self, expected: &[Digest]) -> bool {
        // A digest is known to everybody who sees the request: there is nothing to hide here.
        !expected.is_empty()
            && expected.iter().all(|expected| match expected {
                Digest::Sha256(sum) => self.sha256.as_ref() == Some(sum),
                Digest::Sha512(sum) => self.sha512.as_ref() == Some(sum),
            })
    }
}

/// Makes the digests of a body that comes piece by piece.
#[derive(Clone)]
pub struct Hashing {
    short: Option<Sha256>,
    long: Option<Sha512>,
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hashing({}, {})", self.short.is_some(), self.long.is_some())
    }
}

impl Hashing {
    /// Makes SHA-256, SHA-512, or both.
    #[must_use]
    pub fn new(sha256: bool, sha512: bool) -> Self {
        Self { short: sha256.then(Sha256::new), long: sha512.then(Sha512::new) }
    }

    /// Makes what `expected` is compared with.
    #[must_use]
    pub fn of(expected: &[Digest]) -> Self {
        let short = expected.iter().any(|digest| matches!(digest, Digest::Sha256(_)));
        let long = expected.iter().any(|digest| matches!(digest, Digest::Sha512(_)));
        Self::new(short, long)
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, piece: &[u8]) {
        if let Some(sum) = &mut self.short {
            sum.update(piece);
        }
        if let Some(sum) = &mut self.long {
            sum.update(piece);
        }
    }

    /// Whether `sums` has all that this makes.
    #[must_use]
    pub fn is_in(&self, sums: &Sums) -> bool {
        (self.short.is_none() || sums.sha256.is_some())
            && (self.long.is_none() || sums.sha512.is_some())
    }

    /// The digests of what was given.
    #[must_use]
    pub fn finish(self) -> Sums {
        Sums {
            sha256: self.short.map(|sum| sum.finalize().into()),
            sha512: self.long.map(|sum| Box::new(sum.finalize().into())),
        }
    }
}
