//! The command `verdict`.
fn main() {}
