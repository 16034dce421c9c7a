//! A first process that stays what it is: it takes the status of processes that nobody waits for, passes signals on to the program,
//! and ends as the program does.
//!
//! It is the copy of the supervisor that has set the container up, which makes a process for the program instead of becoming it. So no
//! binary of the host is executed or shown inside. It has the user, the rights and the filter of the program, no descriptors but the
//! standard streams, and cannot be looked into: not dumpable, its `/proc/1/exe` and `/proc/1/mem` are closed to all but those who may trace
//! any process, and for them the binary lies on a mount that refuses writes (CVE-2019-5736).

use std::io::{PipeReader, Read};

use nix::sched::CloneFlags;

use crate::error::{Context, Result};
use crate::runtime::Signal;
use crate::runtime::channel::Failure;
use crate::runtime::exit::{self, NOT_STARTED};
use crate::runtime::init::Maker;
use crate::runtime::program::Program;
use crate::sys::clone;
use crate::sys::process::{self, Arguments};

/// What others see it as.
const NAME: &[u8] = b"hoist-init";

/// Makes a process that becomes the program, and stands by it to its end; returns the exit code.
pub(in crate::runtime) fn run(program: Program<'_>, maker: &dyn Maker, arguments: Option<&Arguments>) -> i32 {
    match stay(program, maker, arguments) {
        // Without a return: what this process has open is none of its values' any more.
        Ok(child) => process::exit(stand_by(child)),
        Err(error) => {
            maker.failed(Failure::new(&error, NOT_STARTED));
            NOT_STARTED
        }
    }
}

/// Returns the number of the program's process, once this one is what it will be.
fn stay(program: Program<'_>, maker: &dyn Maker, arguments: Option<&Arguments>) -> Result<i32> {
    // The program does not run before this process has lost the supervisor's rights: it waits until the pipe ends.
    let (wait, hold) = std::io::pipe().during(|| "make a pipe")?;
    let (mut program, mut hold) = (Some(program), Some(hold));
    let child = process::block_signals().and_then(|()| {
        // Both sides have the program's rights to take on, each for itself.
        clone::clone(CloneFlags::empty(), None, || {
            drop(hold.take());
            become_program(program.take(), wait, maker)
        })
    });
    let child = child.during(|| "make the program's process")?;
    let pid = child.pid;
    drop(child);
    let stayed = program.take().map_or(Ok(()), Program::confine).and_then(|()| {
        if let Some(arguments) = arguments {
            arguments.replace(NAME);
        }
        nix::sys::prctl::set_dumpable(false).during(|| "close this process to others")
    });
    if let Err(error) = stayed {
        process::send(pid, Signal::KILL.number());
        return Err(error);
    }
    // The end of the pipe is among them.
    std::mem::forget(hold);
    process::close_from(3).during(|| "let go of what is not the program's")?;
    Ok(pid)
}

fn become_program(program: Option<Program<'_>>, mut wait: PipeReader, maker: &dyn Maker) -> i32 {
    let Some(program) = program else {
        return NOT_STARTED;
    };
    lead_foreground();
    let _ = wait.read(&mut [0]);
    let failure = program.become_it(|file| maker.ready(file));
    let code = failure.code;
    maker.failed(failure);
    code
}

/// Makes this process the leader of a group, which has the terminal if there is one. To take it from another, SIGTTOU is blocked.
fn lead_foreground() {
    let own = nix::unistd::getpid();
    if nix::unistd::setpgid(own, own).is_ok() {
        // Without a terminal there is nothing to have.
        let _ = nix::unistd::tcsetpgrp(std::io::stdin(), own);
    }
}

/// Returns the code of the program once it has ended; what is left then ends with this process.
fn stand_by(program: i32) -> i32 {
    loop {
        match process::wait_for_signal() {
            Ok(process::CHILD_ENDED) => {
                if let Some(code) = reap(program) {
                    return code;
                }
            }
            Ok(signal) => process::send(program, signal),
            Err(_) => return NOT_STARTED,
        }
    }
}

/// Takes the status of all that have ended; the program's code if it is among them.
fn reap(program: i32) -> Option<i32> {
    let mut code = None;
    while let Some((pid, end)) = process::reap_any() {
        if pid == program {
            code = Some(exit::code(end).0);
        }
    }
    code
}
