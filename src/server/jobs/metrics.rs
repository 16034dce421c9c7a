//! What is told to Prometheus when it asks: `GET /metrics`.

use std::sync::Arc;
use std::time::Duration;

use super::super::http::{Body, Content, Handler, Head, Listener, Reply, address};
use crate::error::Result;
use crate::host::Host;
use crate::model::Context;

/// The media type of Prometheus's text format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Nothing is to be done between requests.
const TICK: Duration = Duration::from_secs(24 * 60 * 60);
/// How long requests under way may take once the scheduler is to end.
const GRACE: Duration = Duration::from_secs(5);

/// The answers, given by threads of their own.
pub(super) struct Metrics(Listener);

struct Answers(Host);

impl Metrics {
    /// Answers at an address; of a port alone on the loopback. Errors: `invalid`, `already_exists` or `denied` if it cannot be had.
    pub(super) fn serve(host: &Host, text: &str) -> Result<Metrics> {
        let own = match text.parse::<u16>() {
            Ok(port) => format!("127.0.0.1:{port}"),
            Err(_) => text.to_owned(),
        };
        let answers = Box::new(Answers(host.clone()));
        Ok(Metrics(Listener::start(address(&own)?, None, answers, TICK)?))
    }

    /// Where they are to be had.
    pub(super) fn url(&self) -> String {
        format!("http://{}/metrics", self.0.address())
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.0.stop(GRACE);
    }
}

impl Handler for Answers {
    fn answer(&self, _: &Context, head: &Head, _: &mut Body<'_>) -> Reply {
        match (head.method.as_str(), head.path.as_str()) {
            ("GET" | "HEAD", "/metrics") => match self.0.job_metrics() {
                Ok(text) => Reply::new(200)
                    .header("Content-Type", FORMAT)
                    .content(Content::Bytes(Arc::new(text.into_bytes()))),
                Err(error) => self.refuse(500, &error.to_string()),
            },
            (_, "/metrics") => self
                .refuse(405, "the numbers can be read, and nothing else")
                .header("Allow", "GET, HEAD"),
            _ => self.refuse(404, "the numbers are at /metrics"),
        }
    }

    fn refuse(&self, status: u16, message: &str) -> Reply {
        let text = format!("{message}\n").into_bytes();
        Reply::new(status)
            .header("Content-Type", "text/plain; charset=utf-8")
            .content(Content::Bytes(Arc::new(text)))
    }

    fn tick(&self) {}
}
