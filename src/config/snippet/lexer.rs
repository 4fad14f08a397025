//! Snippets to words and blocks, by the rules nginx reads its configuration with.
//!
//! A directive is words up to `;` or `{`. Words may be quoted; what stands between the braces
//! of a `*_by_lua_block` is Lua, and its end is where Lua's own braces, strings and comments say.

use super::lua_block;

/// Bytes of one word; nginx has a buffer of this size for it.
const WORD_BYTES_MAX: usize = 4096;

/// Words of one directive.
const WORDS_MAX: usize = 256;

/// What follows the words of a directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End<'t> {
    /// `;`
    Semicolon,
    /// `{`: directives follow, up to a `}`.
    Block,
    /// Lua between braces.
    Lua(&'t str),
}

/// One word, and whether it was quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// What comes next in a snippet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'t> {
    /// A directive: never without a word.
    Directive {
        /// Its name, then its arguments.
        words: Vec<Word>,
        /// The line of its name, from 1.
        line: usize,
        /// What follows.
        end: End<'t>,
    },
    /// `}`
    Close {
        /// Its line.
        line: usize,
    },
    /// The end of the text.
    Over,
}

/// What is wrong, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) why: String,
}

/// Reads a snippet from front to back.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    line: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// The line that is read.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    fn broken(&self, why: impl Into<String>) -> Broken {
        Broken { line: self.line, why: why.into() }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn step(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        self.line += usize::from(next == '\n');
        Some(next)
    }

    /// Steps over space and comments.
    fn skip_space(&mut self) {
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' => {}
                '#' => {
                    while self.peek().is_some_and(|next| next != '\n') {
                        self.step();
                    }
                    continue;
                }
                _ => return,
            }
            self.step();
        }
    }

    /// The next directive, `}` or end.
    pub(super) fn next(&mut self) -> Result<Item<'t>, Broken> {
        let mut words: Vec<Word> = Vec::new();
        let mut begun = self.line;
        loop {
            self.skip_space();
            let Some(next) = self.peek() else {
                return match words.last() {
                    None => Ok(Item::Over),
                    Some(_) => Err(self.broken("unexpected end, expecting \";\" or \"}\"")),
                };
            };
            match (next, words.is_empty()) {
                (';', true) => return Err(self.broken("unexpected \";\"")),
                ('{', true) => return Err(self.broken("unexpected \"{\"")),
                ('}', true) => {
                    self.step();
                    return Ok(Item::Close { line: self.line });
                }
                ('}', false) => return Err(self.broken("unexpected \"}\"")),
                (';', false) => {
                    self.step();
                    return Ok(Item::Directive { words, line: begun, end: End::Semicolon });
                }
                ('{', false) => {
                    self.step();
                    let end = self.block(&words)?;
                    return Ok(Item::Directive { words, line: begun, end });
                }
                _ => {}
            }
            if words.is_empty() {
                begun = self.line;
            }
            if words.len() == WORDS_MAX {
                return Err(self.broken(format!("more than {WORDS_MAX} words in one directive")));
            }
            let word = self.word()?;
            words.push(word);
        }
    }

    fn block(&mut self, words: &[Word]) -> Result<End<'t>, Broken> {
        if !words.first().is_some_and(|name| name.text.ends_with("_by_lua_block")) {
            return Ok(End::Block);
        }
        let rest = &self.text[self.at..];
        let Some(length) = lua_block::length(rest) else {
            return Err(self.broken(format!(
                "unexpected end in {}: its closing \"}}\" is missing",
                words.first().map_or("", |name| &name.text)
            )));
        };
        let code = &rest[..length];
        // The closing brace is one byte.
        self.at += length + 1;
        self.line += code.matches('\n').count();
        Ok(End::Lua(code))
    }

    fn word(&mut self) -> Result<Word, Broken> {
        let quote = self.peek().filter(|first| matches!(first, '"' | '\''));
        if quote.is_some() {
            self.step();
        }
        let mut text = String::new();
        let mut variable = false;
        loop {
            let Some(next) = self.peek() else {
                return match quote {
                    Some(_) => Err(self.broken("unexpected end in a quoted text")),
                    None => Ok(Word { text, quoted: false }),
                };
            };
            match (next, quote) {
                (next, Some(quote)) if next == quote => {
                    self.step();
                    return match self.peek() {
                        None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => {
                            Ok(Word { text, quoted: true })
                        }
                        Some(next) => Err(self.broken(format!("unexpected \"{next}\""))),
                    };
                }
                (' ' | '\t' | '\r' | '\n' | ';', None) => return Ok(Word { text, quoted: false }),
                // `${name}` is no block.
                ('{', None) if !variable => return Ok(Word { text, quoted: false }),
                ('\\', _) => {
                    self.step();
                    self.escape(&mut text);
                }
                _ => {
                    self.step();
                    text.push(next);
                }
            }
            variable = next == '$';
            if text.len() > WORD_BYTES_MAX {
                return Err(self.broken(format!("a word is longer than {WORD_BYTES_MAX} bytes")));
            }
        }
    }

    /// What follows a backslash; nginx keeps those it does not know.
    fn escape(&mut self, text: &mut String) {
        match self.peek() {
            Some(next @ ('"' | '\'' | '\\')) => text.push(next),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(next) => {
                text.push('\\');
                text.push(next);
            }
            None => text.push('\\'),
        }
        self.step();
    }
}
