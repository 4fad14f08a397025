//! What AWS and Tencent Cloud have in common: a digest of a canonical request is signed by a key
//! that is derived from the secret for one day and one service.

use super::{
    Algorithm, digest,
    key::{Secret, hmac_sha256},
    text,
};

/// The SHA-256 that ends a canonical request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// The message tells it, in hexadecimal.
    Told(String),
    /// It is that of the body.
    Body,
}

/// What was signed.
#[derive(Debug, Clone)]
pub(super) struct Derived {
    /// In front of the secret.
    pub(super) prefix: &'static str,
    /// What the key is derived by, one after the other.
    pub(super) steps: Vec<String>,
    /// The string to sign, up to the digest of the canonical request.
    pub(super) head: String,
    /// Canonical requests without their last line; the signature may be of any.
    pub(super) requests: Vec<Vec<u8>>,
    /// The last line.
    pub(super) payload: Payload,
}

impl Derived {
    /// Whether `signature` is right; `body` is the SHA-256 of the body.
    pub(super) fn verify(&self, secret: &[u8], signature: &[u8], body: Option<&[u8; 32]>) -> bool {
        let Some(payload) = self.payload(body) else { return false };
        let Some(key) = Secret::new(Algorithm::HmacSha256, &self.key(secret)) else { return false };
        // Not `any`: how long it takes does not tell which of them it was.
        self.requests.iter().fold(false, |found, request| {
            key.verify(&self.string(request, &payload), signature) | found
        })
    }

    /// The signature of the first canonical request.
    pub(super) fn sign(&self, secret: &[u8], body: Option<&[u8; 32]>) -> Option<[u8; 32]> {
        let request = self.requests.first()?;
        let string = self.string(request, &self.payload(body)?);
        Some(hmac_sha256(&self.key(secret), &string))
    }

    pub(super) fn canonical(&self) -> &[u8] {
        self.requests.first().map(Vec::as_slice).unwrap_or_default()
    }

    fn payload(&self, body: Option<&[u8; 32]>) -> Option<String> {
        match &self.payload {
            Payload::Told(sum) => Some(sum.clone()),
            Payload::Body => body.map(|sum| text::hex(sum)),
        }
    }

    fn key(&self, secret: &[u8]) -> [u8; 32] {
        let mut key = [self.prefix.as_bytes(), secret].concat();
        for step in &self.steps {
            key = hmac_sha256(&key, step.as_bytes()).to_vec();
        }
        <[u8; 32]>::try_from(key).unwrap_or([0; 32])
    }

    fn string(&self, request: &[u8], payload: &str) -> Vec<u8> {
        let sum = digest::sha256(&[request, payload.as_bytes()].concat());
        [self.head.as_bytes(), text::hex(&sum).as_bytes()].concat()
    }
}

/// The parts `Credential`, `SignedHeaders` and `Signature` of an Authorization field, behind the
/// name of the scheme.
pub(super) struct Authorization<'a> {
    pub(super) credential: &'a str,
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// `None` unless each part is there once and nothing else is.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for part in text.split(',') {
            let (name, value) = part.trim_matches([' ', '\t']).split_once('=')?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed,
                "Signature" => &mut signature,
                _ => return None,
            };
            if slot.replace(value).is_some() {
                return None;
            }
        }
        Some(Self { credential: credential?, signed: signed?, signature: signature? })
    }
}

/// The signed names: lower case, in order, none twice, separated by `;`.
pub(super) fn signed_names(text: &str) -> Option<Vec<String>> {
    let names: Vec<String> = text.split(';').map(str::to_owned).collect();
    let rising = names.iter().zip(names.iter().skip(1)).all(|(one, next)| one < next);
    let lower = |name: &String| {
        text::is_token(name.as_bytes()) && !name.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    (rising && names.iter().all(lower)).then_some(names)
}
