//! What is said to a client whose request is not granted (distribution-spec, "Error codes").

use serde_json::json;

use crate::error::{Error, Kind};
use crate::server::http::Reply;

/// A refusal: status, code, words.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    /// What this registry does not do, or not now.
    pub(super) fn unsupported(message: impl Into<String>) -> Refusal {
        Refusal::new(405, "UNSUPPORTED", message)
    }

    /// Something that is not there.
    pub(super) fn unknown(code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal::new(404, code, message)
    }

    /// An error whose kind has another meaning here than elsewhere.
    pub(super) fn of(error: &Error, kinds: &[Kind], status: u16, code: &'static str) -> Refusal {
        match kinds.contains(&error.kind()) {
            true => Refusal::new(status, code, error.message()),
            false => Refusal::from_error(error),
        }
    }

    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Refusal {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn reply(self) -> Reply {
        let body = json!({"errors": [{"code": self.code, "message": self.message, "detail": null}]});
        let reply = Reply::new(self.status).json(&body);
        self.headers
            .into_iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value))
    }

    fn from_error(error: &Error) -> Refusal {
        let kind = error.kind();
        let code = match kind {
            Kind::Denied | Kind::NoSpace | Kind::InUse => "DENIED",
            Kind::Invalid | Kind::Unsupported => "UNSUPPORTED",
            _ => "UNKNOWN",
        };
        let status = match kind {
            // A client that went away, or the end of the server.
            Kind::Cancelled => 503,
            kind => kind.http_status(),
        };
        // What is said of faults of the machine tells of its paths.
        let message = match status {
            500.. => kind.name().to_owned(),
            _ => error.message().to_owned(),
        };
        Refusal::new(status, code, message)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::from_error(&error)
    }
}
