//! `host.crypto`: digests, checksums, base64, random bytes and UUIDs.

use std::borrow::Cow;

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use mlua::{Lua, LuaString, Table, UserData, UserDataMethods, Value};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use tokio_rustls::rustls::crypto::{SecureRandom, aws_lc_rs};

use super::{bad_argument, number_of, raise, string_arg, text_of, type_name};
use crate::{
    clock,
    lua::raw::{
        frame::{Frame, Outcome},
        state::host_function,
    },
};

/// Most bytes one call of `random_bytes` gives.
const RANDOM_BYTES_MAX: usize = 1 << 20;

/// Padding may be missing, and bits that do not fill a byte are ignored, as in nginx.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const PADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BARE: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT.with_encode_padding(false));
const URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT.with_encode_padding(false));

/// Fills `host.crypto`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    digests(lua, &table)?;
    base64s(lua, &table)?;
    randoms(lua, &table)?;
    host.raw_set("crypto", table)
}

fn digests(lua: &Lua, table: &Table) -> mlua::Result<()> {
    host_function(lua, table, "md5", |frame| {
        let sum = Md5::digest(raw_text_or_empty(frame));
        frame.push_str(hex(&sum).as_bytes());
        Ok(Outcome::Return(1))
    })?;
    table.raw_set(
        "md5_bin",
        lua.create_function(|lua, text: Value| {
            lua.create_string(Md5::digest(&*text_or_empty(lua, text)?.as_bytes()))
        })?,
    )?;
    table.raw_set(
        "sha1_bin",
        lua.create_function(|lua, text: Value| {
            lua.create_string(Sha1::digest(&*text_or_empty(lua, text)?.as_bytes()))
        })?,
    )?;
    table.raw_set(
        "hmac_sha1",
        lua.create_function(|lua, (key, text): (Value, Value)| {
            let key = string_arg(lua, key, 1, "hmac_sha1")?;
            let text = string_arg(lua, text, 2, "hmac_sha1")?;
            lua.create_string(hmac::<Hmac<Sha1>>(&key.as_bytes(), &text.as_bytes()))
        })?,
    )?;
    table.raw_set("digest", lua.create_function(digest_call)?)?;
    table.raw_set("hmac", lua.create_function(hmac_call)?)?;
    table.raw_set(
        "hasher",
        lua.create_function(|lua, name: Value| {
            let name = string_arg(lua, name, 1, "hasher")?;
            match Hasher::new(&name.as_bytes()) {
                Some(hasher) => Ok(Ok(lua.create_userdata(hasher)?)),
                None => Ok(Err(unknown_digest(&name))),
            }
        })?,
    )?;
    host_function(lua, table, "crc32", |frame| {
        let sum = crc32fast::hash(&raw_text_or_empty(frame));
        frame.push_num(f64::from(sum));
        Ok(Outcome::Return(1))
    })
}

fn base64s(lua: &Lua, table: &Table) -> mlua::Result<()> {
    table.raw_set(
        "base64_encode",
        lua.create_function(|lua, (text, no_padding): (Value, Value)| {
            let text = text_or_empty(lua, text)?;
            let engine = match no_padding {
                Value::Nil | Value::Boolean(false) => &PADDED,
                Value::Boolean(true) => &BARE,
                other => {
                    let got = type_name(&other);
                    let why = format!("bad no_padding: boolean expected, got {got}");
                    return Err(raise(lua, &why));
                }
            };
            lua.create_string(engine.encode(&*text.as_bytes()))
        })?,
    )?;
    table.raw_set(
        "base64url_encode",
        lua.create_function(|lua, text: Value| {
            let text = string_arg(lua, text, 1, "base64url_encode")?;
            lua.create_string(URL.encode(&*text.as_bytes()))
        })?,
    )?;
    for (name, engine) in [("base64_decode", PADDED), ("base64url_decode", URL)] {
        let function = lua.create_function(move |lua, text: Value| {
            let Value::String(text) = text else {
                return Err(raise(lua, "string argument only"));
            };
            let bytes = text.as_bytes();
            let end = memchr::memchr(b'=', &bytes).unwrap_or(bytes.len());
            match engine.decode(&bytes[..end]) {
                Ok(plain) => Ok(Value::String(lua.create_string(plain)?)),
                Err(_) => Ok(Value::Nil),
            }
        })?;
        table.raw_set(name, function)?;
    }
    Ok(())
}

fn randoms(lua: &Lua, table: &Table) -> mlua::Result<()> {
    let random = aws_lc_rs::default_provider().secure_random;
    table.raw_set(
        "random_bytes",
        lua.create_function(move |lua, count: Value| {
            let count = number_of(lua, &count).filter(|count| *count >= 0.0);
            let count = count.filter(|count| *count <= RANDOM_BYTES_MAX as f64);
            let Some(count) = count else {
                let why = format!("number between 0 and {RANDOM_BYTES_MAX} expected");
                return Err(bad_argument(lua, 1, "random_bytes", &why));
            };
            let mut bytes = vec![0; count as usize];
            fill(random, &mut bytes)?;
            lua.create_string(bytes)
        })?,
    )?;
    table.raw_set(
        "uuid_v4",
        lua.create_function(move |_, (): ()| {
            let mut bytes = [0; 16];
            fill(random, &mut bytes)?;
            Ok(uuid(bytes, 4))
        })?,
    )?;
    table.raw_set(
        "uuid_v7",
        lua.create_function(move |_, (): ()| {
            let mut bytes = [0; 16];
            fill(random, &mut bytes)?;
            let millis = clock::wall().as_millis().to_be_bytes();
            bytes[..6].copy_from_slice(&millis[10..]);
            Ok(uuid(bytes, 7))
        })?,
    )
}

fn fill(random: &'static dyn SecureRandom, bytes: &mut [u8]) -> mlua::Result<()> {
    random.fill(bytes).map_err(|_| mlua::Error::RuntimeError("no random bytes".to_owned()))
}

/// Writes 16 bytes as a UUID of the given version, RFC 9562.
fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = hex(&bytes);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2 + 4);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// nil and false count as the empty string, everything else as `tostring` gives it.
fn text_or_empty(lua: &Lua, value: Value) -> mlua::Result<LuaString> {
    match value {
        Value::Nil | Value::Boolean(false) => lua.create_string(""),
        other => text_of(lua, other),
    }
}

/// Argument 1 like [`text_or_empty`] reads it.
fn raw_text_or_empty<'f>(frame: &Frame<'f>) -> Cow<'f, [u8]> {
    if frame.truth(1) { frame.text(1) } else { Cow::Borrowed(b"") }
}

fn unknown_digest(name: &LuaString) -> String {
    format!("unknown digest \"{}\"", name.to_string_lossy())
}

/// The raw sum, or nil and why.
type Sum = Result<LuaString, String>;

fn digest_call(lua: &Lua, (name, text): (Value, Value)) -> mlua::Result<Sum> {
    let name = string_arg(lua, name, 1, "digest")?;
    let text = string_arg(lua, text, 2, "digest")?;
    match Hasher::new(&name.as_bytes()) {
        Some(mut hasher) => {
            hasher.update(&text.as_bytes());
            Ok(Ok(lua.create_string(hasher.finish())?))
        }
        None => Ok(Err(unknown_digest(&name))),
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length, so the error never comes.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hmac_call(lua: &Lua, (name, key, text): (Value, Value, Value)) -> mlua::Result<Sum> {
    let name = string_arg(lua, name, 1, "hmac")?;
    let key = string_arg(lua, key, 2, "hmac")?;
    let text = string_arg(lua, text, 3, "hmac")?;
    let (key, text) = (key.as_bytes(), text.as_bytes());
    let sum = match &*name.as_bytes() {
        b"md5" => hmac::<Hmac<Md5>>(&key, &text),
        b"sha1" => hmac::<Hmac<Sha1>>(&key, &text),
        b"sha224" => hmac::<Hmac<Sha224>>(&key, &text),
        b"sha256" => hmac::<Hmac<Sha256>>(&key, &text),
        b"sha384" => hmac::<Hmac<Sha384>>(&key, &text),
        b"sha512" => hmac::<Hmac<Sha512>>(&key, &text),
        _ => return Ok(Err(unknown_digest(&name))),
    };
    Ok(Ok(lua.create_string(sum)?))
}

/// A digest under way.
#[derive(Clone)]
enum Hasher {
    Md5(Md5),
    Sha1(Sha1),
    Sha224(Sha224),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    fn new(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"md5" => Self::Md5(Md5::new()),
            b"sha1" => Self::Sha1(Sha1::new()),
            b"sha224" => Self::Sha224(Sha224::new()),
            b"sha256" => Self::Sha256(Sha256::new()),
            b"sha384" => Self::Sha384(Sha384::new()),
            b"sha512" => Self::Sha512(Sha512::new()),
            _ => return None,
        })
    }

    fn update(&mut self, text: &[u8]) {
        match self {
            Self::Md5(state) => state.update(text),
            Self::Sha1(state) => state.update(text),
            Self::Sha224(state) => state.update(text),
            Self::Sha256(state) => state.update(text),
            Self::Sha384(state) => state.update(text),
            Self::Sha512(state) => state.update(text),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Md5(state) => state.finalize().to_vec(),
            Self::Sha1(state) => state.finalize().to_vec(),
            Self::Sha224(state) => state.finalize().to_vec(),
            Self::Sha256(state) => state.finalize().to_vec(),
            Self::Sha384(state) => state.finalize().to_vec(),
            Self::Sha512(state) => state.finalize().to_vec(),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Md5(state) => *state = Md5::new(),
            Self::Sha1(state) => *state = Sha1::new(),
            Self::Sha224(state) => *state = Sha224::new(),
            Self::Sha256(state) => *state = Sha256::new(),
            Self::Sha384(state) => *state = Sha384::new(),
            Self::Sha512(state) => *state = Sha512::new(),
        }
    }
}

impl UserData for Hasher {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("update", |lua, own, text: Value| {
            own.update(&string_arg(lua, text, 1, "update")?.as_bytes());
            Ok(true)
        });
        // The state stays, so that more may follow.
        methods.add_method("final", |lua, own, (): ()| lua.create_string(own.clone().finish()));
        methods.add_method_mut("reset", |_, own, (): ()| {
            own.reset();
            Ok(true)
        });
    }
}
