//! HTTP Message Signatures (RFC 9421).

use std::borrow::Cow;

use super::{
    Algorithm, Bound, Claim, Message, Names, Proof, Refused, Scheme, Select, ambiguous, digest,
    malformed, missing,
    structured::{self, Bare, Item, Malformed, Member, Params},
    text, unsupported,
};

/// Room for what most requests sign.
const BASE_BYTES: usize = 768;
/// Components of one signature.
const COMPONENTS_MAX: usize = 64;
/// Bytes of a nonce.
const NONCE_BYTES_MAX: usize = 512;

/// Reads the claim of a message.
pub(super) fn claim(message: &Message<'_>, select: Select<'_>) -> Result<Claim, Refused> {
    let inputs = message.value("signature-input").ok_or_else(|| missing("no Signature-Input"))?;
    let inputs = structured::dictionary(&inputs).map_err(|error| bad("Signature-Input", error))?;
    let signatures = message.value("signature").ok_or_else(|| missing("no Signature"))?;
    let mut signatures =
        structured::dictionary(&signatures).map_err(|error| bad("Signature", error))?;
    let (label, components, params) = choose(&inputs, select)?;
    let found = signatures.iter_mut().find(|(known, _)| *known == label);
    let Some((_, Member::Item(Item { bare: Bare::Bytes(signature), .. }))) = found else {
        return Err(missing(format!("no Signature for the label {label}")));
    };
    let stated = Stated::of(params)?;
    let base = base(message, components, params)?;
    Ok(Claim {
        scheme: Scheme::Rfc9421,
        key_id: stated.key_id.ok_or_else(|| missing("no keyid"))?.to_owned(),
        algorithm: stated.algorithm,
        timestamp: stated.created,
        expires: stated.expires,
        nonce: stated.nonce.map(str::to_owned),
        label: Some(label.to_owned()),
        tag: stated.tag.map(str::to_owned),
        covered: covered(components),
        body: body(message, components)?,
        signature: std::mem::take(signature),
        proof: Proof::Text(base),
    })
}

fn bad(field: &'static str, error: Malformed) -> Refused {
    malformed(format!("{field}: {}", error.0))
}

/// The one signature that is meant.
fn choose<'i>(
    inputs: &'i [(&'i str, Member<'i>)],
    select: Select<'_>,
) -> Result<(&'i str, &'i [Item<'i>], &'i Params<'i>), Refused> {
    let mut found = None;
    for (label, member) in inputs {
        let Member::Inner(components, params) = member else {
            return Err(malformed("Signature-Input: a member is no inner list"));
        };
        let tag = params.iter().find(|(name, _)| *name == "tag").map(|(_, value)| value);
        let tagged =
            select.tag.is_none_or(|wanted| matches!(tag, Some(Bare::String(tag)) if tag == wanted));
        if !tagged || select.label.is_some_and(|wanted| wanted != *label) {
            continue;
        }
        if found.replace((*label, components.as_slice(), params)).is_some() {
            return Err(ambiguous("several signatures could be meant"));
        }
    }
    found.ok_or_else(|| missing("no signature with the wanted label or tag"))
}

/// The parameters that mean something here.
#[derive(Default)]
struct Stated<'a> {
    created: Option<i64>,
    expires: Option<i64>,
    nonce: Option<&'a str>,
    key_id: Option<&'a str>,
    algorithm: Option<Algorithm>,
    tag: Option<&'a str>,
}

impl<'a> Stated<'a> {
    fn of(params: &'a Params<'a>) -> Result<Self, Refused> {
        let mut stated = Self::default();
        for (name, value) in params {
            match (*name, value) {
                ("created", Bare::Integer(seconds)) => stated.created = Some(*seconds),
                ("expires", Bare::Integer(seconds)) => stated.expires = Some(*seconds),
                ("nonce", Bare::String(nonce)) if nonce.len() <= NONCE_BYTES_MAX => {
                    stated.nonce = Some(nonce);
                }
                ("keyid", Bare::String(id)) => stated.key_id = Some(id),
                ("tag", Bare::String(tag)) => stated.tag = Some(tag),
                ("alg", Bare::String(name)) => {
                    let known = Algorithm::of(name).filter(|algorithm| {
                        !matches!(algorithm, Algorithm::HmacSha1 | Algorithm::HmacSha512)
                    });
                    let known = known.ok_or_else(|| unsupported(format!("algorithm {name}")))?;
                    stated.algorithm = Some(known);
                }
                ("created" | "expires" | "nonce" | "keyid" | "tag" | "alg", _) => {
                    return Err(malformed(format!("the parameter {name} has a wrong value")));
                }
                // A parameter nobody here knows is signed like all others.
                _ => {}
            }
        }
        Ok(stated)
    }
}

/// A component identifier.
struct Component<'a> {
    name: &'a str,
    params: &'a Params<'a>,
}

impl<'a> Component<'a> {
    fn of(item: &'a Item<'a>) -> Result<Self, Refused> {
        let Bare::String(name) = &item.bare else {
            return Err(malformed("a component is no string"));
        };
        let lower = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        let field = name.strip_prefix('@').unwrap_or(name);
        if !lower || !text::is_token(field.as_bytes()) {
            return Err(malformed("a component has a name that no field has"));
        }
        Ok(Self { name, params: &item.params })
    }

    fn flag(&self, name: &str) -> bool {
        self.params.iter().any(|(known, value)| *known == name && *value == Bare::Bool(true))
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.params.iter().find_map(|(known, value)| match value {
            Bare::String(text) if *known == name => Some(&**text),
            _ => None,
        })
    }

    /// Refuses parameters that are not known, or not with this component.
    fn check(&self) -> Result<(), Refused> {
        for (name, value) in self.params {
            let derived = self.name.starts_with('@');
            let known = match (*name, value) {
                ("sf" | "bs", Bare::Bool(true)) | ("key", Bare::String(_)) => !derived,
                ("req", Bare::Bool(true)) => true,
                ("name", Bare::String(_)) => self.name == "@query-param",
                _ => false,
            };
            if !known {
                return Err(unsupported(format!("the parameter {name} of {}", self.name)));
            }
        }
        let structured = self.flag("sf") || self.text("key").is_some();
        if self.flag("bs") && structured {
            return Err(malformed("bs together with sf or key"));
        }
        Ok(())
    }

    fn value<'m>(&self, message: &Message<'m>) -> Result<Cow<'m, [u8]>, Refused> {
        let of = if self.flag("req") {
            message.request.ok_or_else(|| malformed("req, but there is no request to it"))?
        } else {
            message
        };
        if self.name.starts_with('@') { self.derived(of) } else { self.field(of) }
    }

    fn derived<'m>(&self, of: &Message<'m>) -> Result<Cow<'m, [u8]>, Refused> {
        if self.name == "@status" {
            let status = of.status.ok_or_else(|| malformed("@status of a request"))?;
            return Ok(status.to_string().into_bytes().into());
        }
        if of.status.is_some() {
            return Err(malformed(format!("{} of a response", self.name)));
        }
        let authority = || of.normal_authority();
        Ok(match self.name {
            "@method" => of.method.into(),
            "@authority" => authority(),
            "@scheme" => of.scheme.as_bytes().into(),
            "@request-target" => of.target.into(),
            "@path" => of.path().into(),
            "@query" => match of.target.get(of.path().len()..) {
                None | Some([]) => b"?".into(),
                Some(query) => query.into(),
            },
            "@target-uri" => {
                [of.scheme.as_bytes(), b"://", &authority(), of.target].concat().into()
            }
            "@query-param" => self.argument(of)?.into(),
            name => return Err(unsupported(format!("the component {name}"))),
        })
    }

    /// The one argument of that name, in the encoding that RFC 9421, 2.2.8 asks for.
    fn argument(&self, of: &Message<'_>) -> Result<Vec<u8>, Refused> {
        let wanted = self.text("name").ok_or_else(|| malformed("@query-param without name"))?;
        let broken = || malformed("bad percent-encoding in the query");
        let encoded = |text: &[u8]| -> Result<Vec<u8>, Refused> {
            let mut out = Vec::new();
            let plain = text::percent_decode(text, true).ok_or_else(broken)?;
            text::percent_encode(&mut out, &plain, b"*");
            // That set has the tilde in it, other than the one of a path.
            Ok(replace_tilde(out))
        };
        let mut found = None;
        for pair in of.query().unwrap_or_default().split(|byte| *byte == b'&') {
            let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            if encoded(name)? != wanted.as_bytes() {
                continue;
            }
            if found.replace(encoded(value.get(1..).unwrap_or_default())?).is_some() {
                return Err(ambiguous(format!("the argument {wanted} comes more than once")));
            }
        }
        found.ok_or_else(|| missing(format!("the signed argument {wanted} is missing")))
    }

    fn field<'m>(&self, of: &Message<'m>) -> Result<Cow<'m, [u8]>, Refused> {
        let absent = || missing(format!("the signed field {} is missing", self.name));
        if self.flag("bs") {
            let lines: Vec<String> =
                of.lines(self.name).map(|line| format!(":{}:", text::base64(line))).collect();
            let joined = lines.join(", ").into_bytes();
            return if lines.is_empty() { Err(absent()) } else { Ok(joined.into()) };
        }
        let value = of.value(self.name).ok_or_else(absent)?;
        let mut out = Vec::new();
        let broken = |error: Malformed| malformed(format!("{}: {}", self.name, error.0));
        if let Some(key) = self.text("key") {
            let members = structured::dictionary(&value).map_err(broken)?;
            let member = members.iter().find(|(known, _)| *known == key).ok_or_else(absent)?;
            structured::write_member(&mut out, &member.1);
        } else if self.flag("sf") {
            if let Ok(item) = structured::item(&value) {
                structured::write_item(&mut out, &item);
            } else if let Ok(members) = structured::list(&value) {
                structured::write_list(&mut out, &members);
            } else {
                let members = structured::dictionary(&value).map_err(broken)?;
                structured::write_dictionary(&mut out, &members);
            }
        } else {
            return Ok(value);
        }
        Ok(out.into())
    }
}

fn replace_tilde(text: Vec<u8>) -> Vec<u8> {
    if !text.contains(&b'~') {
        return text;
    }
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b'~').collect();
    parts.join(&b"%7E"[..])
}

/// The signature base (RFC 9421, 2.5).
pub(super) fn base(
    message: &Message<'_>,
    components: &[Item<'_>],
    params: &Params<'_>,
) -> Result<Vec<u8>, Refused> {
    if components.len() > COMPONENTS_MAX {
        return Err(malformed("too many components"));
    }
    let mut base = Vec::with_capacity(BASE_BYTES);
    for (n, item) in components.iter().enumerate() {
        let component = Component::of(item)?;
        component.check()?;
        let start = base.len();
        structured::write_item(&mut base, item);
        if components.iter().take(n).any(|before| before == item) {
            let text = String::from_utf8_lossy(base.get(start..).unwrap_or_default());
            return Err(malformed(format!("the component {text} comes twice")));
        }
        base.extend_from_slice(b": ");
        base.extend_from_slice(&component.value(message)?);
        base.push(b'\n');
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    structured::write_inner(&mut base, components, params);
    Ok(base)
}

/// What is covered whole: components of the message itself, with no parameter that narrows them.
fn covered(components: &[Item<'_>]) -> Names {
    let mut names = Names::new();
    for item in components {
        let Ok(component) = Component::of(item) else { continue };
        if component.flag("req") || component.text("key").is_some() {
            continue;
        }
        if component.name == "@query-param" {
            continue;
        }
        names.push(component.name);
        names.extend(match component.name {
            "@target-uri" => &["@scheme", "@authority", "@path", "@query"][..],
            "@request-target" => &["@path", "@query"],
            "host" => &["@authority"],
            _ => &[],
        });
    }
    names
}

fn body(message: &Message<'_>, components: &[Item<'_>]) -> Result<Bound, Refused> {
    let mut digests = Vec::new();
    for item in components {
        let Ok(component) = Component::of(item) else { continue };
        if component.name != "content-digest" || component.flag("req") {
            continue;
        }
        let value = message.value("content-digest").unwrap_or_default();
        digests.extend(digest::content_digest(&value, component.text("key"))?);
    }
    Ok(if digests.is_empty() { Bound::No } else { Bound::Digests(digests) })
}
