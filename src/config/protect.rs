//! Names that nothing is removed under, whatever a script or a flag says.

use serde_json::Value;

use super::{Scope, Target};
use crate::error::{Error, Result};
use crate::model::{Reference, Words, unknown};

/// What the table `[protect]` of the settings file names: patterns, as `--allow-delete` has them.
#[derive(Debug, Clone, Default)]
pub struct Protect {
    images: Vec<Scope>,
    containers: Vec<Scope>,
    volumes: Vec<Scope>,
    registries: Vec<Scope>,
}

impl Protect {
    /// Sets a list by its name. Errors: `invalid`, with the valid names.
    pub(super) fn set(&mut self, name: &str, value: Value) -> Result<()> {
        let list = match name {
            "images" => &mut self.images,
            "containers" => &mut self.containers,
            "volumes" => &mut self.volumes,
            "registries" => &mut self.registries,
            _ => {
                let valid = ["images", "containers", "volumes", "registries"];
                return Err(unknown("list of what is protected", name, &valid));
            }
        };
        let words: Words = serde_json::from_value(value).map_err(|cause| {
            Error::invalid(format!("failed to set `{name}`: {cause}"))
                .hint("a list of patterns: `[\"app:prod\", \"base/*\"]`")
        })?;
        *list = words.0.iter().map(|text| Scope::new(text)).collect::<Result<_>>()?;
        Ok(())
    }

    /// Why an image of these names stays, and the names stay where they are; `None` if nothing protects them.
    pub fn image(&self, names: &[Reference]) -> Option<String> {
        let held = |name: &Reference| reason(&self.images, &Target::named(name.clone()));
        names.iter().find_map(held)
    }

    /// Why a container of this name stays.
    pub fn container(&self, name: &str) -> Option<String> {
        reason(&self.containers, &Target::Object(vec![name.to_owned()]))
    }

    /// Why a volume of this name stays.
    pub fn volume(&self, name: &str) -> Option<String> {
        reason(&self.volumes, &Target::Object(vec![name.to_owned()]))
    }

    /// Why a name at a registry stays where it is: it is protected as an image, or as part of a registry.
    pub fn remote(&self, name: &Reference) -> Option<String> {
        let host = Target::Host(name.registry().to_owned());
        let target = Target::named(name.clone());
        reason(&self.registries, &target)
            .or_else(|| reason(&self.registries, &host))
            .or_else(|| reason(&self.images, &target))
    }
}

fn reason(list: &[Scope], target: &Target) -> Option<String> {
    let scope = list.iter().find(|scope| scope.touches(target))?;
    Some(format!("protected by `{}`", scope.text()))
}

/// The error for an act that would remove or move what is protected. `what` is ``image `app:prod` ``.
pub fn protected(what: &str, name: &str, reason: &str) -> Error {
    Error::denied(format!("{what} is {reason}"))
        .target(name)
        .hint("the table `[protect]` of the settings file says so; no script and no flag overrides it")
}
