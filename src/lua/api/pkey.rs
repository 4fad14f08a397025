//! `host.pkey`: signatures and encryption with public keys, what `resty.openssl.pkey` stands on.
//!
//! Keys come and go as DER: PKCS #8 for private ones (for RSA also PKCS #1, for EC SEC 1),
//! `SubjectPublicKeyInfo` for public ones. PEM, JWK and their parts are Lua's
//! (`lua/moongate/asn1.lua`). A scheme is a name such as `rsa-pss-sha256`, `p384` or `ed25519`;
//! those that the library does not offer are told by name.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    error::Unspecified,
    rand::SystemRandom,
    rsa::{
        self, KeyPair as RsaKeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256,
        OAEP_SHA384_MGF1SHA384, OAEP_SHA512_MGF1SHA512, OaepPrivateDecryptingKey,
        OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey,
        PrivateDecryptingKey, PublicEncryptingKey,
    },
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use mlua::{Lua, LuaString, Table};

/// What was asked for, or why not.
pub(super) type Answer<T> = Result<T, String>;

/// Fills `host.pkey`.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let table = lua.create_table()?;
    table.raw_set(
        "sign",
        lua.create_function(|lua, (scheme, key, text): (String, LuaString, LuaString)| {
            text_of(lua, sign(&scheme, &key.as_bytes(), &text.as_bytes()))
        })?,
    )?;
    table.raw_set("verify", lua.create_function(verify_call)?)?;
    table.raw_set(
        "encrypt",
        lua.create_function(|lua, (padding, key, text): (String, LuaString, LuaString)| {
            text_of(lua, encrypt(&padding, &key.as_bytes(), &text.as_bytes()))
        })?,
    )?;
    table.raw_set(
        "decrypt",
        lua.create_function(|lua, (padding, key, text): (String, LuaString, LuaString)| {
            text_of(lua, decrypt(&padding, &key.as_bytes(), &text.as_bytes()))
        })?,
    )?;
    table.raw_set(
        "generate",
        lua.create_function(|lua, kind: String| text_of(lua, generate(&kind)))?,
    )?;
    table.raw_set(
        "public",
        lua.create_function(|lua, (kind, key): (String, LuaString)| {
            text_of(lua, public(&kind, &key.as_bytes()))
        })?,
    )?;
    host.raw_set("pkey", table)
}

fn text_of(lua: &Lua, made: Answer<Vec<u8>>) -> mlua::Result<Answer<LuaString>> {
    made.map(|bytes| lua.create_string(bytes)).map_or_else(|why| Ok(Err(why)), |text| Ok(Ok(text?)))
}

fn unsupported(name: &str) -> String {
    format!("not supported: {name}")
}

fn failed(what: &'static str) -> impl Fn(Unspecified) -> String {
    move |_| what.to_owned()
}

fn rsa_pair(der: &[u8]) -> Answer<RsaKeyPair> {
    let pair = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
    pair.map_err(|why| format!("the RSA key cannot be used: {why}"))
}

/// The curve by its name; `raw` signatures are the two numbers alone, not DER.
fn curve(name: &str, raw: bool) -> Answer<&'static EcdsaSigningAlgorithm> {
    Ok(match (name, raw) {
        ("p256-sha256", true) => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        ("p256-sha256", false) => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        ("p384-sha384", true) => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        ("p384-sha384", false) => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        ("p521-sha512", true) => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        ("p521-sha512", false) => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        ("p256k1-sha256", true) => &signature::ECDSA_P256K1_SHA256_FIXED_SIGNING,
        ("p256k1-sha256", false) => &signature::ECDSA_P256K1_SHA256_ASN1_SIGNING,
        _ => return Err(unsupported(name)),
    })
}

fn ec_pair(algorithm: &'static EcdsaSigningAlgorithm, der: &[u8]) -> Answer<EcdsaKeyPair> {
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der)
        .or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, der));
    pair.map_err(|why| format!("the EC key cannot be used: {why}"))
}

fn ed_pair(der: &[u8]) -> Answer<Ed25519KeyPair> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
    pair.map_err(|why| format!("the Ed25519 key cannot be used: {why}"))
}

fn sign(scheme: &str, key: &[u8], text: &[u8]) -> Answer<Vec<u8>> {
    if scheme == "ed25519" {
        return Ok(ed_pair(key)?.sign(text).as_ref().to_vec());
    }
    let random = SystemRandom::new();
    if let Some(name) = scheme.strip_prefix("ecdsa-") {
        let raw = name.strip_suffix("-raw");
        let pair = ec_pair(curve(raw.unwrap_or(name), raw.is_some())?, key)?;
        let made = pair.sign(&random, text).map_err(failed("the text cannot be signed"))?;
        return Ok(made.as_ref().to_vec());
    }
    let encoding: &dyn signature::RsaEncoding = match scheme {
        "rsa-pkcs1-sha256" => &signature::RSA_PKCS1_SHA256,
        "rsa-pkcs1-sha384" => &signature::RSA_PKCS1_SHA384,
        "rsa-pkcs1-sha512" => &signature::RSA_PKCS1_SHA512,
        "rsa-pss-sha256" => &signature::RSA_PSS_SHA256,
        "rsa-pss-sha384" => &signature::RSA_PSS_SHA384,
        "rsa-pss-sha512" => &signature::RSA_PSS_SHA512,
        _ => return Err(unsupported(scheme)),
    };
    let pair = rsa_pair(key)?;
    let mut made = vec![0; pair.public_modulus_len()];
    let done = pair.sign(encoding, &random, text, &mut made);
    done.map_err(failed("the text cannot be signed"))?;
    Ok(made)
}

fn verifier(scheme: &str) -> Answer<&'static dyn VerificationAlgorithm> {
    Ok(match scheme {
        "ed25519" => &signature::ED25519,
        "rsa-pkcs1-sha1" => &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        "rsa-pkcs1-sha256" => &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        "rsa-pkcs1-sha384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "rsa-pkcs1-sha512" => &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        "rsa-pss-sha256" => &signature::RSA_PSS_2048_8192_SHA256,
        "rsa-pss-sha384" => &signature::RSA_PSS_2048_8192_SHA384,
        "rsa-pss-sha512" => &signature::RSA_PSS_2048_8192_SHA512,
        "ecdsa-p256-sha256" => &signature::ECDSA_P256_SHA256_ASN1,
        "ecdsa-p256-sha256-raw" => &signature::ECDSA_P256_SHA256_FIXED,
        "ecdsa-p384-sha384" => &signature::ECDSA_P384_SHA384_ASN1,
        "ecdsa-p384-sha384-raw" => &signature::ECDSA_P384_SHA384_FIXED,
        "ecdsa-p521-sha512" => &signature::ECDSA_P521_SHA512_ASN1,
        "ecdsa-p521-sha512-raw" => &signature::ECDSA_P521_SHA512_FIXED,
        "ecdsa-p256k1-sha256" => &signature::ECDSA_P256K1_SHA256_ASN1,
        "ecdsa-p256k1-sha256-raw" => &signature::ECDSA_P256K1_SHA256_FIXED,
        _ => return Err(unsupported(scheme)),
    })
}

/// Whether `sum` is the signature of `text` by the private half of `key`.
pub(super) fn holds(scheme: &str, key: &[u8], text: &[u8], sum: &[u8]) -> Answer<bool> {
    let algorithm = verifier(scheme)?;
    Ok(UnparsedPublicKey::new(algorithm, key).verify(text, sum).is_ok())
}

/// `verify(scheme, public, text, signature)`: true or false, or nil and why.
fn verify_call(
    _: &Lua,
    (scheme, key, text, sum): (String, LuaString, LuaString, LuaString),
) -> mlua::Result<Answer<bool>> {
    Ok(holds(&scheme, &key.as_bytes(), &text.as_bytes(), &sum.as_bytes()))
}

fn oaep(padding: &str) -> Answer<&'static rsa::OaepAlgorithm> {
    Ok(match padding {
        "oaep-sha1" => &OAEP_SHA1_MGF1SHA1,
        "oaep-sha256" => &OAEP_SHA256_MGF1SHA256,
        "oaep-sha384" => &OAEP_SHA384_MGF1SHA384,
        "oaep-sha512" => &OAEP_SHA512_MGF1SHA512,
        _ => return Err(unsupported(padding)),
    })
}

fn encrypt(padding: &str, key: &[u8], text: &[u8]) -> Answer<Vec<u8>> {
    let key = PublicEncryptingKey::from_der(key);
    let key = key.map_err(|why| format!("the RSA key cannot be used: {why}"))?;
    let mut room = vec![0; key.key_size_bytes()];
    let wrong = "the text cannot be encrypted";
    let made = if padding == "pkcs1" {
        let key = Pkcs1PublicEncryptingKey::new(key).map_err(failed(wrong))?;
        key.encrypt(text, &mut room).map_err(failed(wrong))?.len()
    } else {
        let key = OaepPublicEncryptingKey::new(key).map_err(failed(wrong))?;
        key.encrypt(oaep(padding)?, text, &mut room, None).map_err(failed(wrong))?.len()
    };
    room.truncate(made);
    Ok(room)
}

fn decrypt(padding: &str, key: &[u8], text: &[u8]) -> Answer<Vec<u8>> {
    let key = PrivateDecryptingKey::from_pkcs8(key);
    let key = key.map_err(|why| format!("the RSA key cannot be used: {why}"))?;
    let mut room = vec![0; key.key_size_bytes()];
    let wrong = "the text cannot be decrypted";
    let made = if padding == "pkcs1" {
        let key = Pkcs1PrivateDecryptingKey::new(key).map_err(failed(wrong))?;
        key.decrypt(text, &mut room).map_err(failed(wrong))?.len()
    } else {
        let key = OaepPrivateDecryptingKey::new(key).map_err(failed(wrong))?;
        key.decrypt(oaep(padding)?, text, &mut room, None).map_err(failed(wrong))?.len()
    };
    room.truncate(made);
    Ok(room)
}

/// The curve of a key's kind, with the digest that belongs to it.
fn curve_of(kind: &str) -> Answer<&'static EcdsaSigningAlgorithm> {
    match kind {
        "p256" => curve("p256-sha256", false),
        "p384" => curve("p384-sha384", false),
        "p521" => curve("p521-sha512", false),
        "p256k1" => curve("p256k1-sha256", false),
        _ => Err(unsupported(kind)),
    }
}

/// A new private key as PKCS #8.
fn generate(kind: &str) -> Answer<Vec<u8>> {
    let wrong = "no key can be made";
    let bits = match kind {
        "rsa-2048" => Some(KeySize::Rsa2048),
        "rsa-3072" => Some(KeySize::Rsa3072),
        "rsa-4096" => Some(KeySize::Rsa4096),
        "rsa-8192" => Some(KeySize::Rsa8192),
        _ => None,
    };
    if let Some(bits) = bits {
        let pair = RsaKeyPair::generate(bits).map_err(failed(wrong))?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed(wrong))?;
        return Ok(der.as_ref().to_vec());
    }
    if kind == "ed25519" {
        let pair = Ed25519KeyPair::generate().map_err(failed(wrong))?;
        return Ok(pair.to_pkcs8v1().map_err(failed(wrong))?.as_ref().to_vec());
    }
    let pair = EcdsaKeyPair::generate(curve_of(kind)?).map_err(failed(wrong))?;
    Ok(pair.to_pkcs8v1().map_err(failed(wrong))?.as_ref().to_vec())
}

/// The public half of a private key as `SubjectPublicKeyInfo`.
fn public(kind: &str, key: &[u8]) -> Answer<Vec<u8>> {
    let wrong = "the key has no public half";
    let der: PublicKeyX509Der<'_> = match kind {
        "rsa" => rsa_pair(key)?.public_key().as_der().map_err(failed(wrong))?,
        "ed25519" => ed_pair(key)?.public_key().as_der().map_err(failed(wrong))?,
        _ => ec_pair(curve_of(kind)?, key)?.public_key().as_der().map_err(failed(wrong))?,
    };
    Ok(der.as_ref().to_vec())
}
