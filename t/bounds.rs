//! How much decoders allocate for hostile bytes: the fuzz checks again, under an allocator that
//! counts. A program of its own, with one test, so that nothing else is counted.
//!
//! `MOONGATE_FUZZ_ROUNDS` raises the number of rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "as in main.rs")]

#[path = "fuzz/hunt.rs"]
mod hunt;
#[path = "fuzz/tars.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets see it through their library")]
mod tars;

use std::cell::Cell;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
fn no_input_makes_a_decoder_allocate_more_than_it_says() {
    tars::prepare();
    for check in tars::CHECKS {
        let samples = (check.samples)();
        let samples: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
        // Peak in bytes, the input's length, and how much of its bound that is, in percent.
        let (peak, share) = (Cell::new((0, 0)), Cell::new(0));
        let count = Cell::new(0_u32);
        let counted = |data: &[u8]| {
            let before = ALLOCATOR.current_usage();
            ALLOCATOR.reset_peak_usage();
            (check.run)(data);
            let used = ALLOCATOR.peak_usage().saturating_sub(before);
            let most = (check.bytes_max)(data.len());
            assert!(used <= most, "{used} bytes for {} of input, {most} are allowed", data.len());
            peak.set(peak.get().max((used, data.len())));
            share.set(share.get().max(used * 100 / most));
            count.set(count.get() + 1);
        };
        for large in (check.large)() {
            counted(&large);
        }
        hunt::hunt(counted, &samples);
        let (used, length) = peak.get();
        eprintln!(
            "{}: {} inputs; at most {used} bytes at once (for {length} bytes of input), \
             {}% of the bound at most",
            check.name,
            count.get(),
            share.get()
        );
    }
}
