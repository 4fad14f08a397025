//! The access log of one worker.

use super::{
    format::{Escape, FormatError, Template},
    stamp,
    writer::LineBuffer,
};
use crate::{
    clock,
    exchange::{Exchange, vars},
};

/// Number of a compiled name.
type Id = u16;

/// Writes one line for each request.
pub struct AccessLog {
    template: Template<Id>,
    names: Vec<vars::Name>,
    lines: Option<LineBuffer>,
}

impl AccessLog {
    /// An access log in `format`; `lines` is `None` when it is off.
    ///
    /// # Errors
    ///
    /// The first thing wrong with the format.
    pub fn new(
        format: &str,
        escape: Escape,
        lines: Option<LineBuffer>,
    ) -> Result<Self, FormatError> {
        let names = std::cell::RefCell::new(Vec::new());
        let template = Template::compile(format, escape, &|name| {
            let mut names = names.borrow_mut();
            names.push(vars::Name::parse(name.as_bytes()));
            Id::try_from(names.len() - 1).ok()
        })?;
        Ok(Self { template, names: names.into_inner(), lines })
    }

    /// Writes the line of a finished request.
    pub fn write(&mut self, x: &Exchange) {
        let Self { template, names, lines } = self;
        let Some(lines) = lines else { return };
        lines.line(|out| template.render(out, &|id, out| append(x, names.get(usize::from(id)), out)));
    }

    /// Hands over what is buffered; called once a second.
    pub fn flush(&mut self) {
        if let Some(lines) = &mut self.lines {
            lines.flush();
        }
    }
}

/// Appends a value; the common ones without an allocation.
fn append(x: &Exchange, name: Option<&vars::Name>, out: &mut Vec<u8>) -> bool {
    use std::io::Write as _;
    let Some(name) = name else { return false };
    if let vars::Name::Fixed(fixed) = name
        && x.vars.is_empty()
    {
        let number = |out: &mut Vec<u8>, n: u64| {
            out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        };
        match fixed {
            vars::Fixed::TimeLocal => stamp::time_local(out, clock::wall().as_secs()),
            vars::Fixed::TimeIso8601 => stamp::time_iso8601(out, clock::wall().as_secs()),
            vars::Fixed::Status => number(out, u64::from(x.response.status)),
            vars::Fixed::BodyBytesSent => number(out, x.response.body_bytes_sent),
            vars::Fixed::BytesSent => number(out, x.response.bytes_sent),
            // Writing to a Vec cannot fail.
            vars::Fixed::RemoteAddr => drop(write!(out, "{}", x.remote.ip())),
            _ => return append_value(x, name, out),
        }
        return true;
    }
    append_value(x, name, out)
}

fn append_value(x: &Exchange, name: &vars::Name, out: &mut Vec<u8>) -> bool {
    match vars::value(x, name) {
        Some(value) => {
            out.extend_from_slice(&value);
            true
        }
        None => false,
    }
}
