//! Requests that got no answer: why, in words that name the host and nothing that may be secret.

use std::error::Error as StdError;

use crate::error::Error;

/// A request that got no answer.
pub struct Trouble {
    /// What is told of it.
    pub error: Error,
    /// Whether the same may work in a moment.
    pub is_transient: bool,
    /// Whether nothing of the request can have reached the server.
    pub is_unsent: bool,
    /// Where TLS failed: whether the other side does not speak it at all.
    pub is_tls_of_plain: Option<bool>,
}

impl Trouble {
    /// What the client says of a request to a host.
    pub fn of(cause: reqwest::Error, host: &str) -> Trouble {
        let cause = cause.without_url();
        // Where what is sent comes from failed, and has said how.
        if let Some(own) = causes(&cause).find_map(|cause| cause.downcast_ref::<Error>()) {
            return Trouble {
                error: own.copied(),
                is_transient: false,
                is_unsent: true,
                is_tls_of_plain: None,
            };
        }
        let io = causes(&cause).find_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error());
        let tls = causes(&cause).find_map(|cause| cause.downcast_ref::<rustls::Error>());
        let reason = match (&io, &tls) {
            (Some(code), _) => crate::error::words(*code),
            (None, Some(tls)) => tls.to_string(),
            (None, None) if cause.is_timeout() => "it took too long".to_owned(),
            (None, None) => causes(&cause).last().map(ToString::to_string).unwrap_or_default(),
        };
        let what = if cause.is_connect() { "connect to" } else { "talk with" };
        let refused = io == Some(nix::errno::Errno::ECONNREFUSED as i32);
        let unknown = reason.contains("Name or service not known") || reason.contains("Name does not resolve");
        Trouble {
            error: Error::network(reason).during(format!("{what} `{host}`")),
            is_transient: !refused && !unknown && tls.is_none(),
            is_unsent: cause.is_connect(),
            is_tls_of_plain: tls.map(|tls| matches!(tls, rustls::Error::InvalidMessage(_))),
        }
    }
}

/// An error and all below it, the contents of errors of input and output among them.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        match inner {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// The error for a client that cannot be made: the system's certificates are missing, or those of the settings are wrong.
pub fn of_client(cause: &reqwest::Error) -> Error {
    let reason = causes(cause).last().map(ToString::to_string).unwrap_or_default();
    let error = Error::invalid(reason.clone());
    match reason.contains("No CA certificates") {
        true => error.hint("install the package `ca-certificates`"),
        false => error,
    }
}
