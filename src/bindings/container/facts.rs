//! The getters of `Container`: facts of the moment the container was got.

use rhai::export_module;

/// What is known of a container.
#[export_module(manifest)]
pub mod getters {
    use crate::bindings::amount::bytes;
    use crate::bindings::prelude::*;
    use crate::bindings::subject::texts;
    use crate::bindings::time::Time;
    use crate::bindings::value::{list, or_unit};
    use crate::host::Container;

    /// The container id: 64 hexadecimal digits.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).id.len(), 64);
    /// ```
    #[rhai_fn(get = "id", pure)]
    pub fn id(this: &mut Container) -> String {
        this.id().as_str().to_owned()
    }

    /// The first twelve digits of the id.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).short_id.len(), 12);
    /// ```
    #[rhai_fn(get = "short_id", pure)]
    pub fn short_id(this: &mut Container) -> String {
        this.id().short().to_owned()
    }

    /// The name.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"], #{ name: "web" }).name, "web");
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub fn name(this: &mut Container) -> String {
        this.name().to_owned()
    }

    /// The bytes of the files that it has written, without those of its image.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "echo hello > /file");
    /// c.wait();
    /// assert::eq(c.size, 6);
    /// c.remove();
    /// ```
    #[rhai_fn(get = "size", return_raw, pure)]
    pub fn size(ctx: NativeCallContext, this: &mut Container) -> Scripted<INT> {
        native(&ctx, |_| Ok(bytes(Container::size(this)?)))
    }

    /// The image the container was made from, as the script named it.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).image, "tools");
    /// ```
    #[rhai_fn(get = "image", pure)]
    pub fn image(this: &mut Container) -> String {
        this.image().to_owned()
    }

    /// The id of the image the container was made from.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).image_id, image::get("tools").id);
    /// ```
    #[rhai_fn(get = "image_id", pure)]
    pub fn image_id(this: &mut Container) -> String {
        this.image_id().to_string()
    }

    /// The words the container executes.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["echo", "hi"]).cmd, ["echo", "hi"]);
    /// ```
    #[rhai_fn(get = "cmd", pure)]
    pub fn cmd(this: &mut Container) -> Array {
        list(this.command())
    }

    /// The state: `created`, `restarting`, `running`, `paused`, `exited`, `dead` or `removing`.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).status, "created");
    /// ```
    #[rhai_fn(get = "status", pure)]
    pub fn status(this: &mut Container) -> String {
        this.status().to_string()
    }

    /// Whether its process lives and is not paused.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).running, false);
    /// ```
    #[rhai_fn(get = "running", pure)]
    pub fn running(this: &mut Container) -> bool {
        this.running()
    }

    /// The exit code of the last run; `()` while it runs or if it never did.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", "exit 3");
    /// c.wait();
    /// assert::eq(c.reload().exit_code, 3);
    /// ```
    #[rhai_fn(get = "exit_code", pure)]
    pub fn exit_code(this: &mut Container) -> Dynamic {
        or_unit(this.exit_code().map(INT::from))
    }

    /// Whether the last run was killed because its memory limit was reached.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).oom_killed, false);
    /// ```
    #[rhai_fn(get = "oom_killed", pure)]
    pub fn oom_killed(this: &mut Container) -> bool {
        this.oom_killed()
    }

    /// Why the last run failed to start or lost its exit code; `()` if it did not.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).error, ());
    /// ```
    #[rhai_fn(get = "error", pure)]
    pub fn error(this: &mut Container) -> Dynamic {
        or_unit(this.error().map(str::to_owned))
    }

    /// The id of the first process, as this machine sees it; `()` unless the container runs.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).pid, ());
    /// ```
    #[rhai_fn(get = "pid", pure)]
    pub fn pid(this: &mut Container) -> Dynamic {
        or_unit(this.pid().map(INT::from))
    }

    /// When the container was made.
    ///
    /// ```rhai,images
    /// assert::ok(container::create("tools", ["true"]).created.age < 1.minutes);
    /// ```
    #[rhai_fn(get = "created", pure)]
    pub fn created(this: &mut Container) -> Time {
        Time::new(this.created())
    }

    /// When the container was started last; `()` if it never was.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).started, ());
    /// ```
    #[rhai_fn(get = "started", pure)]
    pub fn started(this: &mut Container) -> Dynamic {
        or_unit(this.started().map(Time::new))
    }

    /// When the last run ended; `()` while it runs or if it never did.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["true"]);
    /// c.wait();
    /// c.reload();
    /// assert::ok(c.finished >= c.started);
    /// ```
    #[rhai_fn(get = "finished", pure)]
    pub fn finished(this: &mut Container) -> Dynamic {
        or_unit(this.finished().map(Time::new))
    }

    /// The labels, the image's included.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"], #{ labels: #{ tier: "web" } });
    /// assert::eq(c.labels.tier, "web");
    /// ```
    #[rhai_fn(get = "labels", pure)]
    pub fn labels(this: &mut Container) -> Map {
        texts(this.labels())
    }

    /// The places inside that are shown from elsewhere, as maps of `kind`, `source`, `target` and `read_only`.
    ///
    /// ```rhai,images
    /// let c = container::create("tools", ["true"], #{ tmpfs: "/scratch" });
    /// assert::eq(c.mounts[0].target, "/scratch");
    /// ```
    #[rhai_fn(get = "mounts", pure)]
    pub fn mounts(this: &mut Container) -> Array {
        this.mounts()
            .iter()
            .map(|mount| super::super::mount(mount).into())
            .collect()
    }

    /// The networks the container is on.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).networks, ["none"]);
    /// ```
    #[rhai_fn(get = "networks", pure)]
    pub fn networks(this: &mut Container) -> Array {
        list(this.networks())
    }

    /// The address of the container on its network; `()` on the networks `none`, which has none, and `host`, which is the host's.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).ip, ());
    /// ```
    #[rhai_fn(get = "ip", pure)]
    pub fn ip(_this: &mut Container) -> Dynamic {
        Dynamic::UNIT
    }

    /// The ports its image exposes, each with the host's ports it is published on: `()`, for on the networks `none` and `host`
    /// nothing is published.
    ///
    /// ```rhai,images
    /// let web = container::create("tools", ["true"]);
    /// assert::eq(web.ports, #{});
    /// ```
    #[rhai_fn(get = "ports", pure)]
    pub fn ports(this: &mut Container) -> Map {
        this.exposed_ports().map(|port| (port.into(), Dynamic::UNIT)).collect()
    }

    /// How often the container was started again because it had ended.
    ///
    /// ```rhai,images
    /// assert::eq(container::create("tools", ["true"]).restart_count, 0);
    /// ```
    #[rhai_fn(get = "restart_count", pure)]
    pub fn restart_count(this: &mut Container) -> INT {
        this.restart_count().into()
    }

    /// What its health check says, as a map of `status` (`"starting"`, `"healthy"` or `"unhealthy"`), `failing_streak` (failures since
    /// the last success) and `log`, the last five results as maps of `start`, `end`, `exit_code` (0 is healthy, -1 took too long or could
    /// not be run) and `output`; `()` for a container whose health is not checked, or that was never started.
    ///
    /// ```rhai,images
    /// let c = container::run_detached("tools", ["sleep", "60"], #{ health: #{ cmd: ["true"], interval: 10.millis } });
    /// c.wait(#{ until: "healthy" });
    /// assert::eq(c.reload().health.status, "healthy");
    /// c.remove(#{ force: true });
    /// ```
    #[rhai_fn(get = "health", pure)]
    pub fn health(this: &mut Container) -> Dynamic {
        or_unit(this.health().map(super::super::health))
    }
}
