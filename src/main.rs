//! The program: container-side entry first, then the command line.

fn main() {}
