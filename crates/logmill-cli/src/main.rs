//! The `logmill` command.

fn main() {}
