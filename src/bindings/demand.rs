//! From a row of the effect table and the arguments of a call to what the call is to be allowed.

use std::path::Path;

use rhai::{Array, Dynamic, Map};

use super::effects::{Act, Effect, Of};
use super::session::Session;
use super::subject;
use crate::config::{Demand, ImageNames, Target};
use crate::error::Result;
use crate::host::{Container, Image, Index, host_of as host_of_url, mailer, path_of_side, program_of, search_place};
use crate::model::Reference;

/// What a call demands.
pub(super) fn demands(session: &Session, acts: &[Act], args: &[&mut Dynamic]) -> Result<Vec<Demand>> {
    let call = Call { session, args };
    let mut demands = Vec::new();
    for (effect, of) in acts {
        call.add(*effect, *of, &mut demands)?;
    }
    Ok(demands)
}

struct Call<'a> {
    session: &'a Session,
    args: &'a [&'a mut Dynamic],
}

impl Call<'_> {
    fn add(&self, effect: Effect, of: Of, demands: &mut Vec<Demand>) -> Result<()> {
        let mut add = |effect, target| demands.push(Demand::new(effect, target));
        let text = |at| self.text(at);
        match of {
            Of::Any => add(effect, Target::Any),
            Of::Each => add(effect, Target::Each),
            Of::Image(at) | Of::WholeImage(at) => {
                let whole = matches!(of, Of::WholeImage(_));
                for value in self.each(at) {
                    add(effect, self.image(&value, whole)?);
                }
            }
            Of::ImageOf(at) => add(effect, self.image_of(at)?),
            Of::Name(at) | Of::NewName(at) => add(effect, text(at).map_or(Target::Any, |text| self.name(&text))),
            Of::Sent(image, dest) => add(effect, self.sent(image, dest)?),
            Of::Retagged(name, tag) => add(effect, self.retagged(name, tag)),
            Of::From(at) if self.args.get(at).is_some_and(|value| value.is::<Image>()) => {
                for value in self.each(at) {
                    add(Effect::Read, self.image(&value, false)?);
                }
            }
            Of::Indexed(at, dest) => {
                let own = self.index(at).map(|index| index.name().to_string());
                let name = text(dest).or(own);
                add(effect, name.map_or(Target::Any, |name| self.name(&name)));
            }
            Of::Gathered(at) => {
                let (names, images) = self.index(at).map(|index| index.sources()).unwrap_or_default();
                for (name, _) in names {
                    match path_of_side(&name) {
                        Some(path) => add(Effect::Fs, self.session.file(&path)),
                        None => add(effect, host_of(&name)),
                    }
                }
                for id in images {
                    add(Effect::Read, self.image(&Dynamic::from(id.to_string()), false)?);
                }
            }
            Of::From(at) | Of::To(at) => {
                let text = text(at).unwrap_or_default();
                match path_of_side(&text) {
                    Some(path) => add(Effect::Fs, self.session.file(&path)),
                    None if matches!(of, Of::From(_)) => add(effect, host_of(&text)),
                    None => add(effect, self.name(&text)),
                }
            }
            Of::Bases => {
                let options = self.options();
                let bases = options
                    .as_ref()
                    .and_then(|options| options.get("rebase")?.read_lock::<Map>());
                let names = bases.into_iter().flat_map(|bases| {
                    words(bases.get("from"))
                        .into_iter()
                        .chain(words(bases.get("to")))
                        .collect::<Vec<_>>()
                });
                for name in names {
                    match path_of_side(&name) {
                        Some(path) => add(Effect::Fs, self.session.file(&path)),
                        None => add(effect, host_of(&name)),
                    }
                }
            }
            Of::Extra(at) if self.flag("delete_extra") => add(effect, self.name(&text(at).unwrap_or_default())),
            Of::Container(at) => add(effect, self.container(at)?),
            Of::Options => self.container_options(demands),
            Of::Host(at) => add(effect, host(&text(at).unwrap_or_default())),
            Of::Searched(at) => {
                let registry = self.option("registry");
                let term = text(at).unwrap_or_default();
                add(effect, host(registry.as_deref().unwrap_or(search_place(&term).0)));
            }
            Of::Path(at) => {
                let paths = self.each(at).into_iter().filter_map(|value| value.into_string().ok());
                // Standard input and output are no files.
                paths
                    .filter(|path| path != "-")
                    .for_each(|path| add(effect, self.path(&path)));
            }
            Of::Glob(at) => add(effect, self.path(&root_of(&text(at).unwrap_or_default()))),
            Of::Own => add(effect, Target::Own(std::env::temp_dir())),
            Of::Listen => {
                let address = self.option("listen").unwrap_or_else(|| "127.0.0.1:5000".to_owned());
                add(effect, Target::Host(address));
                self.option("proxy")
                    .into_iter()
                    .for_each(|proxy| add(effect, host(&proxy)));
            }
            Of::Url(at) | Of::Posted(at) => add(effect, self.machine_of(at)?),
            Of::Volume(at) => add(effect, self.volume(at)),
            Of::Program(at) => add(effect, self.program(at)),
            Of::Mailer => {
                let given = self.option("sendmail");
                let name = mailer(given.as_deref()).ok().or(given);
                add(effect, program(name.as_deref().unwrap_or("sendmail")));
            }
            Of::Served(option) if self.flag(option) => add(effect, Target::Any),
            Of::Repair if self.flag("repair") => add(effect, Target::Any),
            Of::Extra(_) | Of::Served(_) | Of::Repair => {}
        }
        Ok(())
    }

    /// An argument, or each item of an array.
    fn each(&self, at: usize) -> Vec<Dynamic> {
        let Some(value) = self.args.get(at) else {
            return Vec::new();
        };
        match value.read_lock::<Array>() {
            Some(items) => items.to_vec(),
            None => vec![(*value).clone()],
        }
    }

    fn text(&self, at: usize) -> Option<String> {
        self.args
            .get(at)?
            .as_immutable_string_ref()
            .ok()
            .map(|text| text.to_string())
    }

    fn options(&self) -> Option<Map> {
        self.args.last()?.read_lock::<Map>().map(|map| map.clone())
    }

    fn option(&self, key: &str) -> Option<String> {
        self.options()?.get(key)?.clone().into_string().ok()
    }

    fn flag(&self, key: &str) -> bool {
        let value = self.options().and_then(|options| options.get(key).cloned());
        value.is_some_and(|value| value.as_bool().unwrap_or(true))
    }

    /// A name as it is given; what is none fits no rule but one for all.
    fn name(&self, text: &str) -> Target {
        match text.parse() {
            Ok(name) => Target::Image(ImageNames {
                meant: vec![name],
                every_tag: self.flag("all_tags") || self.flag("delete_extra"),
                ..ImageNames::default()
            }),
            Err(_) => Target::Object(vec![text.to_owned()]),
        }
    }

    /// An image. One that goes as a `whole` is all its names, unless it is meant by one name among several.
    fn image(&self, value: &Dynamic, whole: bool) -> Result<Target> {
        let Ok(text) = subject::image(value) else {
            return Ok(Target::Any);
        };
        let given = text.parse::<Reference>().ok().and_then(|name| name.tagged());
        let found = self.session.host()?.find_image(&text).ok().flatten();
        Ok(match (found, given) {
            (Some(image), given) => known(&image, given, whole),
            (None, Some(name)) => Target::named(name),
            (None, None) => Target::Object(vec![text]),
        })
    }

    fn index(&self, at: usize) -> Option<Index> {
        let index = self.args.get(at)?.read_lock::<Index>()?;
        Some(index.clone())
    }

    fn image_of(&self, at: usize) -> Result<Target> {
        let Some(container) = self.args.get(at).and_then(|value| value.read_lock::<Container>()) else {
            return Ok(Target::Any);
        };
        let image = self
            .session
            .host()?
            .find_image(container.image_id().as_str())
            .ok()
            .flatten();
        Ok(image.map_or(Target::Any, |image| known(&image, None, false)))
    }

    fn sent(&self, image: usize, dest: usize) -> Result<Target> {
        if let Some(text) = self.text(dest) {
            return Ok(self.name(&text));
        }
        match self.text(image) {
            Some(text) if text.parse::<Reference>().is_ok() => Ok(self.name(&text)),
            _ => self
                .args
                .get(image)
                .map_or(Ok(Target::Any), |value| self.image(value, true)),
        }
    }

    fn retagged(&self, name: usize, tag: usize) -> Target {
        let name = self.text(name).and_then(|text| text.parse::<Reference>().ok());
        let tagged = name
            .zip(self.text(tag))
            .and_then(|(name, tag)| name.with_tag(&tag).ok());
        tagged.map_or(Target::Any, Target::named)
    }

    fn container(&self, at: usize) -> Result<Target> {
        let Some(value) = self.args.get(at) else {
            return Ok(Target::Any);
        };
        if let Some(container) = value.read_lock::<Container>() {
            return Ok(object(&container));
        }
        let Ok(text) = subject::container(value) else {
            return Ok(Target::Any);
        };
        let found = self.session.host()?.container(&text).ok();
        Ok(found.map_or_else(|| Target::Object(vec![text]), |container| object(&container)))
    }

    /// The machine of an address, which may be secret but for that.
    fn machine_of(&self, at: usize) -> Result<Target> {
        let Some(value) = self.args.get(at) else {
            return Ok(Target::Any);
        };
        host_of_url(&super::secret::address(value)?).map(Target::Host)
    }

    /// A volume by its name; one that is yet to get one is any.
    fn volume(&self, at: usize) -> Target {
        let name = self.args.get(at).and_then(|value| subject::volume(value).ok());
        name.map_or(Target::Any, |name| Target::Object(vec![name]))
    }

    fn program(&self, at: usize) -> Target {
        let words = self
            .args
            .get(at)
            .and_then(|value| subject::command(value).ok().flatten());
        let name = words.and_then(|command| command.words().into_iter().next());
        name.map_or(Target::Any, |name| program(&name))
    }

    fn path(&self, text: &str) -> Target {
        self.session.file(Path::new(text))
    }

    /// What the options of a container give it of what is outside.
    fn container_options(&self, demands: &mut Vec<Demand>) {
        let Some(options) = self.options() else { return };
        let image = self.text(0).map(|name| self.name(&name));
        of_options(&options, image, &|path| Some(self.path(path)), demands);
    }
}

/// What the options of a container give it of what is outside. `file` is what a path means, if that is known.
pub(super) fn of_options(
    options: &Map,
    image: Option<Target>,
    file: &dyn Fn(&str) -> Option<Target>,
    demands: &mut Vec<Demand>,
) {
    let words = |key: &str| words(options.get(key));
    let mut add = |effect, target| demands.push(Demand::new(effect, target));
    if words("pull").iter().any(|policy| policy != "never") {
        image.into_iter().for_each(|image| add(Effect::Pull, image));
    }
    let volumes = words("volumes")
        .into_iter()
        .filter_map(|text| Some(text.split_once(':')?.0.to_owned()));
    let mounts = options.get("mounts").map(mounts).unwrap_or_default();
    for source in volumes.chain(mounts) {
        match source.starts_with(['/', '.']) {
            true => file(&source).into_iter().for_each(|path| add(Effect::Fs, path)),
            false => add(Effect::Write, Target::Object(vec![source])),
        }
    }
    let security = words("security_opt");
    let profiles = security
        .iter()
        .filter_map(|text| text.strip_prefix("seccomp="))
        .map(str::to_owned);
    let files = ["env_file", "init_binary", "seccomp", "secrets"]
        .into_iter()
        .flat_map(words);
    for word in files.chain(profiles) {
        let path = word.split_once('=').map_or(word.as_str(), |(_, path)| path);
        if !["default", "unconfined", "builtin"].contains(&path) {
            file(path).into_iter().for_each(|path| add(Effect::Fs, path));
        }
    }
    for option in ["network", "pid", "ipc", "uts", "cgroupns"] {
        for word in words(option) {
            match word.strip_prefix("container:") {
                Some(name) => add(Effect::Exec, Target::Object(vec![name.to_owned()])),
                None if word == "host" && option == "network" => add(Effect::Net, Target::Any),
                None if word == "host" => add(Effect::Exec, Target::Machine(option)),
                None => {}
            }
        }
    }
    let loosens = |word: &String| word.contains("unconfined") || word.contains("disable");
    if security.iter().any(loosens) {
        add(Effect::Exec, Target::Machine("security_opt"));
    }
    if words("seccomp").iter().any(loosens) {
        add(Effect::Exec, Target::Machine("seccomp"));
    }
    for option in ["privileged", "devices", "device_cgroup_rules", "cap_add"] {
        if options.get(option).is_some_and(is_given) {
            add(Effect::Exec, Target::Machine(option));
        }
    }
}

/// An image by all that is known of it.
fn known(image: &Image, given: Option<Reference>, whole: bool) -> Target {
    let all = image.references().to_vec();
    let id = all.is_empty().then(|| image.id().to_string());
    let names = match given.filter(|name| all.contains(name)) {
        Some(name) => ImageNames {
            meant: vec![name],
            also: if whole { Vec::new() } else { all },
            ..ImageNames::default()
        },
        None if whole => ImageNames {
            meant: all,
            id,
            ..ImageNames::default()
        },
        None => ImageNames {
            either: all,
            id,
            ..ImageNames::default()
        },
    };
    Target::Image(names)
}

fn object(container: &Container) -> Target {
    Target::Object(vec![container.name().to_owned(), container.id().to_string()])
}

/// A program by its name and the file it is; one that is given as a file by that alone.
pub(super) fn program(name: &str) -> Target {
    let file = program_of(name).map(|path| match Target::file(&path) {
        Target::Path(path) => path.display().to_string(),
        _ => path.display().to_string(),
    });
    let name = (!name.contains('/')).then(|| name.to_owned());
    Target::Program(name.into_iter().chain(file).collect())
}

/// A registry, without the path of a login.
pub(super) fn host(text: &str) -> Target {
    let host = text.split('/').next().unwrap_or(text);
    Target::Host(if host == "index.docker.io" { "docker.io" } else { host }.to_owned())
}

pub(super) fn host_of(text: &str) -> Target {
    text.parse::<Reference>()
        .map_or_else(|_| host(text), |name| Target::Host(name.registry().to_owned()))
}

/// The path before the first part with a wildcard.
pub(super) fn root_of(pattern: &str) -> String {
    let plain = pattern.find(['*', '?', '[', '{']).map_or(pattern, |at| &pattern[..at]);
    match (plain.len() == pattern.len(), plain.rfind('/')) {
        (true, _) => plain.to_owned(),
        (false, Some(at)) => plain[..=at].to_owned(),
        (false, None) => ".".to_owned(),
    }
}

/// A text, or an array of texts; what is in a map is not looked at.
fn words(value: Option<&Dynamic>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    if let Some(items) = value.read_lock::<Array>() {
        return items
            .iter()
            .filter_map(|item| item.clone().into_string().ok())
            .collect();
    }
    value.clone().into_string().into_iter().collect()
}

fn is_given(value: &Dynamic) -> bool {
    match value.as_bool() {
        Ok(flag) => flag,
        Err(_) => !value.is_unit() && value.read_lock::<Array>().is_none_or(|items| !items.is_empty()),
    }
}

/// Paths and volumes that mounts show; where one says several, all of them.
fn mounts(value: &Dynamic) -> Vec<String> {
    let one = |value: &Dynamic| -> Vec<String> {
        if let Some(map) = value.read_lock::<Map>() {
            return words(map.get("source"));
        }
        let text = value.clone().into_string().unwrap_or_default();
        let fields = text.split(',').filter_map(|field| field.split_once('='));
        let sources = fields.filter(|(key, _)| ["source", "src"].contains(key));
        sources.map(|(_, source)| source.to_owned()).collect()
    };
    match value.read_lock::<Array>() {
        Some(items) => items.iter().flat_map(one).collect(),
        None => one(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_of_copies_and_patterns_begin_in_a_directory() {
        for (side, path) in [
            ("oci-dir:/backup/app:1", Some("/backup/app")),
            ("oci-dir:/backup/app", Some("/backup/app")),
            ("docker-archive:/etc/x.tar:../backup/app", None),
            ("docker-archive:/backup/x.tar:team/app:1", Some("/backup/x.tar")),
            ("debian:12", None),
        ] {
            assert_eq!(path_of_side(side).as_deref(), path.map(Path::new), "{side}");
        }
        for (pattern, root) in [
            ("/a/*.tar", "/a/"),
            ("/a/b", "/a/b"),
            ("*.tar", "."),
            ("/a/b*/c", "/a/"),
        ] {
            assert_eq!(root_of(pattern), root);
        }
    }

    #[test]
    fn what_options_of_a_container_give_away_is_demanded() {
        let script = r#"#{
            volumes: ["/srv/data:/data:ro", "cache:/cache"], mounts: ["type=bind,source=/etc,src=/usr,target=/e", #{type: "bind", source: "/opt", target: "/o"}],
            pull: "missing", network: "host", pid: "container:db", secrets: ["token=/run/token"], privileged: true, cap_add: [], devices: [],
        }"#;
        let mut options: Dynamic = crate::script::testing::engine().eval::<Map>(script).unwrap().into();
        let (session, _) = crate::script::testing::session(false);
        let mut image = Dynamic::from("debian");
        let args = [&mut image, &mut options];
        let mut demands = Vec::new();
        let call = Call {
            session: &session,
            args: &args,
        };
        call.container_options(&mut demands);
        let shown: Vec<String> = demands
            .iter()
            .map(|demand| format!("{} {}", demand.effect, demand.target.shown().unwrap_or_default()))
            .collect();
        let expected = [
            "pull debian:latest",
            "fs /srv/data",
            "write cache",
            "fs /etc",
            "fs /usr",
            "fs /opt",
            "fs /run/token",
            "net ",
            "exec db",
            "exec ",
        ];
        assert_eq!(shown, expected);
    }
}
