//! Messages of SAML 2.0: reading them, and telling which part of one its sender has signed.
//!
//! [`verify`] is for a message that carries XML signatures (the HTTP-POST binding), [`read`] for
//! one whose signature is outside of it (HTTP-Redirect). Both give an [`Element`], which is all
//! that is ever looked at. What [`verify`] gives was not picked out of the message: it is read
//! again from the very bytes whose digest the signature holds. So whatever else a message wraps
//! around a signed part, or puts beside it, cannot become part of the answer, and neither can a
//! mistake in `c14n`: it can only refuse.
//!
//! Signed is the message itself, or, in a `Response` only, each of its assertions. A signature
//! stands directly in the element it signs and has one reference, which names that element by its
//! `ID`; nothing else of XML-DSig is known here, as nothing else is allowed by section 5.4 of
//! SAML's core specification. Keys are the caller's: `KeyInfo` is not read. Algorithms are RSA
//! (PKCS #1 and PSS) and ECDSA over SHA-256, 384 and 512; RSA over SHA-1 and digests in SHA-1 are
//! still checked, because identity providers still make them. There is no document type, so there
//! are no entities; what a message may hold is bounded (see `guard`). Nothing here reads a
//! clock or does I/O.

mod c14n;
mod element;
mod guard;
mod signature;

#[cfg(test)]
mod tests;

use std::{collections::HashSet, fmt};

use roxmltree::{Document, Node};

pub use element::{Element, Space};
pub use guard::{ASSERTIONS_MAX, BYTES_MAX};

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is larger than its bounds; says in what.
    Bound(&'static str),
    /// It has a document type declaration.
    Doctype,
    /// It is no XML; says why.
    Malformed(String),
    /// It is no message of SAML 2.0; says why.
    Message(&'static str),
    /// Its signature is not one that SAML allows; says why.
    Signature(&'static str),
    /// An algorithm that is not known.
    Algorithm(String),
    /// The signature is of another text, or of another key.
    Mismatch,
    /// No signature covers what would be read.
    Uncovered,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound(what) => write!(to, "document is too large: {what}"),
            Self::Doctype => to.write_str("document carries a document type declaration"),
            Self::Malformed(why) => write!(to, "content is not valid xml: {why}"),
            Self::Message(why) => write!(to, "document is no SAML 2.0 message: {why}"),
            Self::Signature(why) => write!(to, "invalid signature: {why}"),
            Self::Algorithm(name) => write!(to, "invalid signature algorithm: {name:?}"),
            Self::Mismatch => to.write_str("signature does not match"),
            Self::Uncovered => to.write_str("signature does not cover the message"),
        }
    }
}

/// Whether a signature is good: the name of a scheme such as `rsa-pkcs1-sha256` or
/// `ecdsa-p256-sha256-raw`, the text that was signed, and the signature.
pub type Check<'a> = dyn Fn(&str, &[u8], &[u8]) -> bool + 'a;

/// The scheme of a signature method's URI, for [`Check`]; the HTTP-Redirect binding names its
/// method in the same way.
#[must_use]
pub fn scheme(uri: &str) -> Option<&'static str> {
    signature::scheme(uri)
}

/// Reads a message whose signature is the caller's affair.
///
/// # Errors
/// It is no message, or too large.
pub fn read(text: &[u8]) -> Result<Element, Fault> {
    let document = guard::document(text)?;
    let root = document.root_element();
    message_id(root)?;
    one_of_each_id(&document)?;
    assertions(root)?;
    Ok(Element::of(root))
}

/// Reads what `check` finds signed of a message: all of it, or, of a `Response` that is not
/// signed itself, its attributes, `Issuer` and `Status` as they stand, and its assertions, each
/// of which must be signed.
///
/// # Errors
/// It is no message, too large, or something in it is not signed as it must be.
pub fn verify(text: &[u8], check: &Check<'_>) -> Result<Element, Fault> {
    let document = guard::document(text)?;
    let root = document.root_element();
    message_id(root)?;
    one_of_each_id(&document)?;
    let found = assertions(root)?;
    if let Some(bytes) = signature::signed(root, check)? {
        return reread(root, &bytes);
    }
    if root.tag_name().name() != "Response" || found.is_empty() {
        return Err(Fault::Uncovered);
    }
    let mut message = Element::shell(root, |child| {
        (Space::of(child) == Space::Assertion && child.tag_name().name() == "Issuer")
            || (Space::of(child) == Space::Protocol && child.tag_name().name() == "Status")
    });
    for assertion in found {
        let bytes = signature::signed(assertion, check)?.ok_or(Fault::Uncovered)?;
        message.children.push(reread(assertion, &bytes)?);
    }
    Ok(message)
}

/// The element that `bytes`, the signed form of `source`, are.
fn reread(source: Node<'_, '_>, bytes: &[u8]) -> Result<Element, Fault> {
    let document = guard::canonical(bytes)?;
    let root = document.root_element();
    if root.tag_name() != source.tag_name() || root.attribute("ID") != source.attribute("ID") {
        return Err(Fault::Signature("what is signed is another element"));
    }
    assertions(root)?;
    Ok(Element::of(root))
}

/// The `ID` of a message.
fn message_id<'a>(root: Node<'a, '_>) -> Result<&'a str, Fault> {
    if Space::of(root) != Space::Protocol {
        return Err(Fault::Message("its root is not in the protocol's namespace"));
    }
    if root.attribute("Version") != Some("2.0") {
        return Err(Fault::Message("its Version is not 2.0"));
    }
    root.attribute("ID").filter(|id| !id.is_empty()).ok_or(Fault::Message("it has no ID"))
}

/// The assertions directly in a message.
fn assertions<'a, 'input>(root: Node<'a, 'input>) -> Result<Vec<Node<'a, 'input>>, Fault> {
    let found: Vec<_> = root
        .children()
        .filter(|child| {
            Space::of(*child) == Space::Assertion && child.tag_name().name() == "Assertion"
        })
        .collect();
    if found.len() > ASSERTIONS_MAX {
        return Err(Fault::Bound("assertions"));
    }
    Ok(found)
}

/// Two elements with one ID are how a signature is made to speak for another element: whichever
/// spelling of the attribute a reader prefers, there is only one.
fn one_of_each_id(document: &Document<'_>) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for node in document.descendants().filter(Node::is_element) {
        for attribute in node.attributes() {
            let is_id = attribute.name().eq_ignore_ascii_case("id");
            if is_id && !seen.insert(attribute.value()) {
                return Err(Fault::Message("two elements have one ID"));
            }
        }
    }
    Ok(())
}
