//! The `moongate` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: moongate::sys::allocator::Allocator = moongate::sys::allocator::Allocator;

fn main() -> ExitCode {
    moongate::cli::main()
}
