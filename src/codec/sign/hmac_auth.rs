//! The scheme of APISIX's `hmac-auth`: `Authorization: Signature keyId="..",algorithm="..",
//! headers="..",signature=".."`, with a Date for the time and perhaps a Digest for the body.
//!
//! Each line of the text is a field as listed, absent ones are left out, and `@request-target`
//! stands for method and target. Neither can be mistaken for the other: a method has no colon.

use super::{
    Algorithm, Bound, Claim, Message, Names, Proof, Refused, Scheme, ambiguous, digest, malformed,
    missing, text, unsupported, utf8,
};

const TARGET: &str = "@request-target";

/// Reads the claim of a request.
pub(super) fn claim(message: &Message<'_>) -> Result<Claim, Refused> {
    let field = message.only("authorization")?;
    let field = field.ok_or_else(|| missing("missing Authorization header"))?;
    let field = utf8(field, "Authorization")?;
    let rest = field
        .strip_prefix("Signature")
        .ok_or_else(|| missing("Authorization header does not start with 'Signature'"))?;
    let [key_id, algorithm, headers, signature] = parameters(rest)?;
    let (Some(key_id), Some(signature)) = (key_id, signature) else {
        return Err(malformed("keyId or signature missing"));
    };
    let algorithm = algorithm.ok_or_else(|| malformed("algorithm missing"))?;
    let algorithm = Algorithm::of(algorithm)
        .filter(|algorithm| algorithm.is_shared())
        .ok_or_else(|| unsupported("Invalid algorithm"))?;
    let names: Vec<&str> = headers.unwrap_or_default().split(' ').collect();
    let mut names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let text = signed_text(message, key_id, &names)?;
    names.retain(|name| *name == TARGET || message.lines(name).next().is_some());
    let mut covered: Names = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let stamp = message.only("date")?.and_then(text::http_date);
    let body = match message.only("digest")? {
        Some(value) if covered.has("digest") => Bound::Digests(digest::digest(value)?),
        _ => Bound::No,
    };
    if covered.has(TARGET) {
        covered.extend(["@method", "@path", "@query"]);
    }
    if covered.has("host") {
        covered.push("@authority");
    }
    Ok(Claim {
        scheme: Scheme::HmacAuth,
        key_id: key_id.to_owned(),
        algorithm: Some(algorithm),
        timestamp: stamp,
        expires: None,
        nonce: None,
        label: None,
        tag: None,
        covered,
        body,
        signature: text::unbase64(signature.as_bytes())
            .ok_or_else(|| malformed("Invalid signature"))?,
        proof: Proof::Text(text),
    })
}

fn signed_text(message: &Message<'_>, key_id: &str, names: &[&str]) -> Result<Vec<u8>, Refused> {
    let mut text = format!("{key_id}\n").into_bytes();
    for name in names {
        if *name == TARGET {
            for part in [message.method, b" ", message.target, b"\n"] {
                text.extend_from_slice(part);
            }
        } else if let Some(value) = message.only(name)? {
            for part in [name.as_bytes(), b": ", value, b"\n"] {
                text.extend_from_slice(part);
            }
        }
    }
    Ok(text)
}

/// keyId, algorithm, headers, signature.
fn parameters(text: &str) -> Result<[Option<&str>; 4], Refused> {
    const NAMES: [&str; 4] = ["keyId", "algorithm", "headers", "signature"];
    let mut found = [None; 4];
    let mut rest = text.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        let bad = || malformed("Authorization is not name=\"value\", ...");
        let (name, behind) = rest.split_once("=\"").ok_or_else(bad)?;
        let (value, behind) = behind.split_once('"').ok_or_else(bad)?;
        let slot = NAMES.iter().position(|known| *known == name);
        if let Some(slot) = slot.and_then(|at| found.get_mut(at))
            && slot.replace(value).is_some()
        {
            return Err(ambiguous("a part of Authorization comes more than once"));
        }
        rest = behind.trim_start_matches([' ', '\t']);
        if let Some(behind) = rest.strip_prefix(',') {
            rest = behind.trim_start_matches([' ', '\t']);
        } else if !rest.is_empty() {
            return Err(bad());
        }
    }
    Ok(found)
}
