//! Telling people: by a web hook, by Slack and what takes its messages, by mail.

use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailbox;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errand::{ErrandOptions, Ran, run_errand};
use super::outside::{FetchOptions, Outside};
use crate::config;
use crate::error::{Context as _, Error, Result};
use crate::model::{Address, Bytes, Command, Context, Place, Secret, TimeSpan, Words, check_mailbox, url_below};

/// Where programs look for the one that sends mail, one after the other.
const MAILERS: [&str; 3] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "sendmail"];
/// For a notification, retries and all.
const PATIENCE: TimeSpan = TimeSpan(std::time::Duration::from_secs(30));

/// Options of `notify::webhook`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookOptions {
    /// Headers.
    pub headers: std::collections::BTreeMap<String, Secret>,
    /// A token, for the header `Authorization`.
    pub token: Option<Secret>,
    /// For all of it; 30 s.
    pub timeout: Option<TimeSpan>,
    /// Tries after the first; 2.
    pub retries: Option<u32>,
    /// Whether certificates are verified; they are.
    pub tls_verify: Option<bool>,
}

/// Options of `notify::slack`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlackOptions {
    /// The channel, where the hook lets one choose.
    pub channel: Option<String>,
    /// Who says it.
    pub username: Option<String>,
    /// Such as `:whale:`.
    pub icon_emoji: Option<String>,
    /// For all of it; 30 s.
    pub timeout: Option<TimeSpan>,
    /// Tries after the first; 2.
    pub retries: Option<u32>,
    /// Whether certificates are verified; they are.
    pub tls_verify: Option<bool>,
}

/// Options of `notify::mail`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailOptions {
    /// Who sends it; the mail system's word for who runs this otherwise.
    pub from: Option<String>,
    /// Who gets a copy.
    pub cc: Words,
    /// Who gets a copy that the others do not see.
    pub bcc: Words,
    /// Whom answers go to.
    pub reply_to: Option<String>,
    /// The same as HTML.
    pub html: Option<String>,
    /// The program that sends it.
    pub sendmail: Option<String>,
    /// How long that may take; 30 s.
    pub timeout: Option<TimeSpan>,
}

/// What is told: a line, some text, and facts for programs.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    /// One line.
    pub subject: String,
    /// More.
    pub text: String,
    /// What else a program that is told may want to know.
    pub facts: serde_json::Map<String, Value>,
    /// What it says to one who only watches.
    pub sign: Sign,
}

/// What one who watches over something is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sign {
    /// It has begun.
    Start,
    /// It has ended well.
    #[default]
    Success,
    /// It has not.
    Fail,
}

/// Where a URL is, read now. Errors: `not_found` for a variable that is not set, and what reading a file can bring.
fn url_at(place: &Place) -> Result<Secret> {
    match place {
        Place::Url(url) => Ok(url.clone()),
        Place::Variable(name) => config::variable(name).map(Secret::new).ok_or_else(|| {
            Error::not_found(format!("the environment variable `{name}` is not set")).target(name.clone())
        }),
        Place::File(path) => {
            let text = std::fs::read_to_string(path).during(|| format!("read `{}`", path.display()))?;
            Ok(Secret::new(text.trim()))
        }
    }
}

impl Outside {
    /// Tells somebody; mail goes by this machine's program, or the one that is named. Errors: those of the ways to do it.
    pub fn tell(&self, ctx: &Context, address: &Address, notice: &Notice, sendmail: Option<&str>) -> Result<()> {
        match address {
            Address::Webhook(place) => {
                let mut facts = notice.facts.clone();
                facts.insert("subject".to_owned(), json!(notice.subject));
                facts.insert("text".to_owned(), json!(notice.text));
                let content = Value::Object(facts);
                self.webhook(ctx, &url_at(place)?, &content.to_string(), &WebhookOptions::default())
            }
            Address::Slack(place) => {
                let text = format!("*{}*\n{}", notice.subject, notice.text);
                self.slack(ctx, &url_at(place)?, text.trim_end(), &SlackOptions::default())
            }
            Address::Ping(place) => self.ping(ctx, &url_at(place)?, notice),
            Address::Mail(to) => {
                let options = MailOptions {
                    sendmail: sendmail.map(str::to_owned),
                    ..MailOptions::default()
                };
                self.mail(ctx, &Words(vec![to.clone()]), &notice.subject, &notice.text, &options)
            }
        }
    }

    /// Tells one who watches over jobs, in the form of healthchecks.io. Errors: as for [`Outside::webhook`].
    fn ping(&self, ctx: &Context, url: &Secret, notice: &Notice) -> Result<()> {
        let url = match notice.sign {
            Sign::Start => url_below(url, "start")?,
            Sign::Success => url.clone(),
            Sign::Fail => url_below(url, "fail")?,
        };
        let text = format!("{}\n{}", notice.subject, notice.text);
        let fetch = FetchOptions {
            timeout: Some(PATIENCE),
            retries: Some(2),
            content: Some((text.trim_end().as_bytes().into(), "text/plain; charset=utf-8")),
            repeat: true,
            ..FetchOptions::default()
        };
        self.fetch(ctx, "notify::webhook", "POST", &url, &fetch).map(drop)
    }

    /// Sends JSON to a web hook. Errors: those of [`Outside::fetch`], an answer other than 2xx among them.
    pub fn webhook(&self, ctx: &Context, url: &Secret, content: &str, options: &WebhookOptions) -> Result<()> {
        let fetch = FetchOptions {
            headers: options.headers.clone(),
            token: options.token.clone(),
            timeout: Some(options.timeout.unwrap_or(PATIENCE)),
            retries: Some(options.retries.unwrap_or(2)),
            tls_verify: options.tls_verify,
            content: Some((content.as_bytes().into(), "application/json")),
            repeat: true,
            ..FetchOptions::default()
        };
        self.fetch(ctx, "notify::webhook", "POST", url, &fetch).map(drop)
    }

    /// Says something in Slack, by an incoming web hook. Errors: as for [`Outside::webhook`].
    pub fn slack(&self, ctx: &Context, url: &Secret, text: &str, options: &SlackOptions) -> Result<()> {
        let mut message = json!({ "text": text });
        let more = [
            ("channel", &options.channel),
            ("username", &options.username),
            ("icon_emoji", &options.icon_emoji),
        ];
        for (name, value) in more {
            value.iter().for_each(|value| message[name] = json!(value));
        }
        let fetch = FetchOptions {
            timeout: Some(options.timeout.unwrap_or(PATIENCE)),
            retries: Some(options.retries.unwrap_or(2)),
            tls_verify: options.tls_verify,
            content: Some((message.to_string().as_bytes().into(), "application/json")),
            repeat: true,
            ..FetchOptions::default()
        };
        self.fetch(ctx, "notify::slack", "POST", url, &fetch).map(drop)
    }

    /// Hands a mail to this machine's `sendmail`. Errors: `invalid` for what is no address, `not_found` without such a program,
    /// `exit_status` if it does not take the mail, `timeout`.
    pub fn mail(&self, ctx: &Context, to: &Words, subject: &str, text: &str, options: &MailOptions) -> Result<()> {
        let mut command = vec![mailer(options.sendmail.as_deref())?, "-i".to_owned()];
        if let Some(from) = &options.from {
            command.extend(["-f".to_owned(), from.clone()]);
        }
        command.push("--".to_owned());
        let all = [to, &options.cc, &options.bcc];
        command.extend(all.into_iter().flat_map(|words| words.0.iter().cloned()));
        let content = letter(to, subject, text, options)?;
        if let Some(plan) = self.plan() {
            plan.record("notify::mail", &to.0.join(", "), subject);
            return Ok(());
        }
        let errand = ErrandOptions {
            stdin: Some(Bytes(content)),
            timeout: Some(options.timeout.unwrap_or(PATIENCE)),
            ..ErrandOptions::default()
        };
        let sent = run_errand(ctx, None, &Command::Words(command), &errand, None);
        sent.map(|_: Ran| ())
            .during(|| format!("send mail to `{}`", to.0.join(", ")))
    }
}

/// The program that sends mail, as it is called. Errors: `not_found`.
pub fn mailer(given: Option<&str>) -> Result<String> {
    let names: &[&str] = given.as_ref().map_or(&MAILERS, std::slice::from_ref);
    let is_there = |name: &&&str| super::errand::program_of(name).is_some_and(|path| path.is_file());
    let found = names.iter().find(is_there).map(|name| (*name).to_owned());
    found.ok_or_else(|| {
        Error::not_found("this machine has no program that sends mail")
            .target(given.unwrap_or("sendmail"))
            .hint("install one that is called `sendmail`, such as `msmtp-mta`, `dma` or `postfix`, or name it by the option `sendmail`")
    })
}

/// A mail (RFC 5322) without the hidden addresses.
fn letter(to: &Words, subject: &str, text: &str, options: &MailOptions) -> Result<Vec<u8>> {
    let more = [&options.cc, &options.bcc].into_iter().flat_map(|words| &words.0);
    let senders = options.from.iter().chain(&options.reply_to);
    to.0.iter()
        .chain(more)
        .chain(senders)
        .try_for_each(|address| check_mailbox(address))?;
    if to.0.is_empty() {
        return Err(Error::invalid("a mail goes to somebody").hint("give an address, or an array of them"));
    }
    if subject.contains(char::is_control) {
        return Err(Error::invalid("the subject of a mail is one line").target(subject.escape_debug().to_string()));
    }
    let boxes = |words: &Words| Mailbox::new_list(words.0.iter().map(|word| Mailbox::from(word.clone())).collect());
    let mut letter = MessageBuilder::new().to(boxes(to)).subject(subject).text_body(text);
    if let Some(from) = &options.from {
        letter = letter.from(from.as_str());
    }
    if !options.cc.0.is_empty() {
        letter = letter.cc(boxes(&options.cc));
    }
    if let Some(reply_to) = &options.reply_to {
        letter = letter.reply_to(reply_to.as_str());
    }
    if let Some(html) = &options.html {
        letter = letter.html_body(html.as_str());
    }
    let content = letter.write_to_vec().during(|| "write the mail")?;
    // Mail programs take lines as this machine ends them.
    Ok(String::from_utf8_lossy(&content).replace("\r\n", "\n").into_bytes())
}
