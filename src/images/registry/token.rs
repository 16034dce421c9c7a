//! Tokens, and the services that hand them out (distribution, "Token Authentication Specification" and its OAuth 2 form).

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::body::Body;
use super::challenge::Challenge;
use super::credential::Credential;
use super::endpoint::Endpoint;
use super::failure::{self, Failure};
use super::session::{self, Scope, Session};
use super::transport::{Answer, Call, Transport, Weight};
use crate::error::Error;
use crate::images::limits;
use crate::model::Secret;
use crate::web::{is_transient, retry_after};

/// A token and until when it is shown.
pub(super) struct Token {
    pub(super) text: Secret,
    until: Instant,
}

impl Token {
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// A service that hands out tokens for a registry.
#[derive(Clone)]
pub(super) struct Service {
    realm: Url,
    name: Option<String>,
    /// Whether it may see the credentials.
    pub(super) may_know: bool,
}

/// How a service answers. Nothing of it is ever shown.
#[derive(Deserialize)]
struct Handed {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

/// Seconds a token lives where its service does not say.
const USUAL_LIFE: u64 = 60;

impl Service {
    /// The service that a registry names in its challenge. Errors: `denied` if it is one that nobody asks in good faith.
    pub(super) fn new(endpoint: &Endpoint, base: &Url, challenge: &Challenge) -> crate::error::Result<Service> {
        let realm = challenge.parameter("realm").unwrap_or_default();
        let realm = Url::parse(realm).ok().filter(|realm| endpoint.may_ask(base, realm));
        let realm = realm.ok_or_else(|| {
            let named = challenge.parameter("realm").unwrap_or_default();
            let shown: String = named
                .split(['?', '#'])
                .next()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect();
            Error::denied(format!(
                "`{}` sends for its tokens to `{}`, which is not asked",
                endpoint.name,
                shown.escape_debug()
            ))
            .hint("a token service has an `https` address, unless its registry speaks plain HTTP as well")
        })?;
        Ok(Service {
            may_know: endpoint.may_know(base, &realm),
            name: challenge.parameter("service").map(str::to_owned),
            realm,
        })
    }

    pub(super) fn host(&self) -> String {
        failure::host(&self.realm)
    }

    /// A new token for a scope.
    pub(super) async fn token(
        &self,
        transport: &Transport,
        session: &Session,
        base: &Url,
        scope: &Scope,
    ) -> std::result::Result<Token, Failure> {
        let asked = Instant::now();
        let retry = &transport.settings().retry;
        let mut tries = 0;
        let (mut answer, status) = loop {
            tries += 1;
            let outcome = self.ask(transport, session, base, scope).await;
            let rest = match &outcome {
                Ok(answer) if is_transient(answer.response.status().as_u16()) => retry.rest(tries, asked_rest(answer)),
                Err(failure) if failure.is_transient => retry.rest(tries, None),
                _ => None,
            };
            match rest {
                Some(rest) => tokio::time::sleep(rest).await,
                None => {
                    let answer = outcome.map_err(|failure| Failure {
                        is_transient: false,
                        ..failure
                    })?;
                    let status = answer.response.status().as_u16();
                    break (answer, status);
                }
            }
        };
        let headers = answer.response.headers().clone();
        let body = self.body(transport, &mut answer).await?;
        if !(200..300).contains(&status) {
            let error = failure::refused(session, status, &headers, &body, tries);
            return Err(Failure::lasting(
                error.during(format!("get a token from `{}`", self.host())),
            ));
        }
        self.handed(&body, asked).map_err(Failure::lasting)
    }

    async fn ask(
        &self,
        transport: &Transport,
        session: &Session,
        base: &Url,
        scope: &Scope,
    ) -> std::result::Result<Answer, Failure> {
        let mut url = self.realm.clone();
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let (mut method, mut body) = (Method::GET, Body::Empty);
        match &session.credential {
            Credential::Identity(secret) if self.may_know => {
                method = Method::POST;
                headers.insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static("application/x-www-form-urlencoded"),
                );
                body = Body::Bytes(self.form(scope, secret).into());
            }
            credential => {
                {
                    let mut query = url.query_pairs_mut();
                    query.extend_pairs(self.name.iter().map(|name| ("service", name)));
                    query.extend_pairs(scope.parts().map(|part| ("scope", part)));
                    if let Credential::Basic { user, .. } = credential {
                        query.extend_pairs(self.may_know.then_some(("account", user)));
                    }
                }
                if let Some(value) = session::basic(credential)
                    .map_err(Failure::lasting)?
                    .filter(|_| self.may_know)
                {
                    headers.insert(AUTHORIZATION, value);
                }
            }
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        let call = Call {
            method: &method,
            url: &url,
            headers,
            body: &body,
            weight: Weight::Document,
        };
        debug_assert!(session.endpoint.may_ask(base, &url));
        transport.exchange(&session.endpoint, call).await
    }

    /// What an identity token is exchanged by (RFC 6749, 6).
    fn form(&self, scope: &Scope, secret: &Secret) -> String {
        let scope: Vec<&str> = scope.parts().collect();
        let mut url = Url::parse("form:").expect("it is one");
        url.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "hoist")
            .append_pair("service", self.name.as_deref().unwrap_or_default())
            .append_pair("scope", &scope.join(" "))
            .append_pair("refresh_token", secret.expose());
        url.query().unwrap_or_default().to_owned()
    }

    async fn body(&self, transport: &Transport, answer: &mut Answer) -> std::result::Result<Vec<u8>, Failure> {
        let limit = transport.settings().limits.token;
        let mut bytes = Vec::new();
        while let Some(chunk) = transport.chunk(answer).await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                let what = format!("the answer of the token service `{}`", self.host());
                return Err(Failure::lasting(limits::exceeded(what, "token", limit)));
            }
        }
        Ok(bytes)
    }

    fn handed(&self, body: &[u8], asked: Instant) -> crate::error::Result<Token> {
        let what = || format!("the token service `{}` gave no token", self.host());
        let handed: Handed = serde_json::from_slice(body).map_err(|_| Error::network(what()))?;
        let present = |token: &Secret| !token.is_empty();
        let text = handed.token.filter(present).or(handed.access_token.filter(present));
        let text = text.ok_or_else(|| Error::network(what()))?;
        // A tenth is for what is on its way when the token ends.
        let life = Duration::from_secs(handed.expires_in.unwrap_or(USUAL_LIFE).clamp(1, 30 * 24 * 3600));
        Ok(Token {
            text,
            until: asked + life.mul_f64(0.9),
        })
    }
}

/// How long an answer asks to wait.
pub(super) fn asked_rest(answer: &Answer) -> Option<Duration> {
    let header = answer.response.headers().get("retry-after")?;
    retry_after(header.to_str().ok()?, jiff::Timestamp::now())
}
