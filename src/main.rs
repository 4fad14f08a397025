//! The `moongate` command.

use std::process::ExitCode;

/// A request makes a few dozen small allocations, a plugin more: this allocator answers
/// them from the thread's own lists.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    moongate::cli::main()
}
