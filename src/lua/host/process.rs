//! The process as plugins may ask about it: connections, dictionaries, how logs are rotated.

use std::{
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{NONE, ONE};
use crate::{
    log::{error_log, rotate::RotateOptions},
    lua::{
        core::Core,
        raw::{
            frame::{Called, Frame},
            symbols,
        },
    },
    shared::counts::Counts,
};

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "stats", stats)?;
    state.host_function(table, "dict_names", dict_names)?;
    state.host_function(table, "logs_reopened", logs_reopened)?;
    state.host_function(table, "log_rotation", log_rotation)
}

/// Connections and requests of all workers by nginx's names. What workers count for
/// themselves is up to a second old. A connection whose head is on its way is `waiting`:
/// nobody looks at it before the head is complete, so `reading` is always 0.
fn numbers(counts: &Counts) -> [(&'static str, u64); 7] {
    let sum = |cells: &[AtomicU64]| {
        cells.iter().fold(0_u64, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    };
    let accepted = counts.accepted.load(Ordering::Relaxed);
    let active = sum(&counts.open);
    let writing = sum(&counts.running);
    [
        ("active", active),
        ("accepted", accepted),
        ("handled", accepted),
        ("reading", 0),
        ("writing", writing),
        // Several requests may share a connection.
        ("waiting", active.saturating_sub(writing)),
        ("requests", sum(&counts.requests)),
    ]
}

/// Has code that reads nginx's `ngx_stat_*` by `ffi.C` find what the process has counted so far.
pub fn publish(counts: &Counts) {
    symbols::publish(&numbers(counts));
}

/// `logs_reopened()` -> milliseconds since 1970, 0 if they never were.
fn logs_reopened(frame: &mut Frame<'_>) -> Called {
    let at = frame.core()?.env.process.counts.logs_reopened_ms.load(Ordering::Relaxed);
    #[allow(clippy::cast_precision_loss)] // Exact for 200,000 years.
    frame.push_num(at as f64);
    ONE
}

/// `stats()` -> name -> number.
fn stats(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let numbers = numbers(&core.env.process.counts);
    frame.push_table(0, numbers.len());
    for (name, value) in numbers {
        frame.push_str(name.as_bytes());
        #[allow(clippy::cast_precision_loss)] // Counters of one process stay below 2^52.
        frame.push_num(value as f64);
        frame.set_pair();
    }
    ONE
}

/// `dict_names()` -> names of all shared dictionaries, in order.
fn dict_names(frame: &mut Frame<'_>) -> Called {
    let dicts = frame.core()?.env.process.dicts.all();
    frame.push_table(dicts.len(), 0);
    for (dict, at) in dicts.iter().zip(1..) {
        frame.push_str(dict.name().as_bytes());
        frame.set_index(at);
    }
    ONE
}

/// `log_rotation(interval_s, max_size, max_kept, compress)`: how access and error log are
/// rotated while this code serves. Without arguments: whatever holds without it, which is
/// what its successor or predecessor said, or else config.yaml.
fn log_rotation(frame: &mut Frame<'_>) -> Called {
    let core = frame.core()?;
    let process = &core.env.process;
    let mut rotations = core.env.rotations.borrow_mut();
    if frame.is_nil(1) {
        rotations.remove(&core.generation);
    } else {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Clamped; saturates.
        let number = |at| frame.need_num(at, "log_rotation").map(|number| number.max(0.0) as u64);
        let options = RotateOptions {
            interval_s: number(1)?,
            max_size: number(2)?,
            max_kept: usize::try_from(number(3)?).unwrap_or(usize::MAX),
            compress: frame.truth(4),
            // The disk is bounded, whatever a plugin wants.
            max_total_size: process.rotation.max_total_size,
        };
        rotations.insert(core.generation, options);
    }
    let newest = rotations.last_key_value().map_or(&process.rotation, |(_, options)| options);
    process.access.set_rotation(newest.clone());
    if let Some(errors) = error_log::file() {
        errors.set_rotation(newest.clone());
    }
    NONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_all_workers() {
        let counts = Counts::new(2);
        counts.accepted.store(9, Ordering::Relaxed);
        for (cells, values) in
            [(&counts.open, [3, 2]), (&counts.running, [1, 2]), (&counts.requests, [40, 2])]
        {
            for (cell, value) in cells.iter().zip(values) {
                cell.store(value, Ordering::Relaxed);
            }
        }
        let names = ["active", "accepted", "handled", "reading", "writing", "waiting", "requests"];
        let values = [5, 9, 9, 0, 3, 2, 42];
        assert_eq!(numbers(&counts).to_vec(), names.into_iter().zip(values).collect::<Vec<_>>());
        // Many requests on one connection of HTTP/2.
        counts.running[0].store(30, Ordering::Relaxed);
        assert_eq!(numbers(&counts)[5], ("waiting", 0));
    }
}
