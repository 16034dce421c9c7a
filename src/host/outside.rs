//! What is asked of other machines by HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::Plan;
use crate::config::Proxies;
use crate::error::{Context as _, Error, Kind, Result};
use crate::model::{ByteSize, Bytes, Context, Secret, TimeSpan, host_of};
use crate::web::{Answer, Client, Request};

/// Letters of an answer that its error quotes.
const QUOTED: usize = 300;

/// Options of `http::get` and its like.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FetchOptions {
    /// Headers.
    pub headers: BTreeMap<String, Secret>,
    /// A token, for the header `Authorization`.
    pub token: Option<Secret>,
    /// A name, for the header `Authorization`.
    pub username: Option<String>,
    /// And its password.
    pub password: Option<Secret>,
    /// What is sent: text, a blob, or a secret.
    pub body: Option<Bytes>,
    /// For all of it; 30 s.
    pub timeout: Option<TimeSpan>,
    /// Tries after the first; none.
    pub retries: Option<u32>,
    /// The most that is taken of an answer; 16 MiB.
    pub max_size: Option<ByteSize>,
    /// Whether certificates are verified; they are.
    pub tls_verify: Option<bool>,
    /// A file with authorities trusted beside the system's.
    pub ca: Option<PathBuf>,
    /// Whether it is sent on to where an answer points; it is.
    pub redirects: Option<bool>,
    /// An answer of 400 and above is an error (the default).
    pub check: Option<bool>,
    /// What is sent, and its type.
    #[serde(skip)]
    pub content: Option<Content>,
    /// May be sent again whatever became of it.
    #[serde(skip)]
    pub repeat: bool,
}

/// What is sent, and its type.
pub type Content = (Arc<[u8]>, &'static str);

/// Whether a host may be asked. Errors: `denied`.
type Judge = Arc<dyn Fn(&str) -> Result<()> + Send + Sync>;

/// The world outside as scripts and jobs reach it; nothing is set up before the first request.
#[derive(Clone)]
pub struct Outside {
    client: Arc<Client>,
    plan: Option<Arc<Plan>>,
    judge: Option<Judge>,
}

impl Default for Outside {
    fn default() -> Outside {
        Outside::new(None)
    }
}

impl Outside {
    /// By the proxies of the environment. With a plan what would change anything there is recorded instead.
    pub fn new(plan: Option<Arc<Plan>>) -> Outside {
        Outside {
            client: Arc::new(Client::new(Proxies::of_environment())),
            plan,
            judge: None,
        }
    }

    /// The same, for one who has to be allowed each host that an answer sends to.
    #[must_use]
    pub fn judged(&self, judge: impl Fn(&str) -> Result<()> + Send + Sync + 'static) -> Outside {
        Outside {
            judge: Some(Arc::new(judge)),
            ..self.clone()
        }
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    /// Asks; `None` under a dry run, if the method is one that changes something.
    ///
    /// Errors: those of [`Client::ask`]; of an answer of 400 and above unless `check` is false: `not_found`, `unauthorized`, `denied`,
    /// `rate_limited`, `conflict`, `network` from 500 on, else `invalid`, with the status.
    pub fn fetch(
        &self,
        ctx: &Context,
        function: &str,
        method: &'static str,
        url: &Secret,
        options: &FetchOptions,
    ) -> Result<Option<Answer>> {
        let host = host_of(url)?;
        if let Some(plan) = self.plan().filter(|_| !["GET", "HEAD"].contains(&method)) {
            plan.record(function, &host, method);
            return Ok(None);
        }
        let request = options.request(method, url)?;
        let permit = |host: &str| self.judge.as_ref().map_or(Ok(()), |judge| judge(host));
        let answer = self
            .client
            .ask(ctx, &request, &permit)
            .map_err(|error| error.target(host))?;
        options.judge(answer).map(Some)
    }
}

impl FetchOptions {
    /// The answer, if it is one that is hoped for. Errors: as for [`Outside::fetch`].
    pub fn judge(&self, answer: Answer) -> Result<Answer> {
        match answer.status {
            400.. if self.check.unwrap_or(true) => Err(refused(&answer)),
            _ => Ok(answer),
        }
    }

    fn request(&self, method: &'static str, url: &Secret) -> Result<Request> {
        let mut request = Request::new(method, url.clone());
        let mut headers: Vec<(String, Secret)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        headers.extend(self.authorization()?.map(|value| ("authorization".to_owned(), value)));
        if let Some((content, kind)) = &self.content {
            request.body = Some(Arc::clone(content));
            if !headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
            {
                headers.push(("content-type".to_owned(), Secret::new(*kind)));
            }
        } else if let Some(body) = &self.body {
            request.body = Some(body.0.as_slice().into());
        }
        request.headers = headers;
        request.retries = self.retries.unwrap_or(0);
        request.is_repeatable |= self.repeat;
        request.verify = self.tls_verify.unwrap_or(true);
        request.follow = self.redirects.unwrap_or(true);
        request.timeout = self.timeout.map_or(request.timeout, |limit| limit.0);
        request.most = self.max_size.map_or(request.most, |most| most.0);
        if let Some(path) = &self.ca {
            request.authorities = std::fs::read(path).during(|| format!("read `{}`", path.display()))?;
        }
        Ok(request)
    }

    fn authorization(&self) -> Result<Option<Secret>> {
        let password = self.password.as_ref().map_or("", Secret::expose);
        match (&self.token, &self.username) {
            (Some(_), Some(_)) => Err(Error::invalid("a request shows a `token` or a `username`, not both")),
            (Some(token), None) => Ok(Some(Secret::new(format!("Bearer {}", token.expose())))),
            (None, Some(name)) => {
                let pair = STANDARD.encode(format!("{name}:{password}"));
                Ok(Some(Secret::new(format!("Basic {pair}"))))
            }
            (None, None) if self.password.is_some() => Err(Error::invalid("a `password` goes with a `username`")),
            (None, None) => Ok(None),
        }
    }
}

/// The error for an answer that is none of those that were hoped for.
fn refused(answer: &Answer) -> Error {
    let status = answer.status;
    let reason = reason(status);
    let mut message = format!("`{}` answered {status}{reason}", answer.host);
    let text = String::from_utf8_lossy(&answer.body);
    let line = text.trim().lines().next().unwrap_or_default();
    if !line.is_empty() && !line.starts_with('<') {
        let letters = line.chars().take(QUOTED);
        let line: String = letters
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        message = format!("{message}: {line}");
    }
    let kind = match status {
        401 => Kind::Unauthorized,
        403 => Kind::Denied,
        404 | 410 => Kind::NotFound,
        409 => Kind::Conflict,
        429 => Kind::RateLimited,
        408 | 500.. => Kind::Network,
        _ => Kind::Invalid,
    };
    Error::new(kind, message)
        .status(status)
        .hint("pass `#{check: false}` to get the answer instead of an error")
}

/// The words for a status, behind a space.
fn reason(status: u16) -> &'static str {
    match status {
        400 => " bad request",
        401 => " unauthorized",
        403 => " forbidden",
        404 => " not found",
        405 => " method not allowed",
        409 => " conflict",
        410 => " gone",
        422 => " unprocessable content",
        429 => " too many requests",
        500 => " internal server error",
        502 => " bad gateway",
        503 => " service unavailable",
        504 => " gateway timeout",
        _ => "",
    }
}
