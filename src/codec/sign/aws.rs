//! AWS Signature Version 4, in the field Authorization or in the query.
//!
//! Path and query are taken as they were sent: where AWS would decode and encode them anew, a
//! client must send the form that it signed. A name that the query repeats must have its values
//! in the order in which they are signed, so that their order cannot be changed.

use super::{
    Algorithm, Bound, Claim, Message, Names, Proof, Refused, Scheme, ambiguous, derived,
    derived::{Authorization, Derived, Payload},
    digest, malformed, missing, text, unsupported, utf8,
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What stands for the digest of a body that is not signed.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// How long a signature in the query may live, in seconds.
const EXPIRES_MAX: i64 = 604_800;

/// Where the parts of a signature stood.
struct Parts {
    credential: String,
    signed: String,
    signature: String,
    date: Vec<u8>,
    expires: Option<i64>,
    in_query: bool,
}

/// Reads the claim of a request.
pub(super) fn claim(message: &Message<'_>) -> Result<Claim, Refused> {
    let parts = parts(message)?;
    let scope: Vec<&str> = parts.credential.rsplitn(5, '/').collect();
    let ["aws4_request", service, region, day, key_id] = scope.as_slice() else {
        return Err(malformed("Credential is not KEY/DATE/REGION/SERVICE/aws4_request"));
    };
    let timestamp = text::compact_date(&parts.date)
        .ok_or_else(|| malformed("X-Amz-Date is not YYYYMMDDTHHMMSSZ"))?;
    if !parts.date.starts_with(day.as_bytes()) || day.len() != 8 {
        return Err(malformed("the date of Credential is not that of X-Amz-Date"));
    }
    let names = derived::signed_names(&parts.signed)
        .ok_or_else(|| malformed("SignedHeaders are not sorted names in lower case"))?;
    check_names(message, &names)?;
    let (payload, body) = payload(message, service, parts.in_query)?;
    let mut request = Vec::with_capacity(512);
    for line in [message.method, &canonical_path(message, service)?] {
        request.extend_from_slice(line);
        request.push(b'\n');
    }
    request.extend_from_slice(&canonical_query(message, parts.in_query)?);
    request.push(b'\n');
    for name in &names {
        let value = message.only(name)?;
        let value = value.ok_or_else(|| missing(format!("the signed field {name} is missing")))?;
        request.extend_from_slice(name.as_bytes());
        request.push(b':');
        request.extend_from_slice(&squeezed(value));
        request.push(b'\n');
    }
    request.extend_from_slice(format!("\n{}\n", parts.signed).as_bytes());
    let date = utf8(&parts.date, "X-Amz-Date")?;
    let mut covered: Names = ["@method", "@path", "@query", "@authority"].into_iter().collect();
    covered.extend(names);
    Ok(Claim {
        scheme: Scheme::SigV4,
        key_id: (*key_id).to_owned(),
        algorithm: Some(Algorithm::HmacSha256),
        timestamp: Some(timestamp),
        expires: parts.expires.map(|seconds| timestamp + seconds),
        nonce: None,
        label: None,
        tag: None,
        covered,
        body,
        signature: signature(&parts.signature)?,
        proof: Proof::Derived(Derived {
            prefix: "AWS4",
            steps: [day, region, service, "aws4_request"].map(str::to_owned).to_vec(),
            head: format!("{ALGORITHM}\n{date}\n{day}/{region}/{service}/aws4_request\n"),
            requests: vec![request],
            payload,
        }),
    })
}

pub(super) fn signature(text: &str) -> Result<Vec<u8>, Refused> {
    text::unhex(text)
        .filter(|bytes| bytes.len() == 32)
        .ok_or_else(|| malformed("Signature is not 64 digits of hexadecimal"))
}

fn parts(message: &Message<'_>) -> Result<Parts, Refused> {
    let query = QueryParts::of(message)?;
    let field = message.only("authorization")?;
    let field = field.filter(|value| value.starts_with(b"AWS4-"));
    let text = match (field, query) {
        (Some(_), Some(_)) => return Err(ambiguous("signed in the header and in the query")),
        (None, Some(query)) => return query.parts(),
        (None, None) => return Err(missing("no AWS4-HMAC-SHA256 signature")),
        (Some(text), None) => utf8(text, "Authorization")?,
    };
    let Some(rest) = text.strip_prefix(ALGORITHM).filter(|rest| rest.starts_with(' ')) else {
        return Err(unsupported("an AWS4 algorithm other than AWS4-HMAC-SHA256"));
    };
    let found = Authorization::parse(rest)
        .ok_or_else(|| malformed("Authorization is not Credential, SignedHeaders, Signature"))?;
    let date = message.only("x-amz-date")?;
    Ok(Parts {
        credential: found.credential.to_owned(),
        signed: found.signed.to_owned(),
        signature: found.signature.to_owned(),
        date: date.ok_or_else(|| missing("no X-Amz-Date"))?.to_vec(),
        expires: None,
        in_query: false,
    })
}

/// The arguments of a signature in the query, decoded.
#[derive(Default)]
struct QueryParts {
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed: Option<String>,
    signature: Option<String>,
}

impl QueryParts {
    /// `None` if there is no argument `X-Amz-Signature` or `X-Amz-Algorithm`.
    fn of(message: &Message<'_>) -> Result<Option<Self>, Refused> {
        let mut found = Self::default();
        for pair in message.query().unwrap_or_default().split(|byte| *byte == b'&') {
            let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            let slot = match name {
                b"X-Amz-Algorithm" => &mut found.algorithm,
                b"X-Amz-Credential" => &mut found.credential,
                b"X-Amz-Date" => &mut found.date,
                b"X-Amz-Expires" => &mut found.expires,
                b"X-Amz-SignedHeaders" => &mut found.signed,
                b"X-Amz-Signature" => &mut found.signature,
                _ => continue,
            };
            let value = text::percent_decode(value.get(1..).unwrap_or_default(), false)
                .ok_or_else(|| malformed("bad percent-encoding in an X-Amz argument"))?;
            if slot.replace(utf8(&value, "an X-Amz argument")?).is_some() {
                return Err(ambiguous("an X-Amz argument comes more than once"));
            }
        }
        Ok((found.signature.is_some() || found.algorithm.is_some()).then_some(found))
    }

    fn parts(self) -> Result<Parts, Refused> {
        if self.algorithm.as_deref() != Some(ALGORITHM) {
            return Err(unsupported("an X-Amz-Algorithm other than AWS4-HMAC-SHA256"));
        }
        let need = |part: Option<String>, name: &'static str| {
            part.ok_or_else(|| missing(format!("no argument {name}")))
        };
        let expires = need(self.expires, "X-Amz-Expires")?;
        let expires = text::unix_seconds(expires.as_bytes())
            .filter(|seconds| (1..=EXPIRES_MAX).contains(seconds))
            .ok_or_else(|| malformed("X-Amz-Expires is not between 1 and 604800"))?;
        Ok(Parts {
            credential: need(self.credential, "X-Amz-Credential")?,
            signed: need(self.signed, "X-Amz-SignedHeaders")?,
            signature: need(self.signature, "X-Amz-Signature")?,
            date: need(self.date, "X-Amz-Date")?.into_bytes(),
            expires: Some(expires),
            in_query: true,
        })
    }
}

/// The host and everything that is Amazon's own must be signed.
fn check_names(message: &Message<'_>, names: &[String]) -> Result<(), Refused> {
    let signed = |name: &str| names.iter().any(|known| known == name);
    if !signed("host") {
        return Err(malformed("the field Host is not signed"));
    }
    for (name, _) in message.fields {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if name.starts_with("x-amz-") && !signed(&name) {
            return Err(malformed(format!("the field {name} is not signed")));
        }
    }
    Ok(())
}

fn payload(
    message: &Message<'_>,
    service: &str,
    in_query: bool,
) -> Result<(Payload, Bound), Refused> {
    match message.only("x-amz-content-sha256")? {
        Some(value) if value == UNSIGNED.as_bytes() => {
            Ok((Payload::Told(UNSIGNED.to_owned()), Bound::Waived))
        }
        Some(value) if value.starts_with(b"STREAMING-") => {
            Err(unsupported("a body that is signed chunk by chunk"))
        }
        Some(value) => {
            let sum = digest::hexadecimal(value, "x-amz-content-sha256")?;
            Ok((Payload::Told(utf8(value, "x-amz-content-sha256")?), Bound::Digests(vec![sum])))
        }
        None if in_query && service == "s3" => {
            Ok((Payload::Told(UNSIGNED.to_owned()), Bound::Waived))
        }
        None => Ok((Payload::Body, Bound::Within)),
    }
}

/// S3 signs the path as it is sent, all others sign it encoded once more.
fn canonical_path(message: &Message<'_>, service: &str) -> Result<Vec<u8>, Refused> {
    let path = message.path();
    if !path.starts_with(b"/") {
        return Err(malformed("the target has no path"));
    }
    if service == "s3" {
        return Ok(path.to_vec());
    }
    let mut out = Vec::with_capacity(path.len() + 16);
    text::percent_encode(&mut out, path, b"/");
    Ok(out)
}

fn canonical_query(message: &Message<'_>, in_query: bool) -> Result<Vec<u8>, Refused> {
    let query = message.query().unwrap_or_default();
    let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
    for pair in query.split(|byte| *byte == b'&').filter(|_| !query.is_empty()) {
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() {
            return Err(ambiguous("an argument without a name"));
        }
        if name == b"X-Amz-Signature" && in_query {
            continue;
        }
        let twice = pairs.iter().rev().find(|(known, _)| *known == name);
        if twice.is_some_and(|(_, before)| *before > value) {
            return Err(ambiguous(
                "values of one argument are not in the order they are signed in",
            ));
        }
        pairs.push((name, value));
    }
    pairs.sort();
    let mut out = Vec::with_capacity(query.len() + 8);
    for (n, (name, value)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
    Ok(out)
}

/// Runs of blanks become one.
fn squeezed(value: &[u8]) -> Vec<u8> {
    let words = value.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}
