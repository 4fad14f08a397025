//! Header fields of one message: order, case and repeats as they came.
//!
//! All names and values lie in one byte arena, so that parsing a head is one copy and
//! no allocation per field, and a pooled [`Fields`] is reused without any. The front of
//! the arena is *pinned*: it holds the head as received and never moves, so that its
//! owner may keep [`Span`]s into it. What is set later lies behind it and is compacted
//! when more than half of it is dead.
//!
//! A [`Fields`] never holds a name that is not a token, or a value with CR, LF or NUL:
//! whatever a plugin sets, writing it out cannot split a message.

use std::fmt;

use memchr::memchr3;

/// Most bytes one [`Fields`] may hold, names and values and the raw head together.
pub const BYTES_MAX: usize = 8 << 20;
/// Most fields one [`Fields`] may hold.
pub const COUNT_MAX: usize = 10_000;
/// Below this many dead bytes compacting is not worth it.
const DEAD_BYTES_MIN: usize = 1024;

/// Bytes that may stand in a field name, a method or a coding name (RFC 9110, 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

/// A range of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub at: u32,
    /// Length in bytes.
    pub len: u32,
}

/// Why a field was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldError {
    /// The name is empty or not a token.
    Name,
    /// The value holds CR, LF or NUL.
    Value,
    /// [`BYTES_MAX`] or [`COUNT_MAX`] is reached.
    Full,
}

/// The header (or trailer) fields of one message.
#[derive(Clone, Default)]
pub struct Fields {
    arena: Vec<u8>,
    list: Vec<Field>,
    /// The arena's first bytes, which never move.
    pinned: usize,
    /// Bytes behind `pinned` that no field uses any more.
    dead: usize,
}

/// One field line, as ranges of the arena.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a field name must be a token",
            Self::Value => "a field value must not hold CR, LF or NUL",
            Self::Full => "too many or too large fields",
        })
    }
}

impl std::error::Error for FieldError {}

impl Fields {
    /// No fields; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fields from (name, value) pairs, in that order.
    ///
    /// # Errors
    ///
    /// As [`Fields::add`], for the first pair that is refused.
    pub fn from_parts<N, V>(parts: impl IntoIterator<Item = (N, V)>) -> Result<Self, FieldError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut fields = Self::new();
        for (name, value) in parts {
            fields.add(name, value)?;
        }
        Ok(fields)
    }

    /// Forgets everything, the pinned head included, and keeps the memory for reuse.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
        self.pinned = 0;
        self.dead = 0;
    }

    /// After [`Fields::clear`]: gives memory back until at most `bytes_max` are held, so
    /// that one large head does not stay with a pooled value for ever.
    pub fn shrink(&mut self, bytes_max: usize) {
        self.arena.shrink_to(bytes_max / 2);
        self.list.shrink_to(bytes_max / 2 / size_of::<Field>());
    }

    /// Bytes of memory held, used or not.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.arena.capacity() + self.list.capacity() * size_of::<Field>()
    }

    /// How many field lines, repeats included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is no field.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The value of the first field `name`, any case.
    #[inline]
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.position(name.as_ref()).map(|at| self.slice(self.list[at].value))
    }

    /// Whether there is a field `name`, any case.
    #[inline]
    #[must_use]
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.position(name.as_ref()).is_some()
    }

    /// The values of all fields `name`, any case, in order.
    pub fn get_all<'a, N: AsRef<[u8]> + 'a>(
        &'a self,
        name: N,
    ) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.list
            .iter()
            .filter(move |field| self.is_named(field, name.as_ref()))
            .map(|field| self.slice(field.value))
    }

    /// How many fields are called `name`, any case.
    #[must_use]
    pub fn count(&self, name: impl AsRef<[u8]>) -> usize {
        let name = name.as_ref();
        self.list.iter().filter(|field| self.is_named(field, name)).count()
    }

    /// All fields as (name, value), in order, names as they were written.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        self.list.iter().map(|field| (self.slice(field.name), self.slice(field.value)))
    }

    /// Gives the first field `name` this value, where it stands and as it is spelt, and
    /// drops the others of that name; adds it at the end if there was none.
    ///
    /// # Errors
    ///
    /// As [`Fields::add`]; nothing has changed then.
    pub fn set(
        &mut self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), FieldError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        let Some(first) = self.position(name) else { return self.add(name, value) };
        check_value(value)?;
        self.replace(first, value)?;
        if self.list[first + 1..].iter().any(|field| self.is_named(field, name)) {
            let mut at = 0;
            self.keep(|fields, field| {
                at += 1;
                at - 1 <= first || !fields.is_named(field, name)
            });
        }
        Ok(())
    }

    /// Adds a field at the end, whether or not there are others of that name.
    ///
    /// # Errors
    ///
    /// [`FieldError::Name`] if the name is no token, [`FieldError::Value`] if the value
    /// holds CR, LF or NUL, [`FieldError::Full`] at the bounds of this module.
    pub fn add(
        &mut self,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<(), FieldError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !is_token(name) {
            return Err(FieldError::Name);
        }
        check_value(value)?;
        if self.list.len() >= COUNT_MAX {
            return Err(FieldError::Full);
        }
        self.make_room(name.len() + value.len())?;
        let name = self.append(name);
        let value = self.append(value);
        self.list.push(Field { name, value });
        Ok(())
    }

    /// Drops all fields `name`, any case; says whether there was one.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        let Some(first) = self.position(name) else { return false };
        if self.list[first + 1..].iter().any(|field| self.is_named(field, name)) {
            self.keep(|fields, field| !fields.is_named(field, name));
        } else {
            let field = self.list.remove(first);
            self.bury(field.name);
            self.bury(field.value);
        }
        true
    }

    /// Keeps the fields for which `wanted(name, value)` is true.
    pub fn retain(&mut self, mut wanted: impl FnMut(&[u8], &[u8]) -> bool) {
        self.keep(|fields, field| wanted(fields.slice(field.name), fields.slice(field.value)));
    }

    /// Starts over with `raw` (a head as received) as the pinned front of the arena.
    /// Spans into it stay valid until the next `load` or [`Fields::clear`].
    ///
    /// # Errors
    ///
    /// [`FieldError::Full`] above [`BYTES_MAX`].
    pub(crate) fn load(&mut self, raw: &[u8]) -> Result<(), FieldError> {
        self.clear();
        if raw.len() > BYTES_MAX {
            return Err(FieldError::Full);
        }
        self.arena.extend_from_slice(raw);
        self.pinned = self.arena.len();
        Ok(())
    }

    /// After [`Fields::load`] and before any field is added: pins some more bytes.
    pub(crate) fn pin(&mut self, parts: [&[u8]; 2]) -> Span {
        debug_assert_eq!(self.pinned, self.arena.len());
        let first = self.append(parts[0]);
        let second = self.append(parts[1]);
        self.pinned = self.arena.len();
        Span { at: first.at, len: first.len + second.len }
    }

    /// Room for this many fields, so that [`Fields::push`] does not grow step by step.
    pub(crate) fn reserve(&mut self, fields: usize) {
        self.list.reserve(fields);
    }

    /// Adds a field that lies in the pinned front. The caller has checked name and value.
    #[inline]
    pub(crate) fn push(&mut self, name: Span, value: Span) {
        self.list.push(Field { name, value });
    }

    /// The bytes of a span; empty if it is not one of this arena.
    #[inline]
    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        let at = span.at as usize;
        self.arena.get(at..at + span.len as usize).unwrap_or_default()
    }

    #[inline]
    fn is_named(&self, field: &Field, name: &[u8]) -> bool {
        field.name.len as usize == name.len() && self.slice(field.name).eq_ignore_ascii_case(name)
    }

    #[inline]
    fn position(&self, name: &[u8]) -> Option<usize> {
        self.list.iter().position(|field| self.is_named(field, name))
    }

    /// New value for the field at `at`, in its old place if it fits.
    fn replace(&mut self, at: usize, value: &[u8]) -> Result<(), FieldError> {
        let old = self.list[at].value;
        if old.at as usize >= self.pinned && value.len() <= old.len as usize {
            let start = old.at as usize;
            self.arena[start..start + value.len()].copy_from_slice(value);
            self.dead += old.len as usize - value.len();
            self.list[at].value.len = value.len() as u32;
            return Ok(());
        }
        self.make_room(value.len())?;
        // Compacting may have moved the old value.
        self.bury(self.list[at].value);
        self.list[at].value = self.append(value);
        Ok(())
    }

    fn keep(&mut self, mut wanted: impl FnMut(&Self, &Field) -> bool) {
        let mut list = std::mem::take(&mut self.list);
        list.retain(|field| {
            let keep = wanted(self, field);
            if !keep {
                self.bury(field.name);
                self.bury(field.value);
            }
            keep
        });
        self.list = list;
        if self.list.is_empty() {
            self.arena.truncate(self.pinned);
            self.dead = 0;
        }
    }

    /// Counts a span that is no longer used.
    fn bury(&mut self, span: Span) {
        if span.at as usize >= self.pinned {
            self.dead += span.len as usize;
        }
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> Span {
        let span = Span { at: self.arena.len() as u32, len: bytes.len() as u32 };
        self.arena.extend_from_slice(bytes);
        span
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), FieldError> {
        let live = self.arena.len() - self.dead;
        if live.saturating_add(bytes) > BYTES_MAX {
            return Err(FieldError::Full);
        }
        if self.dead > DEAD_BYTES_MIN && self.dead > live - self.pinned {
            self.compact();
        }
        Ok(())
    }

    fn compact(&mut self) {
        let mut tail = Vec::with_capacity(self.arena.len() - self.pinned - self.dead);
        for field in &mut self.list {
            for span in [&mut field.name, &mut field.value] {
                let at = span.at as usize;
                if at >= self.pinned {
                    span.at = (self.pinned + tail.len()) as u32;
                    tail.extend_from_slice(&self.arena[at..at + span.len as usize]);
                }
            }
        }
        self.arena.truncate(self.pinned);
        self.arena.extend_from_slice(&tail);
        self.dead = 0;
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(n, v)| (n.escape_ascii().to_string(), v.escape_ascii().to_string())),
            )
            .finish()
    }
}

/// Same fields in the same order, bytes compared as they are.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

/// Whether `bytes` is a token: not empty, and only bytes that names may have.
#[inline]
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN[*byte as usize])
}

#[inline]
fn check_value(value: &[u8]) -> Result<(), FieldError> {
    match memchr3(b'\r', b'\n', 0, value) {
        None => Ok(()),
        Some(_) => Err(FieldError::Value),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection,
        prelude::{Strategy, any, prop_assert_eq, proptest},
    };

    use super::{BYTES_MAX, COUNT_MAX, FieldError, Fields, Span};

    fn sample() -> Fields {
        Fields::from_parts([("Host", "a"), ("X-Two", "1"), ("x-two", "2"), ("Last", "z")]).unwrap()
    }

    #[track_caller]
    fn check(fields: &Fields, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        assert_eq!(fields.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn look_up_ignores_case_and_keeps_order() {
        let fields = sample();
        assert_eq!(fields.get("HOST"), Some(&b"a"[..]));
        assert_eq!(fields.get("X-TWO"), Some(&b"1"[..]));
        assert_eq!(fields.get("hos"), None);
        assert_eq!(fields.get_all("x-Two").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!((fields.count("X-Two"), fields.count("none"), fields.len()), (2, 0, 4));
        assert!(fields.contains(b"last") && !fields.is_empty());
    }

    #[test]
    fn set_replaces_the_first_in_place_and_drops_the_rest() {
        let mut fields = sample();
        fields.set("X-TWO", "three").unwrap();
        check(&fields, &[("Host", "a"), ("X-Two", "three"), ("Last", "z")]);
        fields.set("X-TWO", "4").unwrap();
        fields.set("New", "n").unwrap();
        check(&fields, &[("Host", "a"), ("X-Two", "4"), ("Last", "z"), ("New", "n")]);
    }

    #[test]
    fn remove_drops_every_repeat() {
        let mut fields = sample();
        assert!(fields.remove("x-two") && !fields.remove("x-two"));
        assert!(fields.remove("host"));
        check(&fields, &[("Last", "z")]);
        fields.retain(|_, value| value != b"z");
        assert!(fields.is_empty());
    }

    #[test]
    fn what_could_split_a_message_is_refused_and_changes_nothing() {
        let mut fields = sample();
        let before = fields.clone();
        for name in ["", "a b", "a:", "a\r\nb", "\u{e9}", "a\0"] {
            assert_eq!(fields.add(name, "v"), Err(FieldError::Name), "{name:?}");
            assert_eq!(fields.set(name, "v"), Err(FieldError::Name), "{name:?}");
        }
        for value in ["a\rb", "a\nb", "a\0b", "\r\n"] {
            assert_eq!(fields.add("N", value), Err(FieldError::Value), "{value:?}");
            assert_eq!(fields.set("Host", value), Err(FieldError::Value), "{value:?}");
        }
        assert_eq!(fields, before);
        fields.set("Host", b"\xff\t \x01").unwrap();
        assert_eq!(fields.get("host"), Some(&b"\xff\t \x01"[..]));
    }

    #[test]
    fn rewriting_a_field_a_million_times_does_not_grow() {
        let mut fields = sample();
        let values: [&[u8]; 3] = [b"short", &[b'x'; 100], &[b'y'; 31]];
        for round in 0..1_000_000 {
            fields.set("X-Two", values[round % 3]).unwrap();
            if round % 5 == 0 {
                fields.remove("Last");
                fields.add("Last", values[round % 2]).unwrap();
            }
        }
        assert!(fields.bytes_held() < 8192, "{}", fields.bytes_held());
        assert_eq!(fields.get("X-Two"), Some(values[999_999 % 3]));
    }

    #[test]
    fn the_pinned_head_survives_compaction() {
        let mut fields = Fields::new();
        fields.load(b"GET / Host: here").unwrap();
        fields.push(Span { at: 6, len: 4 }, Span { at: 12, len: 4 });
        let extra = fields.pin([b"/", b"?q"]);
        for round in 0..10_000 {
            fields.set("host", format!("value {round}")).unwrap();
            fields.set("Other", "x".repeat(round % 50)).unwrap();
        }
        assert_eq!(fields.slice(Span { at: 0, len: 16 }), b"GET / Host: here");
        assert_eq!(fields.slice(extra), b"/?q");
        assert_eq!(fields.get("Host"), Some(&b"value 9999"[..]));
        assert!(fields.bytes_held() < 8192, "{}", fields.bytes_held());
    }

    #[test]
    fn both_bounds_hold() {
        let mut fields = Fields::new();
        let big = vec![b'x'; BYTES_MAX];
        assert_eq!(fields.add("a", &big), Err(FieldError::Full));
        fields.add("a", &big[1..]).unwrap();
        assert_eq!(fields.add("b", ""), Err(FieldError::Full));
        fields.clear();
        fields.shrink(1024);
        assert!(fields.bytes_held() <= 1024);
        for _ in 0..COUNT_MAX {
            fields.add("a", "").unwrap();
        }
        assert_eq!(fields.add("a", ""), Err(FieldError::Full));
    }

    #[test]
    fn a_span_of_another_arena_is_empty_not_a_panic() {
        assert_eq!(sample().slice(Span { at: 7, len: u32::MAX }), b"");
        assert_eq!(Fields::new().slice(Span { at: u32::MAX, len: 1 }), b"");
    }

    proptest! {
        /// Any sequence of edits does what the same edits do to a plain list.
        #[test]
        fn edits_agree_with_a_plain_list(
            edits in collection::vec((0..4u8, "[a-cA-C]{1,2}", collection::vec(any::<u8>().prop_filter("", |b| !b"\r\n\0".contains(b)), 0..400)), 0..120)
        ) {
            let mut fields = Fields::new();
            fields.load(b"pinned").unwrap();
            let mut list: Vec<(String, Vec<u8>)> = Vec::new();
            for (kind, name, value) in edits {
                let same = |other: &str| other.eq_ignore_ascii_case(&name);
                match kind {
                    0 => { fields.add(&name, &value).unwrap(); list.push((name, value)); }
                    1 => {
                        fields.set(&name, &value).unwrap();
                        match list.iter().position(|(other, _)| same(other)) {
                            None => list.push((name, value)),
                            Some(first) => {
                                list[first].1 = value;
                                let mut at = 0;
                                list.retain(|(other, _)| { at += 1; at - 1 <= first || !same(other) });
                            }
                        }
                    }
                    2 => { fields.remove(&name); list.retain(|(other, _)| !same(other)); }
                    _ => {
                        fields.retain(|_, other| other.len() < value.len());
                        list.retain(|(_, other)| other.len() < value.len());
                    }
                }
                let plain: Vec<_> = list.iter().map(|(n, v)| (n.as_bytes(), &v[..])).collect();
                prop_assert_eq!(fields.iter().collect::<Vec<_>>(), plain);
            }
            let live: usize = list.iter().map(|(n, v)| n.len() + v.len()).sum();
            assert!(fields.bytes_held() < 16_384 + 8 * live.max(4096) + 40 * 120);
        }
    }
}
