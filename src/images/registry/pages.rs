//! Lists that come in pages (OCI distribution-spec, "Listing Tags"; RFC 8288 for the header `Link`).

use std::collections::HashSet;

use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::endpoint::same_origin;
use super::request::{Registry, Response};
use super::session::Scope;
use crate::error::{Error, Result};
use crate::images::limits;
use crate::model::Context;

/// Items asked for at once.
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// The tags of a repository, in the registry's order. Errors: `not_found` if there is no such repository.
    pub fn tags(&self, ctx: &Context, repository: &str) -> Result<Vec<String>> {
        let repository = format!("{}{repository}", self.endpoint().prefix);
        let (path, scope) = (format!("{repository}/tags/list?n={PAGE}"), Scope::pull(&repository));
        let what = format!("list the tags of `{repository}` at `{}`", self.name());
        let mut tags = Vec::new();
        self.pages(ctx, &path, &scope, &what, |page: Tags| {
            tags.extend(page.tags.unwrap_or_default());
            Ok(true)
        })?;
        Ok(tags)
    }

    /// One page of the tags, as the registry cuts it for this query; with the query of the next one.
    pub fn page_of_tags(&self, ctx: &Context, repository: &str, query: &str) -> Result<(Vec<String>, Option<String>)> {
        let what = format!("list the tags of `{repository}` at `{}`", self.name());
        let request = self.about(Method::GET, repository, &format!("tags/list?{query}"), "pull");
        let (answer, bytes) = request.what(&what).whole(ctx)?;
        let next = next(&answer).map_err(|error| error.during(&what))?;
        let page: Tags = serde_json::from_slice(&bytes)
            .map_err(|cause| Error::corrupt(format!("the answer is not valid: {cause}")).during(&what))?;
        let query = next.and_then(|next| next.query().map(str::to_owned));
        Ok((page.tags.unwrap_or_default(), query))
    }

    /// Goes through the pages of a list, until there are no more or `each` wants no more.
    ///
    /// Only pages of the registry itself are followed. Errors: `corrupt` for lists that do not end.
    pub fn pages<T: DeserializeOwned>(
        &self,
        ctx: &Context,
        path: &str,
        scope: &Scope,
        what: &str,
        mut each: impl FnMut(T) -> Result<bool>,
    ) -> Result<()> {
        let (mut request, mut seen) = (self.request(Method::GET, path, scope.clone()), HashSet::new());
        for _ in 0..self.limits().pages {
            let (answer, bytes) = request.what(what).whole(ctx)?;
            let next = next(&answer).map_err(|error| error.during(what))?;
            let page = serde_json::from_slice(&bytes);
            let page =
                page.map_err(|cause| Error::corrupt(format!("the answer is not valid: {cause}")).during(what))?;
            let Some(next) = next else {
                return each(page).map(drop);
            };
            if !each(page)? {
                return Ok(());
            }
            if !seen.insert(next.clone()) {
                return Err(Error::corrupt("its pages lead in a circle").during(what));
            }
            request = self.at(Method::GET, next, scope.clone());
        }
        Err(limits::exceeded("the number of its pages", "pages", self.limits().pages).during(what))
    }
}

/// Where the next page is. Errors: `denied` if it is not at the registry itself.
fn next(answer: &Response) -> Result<Option<Url>> {
    let Some(target) = answer.header("link").and_then(next_of) else {
        return Ok(None);
    };
    let next = answer
        .url()
        .join(target)
        .ok()
        .filter(|next| same_origin(next, answer.url()));
    next.map(Some)
        .ok_or_else(|| Error::denied("the next page is said to be somewhere else, where nobody is to be sent"))
}

/// The target of a `Link` header whose relation is `next`.
fn next_of(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, link) = rest.split_once('<')?;
        let (target, after) = link.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let is_next = after[..end].split(';').any(|parameter| {
            let parameter = parameter.trim().trim_end_matches(',').trim_end();
            let Some((name, value)) = parameter.split_once('=') else {
                return false;
            };
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|word| word.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = &after[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r34_the_next_page_is_found_among_links() {
        for (header, target) in [
            (
                r#"</v2/a/tags/list?last=x&n=2>; rel="next""#,
                Some("/v2/a/tags/list?last=x&n=2"),
            ),
            (r#"<https://r/x>; rel=next; title="a""#, Some("https://r/x")),
            (r#"<a>; rel="prev", <b>; REL="first next""#, Some("b")),
            (r#"<a>; rel="prev""#, None),
            ("<a", None),
            ("", None),
            ("a; rel=next", None),
        ] {
            assert_eq!(next_of(header), target, "{header}");
        }
    }
}
