//! What went wrong on the way to a registry and back, in words that name host, status, the server's own message and the way out.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::session::Session;
use crate::error::{Error, Kind};
use crate::model::ByteSize;
use crate::web::Trouble;

/// A request that got no answer.
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether the same may work in a moment.
    pub(super) is_transient: bool,
    /// Whether nothing of the request can have reached the server.
    pub(super) is_unsent: bool,
}

impl Failure {
    /// One that no second try helps.
    pub(super) fn lasting(error: Error) -> Failure {
        Failure {
            error,
            is_transient: false,
            is_unsent: true,
        }
    }

    /// One where nothing has moved for a while.
    pub(super) fn idle(limit: Duration) -> Failure {
        let message = format!("nothing came for {}", crate::model::format_duration(limit));
        Failure {
            error: Error::network(message),
            is_transient: true,
            is_unsent: false,
        }
    }

    /// One that is too slow to go on with: it `sends` or `takes` less than this many bytes a second.
    pub(super) fn slow(url: &Url, does: &str, rate: u64) -> Failure {
        let message = format!("`{}` {does} less than {} a second", host(url), ByteSize(rate));
        Failure {
            error: Error::timeout(message)
                .hint("`--limit transfer_rate=0` waits for the slowest, as long as it sends anything"),
            is_transient: true,
            is_unsent: false,
        }
    }

    /// What the client says. The URL may be signed and thereby secret, so that only its host is told.
    pub(super) fn of_http(cause: reqwest::Error, url: &Url) -> Failure {
        let trouble = Trouble::of(cause, &host(url));
        let error = match trouble.is_tls_of_plain {
            Some(true) => trouble
                .error
                .hint("if the registry speaks plain HTTP, say `tls_verify: false`"),
            Some(false) => trouble.error.hint(
                "if the registry's certificate is one of its own making, have its authority trusted by this machine, or say `tls_verify: false`",
            ),
            None => trouble.error,
        };
        Failure {
            error,
            is_transient: trouble.is_transient,
            is_unsent: trouble.is_unsent,
        }
    }
}

/// Host and port of a URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What a server said with an error (OCI distribution-spec, "Error Codes"; token services have their own ways).
#[derive(Debug, Default, Deserialize)]
struct Told {
    #[serde(default)]
    errors: Vec<Item>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
    #[serde(default)]
    details: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Item {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Letters of a server's message that are shown.
const LONGEST: usize = 500;

/// Codes and messages of an error's body; of one that is no JSON, its first line where it is text.
pub(super) fn told(body: &[u8]) -> (Vec<String>, String) {
    let Ok(told) = serde_json::from_slice::<Told>(body) else {
        let text = std::str::from_utf8(body).unwrap_or_default().trim();
        let line = if text.starts_with('<') {
            ""
        } else {
            text.lines().next().unwrap_or_default()
        };
        return (Vec::new(), clean(line));
    };
    let codes: Vec<String> = told.errors.iter().map(|item| item.code.clone()).collect();
    let of_item = |item: &Item| match item.message.is_empty() {
        true => item.code.to_lowercase().replace('_', " "),
        false => item.message.clone(),
    };
    let items: Vec<String> = told
        .errors
        .iter()
        .map(of_item)
        .filter(|text| !text.is_empty())
        .collect();
    let own = [told.error_description, told.details, told.message, told.error];
    let text = match items.is_empty() {
        true => own
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .unwrap_or_default(),
        false => items.join(", "),
    };
    (codes, clean(&text))
}

fn clean(text: &str) -> String {
    let letters = text.chars().take(LONGEST);
    let text: String = letters
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    text.trim().trim_end_matches('.').to_owned()
}

/// The error for an answer that is none of those that were hoped for.
pub(super) fn refused(session: &Session, status: u16, headers: &HeaderMap, body: &[u8], tries: u32) -> Error {
    let (codes, text) = told(body);
    let reason = reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let reason = reason.unwrap_or_default().to_lowercase();
    let mut message = format!("`{}` answered {status} {reason}", session.endpoint.name);
    if !text.is_empty() && text.to_lowercase() != reason {
        message = format!("{message}: {text}");
    }
    if tries > 1 {
        message = format!("{message} (tried {tries} times)");
    }
    let has = |wanted: &str| codes.iter().any(|code| code == wanted);
    let kind = match status {
        _ if has("TOOMANYREQUESTS") => Kind::RateLimited,
        401 => Kind::Unauthorized,
        403 => Kind::Denied,
        404 | 410 => Kind::NotFound,
        405 | 501 => Kind::Unsupported,
        409 => Kind::Conflict,
        429 => Kind::RateLimited,
        408 | 500.. => Kind::Network,
        400.. => Kind::Invalid,
        _ => Kind::Network,
    };
    let error = Error::new(kind, message).status(status);
    match kind {
        Kind::Unauthorized | Kind::Denied => error.hint(session.login_hint()),
        Kind::RateLimited => error.hint(limit_hint(session, headers)),
        _ => error,
    }
}

/// When a server will answer again, as far as it says.
fn limit_hint(session: &Session, headers: &HeaderMap) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let now = jiff::Timestamp::now();
    let wait = header("retry-after").and_then(|text| crate::web::retry_after(text, now));
    // Docker Hub: `100;w=21600` is a hundred in six hours.
    let limit = header("ratelimit-limit").and_then(|text| {
        let (count, window) = text.split_once(";w=")?;
        let hours = window.parse::<f64>().ok()? / 3600.0;
        Some(format!("the limit is {} in {hours:.0} hours", clean(count)))
    });
    let wait = wait.map(|wait| format!("try again in {}", crate::model::format_duration(wait)));
    let login = session
        .credential
        .is_anonymous()
        .then(|| "those who log in may have a higher limit".to_owned());
    let hints: Vec<String> = [wait, limit, login].into_iter().flatten().collect();
    match hints.is_empty() {
        true => "try again later".to_owned(),
        false => hints.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r20_what_a_server_says_is_found_whatever_its_form() {
        for (body, text) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                "manifest unknown",
            ),
            (
                r#"{"errors":[{"code":"NAME_UNKNOWN"},{"message":"b."}]}"#,
                "name unknown, b",
            ),
            (
                r#"{"details":"incorrect username or password"}"#,
                "incorrect username or password",
            ),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "expired"),
            ("Too Many\u{1b}[31m Requests\nmore", "Too Many [31m Requests"),
            ("<html>no</html>", ""),
            ("", ""),
            ("\u{0}", ""),
        ] {
            assert_eq!(told(body.as_bytes()).1, text, "{body}");
        }
        assert_eq!(told(&vec![b'x'; 1 << 20]).1.len(), LONGEST);
    }
}
