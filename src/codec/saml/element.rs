//! What is left of an element once it is read.

use roxmltree::Node;

/// The namespace of an element, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// `urn:oasis:names:tc:SAML:2.0:assertion`
    Assertion,
    /// `urn:oasis:names:tc:SAML:2.0:protocol`
    Protocol,
    /// XML signatures.
    Signature,
    /// Any other, or none.
    Other,
}

impl Space {
    /// The namespace of `node`.
    pub(super) fn of(node: Node<'_, '_>) -> Self {
        match node.tag_name().namespace() {
            Some("urn:oasis:names:tc:SAML:2.0:assertion") => Self::Assertion,
            Some("urn:oasis:names:tc:SAML:2.0:protocol") => Self::Protocol,
            Some("http://www.w3.org/2000/09/xmldsig#") => Self::Signature,
            _ => Self::Other,
        }
    }
}

/// An element and all below it, without comments and processing instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its namespace.
    pub space: Space,
    /// Its name without prefix.
    pub name: String,
    /// Its attributes that are in no namespace.
    pub attributes: Vec<(String, String)>,
    /// The text directly in it, put together.
    pub text: String,
    /// The elements directly in it.
    pub children: Vec<Self>,
}

impl Element {
    /// Reads `node`, which is an element no deeper than [`super::guard::DEPTH_MAX`].
    pub(super) fn of(node: Node<'_, '_>) -> Self {
        Self::shell(node, |_| true)
    }

    /// Reads `node` with only the children that `keep` wants.
    pub(super) fn shell(node: Node<'_, '_>, keep: impl Fn(Node<'_, '_>) -> bool) -> Self {
        let plain = node.attributes().filter(|attribute| attribute.namespace().is_none());
        let texts = node.children().filter(Node::is_text);
        let children = node.children().filter(|child| child.is_element() && keep(*child));
        Self {
            space: Space::of(node),
            name: node.tag_name().name().to_owned(),
            attributes: plain
                .map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()))
                .collect(),
            text: texts.filter_map(|text| text.text()).collect(),
            children: children.map(Self::of).collect(),
        }
    }

    /// The value of an attribute.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, space: Space, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.space == space && child.name == name)
    }
}
