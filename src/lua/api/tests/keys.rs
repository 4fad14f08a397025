//! `host.cipher` and `host.pkey`: vectors of NIST, and that what one half makes the other takes.

use super::check;

const HEX: &str = "local function hex(text) return (text:gsub('.', function(one)
        return string.format('%02x', one:byte()) end)) end
    local function bytes(text) return (text:gsub('%x%x', function(pair)
        return string.char(tonumber(pair, 16)) end)) end ";

fn with_hex(code: &str) -> String {
    format!("{HEX}{code}")
}

#[test]
fn blocks_are_those_of_sp_800_38a() {
    let key = "bytes('2b7e151628aed2a6abf7158809cf4f3c')";
    let iv = "bytes('000102030405060708090a0b0c0d0e0f')";
    let text = "bytes('6bc1bee22e409f96e93d7e117393172a')";
    let call = |mode: &str, iv: &str| {
        with_hex(&format!("return hex(host.cipher.encrypt('{mode}', {key}, {iv}, {text}, false))"))
    };
    check(&[
        (&call("ecb", "''"), "'3ad77bb40d7a3660a89ecaf32466ef97'"),
        (&call("cbc", iv), "'7649abac8119b246cee98e9b12e9197d'"),
        (&call("cfb", iv), "'3b3fd92eb72dad20333449f8e83cfb4a'"),
        (&call("ofb", iv), "'3b3fd92eb72dad20333449f8e83cfb4a'"),
        (
            &call("ctr", "bytes('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff')"),
            "'874d6191b620e3261bef6864990db6ce'",
        ),
    ]);
}

#[test]
fn what_is_encrypted_is_decrypted() {
    for mode in ["ecb", "cbc", "ctr", "cfb", "cfb8", "cfb1", "ofb"] {
        let padded = matches!(mode, "ecb" | "cbc");
        let code = format!(
            "local k, iv = ('k'):rep(24), '{mode}' == 'ecb' and '' or ('i'):rep(16)
             local sealed = host.cipher.encrypt('{mode}', k, iv, 'hello', {padded})
             return host.cipher.decrypt('{mode}', k, iv, sealed, {padded})"
        );
        check(&[(&code, "'hello'")]);
    }
}

#[test]
fn a_changed_tag_opens_nothing() {
    let sealed = "local k, n = ('k'):rep(32), ('n'):rep(12)
        local text, tag = host.cipher.seal('gcm', k, n, 'hello', 'aad') ";
    check(&[
        (&format!("{sealed} return host.cipher.open('gcm', k, n, text, 'aad', tag)"), "'hello'"),
        (
            &format!("{sealed} return host.cipher.open('gcm', k, n, text, 'aae', tag)"),
            "nil 'the tag does not fit'",
        ),
        (
            &format!("{sealed} return host.cipher.open('gcm', k, n, text, 'aad', 'short')"),
            "nil 'the tag does not fit'",
        ),
    ]);
}

#[test]
fn what_cannot_be_used_is_told() {
    check(&[
        (
            "return host.cipher.encrypt('cbc', 'k', '', 'x', true)",
            "nil 'the key has a wrong length'",
        ),
        (
            "return host.cipher.encrypt('xyz', ('k'):rep(16), '', 'x', true)",
            "nil 'the text does not fit the key, the mode or the IV'",
        ),
        (
            "return host.cipher.decrypt('cbc', ('k'):rep(16), ('i'):rep(16), 'x', true)",
            "nil 'the text does not fit the key, the mode or the IV'",
        ),
        ("return host.cipher.seal('gcm', 'k', '', '', '')", "nil 'the key has a wrong length'"),
        (
            "return host.cipher.seal('gcm', ('k'):rep(16), '', '', '')",
            "nil 'the IV has not 12 bytes'",
        ),
        ("return (host.pkey.sign('ed25519', 'no key', 'x'))", "nil"),
        ("return host.pkey.sign('rsa-pkcs1-md5', '', 'x')", "nil 'not supported: rsa-pkcs1-md5'"),
        ("return host.pkey.verify('none', '', '', '')", "nil 'not supported: none'"),
        ("return host.pkey.verify('ed25519', '', '', '')", "false"),
        ("return host.pkey.generate('dsa')", "nil 'not supported: dsa'"),
        ("return (host.pkey.encrypt('pkcs1', 'no key', 'x'))", "nil"),
        ("return (host.pkey.decrypt('pkcs1', 'no key', 'x'))", "nil"),
    ]);
}

#[test]
fn a_signature_is_good_for_its_text_only() {
    for (kind, name, scheme) in [
        ("p256", "p256", "ecdsa-p256-sha256-raw"),
        ("p384", "p384", "ecdsa-p384-sha384"),
        ("p521", "p521", "ecdsa-p521-sha512-raw"),
        ("ed25519", "ed25519", "ed25519"),
        ("rsa-2048", "rsa", "rsa-pss-sha256"),
        ("rsa-2048", "rsa", "rsa-pkcs1-sha512"),
    ] {
        let code = format!(
            "local key = assert(host.pkey.generate('{kind}'))
             local public = assert(host.pkey.public('{name}', key))
             local sum = assert(host.pkey.sign('{scheme}', key, 'hello'))
             local good = host.pkey.verify('{scheme}', public, 'hello', sum)
             local other = host.pkey.verify('{scheme}', public, 'hullo', sum)
             return good, other"
        );
        check(&[(&code, "true false")]);
    }
}

#[test]
fn rsa_decrypts_what_it_encrypted() {
    for padding in ["pkcs1", "oaep-sha1", "oaep-sha256", "oaep-sha512"] {
        let code = format!(
            "local key = assert(host.pkey.generate('rsa-2048'))
             local public = assert(host.pkey.public('rsa', key))
             local sealed = assert(host.pkey.encrypt('{padding}', public, 'secret'))
             return host.pkey.decrypt('{padding}', key, sealed)"
        );
        check(&[(&code, "'secret'")]);
    }
}
