//! Structured fields (RFC 9651) as far as signatures need them: parsing by the letter, and the
//! one way of writing what was parsed.
//!
//! A key that comes twice is refused, where the standard would take the last: a signature must
//! not depend on which of two a reader likes. Display strings are not known.

use std::{borrow::Cow, io::Write as _};

use super::text;

/// Members of a list or dictionary, items of an inner list, parameters of an item.
const COUNT_MAX: usize = 256;
/// Items that most inner lists have at most.
const ITEMS_USUAL: usize = 8;

/// A value without parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bare<'a> {
    /// An integer.
    Integer(i64),
    /// A decimal, in thousandths.
    Decimal(i64),
    /// A quoted string.
    String(Cow<'a, str>),
    /// A token.
    Token(&'a str),
    /// A byte sequence.
    Bytes(Vec<u8>),
    /// A boolean.
    Bool(bool),
    /// A date, in seconds since 1970.
    Date(i64),
}

/// Parameters, in their order.
pub type Params<'a> = Vec<(&'a str, Bare<'a>)>;

/// A value with parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value.
    pub bare: Bare<'a>,
    /// Its parameters.
    pub params: Params<'a>,
}

/// A member of a list or dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member<'a> {
    /// An item.
    Item(Item<'a>),
    /// An inner list, with its parameters.
    Inner(Vec<Item<'a>>, Params<'a>),
}

/// The text is no structured field of the wanted kind, for this reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

type Parsed<T> = Result<T, Malformed>;

struct Reader<'a>(&'a [u8]);

/// Reads a dictionary; an empty text is an empty one.
///
/// # Errors
///
/// [`Malformed`].
pub fn dictionary(value: &[u8]) -> Parsed<Vec<(&str, Member<'_>)>> {
    let mut members: Vec<(&str, Member<'_>)> = Vec::new();
    Reader(value).members(|reader| {
        let key = reader.key()?;
        let member = if reader.eat(b'=') {
            reader.member()?
        } else {
            Member::Item(Item { bare: Bare::Bool(true), params: reader.params()? })
        };
        if members.iter().any(|(known, _)| *known == key) {
            return Err(Malformed("a key that comes twice"));
        }
        members.push((key, member));
        Ok(())
    })?;
    Ok(members)
}

/// Reads a list; an empty text is an empty one.
///
/// # Errors
///
/// [`Malformed`].
pub fn list(value: &[u8]) -> Parsed<Vec<Member<'_>>> {
    let mut members = Vec::new();
    Reader(value).members(|reader| {
        members.push(reader.member()?);
        Ok(())
    })?;
    Ok(members)
}

/// Reads an item.
///
/// # Errors
///
/// [`Malformed`].
pub fn item(value: &[u8]) -> Parsed<Item<'_>> {
    let mut reader = Reader(value);
    reader.blanks();
    let item = reader.item()?;
    reader.blanks();
    if reader.0.is_empty() { Ok(item) } else { Err(Malformed("more behind an item")) }
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.next();
        }
        found
    }

    fn blanks(&mut self) {
        while self.eat(b' ') {}
    }

    /// Takes bytes while `wanted` says so.
    fn run(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !wanted(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn members(&mut self, mut one: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.blanks();
        if self.0.is_empty() {
            return Ok(());
        }
        for _ in 0..COUNT_MAX {
            one(self)?;
            self.run(|byte| matches!(byte, b' ' | b'\t'));
            if self.0.is_empty() {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(Malformed("no comma between two members"));
            }
            self.run(|byte| matches!(byte, b' ' | b'\t'));
            if self.0.is_empty() {
                return Err(Malformed("a comma at the end"));
            }
        }
        Err(Malformed("too many members"))
    }

    fn member(&mut self) -> Parsed<Member<'a>> {
        if !self.eat(b'(') {
            return Ok(Member::Item(self.item()?));
        }
        let mut items = Vec::with_capacity(ITEMS_USUAL);
        for _ in 0..=COUNT_MAX {
            self.blanks();
            if self.eat(b')') {
                return Ok(Member::Inner(items, self.params()?));
            }
            items.push(self.item()?);
            if !matches!(self.peek(), Some(b' ' | b')')) {
                return Err(Malformed("no blank between two items"));
            }
        }
        Err(Malformed("too many items"))
    }

    fn item(&mut self) -> Parsed<Item<'a>> {
        let bare = self.bare()?;
        Ok(Item { bare, params: self.params()? })
    }

    fn params(&mut self) -> Parsed<Params<'a>> {
        let mut params: Params<'a> = Vec::new();
        while self.eat(b';') {
            self.blanks();
            let key = self.key()?;
            let value = if self.eat(b'=') { self.bare()? } else { Bare::Bool(true) };
            if params.len() >= COUNT_MAX {
                return Err(Malformed("too many parameters"));
            }
            if params.iter().any(|(known, _)| *known == key) {
                return Err(Malformed("a parameter that comes twice"));
            }
            params.push((key, value));
        }
        Ok(params)
    }

    fn key(&mut self) -> Parsed<&'a str> {
        if !matches!(self.peek(), Some(b'a'..=b'z' | b'*')) {
            return Err(Malformed("no key"));
        }
        let key = self.run(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        });
        Ok(text::ascii(key))
    }

    fn bare(&mut self) -> Parsed<Bare<'a>> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'"') => self.string(),
            Some(b'*' | b'A'..=b'Z' | b'a'..=b'z') => {
                let token = self.run(|byte| text::is_token(&[byte]) || b":/".contains(&byte));
                Ok(Bare::Token(text::ascii(token)))
            }
            Some(b':') => {
                self.next();
                let end = memchr::memchr(b':', self.0).unwrap_or(self.0.len());
                let (text, rest) = self.0.split_at(end);
                self.0 = rest;
                if !self.eat(b':') {
                    return Err(Malformed("an open byte sequence"));
                }
                text::unbase64(text).map(Bare::Bytes).ok_or(Malformed("bad base64"))
            }
            Some(b'?') => {
                self.next();
                match self.next() {
                    Some(b'0') => Ok(Bare::Bool(false)),
                    Some(b'1') => Ok(Bare::Bool(true)),
                    _ => Err(Malformed("a bad boolean")),
                }
            }
            Some(b'@') => {
                self.next();
                match self.number()? {
                    Bare::Integer(seconds) => Ok(Bare::Date(seconds)),
                    _ => Err(Malformed("a bad date")),
                }
            }
            _ => Err(Malformed("no value")),
        }
    }

    fn string(&mut self) -> Parsed<Bare<'a>> {
        self.next();
        let plain = |byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
        let mut text = Cow::Borrowed(text::ascii(self.run(plain)));
        loop {
            match self.next() {
                Some(b'"') => return Ok(Bare::String(text)),
                Some(b'\\') => match self.next() {
                    Some(byte @ (b'"' | b'\\')) => {
                        let text = text.to_mut();
                        text.push(char::from(byte));
                        text.push_str(text::ascii(self.run(plain)));
                    }
                    _ => return Err(Malformed("a bad escape")),
                },
                Some(_) => return Err(Malformed("a bad byte in a string")),
                None => return Err(Malformed("an open string")),
            }
        }
    }

    fn number(&mut self) -> Parsed<Bare<'a>> {
        let negative = self.eat(b'-');
        let whole = self.run(|byte| byte.is_ascii_digit());
        let sum = |digits: &[u8]| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0'));
        let signed = |value: i64| if negative { -value } else { value };
        if whole.is_empty() || whole.len() > 15 {
            return Err(Malformed("a bad number"));
        }
        if !self.eat(b'.') {
            return Ok(Bare::Integer(signed(sum(whole))));
        }
        let fraction = self.run(|byte| byte.is_ascii_digit());
        if whole.len() > 12 || fraction.is_empty() || fraction.len() > 3 {
            return Err(Malformed("a bad decimal"));
        }
        let scale = [1, 100, 10, 1].get(fraction.len()).copied().unwrap_or(1);
        Ok(Bare::Decimal(signed(sum(whole) * 1000 + sum(fraction) * scale)))
    }
}

/// Appends a value in the one way it is written.
pub fn write_bare(out: &mut Vec<u8>, bare: &Bare<'_>) {
    // Writing to a Vec cannot fail.
    let _ = match bare {
        Bare::Integer(value) => write!(out, "{value}"),
        Bare::Decimal(thousandths) => {
            let sign = if *thousandths < 0 { "-" } else { "" };
            let (whole, part) =
                (thousandths.unsigned_abs() / 1000, thousandths.unsigned_abs() % 1000);
            let digits = format!("{part:03}");
            let digits = digits.trim_end_matches('0');
            write!(out, "{sign}{whole}.{}", if digits.is_empty() { "0" } else { digits })
        }
        Bare::String(text) => {
            out.push(b'"');
            let mut rest: &str = text;
            while let Some(at) = memchr::memchr2(b'"', b'\\', rest.as_bytes()) {
                let (plain, special) = rest.split_at(at);
                out.extend_from_slice(plain.as_bytes());
                out.push(b'\\');
                let (special, behind) = special.split_at(1);
                out.extend_from_slice(special.as_bytes());
                rest = behind;
            }
            out.extend_from_slice(rest.as_bytes());
            out.push(b'"');
            Ok(())
        }
        Bare::Token(text) => {
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Bare::Bytes(bytes) => write!(out, ":{}:", text::base64(bytes)),
        Bare::Bool(value) => write!(out, "?{}", u8::from(*value)),
        Bare::Date(seconds) => write!(out, "@{seconds}"),
    };
}

/// Appends parameters.
pub fn write_params(out: &mut Vec<u8>, params: &Params<'_>) {
    for (key, value) in params {
        out.push(b';');
        out.extend_from_slice(key.as_bytes());
        if *value != Bare::Bool(true) {
            out.push(b'=');
            write_bare(out, value);
        }
    }
}

/// Appends an item.
pub fn write_item(out: &mut Vec<u8>, item: &Item<'_>) {
    write_bare(out, &item.bare);
    write_params(out, &item.params);
}

/// Appends an inner list.
pub fn write_inner(out: &mut Vec<u8>, items: &[Item<'_>], params: &Params<'_>) {
    out.push(b'(');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(b' ');
        }
        write_item(out, item);
    }
    out.push(b')');
    write_params(out, params);
}

/// Appends a member.
pub fn write_member(out: &mut Vec<u8>, member: &Member<'_>) {
    match member {
        Member::Item(item) => write_item(out, item),
        Member::Inner(items, params) => write_inner(out, items, params),
    }
}

/// Appends a list.
pub fn write_list(out: &mut Vec<u8>, members: &[Member<'_>]) {
    for (n, member) in members.iter().enumerate() {
        if n > 0 {
            out.extend_from_slice(b", ");
        }
        write_member(out, member);
    }
}

/// Appends a dictionary.
pub fn write_dictionary(out: &mut Vec<u8>, members: &[(&str, Member<'_>)]) {
    for (n, (key, member)) in members.iter().enumerate() {
        if n > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(key.as_bytes());
        match member {
            Member::Item(Item { bare: Bare::Bool(true), params }) => write_params(out, params),
            member => {
                out.push(b'=');
                write_member(out, member);
            }
        }
    }
}
