//! What must hold of decoders and parsers for any bytes, and how much they allocate: the checks
//! of `t/fuzz` over large and over mutated samples, under an allocator that counts. A program of
//! its own, with one test, so that nothing else is counted.
//!
//! `MOONGATE_FUZZ_ROUNDS` raises the number of rounds for a longer hunt, `MOONGATE_FUZZ_CHECK`
//! picks one check. `t/fuzz/run` searches with the help of coverage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "as in main.rs")]

#[path = "fuzz/checks.rs"]
mod checks;
#[path = "fuzz/counted.rs"]
mod counted;
#[path = "fuzz/hunt.rs"]
mod hunt;

use std::{cell::Cell, env, time::Instant};

use checks::Check;

#[test]
fn no_input_breaks_a_decoder_or_makes_it_allocate_more_than_it_says() {
    let only = env::var("MOONGATE_FUZZ_CHECK").ok();
    for check in checks::all() {
        if only.as_ref().is_none_or(|only| only == check.name) {
            hold(check);
        }
    }
}

fn hold(check: &Check) {
    let target = format!("\npath = \"fuzz_targets/{}.rs\"\n", check.name);
    assert!(include_str!("fuzz/Cargo.toml").contains(&target), "{} has no target", check.name);
    let start = Instant::now();
    let samples = (check.samples)();
    let samples: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
    // What is made once must not count for an input.
    samples.iter().for_each(|sample| (check.run)(sample));
    // Peak in bytes, the input's length, and how much of its bound that is, in percent.
    let (peak, share) = (Cell::new((0, 0)), Cell::new(0));
    let count = Cell::new(0_u32);
    let counted = |data: &[u8]| {
        let used = counted::run(check, data);
        peak.set(peak.get().max((used, data.len())));
        share.set(share.get().max(used * 100 / (check.bytes_max)(data.len())));
        count.set(count.get() + 1);
    };
    for large in (check.large)() {
        counted(&large);
    }
    hunt::hunt(counted, &samples);
    let (used, length) = peak.get();
    eprintln!(
        "{}: {} inputs in {:.1} s; at most {used} bytes at once (for {length} bytes of input), \
         {}% of the bound at most",
        check.name,
        count.get(),
        start.elapsed().as_secs_f64(),
        share.get()
    );
}
