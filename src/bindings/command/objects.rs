//! `cli::inspect`: what is known of things by their names, in Docker's words.

use rhai::Dynamic;
use serde_json::{Value, json};

use super::columns;
use super::complaint::said;
use crate::bindings::session::Session;
use crate::bindings::template::Template;
use crate::error::{Error, Kind, Result};

/// Prints those that there are, then says which are not there; whether all were.
pub(super) fn inspect(session: &Session, names: &[String], kind: &str, format: &Dynamic) -> Result<bool> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        match one(session, name, kind) {
            Ok(value) => found.push(value),
            Err(error) if error.kind() == Kind::NotFound => missing.push((name, error)),
            Err(error) => return Err(error),
        }
    }
    let wish = columns::wish(session, format);
    let rendered = match wish.as_str() {
        "" => columns::pretty(&Value::Array(found)).map(|text| session.print(&text)),
        "json" | "jsonl" => {
            let lines: String = found.iter().map(|value| columns::line(value) + "\n").collect();
            session.print(&lines);
            Ok(())
        }
        template => show(session, &found, template),
    };
    if let Err(error) = rendered {
        // As in Docker, a line of its own for what could not be rendered.
        session.print("\n");
        let message = error.message().trim_start_matches("failed to parse template: ");
        session
            .settings()
            .console
            .talk(&format!("template parsing error: {message}"));
        return Ok(false);
    }
    for (name, error) in &missing {
        session.settings().console.talk(&complaint(session, name, kind, error));
    }
    Ok(missing.is_empty())
}

fn show(session: &Session, found: &[Value], template: &str) -> Result<()> {
    let template = Template::read(&columns::unescaped(template))?;
    found.iter().try_for_each(|value| {
        session.print(&(template.render(value)? + "\n"));
        Ok(())
    })
}

fn complaint(session: &Session, name: &str, kind: &str, error: &Error) -> String {
    let is_docker = session.invoked().is_ok_and(super::Invoked::is_docker);
    match (kind, is_docker) {
        ("", _) => format!("Error: No such object: {name}"),
        (_, true) => format!("Error response from daemon: {}", said(error)),
        (_, false) => format!("Error: {}", said(error)),
    }
}

fn one(session: &Session, name: &str, kind: &str) -> Result<Value> {
    let (host, ctx) = (session.host()?, session.context());
    if kind == "volume" {
        return volume(session, name);
    }
    if kind != "image" {
        match host.container(name) {
            Ok(container) => return session.perform("Container.inspect", &[name.into()], || container.inspect(&ctx)),
            Err(error) if error.kind() == Kind::NotFound && kind.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    let image = session.perform("image::inspect", &[name.into()], || host.image(name)?.inspect());
    match image {
        Err(error) if error.kind() == Kind::NotFound && kind.is_empty() => volume(session, name),
        image => image,
    }
}

/// A volume, as `docker volume inspect` has it.
fn volume(session: &Session, name: &str) -> Result<Value> {
    let volume = session.perform("volume::get", &[name.into()], || session.host()?.volume(name))?;
    let labels = volume.labels();
    Ok(json!({
        "CreatedAt": volume.created().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "Driver": "local",
        "Labels": if labels.is_empty() { Value::Null } else { json!(labels) },
        "Mountpoint": volume.path(),
        "Name": volume.name(),
        "Options": null,
        "Scope": "local",
    }))
}
