//! Bytes to tokens.
//!
//! Files are read as bytes: old ones have comments in other character sets than UTF-8, which
//! hurt nobody. Everything else must be ASCII, but for the inside of strings, which must be
//! UTF-8.

use super::errors::{At, Errors};

/// Bytes of a name, a number, or a file's name. Messages repeat them.
const WORD_BYTES_MAX: usize = 255;

/// The smallest meaningful piece of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// With its sign.
    Integer(i64),
    /// With its sign.
    Float(f64),
    /// What stands between quotes, escapes undone.
    Text(String),
    /// The file that an `#include` names.
    Include(String),
    /// `::`
    Scope,
    /// One of the characters that stand for themselves.
    Sign(char),
    /// The end of the file.
    End,
}

impl Token<'_> {
    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Word(word) => format!("`{word}`"),
            Token::Integer(number) => format!("`{number}`"),
            Token::Float(number) => format!("`{number}`"),
            Token::Text(_) => "a string".to_owned(),
            Token::Include(_) => "`#include`".to_owned(),
            Token::Scope => "`::`".to_owned(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end of the file".to_owned(),
        }
    }
}

/// Walks over the bytes of one file.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    place: At,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(file: usize, text: &'a [u8]) -> Self {
        let bom = text.starts_with(b"\xef\xbb\xbf");
        let at = if bom { 3 } else { 0 };
        Lexer { text, at, place: At { file, line: 1, column: 1 } }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<u8> {
        let byte = self.peek(0)?;
        self.at += 1;
        if byte == b'\n' {
            self.place.line = self.place.line.saturating_add(1);
            self.place.column = 1;
        } else if byte & 0xc0 != 0x80 {
            // Later bytes of a character of several bytes are no columns of their own.
            self.place.column = self.place.column.saturating_add(1);
        }
        Some(byte)
    }

    fn bump_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        while self.peek(0).is_some_and(&wanted) {
            self.bump();
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The next token and where it begins. What is no token is reported and left out.
    pub(super) fn next(&mut self, errors: &mut Errors) -> (At, Token<'a>) {
        loop {
            self.space(errors);
            let at = self.place;
            let Some(byte) = self.peek(0) else { return (at, Token::End) };
            let token = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(at, errors),
                b'0'..=b'9' => self.number(at, errors),
                b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => {
                    self.number(at, errors)
                }
                b'+' | b'-' => self.number(at, errors),
                b'"' => self.text(at, errors).map(Token::Text),
                b'#' => self.include(at, errors),
                b':' if self.peek(1) == Some(b':') => {
                    self.bump();
                    self.bump();
                    Some(Token::Scope)
                }
                b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'<' | b'>' | b',' | b';' | b'='
                | b':' | b'*' => {
                    self.bump();
                    Some(Token::Sign(char::from(byte)))
                }
                _ => {
                    self.stray(at, byte, errors);
                    None
                }
            };
            if let Some(token) = token {
                return (at, token);
            }
        }
    }

    /// Skips white space and comments.
    fn space(&mut self, errors: &mut Errors) {
        loop {
            self.bump_while(|byte| byte.is_ascii_whitespace() || byte == 0x0b);
            let at = self.place;
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'/')) => {
                    self.bump_while(|byte| byte != b'\n');
                }
                (Some(b'/'), Some(b'*')) => {
                    self.bump();
                    self.bump();
                    while self.peek(0).is_some()
                        && (self.peek(0), self.peek(1)) != (Some(b'*'), Some(b'/'))
                    {
                        self.bump();
                    }
                    if self.bump().is_none() {
                        errors.add(at, "this comment has no end");
                    }
                    self.bump();
                }
                _ => return,
            }
        }
    }

    fn stray(&mut self, at: At, byte: u8, errors: &mut Errors) {
        self.bump();
        if byte.is_ascii() {
            errors.add(at, format!("unexpected character `{}`", byte.escape_ascii()));
            return;
        }
        // One message for a run of letters that are none here.
        self.bump_while(|byte| !byte.is_ascii());
        errors.add(at, "only ASCII may stand outside of comments and strings");
    }

    fn word(&mut self, at: At, errors: &mut Errors) -> Option<Token<'a>> {
        let word = self.bump_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if word.len() > WORD_BYTES_MAX {
            errors.add(at, format!("a name has more than {WORD_BYTES_MAX} characters"));
            return None;
        }
        str::from_utf8(word).ok().map(Token::Word)
    }

    fn number(&mut self, at: At, errors: &mut Errors) -> Option<Token<'a>> {
        let start = self.at;
        if matches!(self.peek(0), Some(b'+' | b'-')) {
            self.bump();
        }
        let sign = self.at - start;
        let hex = self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X'));
        loop {
            self.bump_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
            let exponent = self.text.get(start..self.at).and_then(<[u8]>::last);
            let signed = !hex
                && matches!(exponent, Some(b'e' | b'E'))
                && matches!(self.peek(0), Some(b'+' | b'-'));
            if !signed {
                break;
            }
            self.bump();
        }
        let text = self.text.get(start..self.at).and_then(|text| str::from_utf8(text).ok());
        let text = text.unwrap_or_default();
        let token = number_of(text, sign);
        if token.is_none() {
            let shown = text.get(..text.len().min(WORD_BYTES_MAX)).unwrap_or_default();
            errors.add(at, format!("`{shown}` is no number that fits"));
        }
        token
    }

    fn text(&mut self, at: At, errors: &mut Errors) -> Option<String> {
        self.bump();
        let mut bytes = Vec::new();
        loop {
            match self.peek(0) {
                None | Some(b'\n') => {
                    errors.add(at, "this string has no end");
                    return None;
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    let escape = self.place;
                    self.bump();
                    match self.escaped() {
                        Some(byte) => bytes.push(byte),
                        None => errors.add(escape, "unknown escape in a string"),
                    }
                }
                Some(byte) => {
                    bytes.push(byte);
                    self.bump();
                }
            }
        }
        self.bump();
        let text = String::from_utf8(bytes);
        text.map_err(|_| errors.add(at, "this string is not UTF-8")).ok()
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Option<u8> {
        let byte = self.peek(0)?;
        if (b'0'..=b'7').contains(&byte) {
            return self.digits(3, 8);
        }
        if byte != b'\n' {
            self.bump();
        }
        Some(match byte {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'r' => b'\r',
            b'x' => return self.digits(2, 16),
            b'"' | b'\'' | b'\\' | b'?' => byte,
            _ => return None,
        })
    }

    fn digits(&mut self, most: usize, radix: u32) -> Option<u8> {
        let mut number = None;
        for _ in 0..most {
            let Some(digit) = self.peek(0).and_then(|byte| char::from(byte).to_digit(radix)) else {
                break;
            };
            number = Some(number.unwrap_or(0) * radix + digit);
            self.bump();
        }
        u8::try_from(number?).ok()
    }

    fn include(&mut self, at: At, errors: &mut Errors) -> Option<Token<'a>> {
        self.bump();
        let word = self.bump_while(|byte| byte.is_ascii_alphabetic());
        self.bump_while(|byte| byte == b' ' || byte == b'\t');
        if word != b"include" || self.peek(0) != Some(b'"') {
            errors.add(at, "expected #include \"file\"");
            self.bump_while(|byte| byte != b'\n');
            return None;
        }
        let name = self.text(at, errors)?;
        if name.len() > WORD_BYTES_MAX {
            errors.add(at, format!("a file's name has more than {WORD_BYTES_MAX} bytes"));
            return None;
        }
        Some(Token::Include(name))
    }
}

/// The number in `text`, whose first `sign` bytes are a sign.
fn number_of<'a>(text: &str, sign: usize) -> Option<Token<'a>> {
    let (sign, digits) = text.split_at_checked(sign)?;
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let plain = |digits: &str, radix| {
        let good = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let number = if good { i128::from_str_radix(digits, radix).ok()? } else { return None };
        i64::try_from(if sign == "-" { -number } else { number }).ok().map(Token::Integer)
    };
    if let Some(digits) = hex {
        return plain(digits, 16);
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let octal = digits.len() > 1 && digits.starts_with('0');
        return plain(digits, if octal { 8 } else { 10 });
    }
    // Not `inf` and `nan`, which the standard library would take.
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let digits = digits.strip_suffix(['f', 'F']).unwrap_or(digits);
    let number: f64 = digits.parse().ok()?;
    number.is_finite().then_some(Token::Float(if sign == "-" { -number } else { number }))
}
