//! The access log of one worker.

use super::{
    format::{Escape, FormatError, Template},
    stamp,
    writer::LineBuffer,
};
use crate::{
    clock,
    exchange::{Attempt, Exchange, vars},
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
        lines.line(|out| {
            template.render(out, &|id, out| append(x, names.get(usize::from(id)), out))
        });
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
    let Some(name) = name else { return false };
    if let vars::Name::Fixed(fixed) = name
        && x.vars.is_empty()
    {
        let number = |out: &mut Vec<u8>, n: u64| {
            out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        };
        match fixed {
            vars::Fixed::TimeLocal => stamp::time_local(out, wall_s(x)),
            vars::Fixed::TimeIso8601 => stamp::time_iso8601(out, wall_s(x)),
            vars::Fixed::Status => number(out, u64::from(x.response.status)),
            vars::Fixed::BodyBytesSent => number(out, x.response.body_bytes_sent),
            vars::Fixed::BytesSent => number(out, x.response.bytes_sent),
            vars::Fixed::RemoteAddr => out.extend_from_slice(x.remote_text().as_bytes()),
            vars::Fixed::RequestTime => vars::write_seconds(out, x.lasted()),
            vars::Fixed::Request => {
                out.extend_from_slice(x.head.method());
                out.push(b' ');
                out.extend_from_slice(x.head.target());
                out.push(b' ');
                out.extend_from_slice(vars::protocol(x).as_bytes());
            }
            vars::Fixed::UpstreamAddr if one(x).is_some() => {
                out.extend_from_slice(one(x).map_or(&b""[..], |a| a.addr_text.as_bytes()));
            }
            vars::Fixed::UpstreamStatus if one(x).is_some() => {
                number(out, one(x).map_or(0, |attempt| u64::from(attempt.status)));
            }
            vars::Fixed::UpstreamResponseTime
                if one(x).is_some_and(|a| a.response_time.is_some()) =>
            {
                let time = one(x).and_then(|attempt| attempt.response_time).unwrap_or_default();
                vars::write_seconds(out, time);
            }
            _ => return append_value(x, name, out),
        }
        return true;
    }
    append_value(x, name, out)
}

/// The only try, if there was exactly one.
fn one(x: &Exchange) -> Option<&Attempt> {
    match &x.upstream.attempts[..] {
        [attempt] => Some(attempt),
        _ => None,
    }
}

fn wall_s(x: &Exchange) -> u64 {
    clock::wall_at(x.ended.unwrap_or_else(clock::now)).as_secs()
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
