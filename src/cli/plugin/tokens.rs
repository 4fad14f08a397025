//! The tokens of a Lua source, as far as finding names in it needs them.

/// A piece of Lua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name or a keyword.
    Name(String),
    /// A string; escapes stay as they are written, names have none.
    Text(String),
    /// A number.
    Number,
    /// An operator or a bracket, longest first.
    Sign(&'static str),
}

/// A token and the line it begins on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) line: usize,
}

/// Signs that matter or that contain one that does.
const SIGNS: [&str; 31] = [
    "...", "..", "==", "~=", "<=", ">=", "::", "=", ".", ":", ",", ";", "(", ")", "{", "}", "[",
    "]", "+", "-", "*", "/", "%", "^", "#", "<", ">", "~", "&", "|", "!",
];

/// Splits a source. What no Lua parser would take is skipped: the VM reports it better.
pub(super) fn tokens(source: &str) -> Vec<Placed> {
    let mut lexer = Lexer { rest: source, line: 1 };
    if source.starts_with('#') {
        lexer.skip_line();
    }
    let mut found = Vec::new();
    loop {
        lexer.skip_space();
        let line = lexer.line;
        match lexer.next() {
            Some(Some(token)) => found.push(Placed { token, line }),
            Some(None) => {}
            None => return found,
        }
    }
}

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
}

impl<'s> Lexer<'s> {
    /// Takes `bytes` bytes, counting their lines.
    fn take(&mut self, bytes: usize) -> &'s str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.line += taken.matches('\n').count();
        taken
    }

    fn skip_line(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.take(end);
    }

    fn skip_space(&mut self) {
        let end = self.rest.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(self.rest.len());
        self.take(end);
    }

    /// The next token; `Some(None)` for a comment or nonsense, `None` at the end.
    fn next(&mut self) -> Option<Option<Token>> {
        let first = self.rest.chars().next()?;
        if self.rest.starts_with("--") {
            self.take(2);
            if self.long().is_none() {
                self.skip_line();
            }
            return Some(None);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Some(Some(Token::Name(self.word().to_owned())));
        }
        if first.is_ascii_digit() {
            self.word();
            return Some(Some(Token::Number));
        }
        if first == '"' || first == '\'' {
            return Some(Some(Token::Text(self.quoted(first))));
        }
        if first == '['
            && let Some(text) = self.long()
        {
            return Some(Some(Token::Text(text)));
        }
        let Some(sign) = SIGNS.iter().find(|sign| self.rest.starts_with(**sign)) else {
            self.take(first.len_utf8());
            return Some(None);
        };
        self.take(sign.len());
        Some(Some(Token::Sign(sign)))
    }

    fn word(&mut self) -> &'s str {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// A string in quotes; one that is not closed ends with its line.
    fn quoted(&mut self, quote: char) -> String {
        self.take(1);
        let mut escaped = false;
        let end = self.rest.find(|c| {
            let ends = !escaped && (c == quote || c == '\n');
            escaped = !escaped && c == '\\';
            ends
        });
        let text = self.take(end.unwrap_or(self.rest.len())).to_owned();
        if self.rest.starts_with(quote) {
            self.take(1);
        }
        text
    }

    /// A string or comment in long brackets, if one begins here.
    fn long(&mut self) -> Option<String> {
        let inner = self.rest.strip_prefix('[')?;
        let level = inner.bytes().take_while(|byte| *byte == b'=').count();
        if !inner[level..].starts_with('[') {
            return None;
        }
        self.take(level + 2);
        let close = format!("]{}]", "=".repeat(level));
        let end = self.rest.find(&close);
        let text = self.take(end.unwrap_or(self.rest.len())).to_owned();
        self.take(close.len().min(self.rest.len()));
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str) -> String {
        let show = |placed: &Placed| match &placed.token {
            Token::Name(name) => format!("{}:{name}", placed.line),
            Token::Text(text) => format!("{}:{text:?}", placed.line),
            Token::Number => format!("{}:number", placed.line),
            Token::Sign(sign) => format!("{}:{sign}", placed.line),
        };
        tokens(source).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_strings_and_signs_have_their_lines() {
        assert_eq!(
            shown("local a = b.c\nreturn a..'x'"),
            "1:local 1:a 1:= 1:b 1:. 1:c 2:return 2:a 2:.. 2:\"x\""
        );
        assert_eq!(shown("f(0x1F, 1e3)"), "1:f 1:( 1:number 1:, 1:number 1:)");
    }

    #[test]
    fn comments_and_long_brackets_are_one_piece_each() {
        assert_eq!(shown("-- core.x\na --[[ core.y\n ]] b --[==[ ]] ]==] c"), "2:a 3:b 3:c");
        assert_eq!(shown("x = [=[\n]] ]=] y"), "1:x 1:= 1:\"\\n]] \" 2:y");
        assert_eq!(shown("a[b[1]]"), "1:a 1:[ 1:b 1:[ 1:number 1:] 1:]");
        assert_eq!(shown("#!/usr/bin/lua\nx"), "2:x");
    }

    #[test]
    fn escapes_do_not_end_a_string() {
        assert_eq!(shown(r#"'a\'b' "\\" c"#), r#"1:"a\\'b" 1:"\\\\" 1:c"#);
    }

    #[test]
    fn a_source_that_stops_anywhere_is_split_all_the_same() {
        let source = "local t = { ['a'] = \"b\", [[c]] } --[[ d ]] return t ~= 1 ü";
        for end in (0..=source.len()).filter(|end| source.is_char_boundary(*end)) {
            tokens(&source[..end]);
        }
    }
}
