//! `host.cipher`: AES and ChaCha20, what `resty.aes` and `resty.openssl.cipher` stand on.

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{
        self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
        PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    error::Unspecified,
    iv::FixedLength,
};
use mlua::{Lua, LuaString, Table};

/// Text, or why there is none.
type Text = Result<LuaString, String>;

/// Mode, key and initialisation vector, text, and whether blocks are filled up (PKCS #7).
type BlockArgs = (LuaString, LuaString, LuaString, LuaString, bool);

/// Name of the cipher, key, nonce, text, additional data.
type SealArgs = (LuaString, LuaString, LuaString, LuaString, LuaString);

/// As [`SealArgs`], and the tag.
type OpenArgs = (LuaString, LuaString, LuaString, LuaString, LuaString, LuaString);

/// What is done to a text: encryption or decryption.
type Work = fn(&Job<'_>, UnboundCipherKey, Vec<u8>) -> Result<Vec<u8>, Unspecified>;

/// Fills `host.cipher`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set("encrypt", lua.create_function(|lua, args| block(lua, args, encrypt))?)?;
    table.raw_set("decrypt", lua.create_function(|lua, args| block(lua, args, decrypt))?)?;
    table.raw_set("seal", lua.create_function(seal)?)?;
    table.raw_set("open", lua.create_function(open)?)?;
    host.raw_set("cipher", table)
}

/// What is done to a text in place; `padded` says whether blocks are filled up.
struct Job<'j> {
    mode: &'j [u8],
    iv: &'j [u8],
    padded: bool,
}

impl Job<'_> {
    fn encryption(&self) -> Result<EncryptionContext, Unspecified> {
        if self.mode == b"ecb" {
            return Ok(EncryptionContext::None);
        }
        Ok(EncryptionContext::Iv128(FixedLength::try_from(self.iv)?))
    }

    fn decryption(&self) -> Result<DecryptionContext, Unspecified> {
        if self.mode == b"ecb" {
            return Ok(DecryptionContext::None);
        }
        Ok(DecryptionContext::Iv128(FixedLength::try_from(self.iv)?))
    }
}

fn key_of(bytes: &[u8]) -> Result<UnboundCipherKey, Unspecified> {
    let algorithm = match bytes.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        32 => &cipher::AES_256,
        _ => return Err(Unspecified),
    };
    UnboundCipherKey::new(algorithm, bytes)
}

fn encrypt(
    job: &Job<'_>,
    key: UnboundCipherKey,
    mut text: Vec<u8>,
) -> Result<Vec<u8>, Unspecified> {
    let context = job.encryption()?;
    match (job.mode, job.padded) {
        (b"cbc", true) => {
            PaddedBlockEncryptingKey::cbc_pkcs7(key)?.less_safe_encrypt(&mut text, context)?
        }
        (b"ecb", true) => {
            PaddedBlockEncryptingKey::ecb_pkcs7(key)?.less_safe_encrypt(&mut text, context)?
        }
        (mode, _) => {
            let key = match mode {
                b"cbc" => EncryptingKey::cbc(key)?,
                b"ecb" => EncryptingKey::ecb(key)?,
                b"ctr" => EncryptingKey::ctr(key)?,
                b"cfb" => EncryptingKey::cfb128(key)?,
                b"cfb8" => EncryptingKey::cfb8(key)?,
                b"cfb1" => EncryptingKey::cfb1(key)?,
                b"ofb" => EncryptingKey::ofb(key)?,
                _ => return Err(Unspecified),
            };
            key.less_safe_encrypt(&mut text, context)?
        }
    };
    Ok(text)
}

fn decrypt(
    job: &Job<'_>,
    key: UnboundCipherKey,
    mut text: Vec<u8>,
) -> Result<Vec<u8>, Unspecified> {
    let context = job.decryption()?;
    let plain = match (job.mode, job.padded) {
        (b"cbc", true) => {
            PaddedBlockDecryptingKey::cbc_pkcs7(key)?.decrypt(&mut text, context)?.len()
        }
        (b"ecb", true) => {
            PaddedBlockDecryptingKey::ecb_pkcs7(key)?.decrypt(&mut text, context)?.len()
        }
        (mode, _) => {
            let key = match mode {
                b"cbc" => DecryptingKey::cbc(key)?,
                b"ecb" => DecryptingKey::ecb(key)?,
                b"ctr" => DecryptingKey::ctr(key)?,
                b"cfb" => DecryptingKey::cfb128(key)?,
                b"cfb8" => DecryptingKey::cfb8(key)?,
                b"cfb1" => DecryptingKey::cfb1(key)?,
                b"ofb" => DecryptingKey::ofb(key)?,
                _ => return Err(Unspecified),
            };
            key.decrypt(&mut text, context)?.len()
        }
    };
    text.truncate(plain);
    Ok(text)
}

/// `encrypt(mode, key, iv, text, padded)` and `decrypt`: the text, or nil and why.
fn block(lua: &Lua, (mode, key, iv, text, padded): BlockArgs, work: Work) -> mlua::Result<Text> {
    let Ok(key) = key_of(&key.as_bytes()) else {
        return Ok(Err("the key has a wrong length".to_owned()));
    };
    let (mode, iv) = (mode.as_bytes(), iv.as_bytes());
    let job = Job { mode: &mode, iv: &iv, padded };
    match work(&job, key, text.as_bytes().to_vec()) {
        Ok(done) => Ok(Ok(lua.create_string(done)?)),
        Err(Unspecified) => Ok(Err("the text does not fit the key, the mode or the IV".to_owned())),
    }
}

fn aead_key(name: &[u8], key: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match (name, key.len()) {
        (b"gcm", 16) => &aead::AES_128_GCM,
        (b"gcm", 24) => &aead::AES_192_GCM,
        (b"gcm", 32) => &aead::AES_256_GCM,
        (b"chacha20-poly1305", 32) => &aead::CHACHA20_POLY1305,
        _ => return None,
    };
    UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
}

/// `seal(name, key, nonce, text, aad)`: what is sealed and its tag, or nil and why.
fn seal(lua: &Lua, args: SealArgs) -> mlua::Result<(Option<LuaString>, LuaString)> {
    match sealed(&args) {
        Ok((text, tag)) => Ok((Some(lua.create_string(text)?), lua.create_string(tag)?)),
        Err(why) => Ok((None, lua.create_string(why)?)),
    }
}

fn sealed((name, key, nonce, text, aad): &SealArgs) -> Result<(Vec<u8>, aead::Tag), &'static str> {
    let key = aead_key(&name.as_bytes(), &key.as_bytes()).ok_or("the key has a wrong length")?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce.as_bytes());
    let nonce = nonce.map_err(|_| "the IV has not 12 bytes")?;
    let mut text = text.as_bytes().to_vec();
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad.as_bytes().to_vec()), &mut text);
    Ok((text, tag.map_err(|_| "the text cannot be sealed")?))
}

/// `open(name, key, nonce, text, aad, tag)`: the text, or nil and why.
fn open(lua: &Lua, (name, key, nonce, text, aad, tag): OpenArgs) -> mlua::Result<Text> {
    let Some(key) = aead_key(&name.as_bytes(), &key.as_bytes()) else {
        return Ok(Err("the key has a wrong length".to_owned()));
    };
    let Ok(nonce) = Nonce::try_assume_unique_for_key(&nonce.as_bytes()) else {
        return Ok(Err("the IV has not 12 bytes".to_owned()));
    };
    let mut sealed = text.as_bytes().to_vec();
    sealed.extend_from_slice(&tag.as_bytes());
    match key.open_in_place(nonce, Aad::from(aad.as_bytes().to_vec()), &mut sealed) {
        Ok(plain) => Ok(Ok(lua.create_string(plain)?)),
        Err(Unspecified) => Ok(Err("the tag does not fit".to_owned())),
    }
}
