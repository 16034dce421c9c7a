//! Searching a registry: by the API that Docker Hub has for `docker search` and some others have taken over, or through the list of its
//! repositories.

use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};

use super::request::Registry;
use super::session::Scope;
use crate::error::{Error, Result};
use crate::model::Context;

/// Where Docker Hub is searched.
const HUB: &str = "https://index.docker.io/v1/search";
/// The most that one question is answered with (Docker's `--limit`).
const MOST: usize = 100;

/// An image that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The repository's path.
    pub name: String,
    /// What its owner says of it.
    pub description: String,
    /// How many liked it.
    pub stars: u64,
    /// Whether Docker vouches for it.
    pub official: bool,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<RawHit>,
}

#[derive(Deserialize)]
struct RawHit {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    star_count: u64,
    #[serde(default)]
    is_official: bool,
}

impl Registry {
    /// The repositories that a word is found in, at most so many, in the registry's order; by their names alone where it has no search.
    ///
    /// Errors: `unsupported` where it tells nobody what it has.
    pub fn search(&self, ctx: &Context, word: &str, limit: usize) -> Result<Vec<Hit>> {
        let found = match self.searched(ctx, word, limit)? {
            Some(found) => found,
            None => {
                let word = word.to_lowercase();
                let all = self.repositories(ctx)?.into_iter();
                all.filter(|name| name.contains(&word)).map(Hit::named).collect()
            }
        };
        Ok(found.into_iter().take(limit).collect())
    }

    /// What the registry's own search finds; `None` where it has none.
    fn searched(&self, ctx: &Context, word: &str, limit: usize) -> Result<Option<Vec<Hit>>> {
        let is_hub = self.name() == "docker.io";
        let mut url = Url::parse(HUB).map_err(|cause| Error::internal(format!("`{HUB}` is no address: {cause}")))?;
        url.query_pairs_mut()
            .append_pair("q", word)
            .append_pair("n", &limit.min(MOST).to_string());
        let query = url.query().unwrap_or_default().to_owned();
        let request = match is_hub {
            true => self.at(Method::GET, url, Scope::none()),
            // Beside the root of the registry's own addresses.
            false => self.request(Method::GET, &format!("../v1/search?{query}"), Scope::none()),
        };
        let (answer, bytes) = match request.what(format!("search `{}`", self.name())).whole(ctx) {
            Ok(found) => found,
            Err(error) if !is_hub && error.http_status().is_some_and(|status| (400..500).contains(&status)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let is_json = answer.header("content-type").is_some_and(|kind| kind.contains("json"));
        match serde_json::from_slice::<Results>(&bytes) {
            Ok(results) => Ok(Some(results.results.into_iter().map(Hit::from).collect())),
            // A page for people, as some send to whatever they do not know.
            Err(_) if !is_hub && !is_json => Ok(None),
            Err(cause) => {
                Err(Error::corrupt(format!("the answer is not valid: {cause}"))
                    .during(format!("search `{}`", self.name())))
            }
        }
    }
}

impl Hit {
    fn named(name: String) -> Hit {
        Hit {
            name,
            description: String::new(),
            stars: 0,
            official: false,
        }
    }
}

impl From<RawHit> for Hit {
    fn from(raw: RawHit) -> Hit {
        Hit {
            name: raw.name,
            description: raw.description.unwrap_or_default(),
            stars: raw.star_count,
            official: raw.is_official,
        }
    }
}
