//! What must hold of signed messages for any bytes.

use moongate::codec::sign::{
    Algorithm, Bound, Hashing, Key, Message, Scheme, Select, claim, digest, structured, text,
};

use super::{Check, owned, repeated};

pub const CHECKS: &[Check] = &[
    Check {
        name: "signature",
        run: signature,
        samples: || owned(MESSAGES),
        large: large_messages,
        bytes_max: |input| 32 * input + (64 << 10),
    },
    Check {
        name: "sign_field",
        run: field,
        samples: || owned(FIELDS),
        large: large_fields,
        bytes_max: |input| 128 * input + (64 << 10),
    },
];

const MESSAGES: &[&[u8]] = &[
    b"/\na=(\"@status\" \"@method\";req \"signature\";req;key=\"a\" \"@path\";req);tag=\"t\"\na=:AA==:\n",
        b"/a?b=c\nsig1=(\"@method\" \"@target-uri\" \"@query-param\";name=\"b\" \"content-digest\";key=\"sha-256\" \"host\";bs);created=1;keyid=\"k\";alg=\"hmac-sha256\";nonce=\"n\"\nsig1=:AAAA:\nsha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
        b"/\nAWS4-HMAC-SHA256 Credential=k/20150830/r/s/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31\n20150830T123600Z\na/b",
        b"/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=k%2F20130524%2Fr%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404\n\n\n",
        b"/\nTC3-HMAC-SHA256 Credential=k/2019-02-25/s/tc3_request, SignedHeaders=content-type;host, Signature=63f75ef12de4bbcc77c2b414d82d6e386b6588ac8d8af48d9526462e263f1000\n1551113065\nA/B",
        b"/\nSignature keyId=\"k\",algorithm=\"hmac-sha256\",headers=\"@request-target date\",signature=\"AAAA\"\nSun, 06 Nov 1994 08:49:37 GMT\nx",
];

const FIELDS: &[&[u8]] = &[
    b"sig1=(\"@method\" \"date\";req \"x\";bs;sf);created=1618884473;keyid=\"k\", b=?0, c, d=:aGk=:",
    b"1, -2.5;a=tok/en, \"q\\\"\\\\\";b, (1 2);x=@1659578233, *t:!",
    b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, md5=:aaaa:",
    b"SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=,id-sha-512=aa==",
    b"Sun, 06 Nov 1994 08:49:37 GMT",
    b"20240229T235959Z",
    b"999999999999.999",
    b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n",
    b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lfw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==",
];

/// A claim is read or refused, the same way each time, and is of what the message says.
pub fn signature(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (target, first, second, more) = (part(), part(), part(), part());
    let fields: [(&[u8], &[u8]); 9] = [
        (b"Host", b"h"),
        (b"Authorization", first),
        (b"Signature-Input", first),
        (b"Signature", second),
        (b"X-Amz-Date", second),
        (b"X-TC-Timestamp", second),
        (b"Date", second),
        (b"Content-Type", more),
        (b"Content-Digest", more),
    ];
    let message = Message {
        method: b"POST",
        scheme: "http",
        authority: b"h",
        target,
        fields: &fields,
        status: None,
        request: None,
    };
    let answer = Message { status: Some(200), request: Some(&message), ..message };
    let all = Scheme::ALL.map(|scheme| (scheme, &message));
    for (scheme, message) in all.into_iter().chain([(Scheme::Rfc9421, &answer)]) {
        let Ok(found) = claim(scheme, message, Select::default()) else { continue };
        let again = claim(scheme, message, Select::default()).unwrap();
        assert_eq!(found.canonical(), again.canonical());
        // Each line of it comes from a part of the message, with its name or a little around it.
        assert!(found.canonical().len() < 64 * (data.len() + 512));
        assert!(!found.canonical().contains(&b'\r'));
        assert_eq!(found.fingerprint(), again.fingerprint());
        let body = (found.body == Bound::Within).then(|| digest::sha256(more));
        assert_eq!(found.needs_body(), body.is_some());
        // Nobody finds the signature of a key that is not in the samples.
        let key = Key::secret(Algorithm::HmacSha256, b"unknown").unwrap();
        assert!(!found.verify(&key, body.as_ref()));
        if let Bound::Digests(expected) = &found.body {
            let mut hashing = Hashing::of(expected);
            hashing.update(b"");
            let _ = hashing.finish().hold(expected);
        }
    }
}

/// What a structured field means survives being written again; digests, dates and keys are read
/// or refused.
pub fn field(data: &[u8]) {
    let mut written = Vec::new();
    if let Ok(members) = structured::dictionary(data) {
        structured::write_dictionary(&mut written, &members);
        assert_eq!(structured::dictionary(&written), Ok(members));
    }
    written.clear();
    if let Ok(members) = structured::list(data) {
        structured::write_list(&mut written, &members);
        assert_eq!(structured::list(&written), Ok(members));
    }
    written.clear();
    if let Ok(item) = structured::item(data) {
        structured::write_item(&mut written, &item);
        assert_eq!(structured::item(&written), Ok(item));
    }
    for digests in [digest::content_digest(data, None), digest::digest(data)] {
        assert!(digests.is_err() || digests.is_ok_and(|digests| !digests.is_empty()));
    }
    if let Some(seconds) = text::compact_date(data) {
        assert_eq!(text::write_compact_date(seconds).as_bytes(), data);
    }
    assert!(text::http_date(data).is_none_or(|seconds| seconds >= 0));
    for form in [false, true] {
        let Some(plain) = text::percent_decode(data, form) else { continue };
        let mut encoded = Vec::new();
        text::percent_encode(&mut encoded, &plain, b"-._~");
        assert_eq!(text::percent_decode(&encoded, form), Some(plain));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    for algorithm in Algorithm::ALL {
        let Ok(key) = Key::public(algorithm, text) else { continue };
        assert!(!algorithm.is_shared() && !key.verify(b"text", &[1; 64]));
    }
}

fn large_messages() -> Vec<Vec<u8>> {
    let message = |target: &[u8], first: &[u8]| [target, b"\n", first, b"\n\n"].concat();
    let query = [&b"/?X-Amz-Algorithm=AWS4-HMAC-SHA256"[..], &repeated(b"&a=%20")].concat();
    vec![
        message(&query, b""),
        message(&[b"/", &repeated(b"%20/")[..]].concat(), MESSAGES[1]),
        message(b"/", &[b"a=(", &repeated(b"1 ")[..], b")"].concat()),
        message(b"/", &[b"a=1", &repeated(b";a")[..]].concat()),
        message(b"/", &[b"AWS4-HMAC-SHA256 SignedHeaders=", &repeated(b"a;")[..]].concat()),
        message(b"/", &[b"Signature headers=\"", &repeated(b"a ")[..], b"\""].concat()),
        message(b"/", &[b"TC3-HMAC-SHA256 ", &repeated(b"Credential=,")[..]].concat()),
    ]
}

fn large_fields() -> Vec<Vec<u8>> {
    // As many items as are allowed, with as many parameters, in as many lists.
    let names: String = (0..256).map(|n| format!(";a{n}")).collect();
    let items = format!("(1{names} ").repeat(64);
    let lists = format!("({}),", "1 ".repeat(255)).repeat(256);
    let params = format!("({})", format!("1{names} ").repeat(255));
    vec![
        repeated(b"1,"),
        repeated(b"("),
        repeated(b":"),
        repeated(b"\"\\\\"),
        repeated(b"%20"),
        [b":", &repeated(b"aaaa")[..], b":"].concat(),
        lists.trim_end_matches(',').into(),
        items.into(),
        params.into(),
        repeated(b"MFkw"),
    ]
}
