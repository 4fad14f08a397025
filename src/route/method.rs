//! Sets of request methods.

/// The methods a route may name, in the order of their bits.
const KNOWN: [&[u8]; 10] = [
    b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE",
    b"PURGE",
];

/// Which methods a route takes. Names are compared as they are: methods are case-sensitive.
#[derive(Debug, Clone, Default)]
pub(super) struct Methods {
    known: u16,
    /// Methods that have no bit, such as WebDAV's. Nearly no route has any.
    others: Option<Box<Others>>,
}

#[derive(Debug, Clone)]
struct Others(Vec<Box<[u8]>>);

impl Methods {
    /// The set of `names`; the empty list means every method.
    pub(super) fn new<S: AsRef<[u8]>>(names: &[S]) -> Self {
        let mut set = Self::default();
        let mut others: Vec<Box<[u8]>> = Vec::new();
        for name in names {
            match bit(name.as_ref()) {
                0 => others.push(name.as_ref().into()),
                bit => set.known |= bit,
            }
        }
        set.others = (!others.is_empty()).then(|| Box::new(Others(others)));
        set
    }

    /// Whether every method is in the set.
    pub(super) fn is_any(&self) -> bool {
        self.known == 0 && self.others.is_none()
    }

    /// Whether `name`, whose [`bit`] the caller knows, is in the set.
    pub(super) fn contains(&self, bit: u16, name: &[u8]) -> bool {
        if self.known & bit != 0 {
            return true;
        }
        match &self.others {
            None => self.known == 0,
            Some(others) => others.0.iter().any(|other| **other == *name),
        }
    }
}

/// The bit of a method, 0 if it has none.
pub(super) fn bit(name: &[u8]) -> u16 {
    KNOWN.iter().position(|known| *known == name).map_or(0, |at| 1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_it_names_and_an_empty_one_everything() {
        let check = |names: &[&str], method: &str, want| {
            let set = Methods::new(names);
            let method = method.as_bytes();
            assert_eq!(set.contains(bit(method), method), want, "{names:?} {method:?}");
        };
        check(&[], "GET", true);
        check(&[], "BREW", true);
        check(&["GET", "PURGE"], "GET", true);
        check(&["GET", "PURGE"], "PURGE", true);
        check(&["GET", "PURGE"], "POST", false);
        check(&["GET"], "BREW", false);
        check(&["GET"], "get", false);
        check(&["GET"], "", false);
        check(&["PROPFIND"], "PROPFIND", true);
        check(&["PROPFIND"], "GET", false);
        check(&["PROPFIND", "GET"], "GET", true);
    }
}
