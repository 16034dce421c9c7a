//! What is known of one registry to one who shows certain credentials: the scheme it speaks, what it asks for, the tokens it gave.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Url};
use tokio::sync::OnceCell;

use super::body::Body;
use super::challenge::{self, Challenge};
use super::credential::Credential;
use super::endpoint::{Endpoint, Security};
use super::failure::Failure;
use super::token::{Service, Token};
use super::transport::{Call, Transport, Weight};
use crate::error::{Error, Result};
use crate::model::Secret;

/// What a request may need a token for: `repository:library/debian:pull`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// Nothing in particular.
    pub fn none() -> Scope {
        Scope::default()
    }

    /// Acts on a repository, such as `pull,push` or `delete`.
    pub fn repository(path: &str, acts: &str) -> Scope {
        Scope(BTreeSet::from([format!("repository:{path}:{acts}")]))
    }

    /// Reading a repository.
    pub fn pull(path: &str) -> Scope {
        Scope::repository(path, "pull")
    }

    /// Reading and writing a repository.
    pub fn push(path: &str) -> Scope {
        Scope::repository(path, "pull,push")
    }

    /// The list of all repositories.
    pub fn catalogue() -> Scope {
        Scope(BTreeSet::from(["registry:catalog:*".to_owned()]))
    }

    /// This and another.
    #[must_use]
    pub fn and(mut self, other: Scope) -> Scope {
        self.0.extend(other.0);
        self
    }

    /// What was written into a challenge, several separated by blanks.
    fn of_challenge(text: &str) -> Scope {
        Scope(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// A registry as one client knows it.
pub(super) struct Session {
    pub(super) endpoint: Endpoint,
    pub(super) credential: Credential,
    base: OnceCell<Url>,
    asked: Mutex<Option<Asked>>,
    tokens: Mutex<HashMap<Scope, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// What a registry asks for.
#[derive(Clone)]
enum Asked {
    Basic,
    Bearer(Service),
}

/// The token for a scope; whoever wants it waits for the one who fetches it.
#[derive(Default)]
struct Slot {
    token: Option<Token>,
    /// What the registry wants to see beside the scope itself.
    also: Scope,
}

/// How long the other scheme is waited for when a registry is looked at for the first time.
pub(super) const PROBE: Duration = Duration::from_secs(5);

impl Session {
    pub(super) fn new(endpoint: Endpoint, credential: Credential) -> Session {
        Session {
            endpoint,
            credential,
            base: OnceCell::new(),
            asked: Mutex::new(None),
            tokens: Mutex::default(),
        }
    }

    /// The root of the registry's addresses. Where it may be either, it is asked once which scheme it speaks.
    pub(super) async fn base(&self, transport: &Transport) -> std::result::Result<Url, Failure> {
        let found = self.base.get_or_try_init(|| async {
            match self.endpoint.security {
                Security::Verified => self.endpoint.base("https").map_err(Failure::lasting),
                Security::Insecure => self.probe(transport, ["https", "http"]).await,
                Security::Loopback => self.probe(transport, ["http", "https"]).await,
            }
        });
        found.await.cloned()
    }

    /// What the root of the registry's addresses is taken for where that is not known, nearly always is this, and shows by the first
    /// answer: then a question need not be asked beforehand. Nothing that is shown unasked may be secret.
    pub(super) fn guess(&self) -> Option<Url> {
        let is_open = self.endpoint.security == Security::Loopback && !matches!(self.credential, Credential::Token(_));
        match is_open && self.base.get().is_none() {
            true => self.endpoint.base("http").ok(),
            false => None,
        }
    }

    /// Takes the root of the registry's addresses for known.
    pub(super) fn settle(&self, base: &Url) {
        // Whoever was first has seen the same.
        let _ = self.base.set(base.clone());
    }

    /// The first of two schemes by which there is an answer; nothing secret is sent.
    async fn probe(&self, transport: &Transport, schemes: [&str; 2]) -> std::result::Result<Url, Failure> {
        let [first, second] = schemes.map(|scheme| self.endpoint.base(scheme));
        let (first, second) = (first.map_err(Failure::lasting)?, second.map_err(Failure::lasting)?);
        let failure = match self.answers(transport, &first).await {
            Ok(true) => return Ok(first),
            Ok(false) => None,
            Err(failure) => Some(failure),
        };
        match (self.answers(transport, &second).await, failure) {
            (Ok(true), _) => Ok(second),
            (_, Some(failure)) => Err(failure),
            (_, None) => Ok(first),
        }
    }

    /// Whether something speaks the scheme of the URL there. Servers of TLS tell those who do not by the status 400.
    async fn answers(&self, transport: &Transport, base: &Url) -> std::result::Result<bool, Failure> {
        let call = Call {
            method: &Method::GET,
            url: base,
            headers: HeaderMap::new(),
            body: &Body::Empty,
            weight: Weight::Document,
        };
        let Ok(answer) = tokio::time::timeout(PROBE, transport.exchange(&self.endpoint, call)).await else {
            return Err(Failure::idle(PROBE));
        };
        let answer = answer?;
        if answer.response.status() == 401 {
            // What it asks for need not be asked again; what cannot be used is told when it matters.
            let _ = self.learn(base, answer.response.headers());
        }
        Ok(answer.response.status() != 400)
    }

    /// What to show for a scope, as far as the registry is known to ask for anything; and the token in it.
    pub(super) async fn authorization(
        &self,
        transport: &Transport,
        base: &Url,
        scope: &Scope,
    ) -> std::result::Result<Option<(HeaderValue, Option<Secret>)>, Failure> {
        if let Credential::Token(token) = &self.credential {
            return Ok(Some((bearer(token).map_err(Failure::lasting)?, None)));
        }
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let service = match asked {
            None => return Ok(None),
            Some(Asked::Basic) => {
                return basic(&self.credential)
                    .map(|value| value.map(|value| (value, None)))
                    .map_err(Failure::lasting);
            }
            Some(Asked::Bearer(service)) => service,
        };
        let slot = self.slot(scope);
        let mut slot = slot.lock().await;
        if slot.token.as_ref().is_none_or(Token::is_over) {
            let wanted = scope.clone().and(slot.also.clone());
            slot.token = Some(service.token(transport, self, base, &wanted).await?);
        }
        let text = slot.token.as_ref().map(|token| token.text.clone());
        let text = text.expect("set just above");
        let value = bearer(&text).map_err(Failure::lasting)?;
        Ok(Some((value, Some(text))))
    }

    fn slot(&self, scope: &Scope) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tokens.entry(scope.clone()).or_default())
    }

    /// Takes note of what a 401 asks for; false if there is nothing that could be done about it.
    ///
    /// `shown` is the token that was refused: it is forgotten, unless another has taken its place meanwhile.
    pub(super) async fn refused(
        &self,
        base: &Url,
        headers: &HeaderMap,
        scope: &Scope,
        shown: Option<&Secret>,
    ) -> Result<bool> {
        let was_basic = matches!(
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner),
            Some(Asked::Basic)
        );
        let Some(challenge) = self.learn(base, headers)? else {
            return Ok(false);
        };
        if challenge.scheme == "basic" {
            return Ok(!was_basic);
        }
        let slot = self.slot(scope);
        let mut slot = slot.lock().await;
        if slot.token.as_ref().map(|token| &token.text) == shown {
            slot.token = None;
        }
        slot.also = challenge
            .parameter("scope")
            .map(Scope::of_challenge)
            .unwrap_or_default();
        Ok(true)
    }

    /// The challenge that can be met, of those in an answer; it holds from now on.
    fn learn(&self, base: &Url, headers: &HeaderMap) -> Result<Option<Challenge>> {
        let texts = headers
            .get_all(WWW_AUTHENTICATE)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        let mut challenges = challenge::parse(texts);
        let bearer = challenges.iter().position(|challenge| challenge.scheme == "bearer");
        let is_known = matches!(self.credential, Credential::Basic { .. });
        let basic = || {
            challenges
                .iter()
                .position(|challenge| challenge.scheme == "basic" && is_known)
        };
        let Some(place) = bearer.or_else(basic) else {
            return Ok(None);
        };
        let challenge = challenges.swap_remove(place);
        let asked = match challenge.scheme.as_str() {
            "basic" => Asked::Basic,
            _ => Asked::Bearer(Service::new(&self.endpoint, base, &challenge)?),
        };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        Ok(Some(challenge))
    }

    /// What to do where the registry wants to know who asks.
    pub(super) fn login_hint(&self) -> String {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let kept_back = match &*asked {
            Some(Asked::Bearer(service)) if !service.may_know && !self.credential.is_anonymous() => {
                Some(service.host())
            }
            _ => None,
        };
        match (kept_back, &self.credential) {
            (Some(host), _) => format!(
                "the credentials were not shown to `{host}`, which hands out tokens for `{}` from outside its domain",
                self.endpoint.name
            ),
            (None, Credential::Anonymous) => format!(
                "log in by `hoist registry login {}`, or say who you are by `username` and `password`; some registries answer so for \
                 what does not exist, too",
                self.endpoint.name
            ),
            (None, _) => "look at user and password, and at what they are allowed".to_owned(),
        }
    }
}

pub(super) fn basic(credential: &Credential) -> Result<Option<HeaderValue>> {
    match credential {
        Credential::Basic { user, secret } => {
            let both = BASE64.encode(format!("{user}:{}", secret.expose()));
            secret_header(&format!("Basic {both}")).map(Some)
        }
        _ => Ok(None),
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    secret_header(&format!("Bearer {}", token.expose()))
}

fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Error::invalid("the token has letters that no token can have"))?;
    value.set_sensitive(true);
    Ok(value)
}
