//! Where a container's first process waits until it is to become its program: a socket, at which `start` knocks.

use std::cell::RefCell;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use oci_spec::runtime::Spec;

use super::config::Config;
use super::container::{Place, State, Status};
use super::hooks;
use crate::error::{Context, Error, Result};
use crate::runtime::channel::{Channel, Failure, Message};
use crate::runtime::exit::{NOT_EXECUTABLE, NOT_FOUND, NOT_STARTED};
use crate::runtime::init::Maker;
use crate::runtime::spec;
use crate::sys::{process, socket};

/// A socket at which one may knock.
pub(super) fn open(place: &Place) -> Result<OwnedFd> {
    let show = || format!("make the gate of container `{}`", place.id);
    let (_dir, short) = place.short()?;
    socket::listen(&short.join("gate")).during(show)
}

/// A connection to the first process behind a gate.
pub(super) fn knock(place: &Place) -> Result<Channel> {
    let show = || format!("reach the first process of container `{}`", place.id);
    let (_dir, short) = place.short()?;
    socket::connect(&short.join("gate")).during(show).map(Channel::from_fd)
}

/// What the first process has to do with whoever creates and starts it.
pub(super) struct Gate<'a> {
    spec: &'a Spec,
    state: State,
    /// To the creator, until all is made; then to whoever starts it.
    caller: RefCell<Option<Channel>>,
    /// Where to wait for the start; without one the creator starts it as well.
    door: Option<OwnedFd>,
    /// The name of the session keyring it is to have of its own.
    keyring: Option<CString>,
}

impl Gate<'_> {
    pub(super) fn new(
        spec: &Spec,
        state: State,
        creator: Channel,
        door: Option<OwnedFd>,
        keyring: Option<CString>,
    ) -> Gate<'_> {
        let caller = RefCell::new(Some(creator));
        Gate {
            spec,
            state,
            caller,
            door,
            keyring,
        }
    }

    /// As it is seen inside.
    fn state(&self, status: Status) -> State {
        let pid = std::process::id().cast_signed();
        State {
            pid,
            status,
            ..self.state.clone()
        }
    }

    fn send(&self, message: &Message) -> Result<()> {
        let caller = self.caller.borrow();
        caller
            .as_ref()
            .map_or(Ok(()), |caller| caller.send(message).during(|| "tell the caller"))
    }

    fn await_go(&self) -> Result<()> {
        let caller = self.caller.borrow();
        match caller.as_ref().map(Channel::receive).transpose()?.flatten() {
            Some(Message::Go(_)) => Ok(()),
            _ => Err(Error::cancelled("the caller went away")),
        }
    }

    /// Waits for whoever starts the container.
    fn await_start(&self) -> Result<()> {
        let Some(door) = &self.door else { return self.await_go() };
        self.caller.take();
        loop {
            let caller = socket::accept(door).during(|| "wait for the start")?;
            self.caller.replace(Some(Channel::from_fd(caller)));
            // Whoever knocked may be gone again.
            if self.await_go().is_ok() {
                return Ok(());
            }
        }
    }
}

impl Maker for Gate<'_> {
    fn mapped(&self) -> Result<bool> {
        self.await_go().map(|()| true)
    }

    fn mounted(&self) -> Result<()> {
        match self.keyring.as_deref().map_or(Ok(()), process::join_session_keyring) {
            Err(Errno::ENOSYS) => {}
            joined => joined.during(|| "make a session keyring")?,
        }
        let outside = [
            Config::hooks(self.spec, oci_spec::runtime::Hooks::prestart),
            Config::hooks(self.spec, oci_spec::runtime::Hooks::create_runtime),
        ];
        if outside.iter().any(|hooks| !hooks.is_empty()) {
            self.send(&Message::Go(0))?;
            self.await_go()?;
        }
        let inside = Config::hooks(self.spec, oci_spec::runtime::Hooks::create_container);
        hooks::run("createContainer", inside, &self.state(Status::Creating), None)
    }

    fn made(&self) -> Result<bool> {
        Ok(true)
    }

    fn ready(&self, file: &str) -> std::result::Result<(), (Error, i32)> {
        executable(Path::new(file))?;
        let start = || {
            self.send(&Message::Started(0))?;
            self.await_start()?;
            let hooks = Config::hooks(self.spec, oci_spec::runtime::Hooks::start_container);
            let process = spec::process_of(self.spec)?;
            let env = process.env().as_deref();
            hooks::run("startContainer", hooks, &self.state(Status::Created), env)
        };
        start().map_err(|error| (error, NOT_STARTED))
    }

    fn listening(&self, descriptor: &OwnedFd) -> Result<()> {
        let caller = self.caller.borrow();
        caller.as_ref().map_or(Ok(()), |caller| caller.listening(descriptor))
    }

    fn failed(&self, failure: Failure) {
        let _ = self.send(&Message::Failed(failure));
    }
}

/// Engines ask this when a container is created, not only when it is started.
pub(super) fn executable(file: &Path) -> std::result::Result<(), (Error, i32)> {
    let show = || format!("run `{}`", file.display());
    let status = std::fs::metadata(file)
        .during(show)
        .map_err(|error| (error, NOT_FOUND))?;
    if status.is_dir() {
        return Err((
            Error::denied("is a directory: permission denied").during(show()),
            NOT_EXECUTABLE,
        ));
    }
    access(file, AccessFlags::X_OK)
        .during(show)
        .map_err(|error| (error, NOT_EXECUTABLE))
}
