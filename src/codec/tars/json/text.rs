//! Character sets, and base64 as clients write it.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

/// The character set of strings on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8.
    Utf8,
    /// What old services in China use.
    Gbk,
}

impl Charset {
    /// `text` as it goes over the wire; `None` if the set lacks one of its characters.
    pub(super) fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        match self {
            Charset::Utf8 => Some(Cow::Borrowed(text.as_bytes())),
            Charset::Gbk => {
                let (bytes, _, lossy) = encoding_rs::GBK.encode(text);
                (!lossy).then_some(bytes)
            }
        }
    }

    /// `bytes` from the wire; `None` if they are no text and must not be `replaced`.
    pub(super) fn decode(self, bytes: &[u8], replace: bool) -> Option<Cow<'_, str>> {
        match self {
            Charset::Utf8 => match str::from_utf8(bytes) {
                Ok(text) => Some(Cow::Borrowed(text)),
                Err(_) => replace.then(|| String::from_utf8_lossy(bytes)),
            },
            Charset::Gbk => {
                let (text, lossy) = encoding_rs::GBK.decode_without_bom_handling(bytes);
                (replace || !lossy).then_some(text)
            }
        }
    }
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

const PLAIN: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// Undoes base64, in either alphabet, with or without padding.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { PLAIN };
    engine.decode(text).ok()
}

/// Appends base64 with padding.
pub(super) fn to_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    if let Some(room) = out.get_mut(start..) {
        // It has the length that this needs.
        let _ = STANDARD.encode_slice(bytes, room);
    }
}
