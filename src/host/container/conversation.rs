//! Containers with whom a person talks: this process's standard streams are theirs.

use super::create::Term;
use super::exec::ExecOptions;
use super::run::shown;
use super::{Container, ContainerOptions, Status};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::model::{Command, Context};
use crate::runtime::{self, Act, Conversation, Outcome};

/// How a conversation with a container ended.
pub enum Talked {
    /// The program ended with this code.
    Ended(i32),
    /// The container goes on without this process: the person left, or a signal of this number ended the conversation.
    Left(Container, Option<i32>),
    /// A dry run: nothing was done.
    Planned,
}

impl Host {
    /// Runs a command in a new container in front of the person: what it writes goes to this process's output as it comes, what
    /// this process reads goes to it if it is `interactive`. The container stays afterwards unless it is to be removed (`rm`).
    ///
    /// Errors: those of [`Host::create_container`], and those of its start; then it is gone.
    pub fn run_container_in_front(
        &self,
        ctx: &Context,
        image: &str,
        cmd: Option<Command>,
        options: &ContainerOptions,
        mut conversation: Conversation,
    ) -> Result<Talked> {
        let owner = self.hold()?;
        let container = self.make_container(ctx, image, cmd, options, Term::Lasting(Some(&owner)))?;
        if self.plays("container::run", container.image(), &container.command().join(" ")) {
            container.finish_simulated_run(!options.rm)?;
            return Ok(Talked::Planned);
        }
        conversation.tty = options.tty;
        conversation.input = options.interactive;
        let outcome = container
            .check_owners()
            .and_then(|()| runtime::run_in_front(ctx, &container.bundle(), &container.secrets()?, &conversation));
        // The terminal is the person's again from here on.
        drop(conversation);
        match outcome {
            Ok(Outcome::Ended(exit)) => {
                match options.rm {
                    true => container.remove_now()?,
                    false => container.give_up(),
                }
                Ok(Talked::Ended(exit.code))
            }
            Ok(Outcome::Left(signal)) => {
                container.give_up();
                Ok(Talked::Left(container, signal))
            }
            Err(error) if container.now()?.pid().is_none() => {
                container.remove_now()?;
                Err(error)
            }
            Err(error) => {
                container.give_up();
                Err(error)
            }
        }
    }
}

impl Container {
    /// Attaches this process's standard streams to its program, beside whoever else is attached.
    ///
    /// Errors: `conflict` unless it is running.
    pub fn attach(&self, ctx: &Context, mut conversation: Conversation, with_input: bool) -> Result<Talked> {
        let now = self.now()?;
        now.check(Act::Attach)?;
        if self.host.plays("container.attach", self.name(), "") {
            return Ok(Talked::Planned);
        }
        conversation.tty = self.facts.recipe.tty;
        conversation.input = self.facts.recipe.interactive && with_input;
        match runtime::attach(ctx, &self.bundle(), &conversation)? {
            Outcome::Ended(exit) => Ok(Talked::Ended(exit.code)),
            Outcome::Left(signal) => Ok(Talked::Left(now, signal)),
        }
    }

    /// Starts it in front of the person, as [`Host::run_container_in_front`] does; one that runs is attached to.
    ///
    /// Errors: those of [`Container::start`].
    pub fn start_in_front(&self, ctx: &Context, mut conversation: Conversation, with_input: bool) -> Result<Talked> {
        let now = self.now()?;
        if now.running() {
            return self.attach(ctx, conversation, with_input);
        }
        now.check(Act::Start)?;
        if self.host.planned("container.start", self.name(), "") {
            self.host.simulate(self.id(), Status::Running);
            return Ok(Talked::Planned);
        }
        conversation.tty = self.facts.recipe.tty;
        conversation.input = self.facts.recipe.interactive && with_input;
        self.check_owners()?;
        match runtime::run_in_front(ctx, &self.bundle(), &self.secrets()?, &conversation)? {
            Outcome::Ended(exit) => Ok(Talked::Ended(exit.code)),
            Outcome::Left(signal) => Ok(Talked::Left(now, signal)),
        }
    }

    /// Runs a further command in front of the person, as [`Host::run_container_in_front`] does.
    ///
    /// If this process ends without leaving it, so does the command. Errors: as [`Container::exec`].
    pub fn exec_in_front(
        &self,
        ctx: &Context,
        cmd: &Command,
        options: &ExecOptions,
        mut conversation: Conversation,
        with_input: bool,
    ) -> Result<Talked> {
        let now = self.now()?;
        now.check(Act::Exec)?;
        let command = cmd.words();
        if command.is_empty() {
            return Err(Error::invalid("there is no command to run"));
        }
        if self.host.plays("container.exec", self.name(), &shown(&command)) {
            return Ok(Talked::Planned);
        }
        conversation.tty = options.tty;
        conversation.input = with_input;
        let mut request = options.request(command);
        request.interactive = with_input;
        match runtime::exec_in_front(ctx, &self.bundle(), request, &conversation)? {
            Outcome::Ended(exit) => Ok(Talked::Ended(exit.code)),
            Outcome::Left(signal) => Ok(Talked::Left(now, signal)),
        }
    }
}
