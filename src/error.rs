//! The one error type, and the one table from an error's kind to what scripts, shells and HTTP clients see.
//!
//! A message says what was tried, on what, and why it failed: lower case, names in backticks, no full stop.
//! The way out, where one is known, is the [`Error::hint`], never part of the message.

use std::fmt;

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as a closed set. Scripts see it as `e.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The thing named does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The request itself is wrong: a bad reference, an unknown option, a value out of range.
    Invalid,
    /// Something else still needs the thing.
    InUse,
    /// The thing is in a state that forbids the act, such as starting a removed container.
    Conflict,
    /// The kernel or a policy forbids it.
    Denied,
    /// A registry wants credentials.
    Unauthorized,
    /// A registry asks to slow down.
    RateLimited,
    /// The time allowed is over.
    Timeout,
    /// A connection failed.
    Network,
    /// Bytes are not what they claim to be.
    Corrupt,
    /// This machine, kernel or version cannot do it.
    Unsupported,
    /// The disk or a quota is full.
    NoSpace,
    /// Stopped on request.
    Cancelled,
    /// A command ended with a code other than zero.
    ExitStatus,
    /// A fault of Hoist itself, or an input or output error with no better name.
    Internal,
}

/// One row per kind: script name, exit code of the process, HTTP status, whether trying again may help.
const KINDS: [(Kind, &str, u8, u16, bool); 16] = [
    (Kind::NotFound, "not_found", 1, 404, false),
    (Kind::AlreadyExists, "already_exists", 1, 409, false),
    (Kind::Invalid, "invalid", 1, 400, false),
    (Kind::InUse, "in_use", 1, 409, false),
    (Kind::Conflict, "conflict", 1, 409, false),
    (Kind::Denied, "denied", 3, 403, false),
    (Kind::Unauthorized, "unauthorized", 1, 401, false),
    (Kind::RateLimited, "rate_limited", 1, 429, true),
    (Kind::Timeout, "timeout", 124, 504, true),
    (Kind::Network, "network", 1, 502, true),
    (Kind::Corrupt, "corrupt", 1, 422, false),
    (Kind::Unsupported, "unsupported", 1, 501, false),
    (Kind::NoSpace, "no_space", 1, 507, false),
    (Kind::Cancelled, "cancelled", 130, 499, false),
    (Kind::ExitStatus, "exit_status", 1, 500, false),
    (Kind::Internal, "internal", 1, 500, false),
];

impl Kind {
    fn row(self) -> &'static (Kind, &'static str, u8, u16, bool) {
        KINDS.iter().find(|row| row.0 == self).expect("every kind has a row")
    }

    /// The name scripts see, such as `not_found`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The kind with this script name.
    pub fn parse(name: &str) -> Option<Kind> {
        KINDS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The process's exit code when an error of this kind ends it.
    pub fn exit_code(self) -> u8 {
        self.row().2
    }

    /// The HTTP status a server of ours answers with.
    pub fn http_status(self) -> u16 {
        self.row().3
    }

    /// Whether the same call may succeed later.
    pub fn retryable(self) -> bool {
        self.row().4
    }

    /// Every kind, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Kind> {
        KINDS.iter().map(|row| row.0)
    }

    fn of_io(error: &std::io::Error) -> Kind {
        use std::io::ErrorKind as Io;
        const LOOP: i32 = nix::errno::Errno::ELOOP as i32;
        match error.kind() {
            _ if error.raw_os_error() == Some(LOOP) => Kind::Invalid,
            Io::ArgumentListTooLong | Io::InvalidFilename => Kind::Invalid,
            Io::NotFound => Kind::NotFound,
            Io::AlreadyExists => Kind::AlreadyExists,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Kind::Denied,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Kind::NoSpace,
            Io::Unsupported => Kind::Unsupported,
            Io::TimedOut => Kind::Timeout,
            _ => Kind::Internal,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    op: Option<String>,
    target: Option<String>,
    hint: Option<String>,
    status: Option<u16>,
    source: Option<Source>,
}

/// What failed: kind, message, the operation and what it was done to, the way out, and the cause.
#[derive(Debug)]
pub struct Error(Box<Inner>);

macro_rules! constructors {
    ($($name:ident $kind:ident $what:literal;)*) => {$(
        #[doc = concat!("An error of kind `", $what, "`.")]
        pub fn $name(message: impl Into<String>) -> Error {
            Error::new(Kind::$kind, message)
        }
    )*};
}

impl Error {
    /// An error of the given kind; the message follows the rules of this module.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            op: None,
            target: None,
            hint: None,
            status: None,
            source: None,
        }))
    }

    constructors! {
        not_found NotFound "not_found";
        already_exists AlreadyExists "already_exists";
        invalid Invalid "invalid";
        in_use InUse "in_use";
        conflict Conflict "conflict";
        denied Denied "denied";
        unauthorized Unauthorized "unauthorized";
        rate_limited RateLimited "rate_limited";
        network Network "network";
        timeout Timeout "timeout";
        corrupt Corrupt "corrupt";
        unsupported Unsupported "unsupported";
        no_space NoSpace "no_space";
        cancelled Cancelled "cancelled";
        internal Internal "internal";
    }

    /// Sets the operation, as a script would write it (`image::load`). The innermost one set stays.
    #[must_use]
    pub fn op(mut self, op: impl Into<String>) -> Error {
        self.0.op.get_or_insert_with(|| op.into());
        self
    }

    /// Sets what the operation was done to: a reference, an id, a path. The innermost one set stays.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Error {
        self.0.target.get_or_insert_with(|| target.into());
        self
    }

    /// Sets the way out, as a sentence without full stop. The innermost one set stays.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same without its cause, for where the error itself cannot be had.
    #[must_use]
    pub(crate) fn copied(&self) -> Error {
        let (target, hint) = (self.0.target.clone(), self.0.hint.clone());
        Error(Box::new(Inner {
            kind: self.0.kind,
            message: self.0.message.clone(),
            op: self.0.op.clone(),
            target,
            hint,
            status: self.0.status,
            source: None,
        }))
    }

    /// Sets the HTTP status a server answered with.
    #[must_use]
    pub fn status(mut self, status: u16) -> Error {
        self.0.status = Some(status);
        self
    }

    /// Replaces the kind, where a general cause has a more exact meaning here.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.0.kind = kind;
        self
    }

    /// Keeps the cause; it is not repeated in the message.
    #[must_use]
    pub fn source(mut self, source: impl Into<Source>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Puts `what was tried` before the message: `failed to {what}: {message}`.
    #[must_use]
    pub fn during(mut self, what: impl fmt::Display) -> Error {
        self.0.message = format!("failed to {what}: {}", self.0.message);
        self
    }

    /// Puts a remark behind the message, in brackets.
    #[must_use]
    pub fn after(mut self, remark: impl fmt::Display) -> Error {
        self.0.message = format!("{} ({remark})", self.0.message);
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message without operation or hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The operation, if set.
    pub fn operation(&self) -> Option<&str> {
        self.0.op.as_deref()
    }

    /// What the operation was done to, if set.
    pub fn subject(&self) -> Option<&str> {
        self.0.target.as_deref()
    }

    /// The way out, if known.
    pub fn way_out(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The HTTP status of the server that refused, if one did.
    pub fn http_status(&self) -> Option<u16> {
        self.0.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Adds what was tried to an error from below, once, where it is known.
pub trait Context<T> {
    /// `failed to {what}: {cause}`, with the kind of the cause.
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|cause| {
            Error::new(Kind::of_io(&cause), describe(&cause))
                .during(what())
                .source(cause)
        })
    }
}

impl<T> Context<T> for std::result::Result<T, nix::errno::Errno> {
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(std::io::Error::from).during(what)
    }
}

impl<T> Context<T> for Result<T> {
    fn during<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|cause| cause.during(what()))
    }
}

/// The kernel's words for one of its error numbers.
pub fn words(code: i32) -> String {
    describe(&std::io::Error::from_raw_os_error(code))
}

/// The kernel's words in lower case and without Rust's `(os error 2)`.
fn describe(error: &std::io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    };
    let mut letters = text.chars();
    let starts_with_word = text.chars().nth(1).is_some_and(char::is_lowercase);
    match letters.next() {
        Some(first) if starts_with_word => first.to_lowercase().chain(letters).collect(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_row_and_a_name_that_parses_back() {
        for kind in Kind::all() {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
        assert_eq!(Kind::all().count(), KINDS.len());
    }

    #[test]
    fn io_errors_keep_their_meaning_and_say_what_was_tried() {
        let full = std::io::Error::from_raw_os_error(nix::libc::ENOSPC);
        let error = Err::<(), _>(full).during(|| "write `/x`").unwrap_err();
        assert_eq!(error.kind(), Kind::NoSpace);
        assert_eq!(error.to_string(), "failed to write `/x`: no space left on device");
    }

    #[test]
    fn the_innermost_hint_and_target_stay() {
        let error = Error::invalid("no").hint("inner").target("a").hint("outer").target("b");
        assert_eq!(error.way_out(), Some("inner"));
        assert_eq!(error.subject(), Some("a"));
    }
}
