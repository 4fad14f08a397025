//! TC3-HMAC-SHA256 of Tencent Cloud.
//!
//! Its API always signs the path `/`, and requests go there; here the path is the one that was
//! sent, and so is the query. The current document signs values in lower case, the clients as
//! they are: both are tried.

use super::{
    Algorithm, Bound, Claim, Message, Names, Proof, Refused, Scheme,
    aws::{UNSIGNED, signature},
    derived,
    derived::{Authorization, Derived, Payload},
    digest, malformed, missing, text, utf8,
};

const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// Reads the claim of a request.
pub(super) fn claim(message: &Message<'_>) -> Result<Claim, Refused> {
    let field = message.only("authorization")?.filter(|value| value.starts_with(b"TC3-"));
    let field = utf8(field.ok_or_else(|| missing("no TC3-HMAC-SHA256 signature"))?, "it")?;
    let found = field
        .strip_prefix(ALGORITHM)
        .filter(|rest| rest.starts_with(' '))
        .and_then(Authorization::parse)
        .ok_or_else(|| malformed("Authorization is not Credential, SignedHeaders, Signature"))?;
    let scope: Vec<&str> = found.credential.rsplitn(4, '/').collect();
    let ["tc3_request", service, day, key_id] = scope.as_slice() else {
        return Err(malformed("Credential is not ID/DATE/SERVICE/tc3_request"));
    };
    let stamp = message.only("x-tc-timestamp")?.ok_or_else(|| missing("no X-TC-Timestamp"))?;
    let timestamp =
        text::unix_seconds(stamp).ok_or_else(|| malformed("X-TC-Timestamp is no number"))?;
    if text::write_day(timestamp) != *day {
        return Err(malformed("the date of Credential is not that of X-TC-Timestamp"));
    }
    let names = derived::signed_names(found.signed)
        .ok_or_else(|| malformed("SignedHeaders are not sorted names in lower case"))?;
    for needed in ["content-type", "host"] {
        if !names.iter().any(|name| name == needed) {
            return Err(malformed(format!("the field {needed} is not signed")));
        }
    }
    let (payload, body) = payload(message)?;
    let mut requests = vec![request(message, found.signed, &names, |value| value.to_vec())?];
    let lower = request(message, found.signed, &names, <[u8]>::to_ascii_lowercase)?;
    if requests.first() != Some(&lower) {
        requests.push(lower);
    }
    let stamp = utf8(stamp, "X-TC-Timestamp")?;
    let mut covered: Names = ["@method", "@path", "@query", "@authority"].into_iter().collect();
    covered.extend(names);
    Ok(Claim {
        scheme: Scheme::Tc3,
        key_id: (*key_id).to_owned(),
        algorithm: Some(Algorithm::HmacSha256),
        timestamp: Some(timestamp),
        expires: None,
        nonce: None,
        label: None,
        tag: None,
        covered,
        body,
        signature: signature(found.signature)?,
        proof: Proof::Derived(Derived {
            prefix: "TC3",
            steps: [day, service, "tc3_request"].map(str::to_owned).to_vec(),
            head: format!("{ALGORITHM}\n{stamp}\n{day}/{service}/tc3_request\n"),
            requests,
            payload,
        }),
    })
}

fn request(
    message: &Message<'_>,
    signed: &str,
    names: &[String],
    written: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::with_capacity(256);
    for line in [message.method, message.path(), message.query().unwrap_or_default()] {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    for name in names {
        let value = message.only(name)?;
        let value = value.ok_or_else(|| missing(format!("the signed field {name} is missing")))?;
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend_from_slice(&written(value));
        out.push(b'\n');
    }
    out.extend_from_slice(format!("\n{signed}\n").as_bytes());
    Ok(out)
}

/// A body that is not signed has the digest of the words that say so.
fn payload(message: &Message<'_>) -> Result<(Payload, Bound), Refused> {
    match message.only("x-tc-content-sha256")? {
        None => Ok((Payload::Body, Bound::Within)),
        Some(value) if value == UNSIGNED.as_bytes() => {
            let sum = digest::sha256(UNSIGNED.as_bytes());
            Ok((Payload::Told(text::hex(&sum)), Bound::Waived))
        }
        Some(value) => {
            let sum = digest::hexadecimal(value, "x-tc-content-sha256")?;
            Ok((Payload::Told(utf8(value, "x-tc-content-sha256")?), Bound::Digests(vec![sum])))
        }
    }
}
