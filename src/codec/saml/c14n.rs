//! The canonical form of an element: Canonical XML 1.0 and Exclusive XML Canonicalization 1.0,
//! each with and without comments.
//!
//! Only what signatures in SAML need: the node set is an element with all below it, save one
//! element (the enveloped signature). Prefixes are part of the form, and the parser does not keep
//! them, so names are read from the source.

use std::str;

use roxmltree::{Attribute, Node, NodeId};

use super::{
    Fault,
    guard::{CANONICAL_BYTES_MAX, SCOPE_MAX},
};

/// Which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Method {
    /// Only the namespaces that are used are written, where they are used.
    pub(super) exclusive: bool,
    /// Comments are part of it.
    pub(super) comments: bool,
    /// Prefixes that are treated as if the form were not exclusive; the empty one is the default
    /// namespace.
    pub(super) prefixes: Vec<String>,
}

impl Method {
    /// The method of an algorithm's URI, without prefixes.
    pub(super) fn of(uri: &str) -> Option<Self> {
        let (exclusive, comments) = match uri {
            "http://www.w3.org/2001/10/xml-exc-c14n#" => (true, false),
            "http://www.w3.org/2001/10/xml-exc-c14n#WithComments" => (true, true),
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315" => (false, false),
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments" => (false, true),
            _ => return None,
        };
        Some(Self { exclusive, comments, prefixes: Vec::new() })
    }
}

/// The canonical form of `apex` with all below it but the element `without`.
///
/// # Errors
/// It is too large.
pub(super) fn canonical(
    apex: Node<'_, '_>,
    method: &Method,
    without: Option<NodeId>,
) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer { method, apex, out: Vec::new(), shown: Vec::new(), marks: Vec::new() };
    let mut node = apex;
    loop {
        let left_out = Some(node.id()) == without;
        if !left_out {
            writer.enter(node)?;
            if let Some(child) = node.first_child() {
                node = child;
                continue;
            }
            writer.leave(node)?;
        }
        // On to what follows in the document, closing what ends on the way.
        while node != apex {
            if let Some(next) = node.next_sibling() {
                node = next;
                break;
            }
            let Some(parent) = node.parent() else { break };
            node = parent;
            writer.leave(node)?;
        }
        if node == apex {
            return Ok(writer.out);
        }
    }
}

struct Writer<'a, 'input, 'm> {
    method: &'m Method,
    apex: Node<'a, 'input>,
    out: Vec<u8>,
    /// Prefixes and namespaces that are written in the elements that are open, inner ones last.
    shown: Vec<(&'a str, &'a str)>,
    /// How many there were before each open element.
    marks: Vec<usize>,
}

impl<'a> Writer<'a, '_, '_> {
    fn enter(&mut self, node: Node<'a, '_>) -> Result<(), Fault> {
        if node.is_element() {
            self.start_tag(node)?;
        } else if node.is_text() {
            escape(&mut self.out, node.text().unwrap_or_default(), TEXT);
        } else if node.is_comment() && self.method.comments {
            self.put(&["<!--", node.text().unwrap_or_default(), "-->"]);
        } else if let Some(instruction) = node.pi() {
            self.put(&["<?", instruction.target]);
            if let Some(value) = instruction.value {
                self.put(&[" ", value]);
            }
            self.put(&["?>"]);
        }
        if self.out.len() > CANONICAL_BYTES_MAX {
            return Err(Fault::Bound("canonical form"));
        }
        Ok(())
    }

    fn leave(&mut self, node: Node<'a, '_>) -> Result<(), Fault> {
        if node.is_element() {
            let (prefix, name) = name_of(node)?;
            self.put(&["</"]);
            self.put_name(prefix, name);
            self.put(&[">"]);
            self.shown.truncate(self.marks.pop().unwrap_or_default());
        }
        Ok(())
    }

    fn start_tag(&mut self, node: Node<'a, '_>) -> Result<(), Fault> {
        let (prefix, name) = name_of(node)?;
        self.marks.push(self.shown.len());
        let mut attributes = Vec::new();
        for attribute in node.attributes() {
            attributes.push((attribute_prefix(node, &attribute)?, attribute));
        }
        self.put(&["<"]);
        self.put_name(prefix, name);
        let used = attributes.iter().map(|(prefix, _)| *prefix).filter(|name| !name.is_empty());
        for (prefix, uri) in self.namespaces(node, used.chain([prefix]))? {
            self.put(&[if prefix.is_empty() { " xmlns" } else { " xmlns:" }, prefix, "=\""]);
            escape(&mut self.out, uri, VALUE);
            self.put(&["\""]);
            self.shown.push((prefix, uri));
        }
        if node == self.apex && !self.method.exclusive {
            inherit(node, &mut attributes);
        }
        attributes.sort_by_key(|(_, attribute)| {
            (attribute.namespace().unwrap_or_default(), attribute.name())
        });
        for (prefix, attribute) in attributes {
            self.put(&[" "]);
            self.put_name(prefix, attribute.name());
            self.put(&["=\""]);
            escape(&mut self.out, attribute.value(), VALUE);
            self.put(&["\""]);
        }
        self.put(&[">"]);
        Ok(())
    }

    /// The namespaces to write in `node`, which uses the prefixes `used`, in their order.
    fn namespaces(
        &self,
        node: Node<'a, '_>,
        used: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<(&'a str, &'a str)>, Fault> {
        if node.namespaces().len() > SCOPE_MAX {
            return Err(Fault::Bound("namespaces in scope"));
        }
        let all = node.namespaces().map(|space| (space.name().unwrap_or_default(), space.uri()));
        let mut found: Vec<(&str, &str)> = if self.method.exclusive {
            let listed = |prefix: &str| self.method.prefixes.iter().any(|name| name == prefix);
            let of = |prefix: &'a str| {
                let name = (!prefix.is_empty()).then_some(prefix);
                (prefix, node.lookup_namespace_uri(name).unwrap_or_default())
            };
            used.map(of).chain(all.filter(|(prefix, _)| listed(prefix))).collect()
        } else {
            let unset = node.default_namespace().is_none().then_some(("", ""));
            all.chain(unset).collect()
        };
        found.retain(|(prefix, uri)| {
            let shown = self.shown.iter().rev().find(|(shown, _)| shown == prefix);
            let shown = shown.map(|(_, uri)| *uri);
            // The default namespace is unset at first; `xml` is bound for ever.
            let shown = if prefix.is_empty() { shown.or(Some("")) } else { shown };
            *prefix != "xml" && shown != Some(*uri)
        });
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn put(&mut self, texts: &[&str]) {
        texts.iter().for_each(|text| self.out.extend_from_slice(text.as_bytes()));
    }

    fn put_name(&mut self, prefix: &str, name: &str) {
        if !prefix.is_empty() {
            self.put(&[prefix, ":"]);
        }
        self.put(&[name]);
    }
}

/// Adds the attributes such as `xml:lang` that an element has from those around it.
fn inherit<'a, 'input>(
    node: Node<'a, 'input>,
    attributes: &mut Vec<(&'a str, Attribute<'a, 'input>)>,
) {
    const XML: Option<&str> = Some("http://www.w3.org/XML/1998/namespace");
    let mut around = node.parent_element();
    while let Some(outer) = around {
        for attribute in outer.attributes().filter(|attribute| attribute.namespace() == XML) {
            let name = attribute.name();
            if !attributes.iter().any(|(_, own)| own.namespace() == XML && own.name() == name) {
                attributes.push(("xml", attribute));
            }
        }
        around = outer.parent_element();
    }
}

/// Prefix and name of an element as its source has them.
fn name_of<'a>(node: Node<'a, '_>) -> Result<(&'a str, &'a str), Fault> {
    let source = node.document().input_text().get(node.range()).unwrap_or_default();
    let name = source.strip_prefix('<').unwrap_or_default();
    let end = name.find(|letter: char| letter.is_ascii_whitespace() || "/>".contains(letter));
    split(name.get(..end.unwrap_or_default()).unwrap_or_default(), node.tag_name().name())
}

/// The prefix of an attribute as its source has it.
fn attribute_prefix<'a>(
    node: Node<'a, '_>,
    attribute: &Attribute<'a, '_>,
) -> Result<&'a str, Fault> {
    let source = node.document().input_text().get(attribute.range_qname()).unwrap_or_default();
    split(source, attribute.name()).map(|(prefix, _)| prefix)
}

fn split<'a>(qualified: &'a str, name: &str) -> Result<(&'a str, &'a str), Fault> {
    let parts = qualified.split_once(':').unwrap_or(("", qualified));
    // The parser keeps lengths of names in two bytes.
    if parts.1 == name { Ok(parts) } else { Err(Fault::Bound("a name")) }
}

/// What is written instead of a byte.
type Escapes = &'static [(u8, &'static str)];

const TEXT: Escapes = &[(b'&', "&amp;"), (b'<', "&lt;"), (b'>', "&gt;"), (b'\r', "&#xD;")];
const VALUE: Escapes = &[
    (b'&', "&amp;"),
    (b'<', "&lt;"),
    (b'"', "&quot;"),
    (b'\t', "&#x9;"),
    (b'\n', "&#xA;"),
    (b'\r', "&#xD;"),
];

fn escape(out: &mut Vec<u8>, text: &str, escapes: Escapes) {
    for byte in text.bytes() {
        match escapes.iter().find(|(plain, _)| *plain == byte) {
            Some((_, escaped)) => out.extend_from_slice(escaped.as_bytes()),
            None => out.push(byte),
        }
    }
}
