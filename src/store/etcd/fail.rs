//! What can go wrong with a call, told apart by what may be done about it.

use std::fmt;

/// Codes of gRPC that matter here.
pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
pub(super) const OUT_OF_RANGE: u32 = 11;
pub(super) const UNAVAILABLE: u32 = 14;
pub(super) const UNAUTHENTICATED: u32 = 16;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fail {
    /// Nothing of it reached etcd.
    NotSent(String),
    /// It may have reached etcd; the connection is of no more use.
    Broken(String),
    /// etcd answered with this code and text.
    Refused {
        /// The code of gRPC.
        code: u32,
        /// etcd's own words.
        text: String,
    },
    /// The answer is larger than we take: so many bytes.
    TooLong(usize),
    /// The answer makes no sense.
    Nonsense(String),
    /// There is nothing below the prefix, and this etcd is another than the one that what is held
    /// came from: how that shows.
    Emptied(&'static str),
}

impl Fail {
    fn says(&self, words: &str) -> bool {
        matches!(self, Self::Refused { text, .. } if text.contains(words))
    }

    /// What was asked about is compacted.
    pub(super) fn is_compacted(&self) -> bool {
        self.says("has been compacted")
    }

    /// What was asked about has not happened in this etcd.
    pub(super) fn is_future(&self) -> bool {
        self.says("is a future revision")
    }

    /// Who we are has to be told anew, and nothing was done.
    pub(super) fn wants_login(&self) -> bool {
        matches!(self, Self::Refused { code: UNAUTHENTICATED, .. })
            || self.says("invalid auth token")
            || self.says("user name is empty")
            || self.says("revision of auth store is old")
    }

    /// The write is larger than etcd takes.
    pub(super) fn is_too_large(&self) -> bool {
        self.says("request is too large")
            || self.says("too many operations")
            || matches!(self, Self::Refused { code: RESOURCE_EXHAUSTED, text }
                if text.contains("larger than max"))
    }

    /// Another endpoint may know better.
    pub(super) fn is_of_endpoint(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::Broken(_) | Self::Nonsense(_) | Self::Emptied(_) => true,
            Self::Refused { code, .. } => *code == UNAVAILABLE,
            Self::TooLong(_) => false,
        }
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(why) | Self::Broken(why) | Self::Nonsense(why) => f.write_str(why),
            Self::Refused { text, .. } => f.write_str(text),
            Self::Emptied(how) => write!(f, "it holds nothing and {how}"),
            Self::TooLong(bytes) => write!(f, "an answer of {bytes} bytes is larger than we take"),
        }
    }
}
