//! What an act does to the world, in one word each: those of `--allow-…`, of the audit and of the reference.

use std::fmt;

/// A kind of effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Reads the store.
    Read,
    /// Brings images from a registry.
    Pull,
    /// Sends images to a registry, or moves names there.
    Push,
    /// Makes and starts containers.
    Run,
    /// Adds to the store or changes what is there.
    Write,
    /// Removes from the store or from a registry.
    Delete,
    /// Runs commands in containers that are there, stops and signals them.
    Exec,
    /// Asks other machines, or listens for them.
    Net,
    /// Reads or changes files outside the store.
    Fs,
}

impl Effect {
    /// Every effect, in the order of help.
    pub const ALL: [Effect; 9] = [
        Effect::Read,
        Effect::Pull,
        Effect::Push,
        Effect::Run,
        Effect::Write,
        Effect::Delete,
        Effect::Exec,
        Effect::Net,
        Effect::Fs,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Read => "read",
            Effect::Pull => "pull",
            Effect::Push => "push",
            Effect::Run => "run",
            Effect::Write => "write",
            Effect::Delete => "delete",
            Effect::Exec => "exec",
            Effect::Net => "net",
            Effect::Fs => "fs",
        }
    }

    /// The effect of that name.
    pub fn parse(name: &str) -> Option<Effect> {
        Effect::ALL.into_iter().find(|effect| effect.name() == name)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
