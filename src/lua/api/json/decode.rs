//! From JSON text to a Lua value.
//!
//! Bytes above 127 are not looked at, a NUL ends the text, and numbers may be written as
//! C writes them unless the settings say otherwise: all as cjson does.

use mlua::{IntoLua, Lua, LuaString, Table, Value};

use super::{Marks, null, number::read_number, settings::Settings};

/// Why no value came out.
pub(super) enum Failure {
    /// cjson's message.
    Text(String),
    /// The VM is out of memory.
    Lua(mlua::Error),
}

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

/// Reads one value and makes sure nothing follows.
pub(super) fn decode(
    lua: &Lua,
    settings: &Settings,
    marks: &Marks,
    text: &[u8],
) -> Result<Value, Failure> {
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        let why = "JSON parser does not support UTF-16 or UTF-32";
        return Err(Failure::Text(why.to_owned()));
    }
    let mut decoder = Decoder { lua, settings, marks, text, at: 0, index: 0, string: Vec::new() };
    let value = decoder.document()?;
    match decoder.next() {
        Token::End => Ok(value),
        other => Err(decoder.expected("the end", &other)),
    }
}

/// One token; the text of a string lies at [`Decoder::string_bytes`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// A string without escapes: a range of the text.
    Plain(usize, usize),
    /// A string with escapes, decoded into the scratch buffer.
    Escaped,
    Integer(f64),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    /// The name cjson's messages use.
    fn name(self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Plain(..) | Self::Escaped => "T_STRING",
            Self::Integer(_) => "T_INTEGER",
            Self::Number(_) => "T_NUMBER",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Null => "T_NULL",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Error(why) => why,
        }
    }
}

/// A table that is not complete.
struct Open {
    table: Table,
    place: Place,
}

impl Open {
    fn put(&self, value: impl IntoLua) -> mlua::Result<()> {
        match &self.place {
            Place::Key(key) => self.table.raw_set(key, value),
            Place::Index(index) => self.table.raw_set(*index, value),
        }
    }
}

/// Where the next value of an open table goes.
enum Place {
    Key(LuaString),
    Index(i64),
}

/// A value that has been read.
enum Item {
    Scalar(Token),
    Table(Table),
}

struct Decoder<'d> {
    lua: &'d Lua,
    settings: &'d Settings,
    marks: &'d Marks,
    text: &'d [u8],
    at: usize,
    /// Where the current token, or the error in it, is.
    index: usize,
    string: Vec<u8>,
}

impl Decoder<'_> {
    fn expected(&self, what: &str, found: &Token) -> Failure {
        let (found, at) = (found.name(), self.index + 1);
        Failure::Text(format!("Expected {what} but found {found} at character {at}"))
    }

    fn string_bytes(&self, token: Token) -> Option<&[u8]> {
        match token {
            Token::Plain(from, to) => Some(&self.text[from..to]),
            Token::Escaped => Some(&self.string),
            _ => None,
        }
    }

    /// Reads one value. Open tables lie on a list, so that nesting takes no native stack.
    fn document(&mut self) -> Result<Value, Failure> {
        let mut open: Vec<Open> = Vec::new();
        let mut token = self.next();
        loop {
            let mut item = match token {
                Token::ObjectBegin => {
                    self.check_depth(open.len() + 1)?;
                    let table = self.lua.create_table()?;
                    match self.next() {
                        Token::ObjectEnd => Item::Table(table),
                        first => {
                            let place = Place::Key(self.key(first)?);
                            open.push(Open { table, place });
                            token = self.next();
                            continue;
                        }
                    }
                }
                Token::ArrayBegin => {
                    self.check_depth(open.len() + 1)?;
                    let table = self.new_array()?;
                    match self.next() {
                        Token::ArrayEnd => Item::Table(table),
                        first => {
                            open.push(Open { table, place: Place::Index(1) });
                            token = first;
                            continue;
                        }
                    }
                }
                scalar => Item::Scalar(scalar),
            };
            loop {
                let Some(parent) = open.last_mut() else { return self.alone(item) };
                self.store(parent, item)?;
                let Some(closed) = self.step(parent, &mut token)? else { break };
                open.pop();
                item = Item::Table(closed);
            }
        }
    }

    /// After a value of `parent`: either its table is complete, or `token` starts the next
    /// value.
    fn step(&mut self, parent: &mut Open, token: &mut Token) -> Result<Option<Table>, Failure> {
        let found = self.next();
        match (&mut parent.place, found) {
            (Place::Key(_), Token::ObjectEnd) | (Place::Index(_), Token::ArrayEnd) => {
                return Ok(Some(parent.table.clone()));
            }
            (Place::Key(place), Token::Comma) => {
                let first = self.next();
                *place = self.key(first)?;
            }
            (Place::Index(index), Token::Comma) => *index += 1,
            (Place::Key(_), other) => return Err(self.expected("comma or object end", &other)),
            (Place::Index(_), other) => return Err(self.expected("comma or array end", &other)),
        }
        *token = self.next();
        Ok(None)
    }

    /// A key and the colon after it.
    fn key(&mut self, token: Token) -> Result<LuaString, Failure> {
        let Some(key) = self.string_bytes(token) else {
            return Err(self.expected("object key string", &token));
        };
        let key = self.lua.create_string(key)?;
        match self.next() {
            Token::Colon => Ok(key),
            other => Err(self.expected("colon", &other)),
        }
    }

    fn new_array(&self) -> mlua::Result<Table> {
        let table = self.lua.create_table()?;
        if self.settings.array_mt {
            table.set_metatable(Some(self.marks.array.clone()))?;
        }
        Ok(table)
    }

    fn store(&self, parent: &Open, item: Item) -> Result<(), Failure> {
        if let Item::Scalar(token) = item
            && let Some(text) = self.string_bytes(token)
        {
            // Straight from the text into the table.
            parent.put(LuaString::wrap(text))?;
        } else {
            parent.put(self.alone(item)?)?;
        }
        Ok(())
    }

    /// An item as a value of its own.
    fn alone(&self, item: Item) -> Result<Value, Failure> {
        Ok(match item {
            Item::Table(table) => Value::Table(table),
            Item::Scalar(Token::Integer(number) | Token::Number(number)) => Value::Number(number),
            Item::Scalar(Token::Boolean(flag)) => Value::Boolean(flag),
            Item::Scalar(Token::Null) => null(),
            Item::Scalar(token) => match self.string_bytes(token) {
                Some(text) => Value::String(self.lua.create_string(text)?),
                None => return Err(self.expected("value", &token)),
            },
        })
    }

    fn check_depth(&self, depth: usize) -> Result<(), Failure> {
        if depth <= self.settings.decode_depth_max {
            return Ok(());
        }
        let at = self.at;
        Err(Failure::Text(format!(
            "Found too many nested data structures ({depth}) at character {at}"
        )))
    }

    /// The byte at the cursor; the text ends with as many NULs as one likes.
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&mut self, why: &'static str) -> Token {
        self.index = self.at;
        Token::Error(why)
    }

    fn next(&mut self) -> Token {
        if let Err(why) = self.skip_space() {
            return self.error(why);
        }
        self.index = self.at;
        let byte = self.peek(0);
        let single = match byte {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            0 => return Token::End,
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if !self.settings.decode_invalid && self.is_lenient_number() {
                    return self.error("invalid number");
                }
                return self.number();
            }
            _ => return self.word(),
        };
        self.at += 1;
        single
    }

    fn skip_space(&mut self) -> Result<(), &'static str> {
        loop {
            while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
                self.at += 1;
            }
            if !self.settings.comments || self.peek(0) != b'/' {
                return Ok(());
            }
            match self.peek(1) {
                b'/' => {
                    while !matches!(self.peek(0), 0 | b'\n') {
                        self.at += 1;
                    }
                }
                b'*' => {
                    self.at += 2;
                    while !self.rest().starts_with(b"*/") {
                        if self.peek(0) == 0 {
                            return Err("unclosed multi-line comment");
                        }
                        self.at += 1;
                    }
                    self.at += 2;
                }
                _ => return Ok(()),
            }
        }
    }

    fn word(&mut self) -> Token {
        for (word, token) in [
            (&b"true"[..], Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        let letter = matches!(self.peek(0), b'n' | b'N' | b'i' | b'I' | b'+');
        if letter && self.settings.decode_invalid && self.is_lenient_number() {
            return self.number();
        }
        self.error("invalid token")
    }

    /// Numbers that C reads and JSON forbids: hex, leading zeros, infinities, NaN.
    fn is_lenient_number(&self) -> bool {
        let rest = self.rest();
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        match rest {
            [b'+', ..] => true,
            [b'0', next, ..] => matches!(next, b'x' | b'X' | b'0'..=b'9'),
            _ => rest.get(..3).is_some_and(|word| {
                word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
            }),
        }
    }

    fn number(&mut self) -> Token {
        let rest = self.rest();
        let sign = usize::from(rest.first() == Some(&b'-'));
        let digits = rest[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let after = rest.get(sign + digits).copied().unwrap_or(0);
        if digits > 0 && !matches!(after, b'.' | b'e' | b'E' | b'x') {
            let text = std::str::from_utf8(&rest[..sign + digits]).unwrap_or("0");
            // Through i64 a "-0" loses its sign as in cjson; larger ones keep their value.
            let value = match text.parse::<i64>() {
                Ok(number) => number as f64,
                Err(_) => text.parse().unwrap_or(0.0),
            };
            self.at += sign + digits;
            return Token::Integer(value);
        }
        match read_number(rest) {
            Some((value, used)) => {
                self.at += used;
                Token::Number(value)
            }
            None => self.error("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        self.at += 1;
        let start = self.at;
        let rest = self.rest();
        let stop = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0));
        let Some(stop) = stop else {
            self.at = self.text.len();
            return self.error("unexpected end of string");
        };
        self.at += stop;
        if self.peek(0) == b'"' {
            self.at += 1;
            return Token::Plain(start, start + stop);
        }
        self.string.clear();
        self.string.extend_from_slice(&self.text[start..start + stop]);
        self.escaped_string()
    }

    fn escaped_string(&mut self) -> Token {
        loop {
            let byte = match self.peek(0) {
                b'"' => {
                    self.at += 1;
                    return Token::Escaped;
                }
                0 => return self.error("unexpected end of string"),
                b'\\' => {
                    let byte = match self.peek(1) {
                        byte @ (b'"' | b'\\' | b'/') => byte,
                        b'b' => 0x08,
                        b't' => b'\t',
                        b'n' => b'\n',
                        b'f' => 0x0c,
                        b'r' => b'\r',
                        b'u' => match self.unicode_escape() {
                            Some((character, used)) => {
                                let mut utf8 = [0; 4];
                                let utf8 = character.encode_utf8(&mut utf8);
                                self.string.extend_from_slice(utf8.as_bytes());
                                self.at += used;
                                continue;
                            }
                            None => return self.error("invalid unicode escape code"),
                        },
                        _ => return self.error("invalid escape code"),
                    };
                    self.at += 1;
                    byte
                }
                other => other,
            };
            self.string.push(byte);
            self.at += 1;
        }
    }

    /// `\uXXXX`, or two of them for a character beyond the first plane.
    fn unicode_escape(&self) -> Option<(char, usize)> {
        let unit = |from: usize| {
            let digits = self.rest().get(from..from + 4)?;
            digits
                .iter()
                .try_fold(0_u32, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
        };
        let first = unit(2)?;
        if !(0xD800..0xE000).contains(&first) {
            return Some((char::from_u32(first)?, 6));
        }
        if first >= 0xDC00 || self.peek(6) != b'\\' || self.peek(7) != b'u' {
            return None;
        }
        let second = unit(8).filter(|second| (0xDC00..0xE000).contains(second))?;
        let code = ((first & 0x3FF) << 10 | second & 0x3FF) + 0x1_0000;
        Some((char::from_u32(code)?, 12))
    }
}
