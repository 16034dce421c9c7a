//! `fake::`: what a test puts in the place of containers, images and registries.

mod outside;
pub mod world;

use rhai::export_module;
use serde::Deserialize;

use super::session::Session;
use crate::config::Config;
use crate::error::{Context as _, Error, Result};
use crate::host::Host;
use crate::server::registry::{RegistryOptions, serve};

pub use world::{Ran, World};

/// The options of `fake::script`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ScriptOptions {
    dry_run: bool,
}

/// The world of the test that runs. Errors: `unsupported` outside of tests.
fn world(session: &Session) -> Result<&World> {
    session.world().ok_or_else(|| {
        Error::unsupported("`fake::` is for tests")
            .hint("put it into `fn test_…()` of a file NAME.test.rhai: `hoist test` runs it")
    })
}

/// A registry over a store of its own, that takes what is sent; returns its address.
fn registry(session: &Session) -> Result<String> {
    world(session)?;
    let dir = tempfile::Builder::new().prefix("hoist-test-registry-").tempdir();
    let dir = dir.during(|| "make a directory for a registry")?.keep();
    session.keep_temporary(dir.clone());
    let config = Config::new(Some(dir.join("store")), Some(dir.join("run")), false)?;
    let options = RegistryOptions {
        listen: Some("127.0.0.1:0".to_owned()),
        write: true,
        delete: true,
        ..RegistryOptions::default()
    };
    let server = serve(&Host::open(&config, None)?, &options, |_| {})?;
    let address = server.address().to_string();
    session.keep_server(server);
    Ok(address)
}

/// What a test puts in the place of the outside.
#[export_module(manifest)]
pub mod functions {
    use super::{ScriptOptions, registry as start, world};
    use crate::bindings::prelude::*;
    use crate::bindings::{options, subject};
    use crate::host::Image;

    /// Has a command in containers played instead of run, here and in all that the test calls.
    ///
    /// `image` and `command` are patterns over the image's name and the command's words, joined by spaces, or its line for the shell. The
    /// answer is text, which goes to standard output, or a map of `stdout`, `stderr`, `code` and `health` (`"healthy"`, `"unhealthy"` or
    /// `"starting"`); an array of these, one for each call, of which the last stays; or a closure that gets the call and returns one of
    /// these. The call is a map of `function`, `image`, `name`, `cmd` (words), `line` and `options`, as `fake::calls` has it.
    ///
    /// `container::run` and `exec` return what is played. A container that is started in the background runs on, unless the answer has a
    /// `code`: then it has ended with it. Its log is what is played. Where several fakes fit, the last counts.
    ///
    /// From the first fake on no container of the test is run, so the test needs no rights; a command that nobody answers for
    /// throws `unsupported`, and fails the test even if that is caught.
    ///
    /// ```rhai,test
    /// fake::image("app:1");
    /// fake::container("app:*", "migrate*", #{ stdout: "3 migrations\n" });
    /// fake::container("app:*", "check", |asked| #{ code: if asked.options.env.MODE == "strict" { 1 } else { 0 } });
    /// assert::eq(container::run("app:1", ["migrate", "--all"]).text(), "3 migrations");
    /// assert::throws("exit_status", || container::run("app:1", ["check"], #{ env: #{ MODE: "strict" } }));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn container(ctx: NativeCallContext, image: &str, command: &str, answer: Dynamic) -> Scripted<()> {
        native(&ctx, |session| {
            world(session)?.add(image, command, answer)?;
            session.host()?.set_stage();
            Ok(())
        })
    }

    /// Has programs of this machine played instead of run: `host::exec`, and `notify::mail` as `sendmail ADDRESS…`.
    ///
    /// `command` is a pattern over the words, joined by spaces, or the line for the shell. The answer is as for `fake::container`: text, a
    /// map of `stdout`, `stderr` and `code`, an array of these, or a closure that gets the call.
    ///
    /// From the first of these on no program is run; one that nobody answers for throws `unsupported`, and fails the test.
    ///
    /// ```rhai,test
    /// fake::exec("git describe*", "v1.2\n");
    /// fake::exec("git push*", #{ code: 1, stderr: "rejected" });
    /// assert::eq(host::exec(["git", "describe", "--tags"]).text(), "v1.2");
    /// assert::throws("exit_status", || host::exec("git push origin"));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn exec(ctx: NativeCallContext, command: &str, answer: Dynamic) -> Scripted<()> {
        native(&ctx, |session| world(session)?.add_program(command, answer))
    }

    /// Has other machines played instead of asked: `http::`, `notify::webhook` and `notify::slack`.
    ///
    /// `request` is a pattern over the method and the address, such as `"GET https://api.example.org/*"`. The answer is text, a map of
    /// `status`, `headers`, and `body` or `json`, an array of these, one for each call, or a closure that gets the call: a map of `function`,
    /// `method`, `url`, `line` and `options`.
    ///
    /// From the first of these on nobody is asked; a request that nobody answers throws `unsupported`, and fails the test.
    ///
    /// ```rhai,test
    /// fake::http("GET https://api.example.org/*", #{ json: #{ version: 3 } });
    /// fake::http("POST *", #{ status: 201 });
    /// assert::eq(http::get("https://api.example.org/app").json().version, 3);
    /// notify::slack(secret::env("PATH"), "deployed");
    /// assert::eq(fake::calls().map(|asked| asked.method), ["GET", "POST"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn http(ctx: NativeCallContext, request: &str, answer: Dynamic) -> Scripted<()> {
        native(&ctx, |session| world(session)?.add_request(request, answer))
    }

    /// What was asked of fakes, in order: maps of `function`, `line`, `options`, and of `image`, `name` and `cmd`, or `method` and `url`.
    ///
    /// ```rhai,test
    /// fake::image("app:1");
    /// fake::container("*", "*", "");
    /// container::run("app:1", "echo hello");
    /// assert::eq(fake::calls().map(|asked| asked.line), ["echo hello"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn calls(ctx: NativeCallContext) -> Scripted<Array> {
        native(&ctx, |session| Ok(world(session)?.calls()))
    }

    /// Makes a small image in the store of the test.
    ///
    /// ```rhai,test
    /// assert::eq(fake::image("app:1").tags, ["app:1"]);
    /// ```
    #[rhai_fn(name = "image", return_raw)]
    pub fn image(ctx: NativeCallContext, name: &str) -> Scripted<Image> {
        image_options(ctx, name, Map::new())
    }

    /// Makes a small image in the store of the test. No two are alike.
    ///
    /// Options: `files` (a map of paths and text or blobs), `size` (bytes beside them), `created` (a time, or how long ago), `cmd`, `env`,
    /// `labels`, `platform`.
    ///
    /// ```rhai,test
    /// let old = fake::image("app:1", #{ created: 40.days, size: 1.mib, labels: #{ tier: "web" } });
    /// assert::ok(old.age > 39.days && old.size > 1.mib);
    /// assert::eq(image::prune(#{ reference: "app:*", older_than: 30.days, unused: true }).removed.len(), 1);
    /// ```
    #[rhai_fn(name = "image", return_raw)]
    pub fn image_options(ctx: NativeCallContext, name: &str, options: Map) -> Scripted<Image> {
        native(&ctx, |session| {
            let options = options::parse(options)?;
            world(session)?;
            session.host()?.sketch_image(&session.context(), name, &options)
        })
    }

    /// Starts a registry of the test's own, which is empty and takes pushes and deletions, and returns its address.
    ///
    /// ```rhai,test
    /// let registry = fake::registry();
    /// image::push(fake::image("app:1"), registry + "/team/app:1");
    /// assert::eq(registry::tags(registry + "/team/app"), ["1"]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn registry(ctx: NativeCallContext) -> Scripted<String> {
        native(&ctx, start)
    }

    /// Runs a script in the world of the test: its store, its fakes. Returns a map of `code`, `stdout` and `stderr`.
    ///
    /// The path is taken from the directory of the test's file.
    ///
    /// ```rhai,test
    /// let dir = fs::temp_dir();
    /// fs::write(dir + "/hello.rhai", "print(\"hello \" + args[0]); exit(3)");
    /// assert::eq(fake::script(dir + "/hello.rhai", ["world"]), #{ code: 3, stdout: "hello world\n", stderr: "" });
    /// ```
    #[rhai_fn(name = "script", return_raw)]
    pub fn script(ctx: NativeCallContext, path: &str, args: Array) -> Scripted<Map> {
        script_options(ctx, path, args, Map::new())
    }

    /// Runs a script in the world of the test: its store, its fakes. Returns a map of `code`, `stdout` and `stderr`.
    ///
    /// Options: `dry_run` (as under `--dry-run`: nothing is changed, and what would be is told in `stderr`).
    ///
    /// ```rhai,test
    /// fake::image("app:1");
    /// let script = fs::temp_dir() + "/clean.rhai";
    /// fs::write(script, "image::remove(args[0])");
    /// assert::eq(fake::script(script, ["app:1"], #{ dry_run: true }).code, 0);
    /// assert::ok(image::exists("app:1"));
    /// ```
    #[rhai_fn(name = "script", return_raw)]
    pub fn script_options(ctx: NativeCallContext, path: &str, args: Array, options: Map) -> Scripted<Map> {
        native(&ctx, |session| {
            let options: ScriptOptions = options::parse(options)?;
            let args = subject::words(&args)?;
            let ran = world(session)?.run(session, path, args, options.dry_run)?;
            Ok(Map::from([
                ("code".into(), INT::from(ran.code).into()),
                ("stdout".into(), ran.stdout.into()),
                ("stderr".into(), ran.stderr.into()),
            ]))
        })
    }
}
