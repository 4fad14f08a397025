//! Items: a head with tag and type, then data. Read with bounds, written in their shortest form.
//!
//! The format says nothing about what a value means: see [`super::idl`] for the types and
//! [`super::json`] for values. A [`Reader`] never reads past its bytes, never trusts a count,
//! and goes [`LEVELS_MAX`] levels deep; it allocates nothing.

use std::fmt;

/// Levels of structs, maps and lists within each other, in either direction.
pub const LEVELS_MAX: usize = 64;

/// What an item holds, as its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A signed byte.
    Int1 = 0,
    /// Two bytes, signed.
    Int2 = 1,
    /// Four bytes, signed.
    Int4 = 2,
    /// Eight bytes, signed.
    Int8 = 3,
    /// IEEE 754, four bytes.
    Float = 4,
    /// IEEE 754, eight bytes.
    Double = 5,
    /// Up to 255 bytes of text.
    String1 = 6,
    /// Text whose length has four bytes.
    String4 = 7,
    /// Pairs.
    Map = 8,
    /// Items.
    List = 9,
    /// Members up to the end of the struct.
    Struct = 10,
    /// The end of a struct.
    End = 11,
    /// The number 0.
    Zero = 12,
    /// Bytes.
    Bytes = 13,
}

impl Kind {
    fn of(code: u8) -> Result<Self, Fault> {
        const KINDS: [Kind; 14] = [
            Kind::Int1,
            Kind::Int2,
            Kind::Int4,
            Kind::Int8,
            Kind::Float,
            Kind::Double,
            Kind::String1,
            Kind::String4,
            Kind::Map,
            Kind::List,
            Kind::Struct,
            Kind::End,
            Kind::Zero,
            Kind::Bytes,
        ];
        KINDS.get(usize::from(code)).copied().ok_or(Fault::Type(code))
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Int1 => "int1",
            Kind::Int2 => "int2",
            Kind::Int4 => "int4",
            Kind::Int8 => "int8",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::String1 | Kind::String4 => "string",
            Kind::Map => "map",
            Kind::List => "list",
            Kind::Struct => "struct",
            Kind::End => "end of struct",
            Kind::Zero => "zero",
            Kind::Bytes => "simple list",
        }
    }
}

/// Why bytes are no items, or not those that were wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The bytes end within an item.
    Short,
    /// A type that does not exist.
    Type(u8),
    /// An item of another type than the wanted one.
    Kind {
        /// The type of the item.
        found: Kind,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A count or length that is negative or larger than what is left.
    Count(i64),
    /// More than [`LEVELS_MAX`] levels.
    Levels,
    /// A number that the declared type does not hold.
    Range(i64),
    /// An item that must be there is not.
    Missing,
    /// Text that is not of the declared character set.
    Text,
    /// The result would be too large, in bytes.
    Size(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Short => write!(f, "the bytes end within an item"),
            Fault::Type(code) => write!(f, "an item has the unknown type {code}"),
            Fault::Kind { found, wanted } => {
                write!(f, "expected {wanted}, got an item of type {}", found.name())
            }
            Fault::Count(count) => write!(f, "{count} is no possible count"),
            Fault::Levels => write!(f, "more than {LEVELS_MAX} levels"),
            Fault::Range(number) => write!(f, "{number} is out of range"),
            Fault::Missing => write!(f, "required, but missing"),
            Fault::Text => write!(f, "the text is not in the expected character set"),
            Fault::Size(max) => write!(f, "the result would have more than {max} bytes"),
        }
    }
}

impl std::error::Error for Fault {}

/// Tag and type of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which member, parameter or half of a pair it is.
    pub tag: u8,
    /// What its data is.
    pub kind: Kind,
}

/// The widest integer item that a declared type takes; narrower ones are taken as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// 8 bits.
    One,
    /// 16 bits.
    Two,
    /// 32 bits.
    Four,
    /// 64 bits.
    Eight,
}

/// Reads items from a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    levels: usize,
}

impl<'a> Reader<'a> {
    /// Starts with the first item of `data`.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Reader { rest: data, levels: 0 }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Fault::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Fault::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next head and its length in bytes, or `None` at the end.
    fn peek(&self) -> Result<Option<(Head, usize)>, Fault> {
        let Some(first) = self.rest.first() else { return Ok(None) };
        let kind = Kind::of(first & 0x0f)?;
        let tag = first >> 4;
        if tag < 15 {
            return Ok(Some((Head { tag, kind }, 1)));
        }
        // The long form is also taken for tags that would fit into the short one.
        let tag = *self.rest.get(1).ok_or(Fault::Short)?;
        Ok(Some((Head { tag, kind }, 2)))
    }

    /// Takes the next head.
    ///
    /// # Errors
    /// There is none, or it has a type that does not exist.
    pub fn head(&mut self) -> Result<Head, Fault> {
        let (head, bytes) = self.peek()?.ok_or(Fault::Short)?;
        self.take(bytes)?;
        Ok(head)
    }

    /// Takes the head with `tag`, skipping items with smaller tags. `None` if a larger tag, the
    /// end of the struct or of the bytes comes first.
    ///
    /// # Errors
    /// What stands before it cannot be skipped.
    pub fn find(&mut self, tag: u8) -> Result<Option<Kind>, Fault> {
        loop {
            let Some((head, bytes)) = self.peek()? else { return Ok(None) };
            if head.kind == Kind::End || head.tag > tag {
                return Ok(None);
            }
            self.take(bytes)?;
            if head.tag == tag {
                return Ok(Some(head.kind));
            }
            self.skip(head.kind)?;
        }
    }

    /// As [`find`](Self::find), where the item must be there.
    ///
    /// # Errors
    /// It is not, or what stands before it cannot be skipped.
    pub fn need(&mut self, tag: u8) -> Result<Kind, Fault> {
        self.find(tag)?.ok_or(Fault::Missing)
    }

    /// An integer whose head was taken.
    ///
    /// # Errors
    /// It is none, or wider than `widest`.
    pub fn integer(&mut self, kind: Kind, widest: Width) -> Result<i64, Fault> {
        let width = match kind {
            Kind::Zero => return Ok(0),
            Kind::Int1 => Width::One,
            Kind::Int2 => Width::Two,
            Kind::Int4 => Width::Four,
            Kind::Int8 => Width::Eight,
            _ => Width::Eight,
        };
        let wanted = match widest {
            Width::One => "an integer of 8 bits",
            Width::Two => "an integer of 16 bits",
            Width::Four => "an integer of 32 bits",
            Width::Eight => "an integer",
        };
        if width > widest {
            return Err(Fault::Kind { found: kind, wanted });
        }
        Ok(match kind {
            Kind::Int1 => i8::from_be_bytes(self.array()?).into(),
            Kind::Int2 => i16::from_be_bytes(self.array()?).into(),
            Kind::Int4 => i32::from_be_bytes(self.array()?).into(),
            Kind::Int8 => i64::from_be_bytes(self.array()?),
            found => return Err(Fault::Kind { found, wanted }),
        })
    }

    /// A float whose head was taken.
    ///
    /// # Errors
    /// It is none.
    pub fn float(&mut self, kind: Kind) -> Result<f32, Fault> {
        match kind {
            Kind::Zero => Ok(0.0),
            Kind::Float => Ok(f32::from_be_bytes(self.array()?)),
            found => Err(Fault::Kind { found, wanted: "a float" }),
        }
    }

    /// A double, or a float for one, whose head was taken.
    ///
    /// # Errors
    /// It is none.
    pub fn double(&mut self, kind: Kind) -> Result<f64, Fault> {
        match kind {
            Kind::Zero => Ok(0.0),
            Kind::Float => Ok(f32::from_be_bytes(self.array()?).into()),
            Kind::Double => Ok(f64::from_be_bytes(self.array()?)),
            found => Err(Fault::Kind { found, wanted: "a double" }),
        }
    }

    /// The bytes of a string whose head was taken.
    ///
    /// # Errors
    /// It is none, or longer than what is left.
    pub fn string(&mut self, kind: Kind) -> Result<&'a [u8], Fault> {
        let length = match kind {
            Kind::String1 => self.array::<1>()?[0].into(),
            Kind::String4 => u32::from_be_bytes(self.array()?),
            found => return Err(Fault::Kind { found, wanted: "a string" }),
        };
        self.take(length as usize).map_err(|_| Fault::Count(length.into()))
    }

    /// The bytes of a simple list whose head was taken.
    ///
    /// # Errors
    /// It is none, its elements are not bytes, or it is longer than what is left.
    pub fn bytes(&mut self, kind: Kind) -> Result<&'a [u8], Fault> {
        if kind != Kind::Bytes {
            return Err(Fault::Kind { found: kind, wanted: "bytes" });
        }
        let element = self.head()?;
        if element.kind != Kind::Int1 {
            return Err(Fault::Kind { found: element.kind, wanted: "bytes as elements" });
        }
        let length = self.count(1)?;
        self.take(length)
    }

    /// How many elements of at least `least` bytes a list or map has whose head was taken.
    ///
    /// # Errors
    /// That many cannot be in what is left.
    pub fn count(&mut self, least: usize) -> Result<usize, Fault> {
        let head = self.head()?;
        let count = self.integer(head.kind, Width::Four)?;
        match usize::try_from(count) {
            Ok(found) if found.checked_mul(least).is_some_and(|all| all <= self.rest.len()) => {
                Ok(found)
            }
            _ => Err(Fault::Count(count)),
        }
    }

    /// Goes one level deeper.
    ///
    /// # Errors
    /// There are [`LEVELS_MAX`] already.
    pub fn enter(&mut self) -> Result<(), Fault> {
        if self.levels >= LEVELS_MAX {
            return Err(Fault::Levels);
        }
        self.levels += 1;
        Ok(())
    }

    /// Comes back from [`enter`](Self::enter).
    pub fn leave(&mut self) {
        self.levels = self.levels.saturating_sub(1);
    }

    /// Skips to behind the end of the struct that is being read.
    ///
    /// # Errors
    /// It has no end.
    pub fn end(&mut self) -> Result<(), Fault> {
        loop {
            let head = self.head()?;
            if head.kind == Kind::End {
                return Ok(());
            }
            self.skip(head.kind)?;
        }
    }

    /// Skips the data of an item whose head was taken.
    ///
    /// # Errors
    /// It is not whole, or too deep.
    pub fn skip(&mut self, kind: Kind) -> Result<(), Fault> {
        match kind {
            Kind::Zero => Ok(()),
            Kind::Int1 => self.take(1).map(drop),
            Kind::Int2 => self.take(2).map(drop),
            Kind::Int4 | Kind::Float => self.take(4).map(drop),
            Kind::Int8 | Kind::Double => self.take(8).map(drop),
            Kind::String1 | Kind::String4 => self.string(kind).map(drop),
            Kind::Bytes => self.bytes(kind).map(drop),
            Kind::Map => {
                let count = self.count(2)?;
                self.skip_items(count.saturating_mul(2))
            }
            Kind::List => {
                let count = self.count(1)?;
                self.skip_items(count)
            }
            Kind::Struct => {
                self.enter()?;
                self.end()?;
                self.leave();
                Ok(())
            }
            Kind::End => Err(Fault::Kind { found: kind, wanted: "a value" }),
        }
    }

    fn skip_items(&mut self, count: usize) -> Result<(), Fault> {
        self.enter()?;
        for _ in 0..count {
            let head = self.head()?;
            self.skip(head.kind)?;
        }
        self.leave();
        Ok(())
    }
}

/// Appends a head.
pub fn write_head(out: &mut Vec<u8>, tag: u8, kind: Kind) {
    if tag < 15 {
        out.push(tag << 4 | kind as u8);
    } else {
        out.extend_from_slice(&[0xf0 | kind as u8, tag]);
    }
}

/// Appends an integer in as few bytes as it needs.
pub fn write_integer(out: &mut Vec<u8>, tag: u8, number: i64) {
    if number == 0 {
        write_head(out, tag, Kind::Zero);
    } else if let Ok(number) = i8::try_from(number) {
        write_head(out, tag, Kind::Int1);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        write_head(out, tag, Kind::Int2);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        write_head(out, tag, Kind::Int4);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        write_head(out, tag, Kind::Int8);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Appends a float. Zero is written in full, as C++ and Go do: every reader takes that.
pub fn write_float(out: &mut Vec<u8>, tag: u8, number: f32) {
    write_head(out, tag, Kind::Float);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends a double; as [`write_float`].
pub fn write_double(out: &mut Vec<u8>, tag: u8, number: f64) {
    write_head(out, tag, Kind::Double);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends a string, of fewer than 2^32 bytes.
pub fn write_string(out: &mut Vec<u8>, tag: u8, text: &[u8]) {
    if let Ok(length) = u8::try_from(text.len()) {
        write_head(out, tag, Kind::String1);
        out.push(length);
    } else {
        write_head(out, tag, Kind::String4);
        out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    }
    out.extend_from_slice(text);
}

/// Appends bytes as a simple list, of fewer than 2^31 bytes.
pub fn write_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    write_head(out, tag, Kind::Bytes);
    write_head(out, 0, Kind::Int1);
    write_integer(out, 0, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// A list or map whose count is written when its elements are.
#[derive(Debug)]
pub struct Counted {
    /// Where the count begins.
    at: usize,
}

impl Counted {
    /// Room for a count of one byte, which most have.
    const ROOM: usize = 2;

    /// Appends the head; elements follow.
    pub fn begin(out: &mut Vec<u8>, tag: u8, kind: Kind) -> Self {
        write_head(out, tag, kind);
        let at = out.len();
        out.extend_from_slice(&[Kind::Int1 as u8; Self::ROOM]);
        Counted { at }
    }

    /// Writes the count into its place.
    pub fn end(self, out: &mut Vec<u8>, count: usize) {
        let Counted { at } = self;
        match u8::try_from(count) {
            Ok(count) if (1..128).contains(&count) => {
                if let Some(place) = out.get_mut(at + 1) {
                    *place = count;
                }
            }
            _ => {
                let mut item = Vec::with_capacity(5);
                write_integer(&mut item, 0, count as i64);
                out.splice(at..at + Self::ROOM, item);
            }
        }
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
