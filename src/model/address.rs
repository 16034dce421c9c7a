//! Whom to tell of something, as a header says it: parsed here, told by the host.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::Secret;
use crate::error::{Error, Result};

/// Letters of a word that is no address that its error quotes: more of it may be secret.
const QUOTED: usize = 12;

/// Who is told: `https://…` or `webhook:URL`, `slack:URL`, `ping:URL`, `mail:ADDRESS`. A URL may be `env:NAME` or `file:PATH`, where it is
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A web hook, which gets JSON.
    Webhook(Place),
    /// An incoming web hook of Slack, Mattermost and others.
    Slack(Place),
    /// One who watches over jobs, in the form of healthchecks.io: `URL/start`, then `URL` or `URL/fail`.
    Ping(Place),
    /// Mail.
    Mail(String),
}

/// Where a URL is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Url(Secret),
    /// In an environment variable.
    Variable(String),
    /// In a file.
    File(PathBuf),
}

impl Place {
    fn parse(text: &str) -> Result<Place> {
        let is_name = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.bytes().all(plain)
        };
        match text.split_once(':') {
            Some(("env", name)) if is_name(name) => Ok(Place::Variable(name.to_owned())),
            Some(("env", _)) => Err(Error::invalid("`env:` is not followed by the name of a variable")
                .hint("such as `env:SLACK_URL`, a variable that is the URL")),
            Some(("file", path)) if path.starts_with('/') => Ok(Place::File(PathBuf::from(path))),
            Some(("file", _)) => Err(Error::invalid("`file:` is not followed by a whole path")
                .hint("such as `file:/etc/hoist/slack-url`, a file with nothing but the URL")),
            _ => {
                let url = Secret::new(text);
                url_of(&url).map(|_| Place::Url(url))
            }
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Address> {
        let text = text.trim();
        let (way, rest) = text.split_once(':').unwrap_or((text, ""));
        match way {
            "http" | "https" => Place::parse(text).map(Address::Webhook),
            "webhook" => Place::parse(rest).map(Address::Webhook),
            "slack" => Place::parse(rest).map(Address::Slack),
            "ping" => Place::parse(rest).map(Address::Ping),
            "mail" | "mailto" => check_mailbox(rest).map(|()| Address::Mail(rest.to_owned())),
            _ => {
                let quoted: String = way.chars().take(QUOTED).collect();
                let error = Error::invalid(format!("`{}` says of nobody how to tell", quoted.escape_debug()));
                Err(error.hint(
                    "whom to tell is `https://…`, `slack:URL`, `ping:URL` or `mail:ADDRESS`; a URL that is secret is `env:NAME` or `file:PATH`; `always` comes last",
                ))
            }
        }
    }
}

impl fmt::Display for Address {
    /// Who it is, without what is secret about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (way, place) = match self {
            Address::Webhook(place) => ("webhook", place),
            Address::Slack(place) => ("slack", place),
            Address::Ping(place) => ("ping", place),
            Address::Mail(address) => return write!(f, "mail:{address}"),
        };
        match place {
            Place::Url(url) => write!(f, "{way}:{}", host_of(url).unwrap_or_default()),
            Place::Variable(name) => write!(f, "{way}:env:{name}"),
            Place::File(path) => write!(f, "{way}:file:{}", path.display()),
        }
    }
}

/// Whether it is an address that cannot be taken for anything else. Errors: `invalid`.
pub fn check_mailbox(address: &str) -> Result<()> {
    let is_odd = |letter: char| letter.is_control() || letter.is_whitespace() || "<>(),;:\"\\[]".contains(letter);
    match address.is_empty() || address.starts_with('-') || address.contains(is_odd) {
        true => Err(
            Error::invalid(format!("`{}` is not a mail address", address.escape_debug()))
                .hint("an address is such as `ops@example.org`"),
        ),
        false => Ok(()),
    }
}

/// An address of HTTP. Errors: `invalid` for what is none; it is not quoted, since it may be secret.
pub fn url_of(url: &Secret) -> Result<Url> {
    let invalid = || {
        Error::invalid("the address is no URL of HTTP").hint(
            "an address is such as `https://example.org/path`; one that is secret comes whole from the environment or a file",
        )
    };
    let url = Url::parse(url.expose().trim()).map_err(|_| invalid())?;
    let is_http = ["http", "https"].contains(&url.scheme()) && url.host_str().is_some();
    if is_http { Ok(url) } else { Err(invalid()) }
}

/// Host and port of an address, as rules name them. Errors: as for [`url_of`].
pub fn host_of(url: &Secret) -> Result<String> {
    let url = url_of(url)?;
    let host = url.host_str().unwrap_or_default();
    Ok(url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The address of what lies one step below: `https://a/b?c` and `start` are `https://a/b/start?c`. Errors: as for [`url_of`].
pub fn url_below(url: &Secret, step: &str) -> Result<Secret> {
    let mut whole = url_of(url)?;
    if let Ok(mut path) = whole.path_segments_mut() {
        path.pop_if_empty().push(step);
    }
    Ok(Secret::new(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_is_secret_about_it() {
        for (text, shown) in [
            ("https://example.org:8443/hook/s3cret", "webhook:example.org:8443"),
            ("webhook:http://u:s3cret@example.org/", "webhook:example.org"),
            ("slack:https://hooks.slack.com/services/s3cret", "slack:hooks.slack.com"),
            ("slack:env:SLACK_URL", "slack:env:SLACK_URL"),
            ("ping:file:/etc/hoist/ping", "ping:file:/etc/hoist/ping"),
            ("mailto:ops@example.org", "mail:ops@example.org"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_quoted_no_further_than_its_beginning() {
        for (text, message, hint) in [
            ("slak:https://x", "`slak` says of nobody how to tell", "`slack:URL`"),
            ("hooks.slack.com/services/s3cret", "`hooks.slack.` says", "`slack:URL`"),
            ("slack:hooks.slack.com/s3cret", "no URL of HTTP", "https://"),
            ("ftp://s3cret", "`ftp` says of nobody", "https://"),
            ("slack:env:", "name of a variable", "env:SLACK_URL"),
            ("slack:env:A B", "name of a variable", "env:SLACK_URL"),
            ("ping:file:x", "a whole path", "file:/etc"),
            ("mail:", "is not a mail address", "ops@example.org"),
            ("mail:-oQ", "is not a mail address", "ops@example.org"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.message().contains(message), "{text}: {error}");
            assert!(!error.message().contains("s3cret"), "{error}");
            assert!(error.way_out().unwrap_or_default().contains(hint), "{text}: {error:?}");
        }
    }

    #[test]
    fn what_lies_below_an_address_keeps_its_query() {
        for (url, below) in [
            ("https://hc-ping.com/uuid", "https://hc-ping.com/uuid/start"),
            (
                "https://hc-ping.com/uuid/?rid=1",
                "https://hc-ping.com/uuid/start?rid=1",
            ),
            ("http://127.0.0.1:9", "http://127.0.0.1:9/start"),
        ] {
            assert_eq!(url_below(&Secret::new(url), "start").unwrap().expose(), below);
        }
    }
}
