//! Signing: the fields that a message needs in addition.

use super::{
    Algorithm, Bound, Claim, Message, Proof, Refused, Scheme, Select, SigningKey, claim, digest,
    malformed, rfc9421,
    structured::{self, Bare, Item, Member},
    text, unsupported,
};

/// What to sign with.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// How.
    pub scheme: Scheme,
    /// Whose key it is.
    pub key_id: &'a str,
    /// The key; the algorithm goes with it.
    pub key: &'a SigningKey,
    /// Seconds since 1970.
    pub now: i64,
    /// For how many seconds it holds; RFC 9421 only.
    pub lifetime: Option<i64>,
    /// A number used once; RFC 9421 only.
    pub nonce: Option<&'a str>,
    /// Label and tag; RFC 9421 only.
    pub label: &'a str,
    /// See `label`.
    pub tag: Option<&'a str>,
    /// What is covered: components of RFC 9421 as its Signature-Input has them, such as
    /// `@method`, `@path;req` or `@query-param;name="a"`; names of fields in the other schemes.
    pub covered: &'a [&'a str],
    /// Names of region and service; SigV4 and, the service, TC3.
    pub region: &'a str,
    /// See `region`.
    pub service: &'a str,
    /// The body; `None` leaves it unsigned where the scheme lets one.
    pub body: Option<&'a [u8]>,
}

/// Fields to add to a message.
pub type Added = Vec<(String, String)>;

/// Signs `message`, giving the fields to add to it.
///
/// # Errors
///
/// [`Refused`]: the message cannot be signed like that.
pub fn sign(message: &Message<'_>, order: &Order<'_>) -> Result<Added, Refused> {
    match order.scheme {
        Scheme::Rfc9421 => sign_9421(message, order),
        Scheme::HmacAuth => sign_hmac_auth(message, order),
        Scheme::SigV4 | Scheme::Tc3 => sign_derived(message, order),
    }
}

/// `message` with `added` behind its fields.
fn with<T>(message: &Message<'_>, added: &Added, then: impl FnOnce(&Message<'_>) -> T) -> T {
    let more = added.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let fields: Vec<(&[u8], &[u8])> = message.fields.iter().copied().chain(more).collect();
    then(&Message { fields: &fields, ..*message })
}

fn no_key(why: String) -> Refused {
    malformed(why)
}

/// A component as it stands in a list: its name in quotes, with its parameters.
fn quoted(name: &str) -> String {
    if name.starts_with('"') {
        return name.to_owned();
    }
    let (plain, params) = name.split_at(name.find(';').unwrap_or(name.len()));
    format!("\"{plain}\"{params}")
}

fn sign_9421(message: &Message<'_>, order: &Order<'_>) -> Result<Added, Refused> {
    let mut added = Added::new();
    let quoted: Vec<String> = order.covered.iter().map(|name| quoted(name)).collect();
    let mut components = Vec::new();
    for (name, quoted) in order.covered.iter().zip(&quoted) {
        let item = structured::item(quoted.as_bytes())
            .map_err(|error| malformed(format!("component {name}: {}", error.0)))?;
        components.push(item);
    }
    let wants_digest = components.iter().any(|item| {
        let own = !item.params.iter().any(|(name, _)| *name == "req");
        item.bare == Bare::String("content-digest".into()) && own
    });
    if wants_digest && message.lines("content-digest").next().is_none() {
        let sum = text::base64(&digest::sha256(order.body.unwrap_or_default()));
        added.push(("Content-Digest".to_owned(), format!("sha-256=:{sum}:")));
    }
    let mut params = vec![("created", Bare::Integer(order.now))];
    if let Some(seconds) = order.lifetime {
        params.push(("expires", Bare::Integer(order.now.saturating_add(seconds))));
    }
    let texts = [
        ("keyid", Some(order.key_id)),
        ("alg", Some(order.key.algorithm().name())),
        ("nonce", order.nonce),
        ("tag", order.tag),
    ];
    for (name, value) in texts {
        params.extend(value.map(|value| (name, Bare::String(value.into()))));
    }
    let base = with(message, &added, |message| rfc9421::base(message, &components, &params))?;
    let signature = order.key.sign(&base).map_err(no_key)?;
    let one = |member| {
        let mut out = Vec::new();
        structured::write_dictionary(&mut out, &[(order.label, member)]);
        String::from_utf8_lossy(&out).into_owned()
    };
    added.push(("Signature-Input".to_owned(), one(Member::Inner(components, params))));
    let signature = Item { bare: Bare::Bytes(signature), params: Vec::new() };
    added.push(("Signature".to_owned(), one(Member::Item(signature))));
    Ok(added)
}

/// The time of `order` as an HTTP date.
fn http_date(order: &Order<'_>) -> String {
    let date = crate::clock::http_date(u64::try_from(order.now).unwrap_or(0));
    String::from_utf8_lossy(&date).into_owned()
}

fn sign_hmac_auth(message: &Message<'_>, order: &Order<'_>) -> Result<Added, Refused> {
    let mut added = Added::new();
    let listed = |name: &str| order.covered.iter().any(|known| known.eq_ignore_ascii_case(name));
    if message.lines("date").next().is_none() {
        added.push(("Date".to_owned(), http_date(order)));
    }
    if listed("digest") && message.lines("digest").next().is_none() {
        let sum = text::base64(&digest::sha256(order.body.unwrap_or_default()));
        added.push(("Digest".to_owned(), format!("SHA-256={sum}")));
    }
    let field = |signature: &[u8]| {
        format!(
            "Signature keyId=\"{}\",algorithm=\"{}\",headers=\"{}\",signature=\"{}\"",
            order.key_id,
            order.key.algorithm().name(),
            order.covered.join(" "),
            text::base64(signature)
        )
    };
    let made = signed(message, order, &mut added, &field)?;
    let Proof::Text(text) = &made.proof else {
        return Err(unsupported("a scheme without a text"));
    };
    let signature = order.key.sign(text).map_err(no_key)?;
    added.push(("Authorization".to_owned(), field(&signature)));
    Ok(added)
}

/// The claim of the message that is to be signed, read with an empty signature: what is signed is
/// then found by the same code that checks it.
fn signed(
    message: &Message<'_>,
    order: &Order<'_>,
    added: &mut Added,
    field: &dyn Fn(&[u8]) -> String,
) -> Result<Claim, Refused> {
    added.push(("Authorization".to_owned(), field(&[0; 32])));
    let made = with(message, added, |message| claim(order.scheme, message, Select::default()));
    added.pop();
    made
}

fn sign_derived(message: &Message<'_>, order: &Order<'_>) -> Result<Added, Refused> {
    let secret = match order.key {
        SigningKey::Secret(secret) if secret.algorithm() == Algorithm::HmacSha256 => secret.bytes(),
        _ => return Err(unsupported("this scheme has hmac-sha256 only")),
    };
    let aws = order.scheme == Scheme::SigV4;
    let mut added = Added::new();
    let prefix = if aws { "X-Amz" } else { "X-TC" };
    if aws {
        added.push(("X-Amz-Date".to_owned(), text::write_compact_date(order.now)));
    } else {
        added.push(("X-TC-Timestamp".to_owned(), order.now.to_string()));
    }
    let sum = match order.body {
        Some(body) => text::hex(&digest::sha256(body)),
        None => "UNSIGNED-PAYLOAD".to_owned(),
    };
    added.push((format!("{prefix}-Content-SHA256"), sum));
    let mut names: Vec<String> = order.covered.iter().map(|name| name.to_lowercase()).collect();
    names.extend(added.iter().map(|(name, _)| name.to_ascii_lowercase()));
    names.push("host".to_owned());
    let own = message.fields.iter().map(|(name, _)| String::from_utf8_lossy(name).to_lowercase());
    names.extend(own.filter(|name| name.starts_with("x-amz-") || (!aws && name == "content-type")));
    names.sort();
    names.dedup();
    let day = text::write_day(order.now);
    let (algorithm, scope) = if aws {
        let day = day.replace('-', "");
        ("AWS4-HMAC-SHA256", format!("{day}/{}/{}/aws4_request", order.region, order.service))
    } else {
        ("TC3-HMAC-SHA256", format!("{day}/{}/tc3_request", order.service))
    };
    let field = |signature: &[u8]| {
        format!(
            "{algorithm} Credential={}/{scope}, SignedHeaders={}, Signature={}",
            order.key_id,
            names.join(";"),
            text::hex(signature)
        )
    };
    let made = signed(message, order, &mut added, &field)?;
    debug_assert!(made.body != Bound::Within, "the digest is always told");
    let Proof::Derived(derived) = &made.proof else {
        return Err(unsupported("a scheme without a derived key"));
    };
    let signature = derived.sign(secret, None);
    let signature = signature.ok_or_else(|| unsupported("a body that is not told"))?;
    added.push(("Authorization".to_owned(), field(&signature)));
    Ok(added)
}
