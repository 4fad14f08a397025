//! The snippets of `nginx_config.*_snippet`: the part of nginx's and OpenResty's language that
//! people put there, read into types. Whatever is not understood is refused by name and line.
//!
//! [`read`] is the only entry. What the types do is up to `pipeline::content` and `lua::content`.

mod directives;
mod hints;
mod lexer;
mod lua_block;
mod model;
mod pattern;
mod reader;
mod server;
mod sites;
mod template;

pub use model::{
    Access, AddHeader, Code, Content, Flag, Listen, Location, Match, Place, Proxy, Rule, Scope,
    Server, ServerName, SetHeader, Snippets, Source,
};
pub use pattern::{Captured, Pattern};
pub use sites::{Site, Sites, Spot};
pub use template::{Piece, Template};

/// The keys of `nginx_config` that hold snippets.
pub const KEYS: [&str; 7] = [
    "main_configuration_snippet",
    "http_configuration_snippet",
    "http_server_configuration_snippet",
    "http_server_location_configuration_snippet",
    "http_admin_configuration_snippet",
    "http_end_configuration_snippet",
    "stream_configuration_snippet",
];

/// Bytes of one snippet.
pub const BYTES_MAX: usize = 1 << 20;

/// What is wrong with a snippet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// One of [`KEYS`].
    pub key: &'static str,
    /// Line within the snippet, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads all snippets; `text` gives that of a key. `None` if there is nothing in any of them.
///
/// # Errors
///
/// Everything that is wrong, at most a few dozen lines of it.
pub fn read<'t>(text: impl Fn(&str) -> &'t str) -> Result<Option<Snippets>, Vec<Wrong>> {
    if KEYS.iter().all(|key| text(key).trim().is_empty()) {
        return Ok(None);
    }
    let mut reader = reader::Reader::default();
    for key in KEYS {
        reader.key(key, text(key));
    }
    reader.finish()
}

#[cfg(test)]
mod tests;
