//! What is known of a request that runs in a location of a snippet, or inside of another.

use std::{future::Future, pin::Pin, rc::Rc};

use super::Exchange;
use crate::config::snippet::{Captured, Spot};

/// Where a request goes on, whoever served it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jump {
    /// `ngx.exec("@name")`.
    Named(Vec<u8>),
    /// `ngx.exec(path, args)`.
    Path(Vec<u8>, Vec<u8>),
    /// `ngx.req.set_uri(path, true)`: a location is looked for again.
    Again,
}

/// The part of an exchange that requests to routes do without.
#[derive(Debug, Default)]
pub struct Inner {
    /// Whether `internal` locations take it.
    pub internal: bool,
    /// How deep it is inside of other requests; 0 for a client's.
    pub depth: u8,
    /// The method of the client's request, where this is one inside of it.
    pub method: Vec<u8>,
    /// Whether the answer is a status without a text of its own.
    pub page: bool,
    /// How often its path was changed.
    pub changes: u8,
    /// What the last regular expression captured: `$1` and on.
    pub captured: Captured,
    /// The location.
    pub spot: Option<Rc<Spot>>,
    /// Where it goes on, once what runs has ended.
    pub jump: Option<Jump>,
}

impl Inner {
    /// How often the path of a request may change; nginx's number.
    pub const CHANGES_MAX: u8 = 10;

    /// How deep requests may be inside of each other; nginx's number.
    pub const DEPTH_MAX: u8 = 50;

    /// Whether the request gets a line in the access log.
    #[must_use]
    pub fn is_logged(&self) -> bool {
        self.spot.as_ref().is_none_or(|spot| spot.scope.access_log != Some(false))
    }
}

/// The answer to a request inside of another.
#[derive(Debug)]
pub struct Told {
    /// The request; its head of the response is in `response`.
    pub x: Box<Exchange>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether some of it is missing.
    pub truncated: bool,
}

/// Answers requests that Lua makes inside of others.
pub trait Inside {
    /// Answers `x`, of whose body at most `bytes_max` are kept.
    fn ask(&self, x: Box<Exchange>, bytes_max: usize) -> Pin<Box<dyn Future<Output = Told>>>;
}
