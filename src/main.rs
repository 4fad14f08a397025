//! The `moongate` command.
fn main() {}
