//! Runs a check and counts what it allocates. A program with this module has this allocator.

use peak_alloc::PeakAlloc;

use crate::checks::Check;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The most bytes that were allocated at once, beyond those before. C code is not counted.
///
/// # Panics
/// What must hold does not, or more was allocated than the check allows.
pub(crate) fn run(check: &Check, data: &[u8]) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    (check.run)(data);
    let used = ALLOCATOR.peak_usage().saturating_sub(before);
    let most = (check.bytes_max)(data.len());
    assert!(used <= most, "{used} bytes for {} of input, {most} are allowed", data.len());
    used
}
