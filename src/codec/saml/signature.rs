//! The signature of an element, enveloped in it: XML-DSig in the profile of SAML.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use roxmltree::Node;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{Check, Fault, Space, c14n, c14n::Method, guard};

const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// Prefixes that a canonicalization may list.
const PREFIXES_MAX: usize = 64;
/// Nodes of a `SignedInfo`, whose canonical form is made before anybody is known to have signed
/// it. About thirty are usual, half of them white space.
const INFO_NODES_MAX: usize = 128;

/// Schemes by the URI of the signature method: RFC 9231 and XML-DSig 1.1.
const SCHEMES: &[(&str, &str)] = &[
    ("http://www.w3.org/2000/09/xmldsig#rsa-sha1", "rsa-pkcs1-sha1"),
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "rsa-pkcs1-sha256"),
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", "rsa-pkcs1-sha384"),
    ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", "rsa-pkcs1-sha512"),
    ("http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1", "rsa-pss-sha256"),
    ("http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1", "rsa-pss-sha384"),
    ("http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1", "rsa-pss-sha512"),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", "ecdsa-p256-sha256-raw"),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", "ecdsa-p384-sha384-raw"),
    ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512", "ecdsa-p521-sha512-raw"),
];

/// See [`super::scheme`].
pub(super) fn scheme(uri: &str) -> Option<&'static str> {
    SCHEMES.iter().find(|(name, _)| *name == uri).map(|(_, scheme)| *scheme)
}

/// The bytes of `target` that the signature in it is of; nothing if there is none.
///
/// # Errors
/// There is one that is not good.
pub(super) fn signed(target: Node<'_, '_>, check: &Check<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let mut found = target.children().filter(|child| is(*child, "Signature"));
    let Some(signature) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(Fault::Signature("an element has two"));
    }
    let id = target.attribute("ID").filter(|id| !id.is_empty());
    let id = id.ok_or(Fault::Signature("the signed element has no ID"))?;
    let parts: Vec<_> = signature.children().filter(Node::is_element).collect();
    let (info, value) = match parts.as_slice() {
        [info, value] => (info, value),
        [info, value, key] if is(*key, "KeyInfo") => (info, value),
        _ => return Err(Fault::Signature("it has other parts than SAML allows")),
    };
    if !is(*info, "SignedInfo") || !is(*value, "SignatureValue") {
        return Err(Fault::Signature("it has no SignedInfo and SignatureValue"));
    }
    if info.descendants().take(INFO_NODES_MAX + 1).count() > INFO_NODES_MAX {
        return Err(Fault::Bound("signature"));
    }
    let first = info.first_element_child().filter(|node| is(*node, "CanonicalizationMethod"));
    let first = first.ok_or(Fault::Signature("it has no CanonicalizationMethod"))?;
    let method = method_of(first)?;
    let info = c14n::canonical(*info, &method, None)?;
    let value = base64(*value)?;
    let reference = Reference::read(&info, &method, |scheme| check(scheme, &info, &value))?;
    if reference.uri.strip_prefix('#') != Some(id) {
        return Err(Fault::Signature("its reference is not to the element it is in"));
    }
    // A reference by ID is to an element without its comments, whatever the transform says.
    let method = Method { comments: false, ..reference.method };
    let bytes = c14n::canonical(target, &method, Some(signature.id()))?;
    if (reference.digest)(&bytes) != reference.value {
        return Err(Fault::Mismatch);
    }
    Ok(Some(bytes))
}

type Digest = fn(&[u8]) -> Vec<u8>;

struct Reference {
    uri: String,
    method: Method,
    digest: Digest,
    value: Vec<u8>,
}

impl Reference {
    /// Reads the one reference of `info`, the canonical form of a `SignedInfo` by `method`, after
    /// `check` has found the signature good for the scheme it names.
    fn read(info: &[u8], method: &Method, check: impl Fn(&str) -> bool) -> Result<Self, Fault> {
        let document = guard::canonical(info)?;
        let info = document.root_element();
        let parts = elements(info);
        let [how, algorithm, reference] = named(
            &parts,
            ["CanonicalizationMethod", "SignatureMethod", "Reference"],
            "it must have one reference",
        )?;
        if !is(info, "SignedInfo") || method_of(how)? != *method {
            return Err(Fault::Signature("its canonical form is not by its method"));
        }
        let name = algorithm_of(algorithm);
        let scheme = scheme(name).ok_or_else(|| unknown(name))?;
        if !check(scheme) {
            return Err(Fault::Mismatch);
        }
        let parts = elements(reference);
        let [transforms, digest, value] = named(
            &parts,
            ["Transforms", "DigestMethod", "DigestValue"],
            "its reference has other parts than SAML allows",
        )?;
        Ok(Self {
            uri: reference.attribute("URI").unwrap_or_default().to_owned(),
            method: transforms_of(transforms)?,
            digest: digest_of(algorithm_of(digest))?,
            value: base64(value)?,
        })
    }
}

/// An enveloped signature, and then a canonical form: Canonical XML if none is named.
fn transforms_of(transforms: Node<'_, '_>) -> Result<Method, Fault> {
    let list = elements(transforms);
    if !list.iter().all(|node| is(*node, "Transform")) {
        return Err(Fault::Signature("its transforms are others than SAML allows"));
    }
    match list.as_slice() {
        [first] if algorithm_of(*first) == ENVELOPED => {
            Ok(Method { exclusive: false, comments: false, prefixes: Vec::new() })
        }
        [first, second] if algorithm_of(*first) == ENVELOPED => method_of(*second),
        _ => Err(Fault::Signature("its transforms are others than SAML allows")),
    }
}

fn method_of(node: Node<'_, '_>) -> Result<Method, Fault> {
    let name = algorithm_of(node);
    let mut method = Method::of(name).ok_or_else(|| unknown(name))?;
    match elements(node).as_slice() {
        [] => {}
        [list] if method.exclusive && list.has_tag_name((EXCLUSIVE, "InclusiveNamespaces")) => {
            let list = list.attribute("PrefixList").unwrap_or_default();
            let names = list.split_ascii_whitespace().take(PREFIXES_MAX + 1);
            let plain = |name: &str| if name == "#default" { "" } else { name }.to_owned();
            method.prefixes = names.map(plain).collect();
        }
        _ => return Err(Fault::Signature("its canonicalization has unknown parameters")),
    }
    if method.prefixes.len() > PREFIXES_MAX {
        return Err(Fault::Bound("prefixes"));
    }
    Ok(method)
}

fn digest_of(name: &str) -> Result<Digest, Fault> {
    Ok(match name {
        "http://www.w3.org/2000/09/xmldsig#sha1" => |bytes| Sha1::digest(bytes).to_vec(),
        "http://www.w3.org/2001/04/xmlenc#sha256" => |bytes| Sha256::digest(bytes).to_vec(),
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => |bytes| Sha384::digest(bytes).to_vec(),
        "http://www.w3.org/2001/04/xmlenc#sha512" => |bytes| Sha512::digest(bytes).to_vec(),
        _ => return Err(unknown(name)),
    })
}

/// The bytes of an element that has nothing but Base64, with white space anywhere.
fn base64(node: Node<'_, '_>) -> Result<Vec<u8>, Fault> {
    if node.children().any(|child| !child.is_text()) {
        return Err(Fault::Signature("a value of it has more than text"));
    }
    let text = node.text().unwrap_or_default();
    let letters: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(letters).map_err(|_| Fault::Signature("a value of it is no base64"))
}

fn unknown(name: &str) -> Fault {
    Fault::Algorithm(name.chars().take(100).collect())
}

fn algorithm_of<'a>(node: Node<'a, '_>) -> &'a str {
    node.attribute("Algorithm").unwrap_or_default()
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    Space::of(node) == Space::Signature && node.tag_name().name() == name
}

fn elements<'a, 'input>(node: Node<'a, 'input>) -> Vec<Node<'a, 'input>> {
    node.children().filter(Node::is_element).collect()
}

/// Three elements of those names, and nothing else.
fn named<'a, 'input>(
    found: &[Node<'a, 'input>],
    names: [&str; 3],
    why: &'static str,
) -> Result<[Node<'a, 'input>; 3], Fault> {
    match found {
        [one, two, three]
            if [one, two, three].iter().zip(names).all(|(node, name)| is(**node, name)) =>
        {
            Ok([*one, *two, *three])
        }
        _ => Err(Fault::Signature(why)),
    }
}
