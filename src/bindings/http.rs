//! `http::` and `Response`: what other machines are asked by HTTP.

use std::sync::Arc;

use rhai::{Dynamic, Map, NativeCallContext, export_module};
use serde_json::json;

use super::failure::{Scripted, native};
use super::gate::Place;
use super::object::Object;
use super::options::Options;
use super::session::Session;
use super::{secret, value};
use crate::error::{Error, Result};
use crate::host::{Answer, FetchOptions, Sent};

/// What came back. Clones are the same answer; nothing is known of one that a dry run did not ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Response(Option<Arc<Answer>>);

impl Response {
    /// Says under dry-run that a script relies on what is not known.
    fn asked(&self, ctx: &NativeCallContext, what: &str) -> Scripted<Answer> {
        match &self.0 {
            Some(answer) => Ok(Answer::clone(answer)),
            None => native(ctx, |session| {
                session.foresee(&format!("`{what}` of an answer"), &Place::of(ctx))?;
                Ok(Answer {
                    status: 200,
                    headers: Vec::new(),
                    body: Vec::new(),
                    host: String::new(),
                })
            }),
        }
    }

    fn facts(&self) -> (u16, String) {
        let facts = self.0.as_ref().map(|answer| (answer.status, text(answer)));
        facts.unwrap_or((200, String::new()))
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn parsed(answer: &Answer) -> Result<Dynamic> {
    let value = serde_json::from_slice(&answer.body).map_err(|cause| {
        Error::corrupt(format!("what `{}` answers is not JSON: {cause}", answer.host)).source(cause)
    })?;
    Ok(value::from_json(&value))
}

impl Object for Response {
    const NAME: &'static str = "Response";
    const COLUMNS: &'static [&'static str] = &["STATUS", "BODY"];

    fn text(&self) -> String {
        self.facts().1
    }

    fn debug(&self) -> String {
        format!("Response({})", self.facts().0)
    }

    fn cells(&self) -> Vec<String> {
        let (status, body) = self.facts();
        vec![status.to_string(), body]
    }

    fn json(&self) -> serde_json::Value {
        let (status, body) = self.facts();
        let headers = self.0.iter().flat_map(|answer| &answer.headers);
        let headers: serde_json::Map<_, _> = headers.map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "status": status, "ok": status < 400, "headers": headers, "body": body })
    }
}

/// What is sent, of the options `json` and `form`.
fn content(options: &mut Options) -> Result<Option<Sent>> {
    let (json, form) = (options.take("json"), options.take("form"));
    match (json, form) {
        (None, None) => Ok(None),
        (Some(json), None) => {
            let json = secret::json_with_secrets(&json)?.to_string();
            Ok(Some((json.into_bytes().into(), "application/json")))
        }
        (None, Some(form)) => {
            let form = form.read_lock::<Map>().map(|form| form.clone());
            let form = form.ok_or_else(|| Error::invalid("option `form` must be a map"))?;
            let pairs = form.iter().map(|(name, value)| {
                let text = match secret::is_in(value) {
                    true => secret::address(value)?.expose().to_owned(),
                    false => value::text(value),
                };
                Ok(format!("{}={}", encoded(name), encoded(&text)))
            });
            let text = pairs.collect::<Result<Vec<_>>>()?.join("&");
            Ok(Some((text.into_bytes().into(), "application/x-www-form-urlencoded")))
        }
        (Some(_), Some(_)) => Err(Error::invalid("a request carries `json` or `form`, not both")),
    }
}

/// As forms are written (WHATWG URL, "application/x-www-form-urlencoded").
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn ask(
    ctx: &NativeCallContext,
    function: &'static str,
    method: &'static str,
    url: &Dynamic,
    options: Map,
) -> Scripted<Response> {
    native(ctx, |session: &Session| {
        let given = options.clone();
        let mut options = Options::new(options);
        let content = content(&mut options)?;
        let mut options: FetchOptions = options.parse()?;
        if content.is_some() && options.body.is_some() {
            return Err(Error::invalid(
                "a request carries a `body`, `json` or `form`: one of them",
            ));
        }
        options.content = content;
        if let Some(path) = &options.ca {
            session.may_read(path)?;
        }
        let url = secret::address(url)?;
        if let Some(world) = session.world().filter(|_| session.plan().is_none())
            && let Some(answer) = world.request(function, method, url.expose(), &given)?
        {
            return options.judge(answer).map(|answer| Response(Some(Arc::new(answer))));
        }
        let answer = session
            .outside(function)
            .fetch(&session.context(), function, method, &url, &options)?;
        Ok(Response(answer.map(Arc::new)))
    })
}

/// Requests by HTTP.
///
/// An address is text or a `Secret`. Options of all of them: `headers` (a map; values may be secrets), `token` (for
/// `Authorization: Bearer`), `username` and `password`, one of `json`, `form` (a map) and `body` (text, a blob or a secret), `timeout`
/// (default 30 seconds, for all of it), `retries` (default 0, after failures of the connection and answers such as 503), `max_size`
/// (default 16 MiB), `redirects` (default `true`; headers of one's own are not sent on to another machine), `tls_verify` (default `true`),
/// `ca` (a file with authorities to trust), `check` (default `true`: throw for an answer of 400 and above).
#[export_module(manifest)]
pub mod functions {
    use super::{Response, ask};
    use crate::bindings::prelude::*;

    /// Asks for what is at an address. Returns a `Response`.
    ///
    /// Throws `network`, `timeout`, and for an answer of 400 and above an error with its `status`: `not_found`, `unauthorized`, `denied`,
    /// `rate_limited`, `conflict`, `network` from 500 on, else `invalid`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// let answer = http::get(server.url + "/v2/");
    /// assert::eq([answer.status, answer.ok], [200, true]);
    /// assert::throws("not_found", || http::get(server.url + "/v2/nosuch/tags/list"));
    /// ```
    #[rhai_fn(name = "get", return_raw)]
    pub fn get(ctx: NativeCallContext, url: Dynamic) -> Scripted<Response> {
        ask(&ctx, "http::get", "GET", &url, Map::new())
    }

    /// Asks for what is at an address. Returns a `Response`.
    ///
    /// Options: `headers`, `token`, `username`, `password`, `body`, `json`, `form`, `timeout`, `retries`, `max_size`, `redirects`, `tls_verify`,
    /// `ca`, `check`.
    ///
    /// ```rhai,no_run
    /// let releases = http::get("https://api.example.org/releases", #{ token: secret::env("API_TOKEN"), retries: 3 }).json();
    /// ```
    #[rhai_fn(name = "get", return_raw)]
    pub fn get_options(ctx: NativeCallContext, url: Dynamic, options: Map) -> Scripted<Response> {
        ask(&ctx, "http::get", "GET", &url, options)
    }

    /// Asks for the headers of what is at an address.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(http::head(server.url + "/v2/").status, 200);
    /// ```
    #[rhai_fn(name = "head", return_raw)]
    pub fn head(ctx: NativeCallContext, url: Dynamic) -> Scripted<Response> {
        ask(&ctx, "http::head", "HEAD", &url, Map::new())
    }

    /// Asks for the headers of what is at an address. Options: those of `get`.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(http::head(server.url + "/v2/x/manifests/1", #{ check: false }).status, 404);
    /// ```
    #[rhai_fn(name = "head", return_raw)]
    pub fn head_options(ctx: NativeCallContext, url: Dynamic, options: Map) -> Scripted<Response> {
        ask(&ctx, "http::head", "HEAD", &url, options)
    }

    /// Sends an empty request to an address.
    ///
    /// ```rhai,no_run
    /// http::post("https://ci.example.org/jobs/nightly/start");
    /// ```
    #[rhai_fn(name = "post", return_raw)]
    pub fn post(ctx: NativeCallContext, url: Dynamic) -> Scripted<Response> {
        ask(&ctx, "http::post", "POST", &url, Map::new())
    }

    /// Sends something to an address. Under a dry run it is not sent, and nothing is known of the answer.
    ///
    /// Options: those of `get`.
    ///
    /// ```rhai,no_run
    /// http::post("https://chat.example.org/api/messages", #{ json: #{ text: "deployed" }, token: secret::env("CHAT_TOKEN") });
    /// ```
    #[rhai_fn(name = "post", return_raw)]
    pub fn post_options(ctx: NativeCallContext, url: Dynamic, options: Map) -> Scripted<Response> {
        ask(&ctx, "http::post", "POST", &url, options)
    }

    /// Puts nothing to an address.
    ///
    /// ```rhai,no_run
    /// http::put("https://api.example.org/services/web/restart");
    /// ```
    #[rhai_fn(name = "put", return_raw)]
    pub fn put(ctx: NativeCallContext, url: Dynamic) -> Scripted<Response> {
        ask(&ctx, "http::put", "PUT", &url, Map::new())
    }

    /// Puts something to an address. Options: those of `get`.
    ///
    /// ```rhai,no_run
    /// http::put("https://api.example.org/keys/stable", #{ body: "app:2" });
    /// ```
    #[rhai_fn(name = "put", return_raw)]
    pub fn put_options(ctx: NativeCallContext, url: Dynamic, options: Map) -> Scripted<Response> {
        ask(&ctx, "http::put", "PUT", &url, options)
    }

    /// Changes nothing of what is at an address.
    ///
    /// ```rhai,no_run
    /// http::patch("https://api.example.org/services/web");
    /// ```
    #[rhai_fn(name = "patch", return_raw)]
    pub fn patch(ctx: NativeCallContext, url: Dynamic) -> Scripted<Response> {
        ask(&ctx, "http::patch", "PATCH", &url, Map::new())
    }

    /// Changes what is at an address. Options: those of `get`.
    ///
    /// ```rhai,no_run
    /// http::patch("https://api.example.org/services/web", #{ json: #{ replicas: 3 } });
    /// ```
    #[rhai_fn(name = "patch", return_raw)]
    pub fn patch_options(ctx: NativeCallContext, url: Dynamic, options: Map) -> Scripted<Response> {
        ask(&ctx, "http::patch", "PATCH", &url, options)
    }

    /// Asks for what is at an address to be removed.
    ///
    /// ```rhai,no_run
    /// http::delete("https://api.example.org/services/old");
    /// ```
    #[rhai_fn(name = "delete", return_raw)]
    pub fn delete(ctx: NativeCallContext, url: Dynamic) -> Scripted<Response> {
        ask(&ctx, "http::delete", "DELETE", &url, Map::new())
    }

    /// Asks for what is at an address to be removed. Options: those of `get`.
    ///
    /// ```rhai,no_run
    /// http::delete("https://api.example.org/services/old", #{ token: secret::env("API_TOKEN") });
    /// ```
    #[rhai_fn(name = "delete", return_raw)]
    pub fn delete_options(ctx: NativeCallContext, url: Dynamic, options: Map) -> Scripted<Response> {
        ask(&ctx, "http::delete", "DELETE", &url, options)
    }
}

/// What `http::get` and its like return.
#[export_module(manifest)]
pub mod methods {
    use super::{Response, parsed, text as words};
    use crate::bindings::prelude::*;
    use crate::bindings::value::or_unit;

    /// The status, such as 200.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(http::get(server.url + "/v2/").status, 200);
    /// ```
    #[rhai_fn(get = "status", return_raw, pure)]
    pub fn status(ctx: NativeCallContext, this: &mut Response) -> Scripted<INT> {
        this.asked(&ctx, "status").map(|answer| answer.status.into())
    }

    /// Whether the status is below 400.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::ok(http::get(server.url + "/v2/").ok);
    /// ```
    #[rhai_fn(get = "ok", return_raw, pure)]
    pub fn ok(ctx: NativeCallContext, this: &mut Response) -> Scripted<bool> {
        this.asked(&ctx, "ok").map(|answer| answer.status < 400)
    }

    /// The headers as a map, names in lower case.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// print(http::get(server.url + "/v2/").headers);
    /// ```
    #[rhai_fn(get = "headers", return_raw, pure)]
    pub fn headers(ctx: NativeCallContext, this: &mut Response) -> Scripted<Map> {
        this.asked(&ctx, "headers")
            .map(|answer| crate::bindings::subject::texts(answer.headers))
    }

    /// The value of a header, however its name is written; `()` if there is none.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(http::get(server.url + "/v2/").header("Docker-Distribution-API-Version"), "registry/2.0");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn header(ctx: NativeCallContext, this: &mut Response, name: &str) -> Scripted<Dynamic> {
        this.asked(&ctx, "headers").map(|answer| {
            let found = answer
                .headers
                .into_iter()
                .find(|header| header.0.eq_ignore_ascii_case(name));
            or_unit(found.map(|(_, value)| value))
        })
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(http::get(server.url + "/v2/").text().trimmed(), "{}");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn text(ctx: NativeCallContext, this: &mut Response) -> Scripted<String> {
        this.asked(&ctx, "text").map(|answer| words(&answer))
    }

    /// The body read as JSON. Throws `corrupt` when it is not JSON.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(http::get(server.url + "/v2/").json(), #{});
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn json(ctx: NativeCallContext, this: &mut Response) -> Scripted<Dynamic> {
        let answer = this.asked(&ctx, "json")?;
        match this.0 {
            Some(_) => native(&ctx, |_| parsed(&answer)),
            None => Ok(Dynamic::from(Map::new())),
        }
    }

    /// The bytes of the body.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::ok(http::get(server.url + "/v2/").blob().len() >= 2);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn blob(ctx: NativeCallContext, this: &mut Response) -> Scripted<Blob> {
        this.asked(&ctx, "blob").map(|answer| answer.body)
    }
}
