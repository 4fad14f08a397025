//! HTTP status for the codes of an answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};

/// Statuses by code, and one for all other codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusMap {
    codes: BTreeMap<i32, u16>,
    other: Option<u16>,
}

impl StatusMap {
    /// The status that the map says for `code`.
    #[must_use]
    pub fn get(&self, code: i32) -> Option<u16> {
        self.codes.get(&code).copied().or(self.other)
    }
}

impl<'de> Deserialize<'de> for StatusMap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut map = Self::default();
        for (code, status) in BTreeMap::<String, u16>::deserialize(from)? {
            if !(200..600).contains(&status) {
                return Err(D::Error::custom(format!("{code}: {status} is no final HTTP status")));
            }
            if code == "default" {
                map.other = Some(status);
                continue;
            }
            let number = code.parse().map_err(|_| {
                D::Error::custom(format!("{code:?} is neither a code nor \"default\""))
            })?;
            map.codes.insert(number, status);
        }
        Ok(map)
    }
}

/// The status for a framework code. Those of trpc-go's own HTTP service come first; the codes
/// below them it leaves at 200, since there the caller's side makes them, and here that is us.
#[must_use]
pub fn of_framework(ret: i32) -> u16 {
    match ret {
        1 | 51 | 151 => 400,
        41 => 401,
        11 | 12 => 404,
        22 | 23 | 123 | 124 => 429,
        161 => 499,
        21 | 24 | 101 | 102 => 504,
        111 | 122 | 131 | 141 | 171 => 502,
        _ => 500,
    }
}
