//! `Server`: a registry that is being served.

use rhai::export_module;
use serde_json::json;

use crate::bindings::object::Object;
use crate::server::registry::{self, RegistryOptions};

/// A registry that is being served, or would be. Clones are the same server.
#[derive(Clone)]
pub struct Server {
    address: String,
    url: String,
    /// Nothing under dry-run.
    running: Option<registry::Server>,
}

impl Server {
    /// The one that would be served.
    pub(super) fn planned(options: &RegistryOptions) -> Server {
        let address = options.listen.clone().unwrap_or_else(|| "127.0.0.1:5000".to_owned());
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        Server {
            url: format!("{scheme}://{address}"),
            address,
            running: None,
        }
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }
}

impl From<registry::Server> for Server {
    fn from(server: registry::Server) -> Server {
        Server {
            address: server.address().to_string(),
            url: server.url(),
            running: Some(server),
        }
    }
}

impl PartialEq for Server {
    fn eq(&self, other: &Server) -> bool {
        self.url == other.url
    }
}

impl Object for Server {
    const NAME: &'static str = "Server";
    const COLUMNS: &'static [&'static str] = &["URL"];

    fn text(&self) -> String {
        self.url.clone()
    }

    fn cells(&self) -> Vec<String> {
        vec![self.url.clone()]
    }

    fn json(&self) -> serde_json::Value {
        json!({"addr": self.address, "url": self.url})
    }
}

/// A registry that is being served.
#[export_module(manifest)]
pub mod methods {
    use super::Server;
    use crate::bindings::prelude::*;

    /// Address and port, as they stand before a repository in a reference.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::ok(server.addr.starts_with("127.0.0.1:"));
    /// ```
    #[rhai_fn(get = "addr", pure)]
    pub fn addr(this: &mut Server) -> String {
        this.address()
    }

    /// The URL.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// assert::eq(server.url, "http://" + server.addr);
    /// ```
    #[rhai_fn(get = "url", pure)]
    pub fn url(this: &mut Server) -> String {
        this.url.clone()
    }

    /// Takes no more requests, and lets those under way end, for up to 30 seconds.
    ///
    /// ```rhai,images
    /// let server = registry::serve(#{ listen: "127.0.0.1:0" });
    /// server.stop();
    /// ```
    #[rhai_fn(name = "stop", return_raw)]
    pub fn stop(ctx: NativeCallContext, this: &mut Server) -> Scripted<()> {
        native(&ctx, |_| {
            if let Some(server) = &this.running {
                server.stop();
            }
            Ok(())
        })
    }
}
