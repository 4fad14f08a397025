//! The `moongate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    moongate::cli::main()
}
