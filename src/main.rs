//! The program: container-side entry first, then the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The supervisor and the inside of a container are entered here, before any thread or allocation of the command line.
    match hoist::runtime::entry(std::env::args_os()) {
        Some(code) => ExitCode::from(code),
        None => hoist::cli::main(),
    }
}
