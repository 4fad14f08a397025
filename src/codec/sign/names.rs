//! Names in one piece of memory: every request brings a handful, of which hardly one is looked at.

/// A list of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Each behind its length in four bytes, the least significant first.
    bytes: Vec<u8>,
}

impl Names {
    /// An empty list with room for what most requests cover.
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(192) }
    }

    /// Adds `name` at the end.
    pub(super) fn push(&mut self, name: &str) {
        // A head has a bound far below that of the number.
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
    }

    /// The names in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = &self.bytes[..];
        std::iter::from_fn(move || {
            let (length, rest) = left.split_first_chunk()?;
            let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            left = rest;
            Some(name)
        })
    }

    /// Whether `name` is one of them.
    pub(super) fn has(&self, name: &str) -> bool {
        self.iter().any(|known| known == name.as_bytes())
    }

    /// The list as bytes that no other list has.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<S: AsRef<str>> Extend<S> for Names {
    fn extend<I: IntoIterator<Item = S>>(&mut self, names: I) {
        for name in names {
            self.push(name.as_ref());
        }
    }
}

impl<S: AsRef<str>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut all = Self::new();
        all.extend(names);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_in_order_and_lists_differ_in_their_bytes() {
        let names: Names = ["@method", "", "x"].into_iter().collect();
        assert_eq!(names.iter().collect::<Vec<_>>(), [&b"@method"[..], b"", b"x"]);
        assert!(names.has("x") && names.has("") && !names.has("@metho"));
        let other: Names = ["@method", "x", ""].into_iter().collect();
        assert_ne!(names.as_bytes(), other.as_bytes());
        assert_eq!(Names::default().iter().count(), 0);
    }
}
