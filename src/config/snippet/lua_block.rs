//! Where a block of Lua ends: at the brace that no string, comment or inner block owns.

/// The length of the Lua in front of the `}` that ends the block; `None` if none does.
pub(super) fn length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            b'"' | b'\'' => {
                at = behind_quoted(bytes, at)?;
                continue;
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                at = behind_comment(bytes, at + 2)?;
                continue;
            }
            b'[' => {
                if let Some(level) = opening(&bytes[at..]) {
                    at = behind_long(bytes, at + level + 2, level)?;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The place behind the text that begins with the quote at `at`.
fn behind_quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes.get(at)?;
    let mut at = at + 1;
    loop {
        let byte = bytes.get(at)?;
        at += if *byte == b'\\' { 2 } else { 1 };
        if byte == quote {
            return Some(at);
        }
    }
}

/// The place behind the comment whose dashes end at `at`.
fn behind_comment(bytes: &[u8], at: usize) -> Option<usize> {
    match opening(bytes.get(at..)?) {
        Some(level) => behind_long(bytes, at + level + 2, level),
        None => memchr::memchr(b'\n', &bytes[at..]).map(|length| at + length + 1),
    }
}

/// The level of the long bracket that `bytes` begin with: the number of its `=`.
fn opening(bytes: &[u8]) -> Option<usize> {
    let inner = bytes.strip_prefix(b"[")?;
    let level = inner.iter().take_while(|byte| **byte == b'=').count();
    (inner.get(level) == Some(&b'[')).then_some(level)
}

/// The place behind the end of a long bracket of this level.
fn behind_long(bytes: &[u8], from: usize, level: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(b']', bytes.get(at..)?)? + 1;
        let inner = bytes.get(at..)?;
        let found = inner.iter().take(level).take_while(|byte| **byte == b'=').count();
        if found == level && inner.get(level) == Some(&b']') {
            return Some(at + level + 1);
        }
    }
}
