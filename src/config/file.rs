//! The settings file: what holds for a machine or a person rather than for one call.

use std::path::Path;

use serde_json::{Map, Value};

use super::Config;
use crate::error::{Context as _, Error, Result};
use crate::model::unknown;

impl Config {
    /// Takes over what the settings file says: the one at `path`, or the usual one if there is one.
    ///
    /// Errors: `not_found` for a file that was asked for, `invalid` for a setting that does not exist or a value it cannot have.
    pub fn apply_file(&mut self, path: Option<&Path>) -> Result<()> {
        let usual = Config::usual_file();
        let Some(file) = path.or(usual.as_deref()) else {
            return Ok(());
        };
        let what = || format!("read the settings file `{}`", file.display());
        match std::fs::read_to_string(file) {
            Ok(text) => self.apply(&text).during(what),
            Err(cause) if path.is_none() && cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(cause).during(what),
        }
    }

    fn apply(&mut self, text: &str) -> Result<()> {
        let tables: Map<String, Value> = toml::from_str(text).map_err(|cause| syntax_error(text, &cause))?;
        for (name, table) in tables {
            match name.as_str() {
                "limits" => entries(&name, table)?
                    .into_iter()
                    .try_for_each(|(name, value)| self.limits.set(&name, value))?,
                "store" => entries(&name, table)?
                    .into_iter()
                    .try_for_each(|(name, value)| self.set_store(&name, value))?,
                "protect" => entries(&name, table)?
                    .into_iter()
                    .try_for_each(|(name, value)| self.protect.set(&name, value))?,
                "trash" => entries(&name, table)?
                    .into_iter()
                    .try_for_each(|(name, value)| self.trash.set(&name, &value))?,
                "jobs" => entries(&name, table)?
                    .into_iter()
                    .try_for_each(|(name, value)| self.jobs.set(&name, &value))?,
                _ => {
                    let valid = ["jobs", "limits", "protect", "store", "trash"];
                    return Err(unknown("setting", &name, &valid));
                }
            }
        }
        Ok(())
    }

    fn set_store(&mut self, name: &str, value: Value) -> Result<()> {
        if name != "blobs" {
            return Err(unknown("setting of the store", name, &["blobs"]));
        }
        self.blobs = serde_json::from_value(value).map_err(|cause| {
            Error::invalid(format!("failed to set `blobs`: {cause}"))
                .source(cause)
                .hint("valid: keep, drop")
        })?;
        Ok(())
    }
}

fn entries(name: &str, table: Value) -> Result<Map<String, Value>> {
    match table {
        Value::Object(entries) => Ok(entries),
        _ => Err(Error::invalid(format!("`{name}` is a table, written `[{name}]`")).target(name)),
    }
}

fn syntax_error(text: &str, cause: &toml::de::Error) -> Error {
    let before = cause.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Error::invalid(format!("line {line}: {}", cause.message().replace('\n', ", "))).source(cause.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Blobs;
    use crate::error::Kind;

    fn config() -> Config {
        Config::new(Some("/srv/x".into()), None, false).unwrap()
    }

    fn applied(text: &str) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hoist.toml");
        std::fs::write(&path, text).unwrap();
        let mut config = config();
        config.apply_file(Some(&path))?;
        Ok(config)
    }

    #[test]
    fn limits_come_from_the_file() {
        let limits = applied("[limits]\nlayers = 12\nlayer_size = \"2TiB\" # more\n")
            .unwrap()
            .limits;
        assert_eq!((limits.layers, limits.layer_size), (12, 2 << 40));
        assert_eq!(applied("").unwrap().limits, config().limits);
    }

    #[test]
    fn what_becomes_of_blobs_comes_from_the_file() {
        assert_eq!(applied("[store]\nblobs = \"drop\"\n").unwrap().blobs, Blobs::Drop);
        assert_eq!(applied("[store]\n").unwrap().blobs, Blobs::Keep);
    }

    #[test]
    fn what_is_protected_comes_from_the_file() {
        let protect = applied("[protect]\nimages = [\"app:prod\"]\ncontainers = \"db\"\n")
            .unwrap()
            .protect;
        assert!(protect.image(&["app:prod".parse().unwrap()]).is_some());
        assert!(protect.image(&["app:pr-1".parse().unwrap()]).is_none());
        assert!(protect.container("db").is_some());
        let error = applied("[protect]\nimage = []").unwrap_err();
        assert!(
            error.way_out().unwrap().starts_with("did you mean `images`?"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_setting_is_named_with_the_nearest() {
        for (text, message, hint) in [
            (
                "limts = 1",
                "unknown setting `limts`",
                "did you mean `limits`? valid: jobs, limits, protect, store, trash",
            ),
            (
                "[store]\nblob = 1",
                "unknown setting of the store `blob`",
                "did you mean `blobs`?",
            ),
            (
                "[store]\nblobs = \"no\"",
                "failed to set `blobs`: ",
                "valid: keep, drop",
            ),
            ("limits = 1", "`limits` is a table, written `[limits]`", ""),
            (
                "[limits]\nratios = 1",
                "unknown limit `ratios`",
                "did you mean `ratio`?",
            ),
            ("[limits]\nratio = \"x\"", "failed to set the limit `ratio`: ", ""),
            ("[limits]\nratio 1", "line 2: ", ""),
        ] {
            let error = applied(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.message().contains("hoist.toml`: "), "{error}");
            assert!(error.message().contains(message), "{error}");
            assert!(
                error.way_out().unwrap_or_default().starts_with(hint),
                "{:?}",
                error.way_out()
            );
        }
    }

    #[test]
    fn only_a_file_that_was_asked_for_must_exist() {
        let error = config().apply_file(Some(Path::new("/no/such/hoist.toml"))).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}
