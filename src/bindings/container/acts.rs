//! The methods of `Container`. An act changes the container, not the facts of the handle: `reload` reads those again.

use rhai::{Dynamic, Map, export_module};
use serde::Deserialize;

use crate::bindings::run::Run;
use crate::bindings::session::Session;
use crate::bindings::stream::Passthrough;
use crate::bindings::{options, subject};
use crate::error::{Error, Result};
use crate::host::{Container, ExecOptions, Sink};
use crate::model::TimeSpan;

/// The options of `wait`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::bindings) struct WaitOptions {
    timeout: Option<TimeSpan>,
    until: Option<String>,
}

/// A command run inside to its end, its output passed through if the options ask for it.
fn run_inside(session: &Session, container: &Container, command: &Dynamic, given: &Map) -> Result<Run> {
    let options: ExecOptions = options::parse(given.clone())?;
    let command = subject::command(command)?.ok_or_else(|| Error::invalid("there is no command to run"))?;
    let through = Passthrough::new(session);
    let sink = |is_error: bool, bytes: &[u8]| through.take(is_error, bytes);
    let sink: Sink<'_> = if options.stream { Some(&sink) } else { None };
    let run = match session.stage() {
        Some(world) => container.play_exec(&command, &options, sink, &world.player("Container.exec", given)),
        None => container.exec(&session.context(), &command, &options, sink),
    };
    Ok(Run::new(session, run?, options.check))
}

fn begin(session: &Session, container: &Container) -> Result<()> {
    match session.stage() {
        Some(world) => container.play_start(&session.context(), &world.player("Container.start", &Map::new())),
        None => container.start(&session.context()),
    }
}

fn text_of(container: &Container, path: &str) -> Result<String> {
    String::from_utf8(container.read_file(path)?).map_err(|_| {
        Error::corrupt(format!("`{path}` in container `{container}` is not UTF-8 text"))
            .target(path)
            .hint("`read_blob` reads any bytes")
    })
}

/// What can be done with a container.
#[export_module(manifest)]
pub mod methods {
    use std::path::Path;

    use super::{WaitOptions, begin, run_inside, text_of};
    use crate::bindings::amount::bytes;
    use crate::bindings::image::change;
    use crate::bindings::prelude::*;
    use crate::bindings::run::Run;
    use crate::bindings::{closure, options, subject, value};
    use crate::host::{Container, Image};

    /// Starts the command; does nothing while it runs.
    ///
    /// Throws `conflict` in a state that forbids it, and `not_found` or `denied` when the command cannot be executed.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.start();
    /// assert::eq(c.wait(), 0);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn start(ctx: NativeCallContext, this: &mut Container) -> Scripted<()> {
        native(&ctx, |session| begin(session, this))
    }

    /// Sends the stop signal and, if that does not end it within its stop timeout (10 seconds by default), kills.
    ///
    /// Does nothing once the container has ended.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "trap 'exit 0' TERM; while true; do sleep 0.05; done");
    /// c.stop();
    /// assert::eq(c.reload().status, "exited");
    /// ```
    #[rhai_fn(name = "stop", return_raw, pure)]
    pub fn stop(ctx: NativeCallContext, this: &mut Container) -> Scripted<()> {
        stop_options(ctx, this, Map::new())
    }

    /// Sends the stop signal and, if that does not end it in time, kills.
    ///
    /// Options: `timeout` (how long it may take to end), `signal`.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// c.stop(#{ timeout: 0.seconds });
    /// assert::eq(c.reload().exit_code, 137);
    /// ```
    #[rhai_fn(name = "stop", return_raw, pure)]
    pub fn stop_options(ctx: NativeCallContext, this: &mut Container, options: Map) -> Scripted<()> {
        native(&ctx, |session| this.stop(&session.context(), &options::parse(options)?))
    }

    /// Sends `SIGKILL`.
    ///
    /// Throws `conflict` unless the container is running.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// c.kill();
    /// assert::eq(c.wait(), 137);
    /// ```
    #[rhai_fn(name = "kill", return_raw, pure)]
    pub fn kill(ctx: NativeCallContext, this: &mut Container) -> Scripted<()> {
        native(&ctx, |_| this.kill(None))
    }

    /// Starts a command in the container and returns once it runs; it goes on by itself, and nobody hears what it writes.
    ///
    /// Throws `conflict` unless the container is running, `not_found` or `denied` for a program that cannot be executed.
    ///
    /// Options: `env`, `workdir`, `user`, `tty`, as for `exec`; the others have no meaning here.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// c.exec_detached(["sleep", "50"], #{});
    /// assert::eq(c.top().len(), 2);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn exec_detached(ctx: NativeCallContext, this: &mut Container, command: Dynamic, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            let options = options::parse(options)?;
            let command = subject::command(&command)?.ok_or_else(|| Error::invalid("there is no command to run"))?;
            Container::exec_detached(this, &session.context(), &command, &options)
        })
    }

    /// Sends a signal, such as `"HUP"` or `"SIGUSR1"`.
    ///
    /// Throws `conflict` unless the container is running, and `invalid` when there is no such signal.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "trap 'exit 7' USR1; while true; do sleep 0.05; done");
    /// sleep(200.millis);
    /// c.kill("USR1");
    /// assert::eq(c.wait(), 7);
    /// ```
    #[rhai_fn(name = "kill", return_raw, pure)]
    pub fn kill_signal(ctx: NativeCallContext, this: &mut Container, signal: &str) -> Scripted<()> {
        native(&ctx, |_| this.kill(Some(signal)))
    }

    /// Stops the container if it runs, then starts it.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "echo started");
    /// c.wait();
    /// c.restart();
    /// c.wait();
    /// assert::eq(c.logs().lines(), ["started", "started"]);
    /// ```
    #[rhai_fn(name = "restart", return_raw, pure)]
    pub fn restart(ctx: NativeCallContext, this: &mut Container) -> Scripted<()> {
        restart_options(ctx, this, Map::new())
    }

    /// Stops the container if it runs, then starts it.
    ///
    /// Options: `timeout` (how long it may take to end), `signal`.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// c.restart(#{ timeout: 0.seconds });
    /// assert::ok(c.reload().running);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "restart", return_raw, pure)]
    pub fn restart_options(ctx: NativeCallContext, this: &mut Container, options: Map) -> Scripted<()> {
        native(&ctx, |session| {
            this.restart(&session.context(), &options::parse(options)?)
        })
    }

    /// Freezes all processes of the container.
    ///
    /// Throws `conflict` unless it is running.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// c.pause();
    /// assert::eq(c.reload().status, "paused");
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn pause(ctx: NativeCallContext, this: &mut Container) -> Scripted<()> {
        native(&ctx, |_| this.pause())
    }

    /// Lets the processes of a paused container go on.
    ///
    /// Throws `conflict` unless it is paused.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// c.pause();
    /// c.unpause();
    /// assert::ok(c.reload().running);
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn unpause(ctx: NativeCallContext, this: &mut Container) -> Scripted<()> {
        native(&ctx, |_| this.unpause())
    }

    /// Waits until the container has ended, and returns the exit code.
    ///
    /// Throws `conflict` when it was never started.
    ///
    /// ```rhai,images
    /// assert::eq(container::run_detached("tools", "exit 3").wait(), 3);
    /// ```
    #[rhai_fn(name = "wait", return_raw, pure)]
    pub fn wait(ctx: NativeCallContext, this: &mut Container) -> Scripted<INT> {
        wait_options(ctx, this, Map::new())
    }

    /// Waits until the container has ended, and returns the exit code.
    ///
    /// Options: `timeout` (throws `timeout` when it has not ended by then; it runs on), `until`: what to wait for instead of the end, a
    /// state, `"healthy"`, `"unhealthy"` or `"removed"`, for which it returns 0. Waiting for `"healthy"` throws `conflict` once the
    /// container has ended or is unhealthy. Of a container that its restart policy starts again it is the end of the run that is
    /// going on, or of the next.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// assert::throws("timeout", || c.wait(#{ timeout: 20.millis }));
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "wait", return_raw, pure)]
    pub fn wait_options(ctx: NativeCallContext, this: &mut Container, options: Map) -> Scripted<INT> {
        native(&ctx, |session| {
            let WaitOptions { timeout, until } = options::parse(options)?;
            let (ctx, limit) = (session.context(), timeout.map(|span| span.0));
            match until.as_deref() {
                None | Some("exited") => this.wait(&ctx, limit).map(INT::from),
                Some(word) => this.wait_until(&ctx, word, limit).map(|()| 0),
            }
        })
    }

    /// Removes the container with everything it wrote.
    ///
    /// Throws `conflict` while it runs.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.remove();
    /// assert::ok(!container::exists(c));
    /// ```
    #[rhai_fn(name = "remove", return_raw, pure)]
    pub fn remove(ctx: NativeCallContext, this: &mut Container) -> Scripted<()> {
        remove_options(ctx, this, Map::new())
    }

    /// Removes the container with everything it wrote.
    ///
    /// Options: `force` (kill it first if it runs), `volumes` (remove the volumes that nothing else uses, too).
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// c.remove(#{ force: true });
    /// assert::ok(!container::exists(c));
    /// ```
    #[rhai_fn(name = "remove", return_raw, pure)]
    pub fn remove_options(ctx: NativeCallContext, this: &mut Container, options: Map) -> Scripted<()> {
        native(&ctx, |_| this.remove(&options::parse(options)?))
    }

    /// Runs a further command inside to its end and returns the `Run`.
    ///
    /// The command is an array of words, or one string, which the shell of the image runs. Throws `conflict` unless the container
    /// is running, and `exit_status` when the exit code is not 0.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// assert::eq(c.exec(["echo", "hello"]).text(), "hello");
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "exec", return_raw, pure)]
    pub fn exec(ctx: NativeCallContext, this: &mut Container, command: Dynamic) -> Scripted<Run> {
        exec_options(ctx, this, command, Map::new())
    }

    /// Runs a further command inside to its end and returns the `Run`.
    ///
    /// Options: `env`, `workdir`, `user`, `stdin` (text or a blob), `tty` (the command has a terminal, as with `container::run`),
    /// `check` (default `true`: throw `exit_status` when the exit code is not 0), `stream` (pass output through as it comes),
    /// `timeout` (throws `timeout`).
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"]);
    /// assert::eq(c.exec("exit 3", #{ check: false }).code, 3);
    /// assert::eq(c.exec("echo $NAME", #{ env: #{ NAME: "web" } }).text(), "web");
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "exec", return_raw, pure)]
    pub fn exec_options(ctx: NativeCallContext, this: &mut Container, command: Dynamic, options: Map) -> Scripted<Run> {
        native(&ctx, |session| run_inside(session, this, &command, &options))
    }

    /// What the container wrote so far to standard output and standard error, in the order of writing.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "echo out; echo err >&2");
    /// c.wait();
    /// assert::eq(c.logs().lines().len(), 2);
    /// ```
    #[rhai_fn(name = "logs", return_raw, pure)]
    pub fn logs(ctx: NativeCallContext, this: &mut Container) -> Scripted<String> {
        logs_options(ctx, this, Map::new())
    }

    /// What the container wrote so far, in the order of writing.
    ///
    /// Options: `tail` (the last so many lines), `since`, `until` (an age or a time), `stream` (`"all"`, the default, `"stdout"` or
    /// `"stderr"`), `timestamps` (put the time before each line).
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "echo one; echo two");
    /// c.wait();
    /// assert::eq(c.logs(#{ tail: 1, stream: "stdout" }), "two\n");
    /// ```
    #[rhai_fn(name = "logs", return_raw, pure)]
    pub fn logs_options(ctx: NativeCallContext, this: &mut Container, options: Map) -> Scripted<String> {
        native(&ctx, |_| this.logs(&options::parse(options)?))
    }

    /// Calls a closure with each line the container wrote and writes, as it comes, until the container ends.
    ///
    /// Lines come without their ends; what comes after the last one is a line, too. When the closure returns `false`, that is
    /// enough.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "for n in 1 2 3; do echo line $n; sleep 0.1; done");
    /// let lines = [];
    /// c.follow(|line| lines.push(line));
    /// assert::eq(lines, ["line 1", "line 2", "line 3"]);
    /// ```
    #[rhai_fn(name = "follow", return_raw, pure)]
    pub fn follow(ctx: NativeCallContext, this: &mut Container, each: FnPtr) -> Scripted<()> {
        follow_options(ctx, this, each, Map::new())
    }

    /// Calls a closure with each line the container wrote and writes, as it comes, until the container ends.
    ///
    /// Options: those of `logs`; with `tail` the last so many of the lines that are there, and all that come.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "echo old; while true; do echo new; sleep 0.1; done");
    /// c.follow(|line| line != "new", #{ timestamps: false });
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(name = "follow", return_raw, pure)]
    pub fn follow_options(ctx: NativeCallContext, this: &mut Container, each: FnPtr, options: Map) -> Scripted<()> {
        let mut thrown = None;
        native(&ctx, |session| {
            this.follow(&session.context(), &options::parse(options)?, &mut |line| {
                let answer = closure::call(&ctx, &each, (line,));
                Ok(match answer {
                    Ok(answer) => answer.as_bool() != Ok(false),
                    Err(error) => {
                        thrown = Some(error);
                        false
                    }
                })
            })
        })?;
        thrown.map_or(Ok(()), Err)
    }

    /// Copies a file or directory of this machine inside; into a directory that exists it goes under its own name.
    ///
    /// A `host_path` of `-` is a tarball on standard input: what is in it goes into the directory `path`, with its owners.
    ///
    /// Throws `not_found` for either side, and `conflict` when a directory is in the way.
    ///
    /// ```rhai,images
    /// let path = fs::temp_file();
    /// fs::write(path, "hello");
    /// let c = container::create("tools", ["true"]);
    /// c.copy_in(path, "/greeting");
    /// assert::eq(c.read_file("/greeting"), "hello");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn copy_in(ctx: NativeCallContext, this: &mut Container, host_path: &str, path: &str) -> Scripted<()> {
        native(&ctx, |session| {
            this.copy_in(&session.context(), host_path, path)?;
            if session.plan().is_some()
                && let Ok(content) = session.files().read(Path::new(host_path))
            {
                this.imagine_file(path, content);
            }
            Ok(())
        })
    }

    /// Copies a file or directory out to this machine; into a directory that exists it goes under its own name.
    ///
    /// A `host_path` of `-` is standard output, which gets a tarball.
    ///
    /// Throws `not_found` for either side, and `conflict` when a directory is in the way.
    ///
    /// ```rhai,images
    /// let dir = fs::temp_dir();
    /// let c = container::create("tools", ["true"]);
    /// c.write_file("/greeting", "hello");
    /// c.copy_out("/greeting", dir);
    /// assert::eq(fs::read(dir + "/greeting"), "hello");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn copy_out(ctx: NativeCallContext, this: &mut Container, path: &str, host_path: &str) -> Scripted<()> {
        native(&ctx, |session| {
            session.write_archive(host_path, || this.copy_out(&session.context(), path, host_path))
        })
    }

    /// The text of a file inside, of at most 64 MiB.
    ///
    /// Throws `not_found`, `corrupt` when it is not UTF-8, and `invalid` when it is not a regular file or is larger.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.write_file("/greeting", "hello");
    /// assert::eq(c.read_file("/greeting"), "hello");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn read_file(ctx: NativeCallContext, this: &mut Container, path: &str) -> Scripted<String> {
        native(&ctx, |_| text_of(this, path))
    }

    /// The bytes of a file inside, of at most 64 MiB.
    ///
    /// Throws `not_found`, and `invalid` when it is not a regular file or is larger.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.write_file("/greeting", "hi");
    /// assert::eq(c.read_blob("/greeting").len(), 2);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn read_blob(ctx: NativeCallContext, this: &mut Container, path: &str) -> Scripted<Blob> {
        native(&ctx, |_| this.read_file(path))
    }

    /// Writes text or a blob to a file inside, in place of what it was; its directory must exist.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["cat", "/greeting"]);
    /// c.write_file("/greeting", "hello");
    /// c.start();
    /// c.wait();
    /// assert::eq(c.logs(), "hello");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn write_file(ctx: NativeCallContext, this: &mut Container, path: &str, content: Dynamic) -> Scripted<()> {
        native(&ctx, |_| this.write_file(path, &subject::content(&content)?))
    }

    /// Writes the whole file system, volumes excepted, to a tarball and returns the number of its bytes.
    ///
    /// An existing file is replaced once the new one is whole. A path of `-` is standard output.
    ///
    /// ```rhai,images
    /// let path = fs::temp_dir() + "/root.tar";
    /// let size = container::create("tools", ["true"]).export_tar(path);
    /// assert::eq(size, fs::size(path));
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn export_tar(ctx: NativeCallContext, this: &mut Container, path: &str) -> Scripted<INT> {
        native(&ctx, |session| {
            let export = || this.export_tar(&session.context(), Path::new(path));
            Ok(bytes(session.write_archive(path, export)?))
        })
    }

    /// Makes an image without a name of what the container changed over its own image.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.write_file("/greeting", "hello");
    /// assert::eq(container::run(c.commit(), ["cat", "/greeting"]).text(), "hello");
    /// ```
    #[rhai_fn(name = "commit", return_raw, pure)]
    pub fn commit(ctx: NativeCallContext, this: &mut Container) -> Scripted<Image> {
        native(&ctx, |session| {
            this.commit(&session.context(), None, &options::parse(Map::new())?)
        })
    }

    /// Makes an image of what the container changed over its own image, and names it.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.write_file("/greeting", "hello");
    /// assert::eq(c.commit("tools:greeting").name, "tools:greeting");
    /// ```
    #[rhai_fn(name = "commit", return_raw, pure)]
    pub fn commit_name(ctx: NativeCallContext, this: &mut Container, name: &str) -> Scripted<Image> {
        commit_options(ctx, this, name, Map::new())
    }

    /// Makes an image of what the container changed over its own image, and names it.
    ///
    /// Options: `changes` (lines of a Dockerfile: `CMD`, `ENV`, `LABEL`, …), `message` (a remark for the history), `author`, `pause`
    /// (default `true`: freeze a running container meanwhile), `squash` (one layer of all). An empty name is none.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// let img = c.commit("greeter", #{ changes: [`CMD ["echo", "hello"]`], message: "a greeting" });
    /// assert::eq(container::run(img).text(), "hello");
    /// ```
    #[rhai_fn(name = "commit", return_raw, pure)]
    pub fn commit_options(ctx: NativeCallContext, this: &mut Container, name: &str, options: Map) -> Scripted<Image> {
        native(&ctx, |session| {
            let name = Some(name).filter(|name| !name.is_empty());
            this.commit(&session.context(), name, &options::parse(options)?)
        })
    }

    /// What the container changed over its image, as maps of `kind` (`added`, `changed` or `deleted`), `path` and `size`.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.write_file("/greeting", "hello");
    /// assert::eq(c.diff(), [#{ kind: "added", path: "/greeting", size: 5 }]);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn diff(ctx: NativeCallContext, this: &mut Container) -> Scripted<Array> {
        native(&ctx, |session| {
            Ok(this.diff(&session.context())?.iter().map(change).collect())
        })
    }

    /// Gives the container another name.
    ///
    /// Throws `already_exists` when the name is taken, and `invalid` for a bad name.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// c.rename("web");
    /// assert::eq(c.reload().name, "web");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn rename(ctx: NativeCallContext, this: &mut Container, name: &str) -> Scripted<()> {
        native(&ctx, |_| this.rename(name))
    }

    /// All that is known of the container now, in Docker's field names.
    ///
    /// Throws `not_found` once the container is removed.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"]);
    /// assert::eq(c.inspect().State.Status, "created");
    /// c.update(#{ restart: "always" });
    /// assert::eq(c.inspect().HostConfig.RestartPolicy.Name, "always");
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn inspect(ctx: NativeCallContext, this: &mut Container) -> Scripted<Dynamic> {
        native(&ctx, |session| {
            Ok(value::from_json(&this.reload()?.inspect(&session.context())?))
        })
    }

    /// Reads the facts again, and returns the container with them.
    ///
    /// Throws `not_found` once the container is removed.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["true"]);
    /// c.wait();
    /// assert::eq(c.reload().status, "exited");
    /// assert::eq(c.status, "exited");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn reload(ctx: NativeCallContext, this: &mut Container) -> Scripted<Container> {
        native(&ctx, |_| {
            *this = this.reload()?;
            Ok(this.clone())
        })
    }
}
