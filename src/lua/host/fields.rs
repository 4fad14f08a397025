//! Header fields as a table for Lua.

use std::cell::RefCell;

use crate::{
    fields::Fields,
    lua::raw::{
        co::Ref,
        frame::{Frame, Raise},
    },
};

/// Places for names.
const PLACES: usize = 64;
/// Fields that most requests have at most.
const USUAL: usize = 32;
/// Names of another spelling in a row that cost a name its place.
const PATIENCE: u8 = 16;

/// Names that requests bring again and again, as strings that Lua has already: one less to be
/// hashed and looked up for every field of every table.
pub(crate) struct Names(RefCell<Box<[Place]>>);

#[derive(Default)]
struct Place {
    /// As it was sent, and in lower case.
    kept: Option<(Box<[u8]>, Ref)>,
    /// How many others were asked for since it was.
    others: u8,
}

impl Default for Names {
    fn default() -> Self {
        Self(RefCell::new((0..PLACES).map(|_| Place::default()).collect()))
    }
}

impl Names {
    /// Sets a field of the table on top of the stack, with its name in lower case.
    fn set(
        &self,
        frame: &mut Frame<'_>,
        place: usize,
        (name, value): (&[u8], &[u8]),
    ) -> Result<(), Raise> {
        // A finalizer that Lua runs in between may ask for fields as well.
        let mut places = self.0.try_borrow_mut().ok();
        let mut place = places.as_mut().and_then(|places| places.get_mut(place));
        if let Some(place) = &mut place
            && let Some((sent, lower)) = &place.kept
        {
            if **sent == *name {
                place.others = 0;
                frame.set_text(lower, value);
                return Ok(());
            }
            place.others += 1;
        }
        in_lower_case(name, |lower| frame.push_str(lower));
        if let Some(place) = place
            && (place.kept.is_none() || place.others >= PATIENCE)
        {
            place.kept = Some((name.into(), frame.keep(-1)?));
            place.others = 0;
        }
        frame.push_str(value);
        frame.set_pair();
        Ok(())
    }
}

/// Pushes a table of header fields: lower-case names, repeated ones as arrays.
/// Returns whether there were more than `max`; 0 is no bound.
///
/// # Errors
///
/// When no virtual machine is current.
pub(super) fn push_fields(
    frame: &mut Frame<'_>,
    fields: &Fields,
    max: usize,
    raw: bool,
) -> Result<bool, Raise> {
    let names = &frame.core()?.names;
    let total = fields.len();
    let taken = if max == 0 { total } else { total.min(max) };
    // Names that may be repeated: each sets a bit, and most have theirs for themselves.
    let (mut seen, mut twice) = (0_u64, 0_u64);
    let mut known = [0_u8; USUAL];
    for (at, (name, _)) in fields.iter().take(taken).enumerate() {
        let place = place_of(name);
        twice |= seen & (1 << place);
        seen |= 1 << place;
        if let Some(known) = known.get_mut(at) {
            *known = place;
        }
    }
    frame.push_table(0, taken);
    for (at, (name, value)) in fields.iter().take(taken).enumerate() {
        let place = known.get(at).map_or_else(|| place_of(name), |place| *place);
        if twice & (1 << place) != 0 {
            push_repeated(frame, fields, (at, taken), raw);
        } else if raw {
            frame.push_str(name);
            frame.push_str(value);
            frame.set_pair();
        } else {
            names.set(frame, place.into(), (name, value))?;
        }
    }
    Ok(total > taken)
}

/// A number below [`PLACES`] that depends on the name, but not on the case of its letters; the
/// usual names have different ones.
fn place_of(name: &[u8]) -> u8 {
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return 0 };
    let letter = |byte: &u8| usize::from(byte | 0x20);
    ((name.len() + 4 * letter(first) + 14 * letter(last)) % PLACES) as u8
}

/// Sets the field at `at` with all of its values, unless an earlier one of its name did so.
fn push_repeated(frame: &mut Frame<'_>, fields: &Fields, (at, taken): (usize, usize), raw: bool) {
    let same = |a: &[u8], b: &[u8]| if raw { a == b } else { a.eq_ignore_ascii_case(b) };
    let mut rest = fields.iter().take(taken).skip(at);
    let Some((name, value)) = rest.next() else { return };
    if fields.iter().take(at).any(|(earlier, _)| same(earlier, name)) {
        return;
    }
    if raw {
        frame.push_str(name);
    } else {
        in_lower_case(name, |name| frame.push_str(name));
    }
    let mut others = rest.filter(|(other, _)| same(other, name)).peekable();
    if others.peek().is_none() {
        frame.push_str(value);
    } else {
        frame.push_table(2, 0);
        frame.push_str(value);
        frame.set_index(1);
        for ((_, value), at) in others.zip(2..) {
            frame.push_str(value);
            frame.set_index(at);
        }
    }
    frame.set_pair();
}

/// Calls `then` with a name in lower case.
fn in_lower_case<R>(name: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
    let mut short = [0; 48];
    match short.get_mut(..name.len()) {
        Some(lower) => {
            for (to, from) in lower.iter_mut().zip(name) {
                *to = from.to_ascii_lowercase();
            }
            then(lower)
        }
        None => then(&name.to_ascii_lowercase()),
    }
}
