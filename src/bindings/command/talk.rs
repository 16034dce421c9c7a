//! Commands that talk with a program: what is typed goes to it, what it writes is shown, and its exit code is the command's.

use rhai::{INT, Map};
use serde::Deserialize;
use serde_json::Value;

use crate::bindings::options;
use crate::bindings::session::Session;
use crate::bindings::value::to_json;
use crate::error::{Error, Result};
use crate::host::{Container, ContainerOptions, ExecOptions, Host, Talked};
use crate::model::{Command, Context};
use crate::runtime::Conversation;

/// How a command talks.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Manner {
    /// The keys to leave it by.
    detach_keys: Option<String>,
    /// Whether signals are passed on.
    sig_proxy: Option<bool>,
    /// Whether what is typed is passed on.
    input: bool,
}

impl Manner {
    /// The conversation of this process; a terminal for a program needs one here.
    fn begin(&self, session: &Session, tty: bool) -> Result<Conversation> {
        if tty && self.input && !session.settings().console.has_terminal() {
            return Err(Error::invalid("the input device is not a TTY")
                .hint("leave out `-t`, and the program reads what comes as it is"));
        }
        let conversation = session.invoked()?.take_conversation();
        let mut conversation = conversation.ok_or_else(|| {
            Error::invalid("this command does not get the signals of the process, or has passed them on already").hint(
                "a command that talks with a program has `//! signals: container` in its header, and does so once",
            )
        })?;
        if let Some(keys) = &self.detach_keys {
            conversation.keys = keys.parse()?;
        }
        conversation.proxy = self.sig_proxy.unwrap_or(true);
        Ok(conversation)
    }
}

pub(super) fn run(session: &Session, image: &str, command: Option<Command>, wish: Map, manner: Map) -> Result<INT> {
    let given = to_json(&wish.clone().into())?;
    let wish: ContainerOptions = options::parse(wish)?;
    let mut manner: Manner = options::parse(manner)?;
    manner.input = wish.interactive;
    let conversation = manner.begin(session, wish.tty)?;
    conclude(session, &("container::run", vec![image.into(), given]), |host, ctx| {
        host.run_container_in_front(ctx, image, command, &wish, conversation)
    })
}

pub(super) fn exec(session: &Session, name: &str, command: Option<Command>, wish: Map, manner: Map) -> Result<INT> {
    let wish: ExecOptions = options::parse(wish)?;
    let manner: Manner = options::parse(manner)?;
    let command = command.ok_or_else(|| Error::invalid("there is no command to run"))?;
    let conversation = manner.begin(session, wish.tty)?;
    conclude(session, &("Container.exec", vec![name.into()]), |host, ctx| {
        host.container(name)?
            .exec_in_front(ctx, &command, &wish, conversation, manner.input)
    })
}

pub(super) fn attach(session: &Session, name: &str, manner: Map) -> Result<INT> {
    let manner: Manner = options::parse(manner)?;
    conclude(session, &("Container.exec", vec![name.into()]), |host, ctx| {
        let container = host.container(name)?;
        container.attach(ctx, manner.begin(session, false)?, manner.input)
    })
}

pub(super) fn start(session: &Session, name: &str, manner: Map) -> Result<INT> {
    let manner: Manner = options::parse(manner)?;
    conclude(session, &("Container.start", vec![name.into()]), |host, ctx| {
        let container = host.container(name)?;
        container.start_in_front(ctx, manner.begin(session, false)?, manner.input)
    })
}

/// Does what ends in a conversation, under the rules of what a script would call; its exit code is the program's.
fn conclude(
    session: &Session,
    call: &(&str, Vec<Value>),
    talk: impl FnOnce(&Host, &Context) -> Result<Talked>,
) -> Result<INT> {
    let talked = session.perform(call.0, &call.1, || talk(session.host()?, &session.context()))?;
    Ok(match talked {
        Talked::Ended(code) => INT::from(code),
        Talked::Left(container, signal) => left(session, &container, signal),
        Talked::Planned => 0,
    })
}

fn left(session: &Session, container: &Container, signal: Option<i32>) -> INT {
    match signal {
        None => {
            let console = &session.settings().console;
            console.talk(&format!(
                "\nleft `{container}`: it goes on, `hoist attach {container}` comes back"
            ));
            0
        }
        Some(signal) => INT::from(128 + signal),
    }
}
