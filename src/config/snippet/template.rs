//! Texts with variables: `"$scheme://$host$request_uri"`, `"/new/$1"`.

/// Variables and texts between them in one template.
const PIECES_MAX: usize = 128;

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Stands for itself.
    Text(Box<[u8]>),
    /// A variable, without `$`.
    Var(Box<str>),
    /// A capture of the last regular expression, from 1.
    Capture(u8),
}

/// A text with variables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(pub Vec<Piece>);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// A `$` that begins no name, in nginx's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            if at > 0 {
                pieces.push(Piece::Text(rest.as_bytes()[..at].into()));
            }
            rest = &rest[at + 1..];
            let name;
            (name, rest) = variable(rest)?;
            pieces.push(match name.as_bytes() {
                [digit @ b'1'..=b'9'] => Piece::Capture(digit - b'0'),
                _ => Piece::Var(name.to_ascii_lowercase().into()),
            });
            if pieces.len() > PIECES_MAX {
                return Err(format!("more than {PIECES_MAX} variables in one text"));
            }
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.as_bytes().into()));
        }
        Ok(Self(pieces))
    }

    /// The text, if no variable is in it.
    #[must_use]
    pub fn fixed(&self) -> Option<&[u8]> {
        match &self.0[..] {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it begins with `text` before any variable.
    #[must_use]
    pub fn begins_with(&self, text: &str) -> bool {
        matches!(self.0.first(), Some(Piece::Text(first)) if first.starts_with(text.as_bytes()))
    }
}

/// The name in front of `text`, and what follows it.
fn variable(text: &str) -> Result<(&str, &str), String> {
    let named = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let (name, rest) = match text.strip_prefix('{') {
        Some(inner) => inner
            .split_once('}')
            .filter(|(name, _)| !name.contains(named))
            .ok_or("the closing bracket in a variable is missing")?,
        // A capture is one digit.
        None if text.starts_with(|c: char| matches!(c, '1'..='9')) => text.split_at(1),
        None => text.split_at(text.find(named).unwrap_or(text.len())),
    };
    if name.is_empty() { Err("invalid variable name".to_owned()) } else { Ok((name, rest)) }
}
