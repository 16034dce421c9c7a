//! `notify::`: telling people.

use rhai::{Map, export_module};

use super::session::Session;
use crate::error::Result;
use crate::host::FetchOptions;

/// Whether a test plays the other side. Errors: what it answers with.
fn is_played(session: &Session, function: &str, url: &str, content: &Map) -> Result<bool> {
    let Some(world) = session.world().filter(|_| session.plan().is_none()) else {
        return Ok(false);
    };
    let answer = world.request(function, "POST", url, content)?;
    let answer = answer.map(|answer| FetchOptions::default().judge(answer));
    Ok(answer.transpose()?.is_some())
}

/// Telling people, by a web hook, by chat, or by mail.
#[export_module(manifest)]
pub mod functions {
    use super::is_played;
    use crate::bindings::prelude::*;
    use crate::bindings::{options, secret, subject};
    use crate::host::{MailOptions, SlackOptions, WebhookOptions};
    use crate::model::Words;

    /// Sends JSON to a web hook.
    ///
    /// `url` is text or a `Secret`, `content` any value; secrets in it are sent. Throws what `http::post` throws.
    ///
    /// ```rhai,no_run
    /// notify::webhook(secret::env("HOOK_URL"), #{ event: "pruned", reclaimed: 10.mib });
    /// ```
    #[rhai_fn(name = "webhook", return_raw)]
    pub fn webhook(ctx: NativeCallContext, url: Dynamic, content: Dynamic) -> Scripted<()> {
        webhook_options(ctx, url, content, Map::new())
    }

    /// Sends JSON to a web hook.
    ///
    /// Options: `headers` (a map; values may be secrets), `token` (for `Authorization: Bearer`), `timeout` (default 30 seconds, for all
    /// of it), `retries` (default 2), `tls_verify` (default `true`).
    ///
    /// ```rhai,no_run
    /// notify::webhook("https://ops.example.org/hook", #{ event: "pruned" }, #{ token: secret::env("HOOK_TOKEN"), retries: 5 });
    /// ```
    #[rhai_fn(name = "webhook", return_raw)]
    pub fn webhook_options(ctx: NativeCallContext, url: Dynamic, content: Dynamic, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            let options: WebhookOptions = options::parse(options)?;
            let url = secret::address(&url)?;
            let asked = Map::from([("json".into(), content.clone())]);
            let content = secret::json_with_secrets(&content)?.to_string();
            if is_played(session, "notify::webhook", url.expose(), &asked)? {
                return Ok(());
            }
            let outside = session.outside("notify::webhook");
            outside.webhook(&session.context(), &url, &content, &options)
        })
    }

    /// Says something in Slack, Mattermost or another chat with incoming web hooks of that form.
    ///
    /// `url` is that of the hook, as text or as a `Secret`.
    ///
    /// ```rhai,no_run
    /// notify::slack(secret::env("SLACK_URL"), "*nightly prune*: 1.2GB reclaimed");
    /// ```
    #[rhai_fn(name = "slack", return_raw)]
    pub fn slack(ctx: NativeCallContext, url: Dynamic, text: &str) -> Scripted<()> {
        slack_options(ctx, url, text, Map::new())
    }

    /// Says something in Slack, Mattermost or another chat with incoming web hooks of that form.
    ///
    /// Options: `channel`, `username` and `icon_emoji`, where the hook lets one choose; `timeout` (default 30 seconds), `retries`
    /// (default 2), `tls_verify` (default `true`).
    ///
    /// ```rhai,no_run
    /// notify::slack(secret::file("/etc/hoist/slack"), "deployed", #{ channel: "#ops", icon_emoji: ":whale:" });
    /// ```
    #[rhai_fn(name = "slack", return_raw)]
    pub fn slack_options(ctx: NativeCallContext, url: Dynamic, text: &str, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            let options: SlackOptions = options::parse(options)?;
            let url = secret::address(&url)?;
            let asked = Map::from([("text".into(), text.into())]);
            if is_played(session, "notify::slack", url.expose(), &asked)? {
                return Ok(());
            }
            session
                .outside("notify::slack")
                .slack(&session.context(), &url, text, &options)
        })
    }

    /// Sends mail, by this machine's `sendmail`.
    ///
    /// `to` is an address, or an array of them. Throws `not_found` where no program sends mail, `exit_status` if it does not take it.
    ///
    /// ```rhai,no_run
    /// notify::mail("ops@example.org", "nightly prune", `${image::prune()}`);
    /// ```
    #[rhai_fn(name = "mail", return_raw)]
    pub fn mail(ctx: NativeCallContext, to: Dynamic, subject: &str, text: &str) -> Scripted<()> {
        mail_options(ctx, to, subject, text, Map::new())
    }

    /// Sends mail, by this machine's `sendmail`.
    ///
    /// Options: `from`, `cc`, `bcc`, `reply_to`, `html` (the same text as HTML), `sendmail` (the program; by default the first of
    /// `/usr/sbin/sendmail`, `/usr/lib/sendmail` and that in PATH), `timeout` (default 30 seconds).
    ///
    /// ```rhai,no_run
    /// notify::mail(["a@example.org", "b@example.org"], "report", "see below", #{ from: "hoist@example.org" });
    /// ```
    #[rhai_fn(name = "mail", return_raw)]
    pub fn mail_options(ctx: NativeCallContext, to: Dynamic, subject: &str, text: &str, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            let options: MailOptions = options::parse(options)?;
            let to = match to.read_lock::<Array>() {
                Some(items) => subject::words(&items)?,
                None => subject::words(&vec![to.clone()])?,
            };
            if let Some(world) = session.world().filter(|_| session.plan().is_none()) {
                let words: Vec<String> = std::iter::once("sendmail".to_owned())
                    .chain(to.iter().cloned())
                    .collect();
                let asked = Map::from([("subject".into(), subject.into()), ("text".into(), text.into())]);
                if let Some(ran) = world.program("notify::mail", &words, &asked)? {
                    return ran.checked(&words).map(drop);
                }
            }
            let outside = session.outside("notify::mail");
            outside.mail(&session.context(), &Words(to), subject, text, &options)
        })
    }
}
