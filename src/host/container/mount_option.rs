//! The option `mounts`: what `volumes` and `tmpfs` say in short, in the words of `docker run --mount`.

use serde::Deserialize;

use super::options::{NamedMount, Volume, check_target};
use crate::error::{Error, Result};
use crate::model::{ByteSize, ContainerName, unknown};
use crate::runtime::{Bind, Tmpfs};

const HINT: &str = "a mount is a map, or a text such as `type=bind,source=/host,target=/path,readonly`";

/// One of them: a text, or the same as a map.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected `type=…,source=…,target=…`, or a map of these")]
pub enum MountOption {
    /// As Docker writes it.
    Text(String),
    /// As a map.
    Map(Fields),
}

/// What a mount is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// `bind`, `volume` (the default) or `tmpfs`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The path on the host, or the volume's name.
    source: Option<String>,
    /// The path inside.
    target: Option<String>,
    /// Whether writes are refused.
    read_only: bool,
    /// Of a `bind`, whether it shows owners as the container's user namespace maps them.
    idmap: bool,
    /// Of a `tmpfs`, the most it may hold.
    size: Option<ByteSize>,
    /// Of a `tmpfs`, its permissions, as digits.
    mode: Option<String>,
}

/// What it comes to.
pub(super) enum Parsed {
    Volume(Volume),
    Tmpfs(Tmpfs),
}

impl MountOption {
    /// Errors: `invalid` for what is no mount; `unsupported` for what Docker has and we have not.
    pub(super) fn parse(&self) -> Result<Parsed> {
        match self {
            MountOption::Text(text) => Fields::read(text)?.parse(text),
            MountOption::Map(fields) => fields.clone().parse(fields.target.as_deref().unwrap_or_default()),
        }
    }
}

impl Fields {
    fn read(text: &str) -> Result<Fields> {
        let mut fields = Fields::default();
        for field in text.split(',') {
            let (key, value) = field
                .split_once('=')
                .map_or((field, None), |(key, value)| (key, Some(value)));
            let said = || {
                value
                    .map(str::to_owned)
                    .ok_or_else(|| invalid(text, &format!("`{key}` has no value")))
            };
            let flag = || match value {
                None | Some("true" | "1") => Ok(true),
                Some("false" | "0") => Ok(false),
                Some(other) => Err(invalid(text, &format!("`{other}` is neither `true` nor `false`"))),
            };
            match key {
                "type" => fields.kind = Some(said()?),
                "source" | "src" => fields.source = Some(said()?),
                "target" | "destination" | "dst" => fields.target = Some(said()?),
                "readonly" | "ro" => fields.read_only = flag()?,
                "idmap" => fields.idmap = flag()?,
                "tmpfs-size" => fields.size = Some(said()?.parse()?),
                "tmpfs-mode" => fields.mode = Some(said()?),
                other => {
                    let known = [
                        "type",
                        "source",
                        "target",
                        "readonly",
                        "idmap",
                        "tmpfs-size",
                        "tmpfs-mode",
                    ];
                    return Err(unknown("field of a mount", other, &known));
                }
            }
        }
        Ok(fields)
    }

    fn parse(self, whole: &str) -> Result<Parsed> {
        let target = self
            .target
            .clone()
            .ok_or_else(|| invalid(whole, "it has no `target`"))?;
        check_target(&target, &target)?;
        let kind = self.kind.as_deref().unwrap_or("volume");
        let lacks_tmpfs = self.size.is_none() && self.mode.is_none();
        match (kind, self.source.clone()) {
            ("tmpfs", None) if !self.idmap => Ok(Parsed::Tmpfs(self.tmpfs(target))),
            ("bind" | "volume", _) if !lacks_tmpfs => Err(invalid(whole, "only a `tmpfs` has a size and a mode")),
            ("bind", Some(source)) if source.starts_with('/') => Ok(Parsed::Volume(Volume::Bind(Bind {
                source: source.into(),
                target,
                read_only: self.read_only,
                shifted: self.idmap,
            }))),
            ("bind", _) => Err(invalid(whole, "its source is not an absolute path")),
            ("volume", Some(volume)) if !self.idmap && volume.parse::<ContainerName>().is_ok() => {
                let read_only = self.read_only;
                Ok(Parsed::Volume(Volume::Named(NamedMount {
                    volume,
                    target,
                    read_only,
                })))
            }
            ("volume", _) => Err(invalid(whole, "its source is not the name of a volume")),
            ("tmpfs", _) => Err(invalid(whole, "a `tmpfs` has neither a source nor owners to map")),
            (other, _) => Err(unknown("type of a mount", other, &["bind", "volume", "tmpfs"])),
        }
    }

    fn tmpfs(&self, target: String) -> Tmpfs {
        let size = self.size.map(|size| format!("size={}", size.0));
        let mode = self.mode.as_ref().map(|mode| format!("mode={mode}"));
        let read_only = self.read_only.then(|| "ro".to_owned());
        let options = [size, mode, read_only].into_iter().flatten().collect();
        Tmpfs { target, options }
    }
}

fn invalid(whole: &str, why: &str) -> Error {
    Error::invalid(format!("`{}` is not a mount: {why}", whole.escape_debug()))
        .target(whole)
        .hint(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String> {
        MountOption::Text(text.to_owned()).parse().map(|parsed| match parsed {
            Parsed::Volume(volume) => format!("{volume:?}"),
            Parsed::Tmpfs(tmpfs) => format!("{tmpfs:?}"),
        })
    }

    #[test]
    fn dockers_words_are_read() {
        let same = read("type=bind,source=/a,target=/b,readonly").unwrap();
        for text in [
            "type=bind,src=/a,dst=/b,ro",
            "readonly=true,destination=/b,source=/a,type=bind",
        ] {
            assert_eq!(read(text).unwrap(), same);
        }
        assert!(same.contains("read_only: true"), "{same}");
        assert!(read("source=data,target=/b").unwrap().contains("Named"));
        let tmpfs = read("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        assert!(tmpfs.contains("size=1048576") && tmpfs.contains("mode=1770"), "{tmpfs}");
        for text in [
            "",
            "/a:/b",
            "type=bind,source=a,target=/b",
            "type=bind,target=/b",
            "type=bind,source=/a",
            "type=bind,source=/a,target=b",
            "type=bind,source=/a,target=/",
            "type=bind,source=/a,target=/b,readonly=maybe",
            "type=bind,source=/a,target=/b,tmpfs-size=1m",
            "type=tmpfs,source=/a,target=/b",
            "type=npipe,source=/a,target=/b",
            "target=/b",
            "source=/a,target=/b",
            "type=bind,source,target=/b",
            "type=bind,source=/a,target=/b,colour=red",
        ] {
            assert_eq!(read(text).unwrap_err().kind(), crate::error::Kind::Invalid, "{text}");
        }
    }
}
