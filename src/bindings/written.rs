//! What a call is certain to demand, as far as its arguments are written down in the script: for those who judge it without running it.

use rhai::{Array, Dynamic, Map};

use super::demand::{host, host_of, of_options, program, root_of};
use super::effects::{self, Effect, Of};
use crate::config::{Demand, Target};
use crate::host::{host_of as host_of_url, path_of_side};
use crate::model::{Reference, Secret};

/// What a call of the function with these arguments demands; those that are not known before it runs are `None`, what is not known within
/// an array is `()`, and in a map it is left out.
pub fn demands(function: &str, args: &[Option<Dynamic>]) -> Vec<Demand> {
    let (call, mut found) = (Written { args }, Vec::new());
    for (effect, of) in effects::acts(function).unwrap_or_default() {
        match of {
            Of::Options => call.options(&mut found),
            Of::From(at) | Of::To(at) => found.extend(call.text(*at).and_then(|text| side(*effect, *of, &text))),
            _ => {
                let targets = call.targets(*of).into_iter();
                found.extend(targets.map(|target| Demand::new(*effect, target)));
            }
        }
    }
    found
}

struct Written<'a> {
    args: &'a [Option<Dynamic>],
}

impl Written<'_> {
    fn targets(&self, of: Of) -> Vec<Target> {
        let text = |at| self.text(at);
        let one = match of {
            Of::Image(at) | Of::WholeImage(at) => {
                let texts = self.texts(at).into_iter().filter(|text| !may_be_id(text));
                return texts.filter_map(|text| named(&text)).collect();
            }
            Of::Path(at) => {
                let texts = self.texts(at).into_iter();
                return texts.filter_map(|text| file(&text)).collect();
            }
            Of::Container(at) => text(at)
                .filter(|text| !may_be_id(text))
                .map(|text| Target::Object(vec![text])),
            Of::Volume(at) => text(at).map(|text| Target::Object(vec![text])),
            Of::Name(at) | Of::NewName(at) => text(at).and_then(|text| named(&text)),
            Of::Sent(image, dest) => self.sent(image, dest),
            Of::Retagged(name, tag) => self.retagged(name, tag),
            Of::Host(at) => text(at).map(|text| host(&text)),
            Of::Glob(at) => text(at).and_then(|text| file(&root_of(&text))),
            Of::Url(at) | Of::Posted(at) => text(at)
                .and_then(|text| host_of_url(&Secret::new(text)).ok())
                .map(Target::Host),
            Of::Program(at) => self.program(at),
            _ => None,
        };
        one.into_iter().collect()
    }

    fn value(&self, at: usize) -> Option<&Dynamic> {
        self.args.get(at)?.as_ref()
    }

    fn text(&self, at: usize) -> Option<String> {
        self.value(at)?.clone().into_string().ok()
    }

    /// An argument, or each item of an array.
    fn texts(&self, at: usize) -> Vec<String> {
        let Some(value) = self.value(at) else { return Vec::new() };
        let items = value.read_lock::<Array>().map(|items| items.to_vec());
        let items = items.unwrap_or_else(|| vec![value.clone()]);
        items.into_iter().filter_map(|item| item.into_string().ok()).collect()
    }

    fn sent(&self, image: usize, dest: usize) -> Option<Target> {
        match self.args.get(dest) {
            Some(None) => None,
            Some(Some(dest)) if !dest.is_map() => named(&dest.clone().into_string().ok()?),
            _ => self
                .text(image)
                .filter(|text| !may_be_id(text))
                .and_then(|text| named(&text)),
        }
    }

    fn retagged(&self, name: usize, tag: usize) -> Option<Target> {
        let name: Reference = self.text(name)?.parse().ok()?;
        name.with_tag(&self.text(tag)?).ok().map(Target::named)
    }

    /// The program that a command names: that of the first word, or the shell.
    fn program(&self, at: usize) -> Option<Target> {
        let value = self.value(at)?;
        let first = value.read_lock::<Array>().map(|words| words.first().cloned());
        match first {
            Some(word) => word?.into_string().ok().map(|word| program(&word)),
            None => value.is_string().then(|| program("/bin/sh")),
        }
    }

    fn options(&self, found: &mut Vec<Demand>) {
        let Some(options) = self.args.last().and_then(Option::as_ref) else {
            return;
        };
        let Some(options) = options.read_lock::<Map>() else {
            return;
        };
        let image = self
            .text(0)
            .filter(|text| !may_be_id(text))
            .and_then(|text| named(&text));
        of_options(&options, image, &file, found);
    }
}

/// A side of a copy: a directory or an archive of this machine, or a name at a registry.
fn side(effect: Effect, of: Of, text: &str) -> Option<Demand> {
    if let Some(path) = path_of_side(text) {
        return file(path.to_str()?).map(|target| Demand::new(Effect::Fs, target));
    }
    match of {
        Of::From(_) => Some(Demand::new(effect, host_of(text))),
        _ => named(text).map(|target| Demand::new(effect, target)),
    }
}

fn named(text: &str) -> Option<Target> {
    text.parse().ok().map(Target::named)
}

/// A file; one that depends on where the script is run from is not known.
fn file(text: &str) -> Option<Target> {
    text.starts_with('/').then(|| Target::file(text.as_ref()))
}

/// Whether the beginning of an id may be meant, which stands for names that are not known.
fn may_be_id(text: &str) -> bool {
    let bare = text.strip_prefix("sha256:").unwrap_or(text);
    bare.chars().all(|letter| letter.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(function: &str, args: &[&str]) -> String {
        let engine = crate::script::testing::engine();
        let value = |code: &&str| (*code != "?").then(|| engine.eval::<Dynamic>(code).unwrap());
        let args: Vec<Option<Dynamic>> = args.iter().map(value).collect();
        let found = demands(function, &args);
        let words = found.iter().map(|demand| demand.rule());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_written_tells_what_is_demanded() {
        for (function, args, expected) in [
            ("image::pull", &[r#""ghcr.io/x""#] as &[&str], "pull=ghcr.io/x:latest"),
            ("image::pull", &["?"], ""),
            ("image::tag", &[r#""a:1""#, r#""b:2""#], "read=a:1 write=b:2"),
            ("image::remove", &[r#"["a:1", (), "0af3"]"#], "delete=a:1"),
            ("image::push", &[r#""a:1""#, "?"], "read=a:1"),
            (
                "image::push",
                &[r#""a:1""#, r#""lan:5000/a""#],
                "read=a:1 push=lan:5000/a:latest",
            ),
            (
                "image::push",
                &[r#""lan:5000/a:1""#, "#{}"],
                "read=lan:5000/a:1 push=lan:5000/a:1",
            ),
            ("registry::tag", &[r#""lan:5000/a:1""#, r#""2""#], "push=lan:5000/a:2"),
            (
                "registry::copy",
                &[r#""debian""#, r#""oci-dir:/srv/x""#],
                "net=docker.io fs=/srv/x",
            ),
            ("Container.stop", &["?"], ""),
            (
                "Container.copy_in",
                &["?", r#""/etc/passwd""#, r#""/x""#],
                "fs=/etc/passwd",
            ),
            ("fs::read", &[r#""here.txt""#], ""),
            ("fs::glob", &[r#""/srv/*/x""#], "fs=/srv"),
            ("http::get", &[r#""https://example.org/x""#], "net=example.org"),
            ("host::exec", &[r#"["/nosuch/tool", ()]"#], "exec=host:/nosuch/tool"),
            ("host::exec", &["[(), 1]"], ""),
            (
                "container::run",
                &[
                    r#""app:1""#,
                    "?",
                    r#"#{ volumes: ["/srv/data:/data", "x:/x", "./y:/y"], network: "host" }"#,
                ],
                "run=app:1 fs=/srv/data write=x net",
            ),
        ] {
            assert_eq!(shown(function, args), expected, "{function} {args:?}");
        }
    }
}
