//! A container in the field names of Docker's `GET /containers/{id}/json`.

use serde_json::{Value, json};

use super::{Container, Status, host_config};
use crate::error::Result;
use crate::model::Context;
use crate::runtime::{Health, ProbeResult};

/// The storage driver, by the name of its file system.
const DRIVER: &str = "overlay";

impl Container {
    /// All that is known of it.
    pub fn inspect(&self, ctx: &Context) -> Result<Value> {
        let recipe = &self.facts.recipe;
        let mut command = self.command().into_iter();
        let path = command.next();
        let dir = self.bundle().dir;
        Ok(json!({
            "Id": self.id(),
            "Created": self.created().to_string(),
            "Path": path,
            "Args": command.collect::<Vec<_>>(),
            "State": self.state(),
            "Image": self.image_id(),
            "ResolvConfPath": dir.join("resolv.conf"),
            "HostnamePath": dir.join("hostname"),
            "HostsPath": dir.join("hosts"),
            "LogPath": dir.join("log"),
            "Name": format!("/{}", self.name()),
            "RestartCount": self.restart_count(),
            "Driver": DRIVER,
            "Platform": "linux",
            "MountLabel": "",
            "ProcessLabel": "",
            "AppArmorProfile": recipe.apparmor,
            "ExecIDs": null,
            "HostConfig": host_config::of(recipe),
            "GraphDriver": { "Name": DRIVER, "Data": self.graph_data(ctx)? },
            "Mounts": recipe.mounts.iter().map(|mount| self.mount(mount)).collect::<Vec<_>>(),
            "Config": self.config(),
        }))
    }

    fn state(&self) -> Value {
        let time =
            |time: Option<jiff::Timestamp>| time.map_or("0001-01-01T00:00:00Z".to_owned(), |time| time.to_string());
        let mut state = json!({
            "Status": self.status().to_string(),
            "Running": matches!(self.status(), Status::Running | Status::Paused | Status::Restarting),
            "Paused": self.status() == Status::Paused,
            "Restarting": self.status() == Status::Restarting,
            "OOMKilled": self.oom_killed(),
            "Dead": self.status() == Status::Dead,
            "Pid": self.pid().unwrap_or(0),
            "ExitCode": self.exit_code().unwrap_or(0),
            "Error": self.error().unwrap_or(""),
            "StartedAt": time(self.started()),
            "FinishedAt": time(self.finished()),
        });
        if let Some(health) = self.health() {
            state["Health"] = inspected_health(health);
        }
        state
    }

    fn config(&self) -> Value {
        let recipe = &self.facts.recipe;
        let mut config = json!({
            "Domainname": "",
            "User": "",
            "AttachStdin": false,
            "AttachStdout": false,
            "AttachStderr": false,
            "StdinOnce": false,
            "Env": [],
            "Cmd": null,
            "Volumes": null,
            "WorkingDir": "",
            "Entrypoint": null,
            "OnBuild": null,
            "Labels": {},
        });
        if let Ok(Value::Object(own)) = serde_json::to_value(&recipe.config) {
            own.into_iter().for_each(|(key, value)| config[key] = value);
        }
        config["Hostname"] = json!(recipe.hostname);
        config["Image"] = json!(self.image());
        config["Tty"] = json!(recipe.tty);
        config["OpenStdin"] = json!(recipe.interactive);
        if let Some(timeout) = recipe.stop_timeout {
            config["StopTimeout"] = json!(timeout.0.as_secs());
        }
        config
    }

    fn mount(&self, mount: &super::Mount) -> Value {
        let source = match mount.kind.as_str() {
            "volume" => self.host.volume_path(&mount.source).display().to_string(),
            _ => mount.source.clone(),
        };
        let name = (mount.kind == "volume").then_some(&mount.source);
        let mut shown = json!({
            "Type": mount.kind,
            "Source": source,
            "Destination": mount.target,
            "Mode": if mount.read_only { "ro" } else { "" },
            "RW": !mount.read_only,
            "Propagation": if mount.kind == "bind" { "rprivate" } else { "" },
        });
        if let Some(name) = name {
            shown["Name"] = json!(name);
            shown["Driver"] = json!("local");
        }
        shown
    }

    /// The directories of the container's root; there is a merged view only while it runs.
    fn graph_data(&self, ctx: &Context) -> Result<Value> {
        let lowers = self.lowers(ctx)?;
        let lowers: Vec<String> = lowers.iter().map(|dir| dir.display().to_string()).collect();
        Ok(json!({
            "LowerDir": lowers.join(":"),
            "UpperDir": self.bundle().upper(),
            "WorkDir": self.bundle().dir.join("work"),
            "MergedDir": self.pid().map(|pid| format!("/proc/{pid}/root")),
        }))
    }
}

fn inspected_health(health: &Health) -> Value {
    let result = |result: &ProbeResult| {
        json!({
            "Start": result.start.to_string(),
            "End": result.end.to_string(),
            "ExitCode": result.exit_code,
            "Output": result.output,
        })
    };
    json!({
        "Status": health.status.name(),
        "FailingStreak": health.failing_streak,
        "Log": health.log.iter().map(result).collect::<Vec<_>>(),
    })
}
