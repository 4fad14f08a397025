//! Data encryption: secrets of objects as APISIX keeps them in its store.
//!
//! A secret is AES-CBC with PKCS #7, in base64. The initialisation vector is the key itself (a
//! key of 32 bytes gives its first 16), so that one text always encrypts to the same: whoever
//! holds the store sees which secrets are equal, and needs no more than the configuration file to
//! read them. The first key of the ring encrypts, all of them are tried to decrypt. What cannot be
//! decrypted is taken as it is: it was written before the ring had its key, or never encrypted.

use std::fmt;

use aws_lc_rs::{
    cipher::{
        AES_128, AES_256, Algorithm, DecryptionContext, EncryptionContext,
        PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    error::Unspecified,
    iv::FixedLength,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Bytes of a block, and so of an initialisation vector.
const BLOCK: usize = 16;

/// Segments of a dotted path; deeper ones name nothing.
const SEGMENTS_MAX: usize = 32;

struct Key {
    algorithm: &'static Algorithm,
    bytes: Vec<u8>,
}

/// The keys of `apisix.data_encryption.keyring`.
pub struct Keyring {
    keys: Vec<Key>,
    fields: bool,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {} keys", self.keys.len())
    }
}

/// A text that no key of the ring decrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no key of the keyring decrypts it")
    }
}

impl Keyring {
    /// Reads `apisix.data_encryption`. Without keys nothing is encrypted and all is taken as it is.
    ///
    /// # Errors
    ///
    /// A key is no text of 16 or 32 bytes. The message does not quote it.
    pub fn read(section: &Value) -> Result<Keyring, String> {
        const PATH: &str = "apisix.data_encryption.keyring";
        let one;
        let list: &[Value] = match section.get("keyring") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(list)) => list,
            Some(other) => {
                one = [other.clone()];
                &one
            }
        };
        let mut keys = Vec::with_capacity(list.len());
        for (at, key) in list.iter().enumerate() {
            let bytes = key.as_str().unwrap_or_default().as_bytes();
            let algorithm = match bytes.len() {
                16 => &AES_128,
                32 => &AES_256,
                _ => return Err(format!("{PATH}: key {} is no text of 16 or 32 bytes", at + 1)),
            };
            keys.push(Key { algorithm, bytes: bytes.to_vec() });
        }
        let fields = section.get("enable_encrypt_fields") != Some(&Value::Bool(false));
        Ok(Keyring { keys, fields })
    }

    /// Whether fields of plugins are encrypted; keys of certificates are whenever there is a key.
    #[must_use]
    pub fn seals_fields(&self) -> bool {
        self.fields && !self.keys.is_empty()
    }

    /// Encrypts with the first key; without keys the text stays as it is.
    #[must_use]
    pub fn seal(&self, text: &str) -> String {
        self.keys.first().and_then(|key| key.seal(text).ok()).unwrap_or_else(|| text.to_owned())
    }

    /// What a text may look like in a store: plain, and encrypted with each of the keys.
    #[must_use]
    pub fn guises(&self, text: &str) -> Vec<String> {
        let sealed = self.keys.iter().filter_map(|key| key.seal(text).ok());
        std::iter::once(text.to_owned()).chain(sealed).collect()
    }

    /// Decrypts with the first key that can; without keys the text stays as it is.
    ///
    /// # Errors
    ///
    /// No key can.
    pub fn open(&self, text: &str) -> Result<String, NotOurs> {
        if self.keys.is_empty() {
            return Ok(text.to_owned());
        }
        let sealed = STANDARD.decode(text).map_err(|_| NotOurs)?;
        let open = |key: &Key| String::from_utf8(key.open(&sealed).ok()?).ok();
        self.keys.iter().find_map(open).ok_or(NotOurs)
    }

    /// Encrypts the private key of a certificate: what is no PEM text was encrypted before, or is a
    /// reference.
    #[must_use]
    pub fn seal_key(&self, text: &str) -> String {
        if text.starts_with("---") { self.seal(text) } else { text.to_owned() }
    }

    /// Decrypts the private key of a certificate; PEM texts are plain.
    ///
    /// # Errors
    ///
    /// As [`Keyring::open`].
    pub fn open_key(&self, text: &str) -> Result<String, NotOurs> {
        if text.starts_with("---") { Ok(text.to_owned()) } else { self.open(text) }
    }

    /// Encrypts the fields of a plugin's configuration that `schema` lists as `encrypt_fields`.
    pub fn seal_conf(&self, conf: &mut Value, schema: &Value) {
        if self.seals_fields() {
            each_secret(conf, schema, &mut |text| *text = self.seal(text));
        }
    }

    /// Decrypts the fields that [`Keyring::seal_conf`] encrypts. Returns how many could not be
    /// decrypted and were left.
    pub fn open_conf(&self, conf: &mut Value, schema: &Value) -> usize {
        let mut left = 0;
        if self.seals_fields() {
            each_secret(conf, schema, &mut |text| match self.open(text) {
                Ok(plain) => *text = plain,
                Err(NotOurs) => left += 1,
            });
        }
        left
    }
}

impl Key {
    fn iv(&self) -> Result<FixedLength<BLOCK>, Unspecified> {
        FixedLength::try_from(self.bytes.get(..BLOCK).ok_or(Unspecified)?)
    }

    fn seal(&self, text: &str) -> Result<String, Unspecified> {
        let key = UnboundCipherKey::new(self.algorithm, &self.bytes)?;
        let mut bytes = text.as_bytes().to_vec();
        PaddedBlockEncryptingKey::cbc_pkcs7(key)?
            .less_safe_encrypt(&mut bytes, EncryptionContext::Iv128(self.iv()?))?;
        Ok(STANDARD.encode(bytes))
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let key = UnboundCipherKey::new(self.algorithm, &self.bytes)?;
        let mut bytes = sealed.to_vec();
        let context = DecryptionContext::Iv128(self.iv()?);
        let plain = PaddedBlockDecryptingKey::cbc_pkcs7(key)?.decrypt(&mut bytes, context)?.len();
        bytes.truncate(plain);
        Ok(bytes)
    }
}

/// Visits the texts of `conf` that `schema` lists as `encrypt_fields`.
pub fn each_secret(conf: &mut Value, schema: &Value, visit: &mut dyn FnMut(&mut String)) {
    let paths = schema.get("encrypt_fields").and_then(Value::as_array);
    for path in paths.into_iter().flatten().filter_map(Value::as_str) {
        each_text(conf, path, visit);
    }
}

/// Visits the texts at a dotted path. Lists on the way are walked entry by entry; at its end may be
/// a text, a list of texts, or a map of texts.
pub fn each_text(value: &mut Value, path: &str, visit: &mut dyn FnMut(&mut String)) {
    if path.split('.').count() <= SEGMENTS_MAX {
        walk(value, path, visit);
    }
}

fn walk(value: &mut Value, path: &str, visit: &mut dyn FnMut(&mut String)) {
    let (segment, rest) = match path.split_once('.') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    };
    let Some(next) = value.as_object_mut().and_then(|map| map.get_mut(segment)) else { return };
    match (next, rest) {
        (Value::Array(list), Some(rest)) => {
            list.iter_mut().for_each(|entry| walk(entry, rest, visit));
        }
        (next, Some(rest)) => walk(next, rest, visit),
        (Value::String(text), None) => visit(text),
        (Value::Array(list), None) => list.iter_mut().for_each(|entry| visit_text(entry, visit)),
        (Value::Object(map), None) => map.values_mut().for_each(|entry| visit_text(entry, visit)),
        _ => {}
    }
}

fn visit_text(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    if let Value::String(text) = value {
        visit(text);
    }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
