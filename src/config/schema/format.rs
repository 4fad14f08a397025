//! The values of `format` that are checked; all others are ignored.
//!
//! Where the original uses a pattern that ends in `$`, one newline at the end is let through; it
//! is here too.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A known format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Email,
    Ipv4,
    Ipv6,
    Hostname,
    Uuid,
    Date,
    DateTime,
    Uri,
}

impl Format {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "email" => Format::Email,
            "ipv4" => Format::Ipv4,
            "ipv6" => Format::Ipv6,
            "hostname" => Format::Hostname,
            "uuid" => Format::Uuid,
            "date" => Format::Date,
            "date-time" => Format::DateTime,
            "uri" => Format::Uri,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Format::Email => "email",
            Format::Ipv4 => "ipv4",
            Format::Ipv6 => "ipv6",
            Format::Hostname => "hostname",
            Format::Uuid => "uuid",
            Format::Date => "date",
            Format::DateTime => "date-time",
            Format::Uri => "uri",
        }
    }

    pub(super) fn accepts(self, text: &str) -> bool {
        let line = text.strip_suffix('\n').unwrap_or(text);
        match self {
            Format::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Format::Email => is_email(line),
            Format::Hostname => {
                !line.is_empty()
                    && line.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
            }
            Format::Uuid => is_uuid(line),
            Format::Date => Cursor(line.as_bytes()).date().is_some_and(Cursor::at_end),
            Format::DateTime => is_date_time(line),
            Format::Uri => is_uri(line),
        }
    }
}

fn is_email(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    let Some((user, domain)) = text.split_once('@') else { return false };
    let Some((host, top)) = domain.rsplit_once('.') else { return false };
    word(user)
        && word(host)
        && (2..=4).contains(&top.len())
        && top.bytes().all(|b| b.is_ascii_alphabetic())
}

fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    [8, 4, 4, 4, 12].into_iter().all(|length| {
        groups.next().is_some_and(|g| g.len() == length && g.bytes().all(|b| b.is_ascii_hexdigit()))
    }) && groups.next().is_none()
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let mut scheme = scheme.bytes();
    scheme.next().is_some_and(|b| b.is_ascii_alphabetic())
        && scheme.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.bytes().any(|b| matches!(b, b' ' | b'\t'..=b'\r'))
}

fn is_date_time(text: &str) -> bool {
    let time = |c: Cursor<'_>| -> Option<bool> {
        let c =
            c.date()?.one_of(b"Tt")?.pair(23)?.one_of(b":")?.pair(59)?.one_of(b":")?.pair(59)?;
        let c = match c.one_of(b".") {
            Some(c) => c.digits()?,
            None => c,
        };
        let end = match c.one_of(b"Zz") {
            Some(c) => c,
            None => c.one_of(b"+-")?.pair(23)?.one_of(b":")?.pair(59)?,
        };
        Some(end.at_end())
    };
    time(Cursor(text.as_bytes())).unwrap_or(false)
}

/// What is left to read of a date.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn at_end(self) -> bool {
        self.0.is_empty()
    }

    fn one_of(self, set: &[u8]) -> Option<Self> {
        let (first, rest) = self.0.split_first()?;
        set.contains(first).then_some(Cursor(rest))
    }

    /// Two digits, at most `max`.
    fn pair(self, max: u8) -> Option<Self> {
        let (&[tens, ones], rest) = self.0.split_first_chunk::<2>()?;
        let number = digit(tens)? * 10 + digit(ones)?;
        (number <= max).then_some(Cursor(rest))
    }

    /// One or more digits.
    fn digits(self) -> Option<Self> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        (count > 0).then(|| Cursor(&self.0[count..]))
    }

    /// Year, month from 1 to 12, day from 1 to 31.
    fn date(self) -> Option<Self> {
        let month = self.pair(99)?.pair(99)?.one_of(b"-")?;
        let day = month.nonzero_pair(12)?.one_of(b"-")?;
        day.nonzero_pair(31)
    }

    fn nonzero_pair(self, max: u8) -> Option<Self> {
        if self.0.starts_with(b"00") { None } else { self.pair(max) }
    }
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}
