//! The operating system and processor an image is for (OCI image-spec, image-index.md, "platform").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// `os/architecture[/variant]`, in Go's words: `linux/amd64`, `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, …
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, … or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform this program runs on, with what its processor can do; [`Platform::host`] is what images made here are for.
    pub fn machine() -> Platform {
        Platform {
            variant: variant().map(str::to_owned),
            ..Platform::host()
        }
    }

    /// The platform this program runs on.
    pub fn host() -> Platform {
        Platform {
            os: std::env::consts::OS.to_owned(),
            architecture: go_architecture(std::env::consts::ARCH).to_owned(),
            variant: None,
        }
    }

    /// How well an image for `offered` suits a machine of this platform: the less, the better; `None` if it does not run there.
    ///
    /// A machine runs what was made for earlier variants of its processor. A variant left out is what nearly all mean by it: `v8` for
    /// arm64, `v7` for a machine of arm, anything for an image of arm, `v1` for amd64.
    pub fn suits(&self, offered: &Platform) -> Option<usize> {
        let variants: &[&str] = match self.architecture.as_str() {
            "amd64" => &["v4", "v3", "v2", "v1"],
            "arm64" => &["v9", "v8"],
            "arm" => &["v8", "v7", "v6", "v5", ""],
            _ => &[""],
        };
        let fill = |variant: &Option<String>, absent: &str| variant.clone().unwrap_or_else(|| absent.to_owned());
        let (own, other) = match self.architecture.as_str() {
            "amd64" => ("v1", "v1"),
            "arm64" => ("v8", "v8"),
            "arm" => ("v7", ""),
            _ => ("", ""),
        };
        let place = |variant: &str| variants.iter().position(|known| *known == variant);
        let (own, other) = (fill(&self.variant, own), fill(&offered.variant, other));
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        match (place(&own), place(&other)) {
            (Some(own), Some(other)) => other.checked_sub(own),
            // What has no place in the order is itself only.
            _ => (own == other).then_some(0),
        }
    }

    /// Whether an image for `self` is what was asked for; an absent variant in `wanted` fits every one.
    pub fn fits(&self, wanted: &Platform) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
    }
}

/// The level of an x86-64 processor, as the System V ABI counts them.
#[cfg(target_arch = "x86_64")]
fn variant() -> Option<&'static str> {
    macro_rules! has {
        ($($feature:tt)*) => { $(std::is_x86_feature_detected!($feature))&&* };
    }
    let v2 = has!("cmpxchg16b" "popcnt" "sse3" "sse4.1" "sse4.2" "ssse3");
    let v3 = v2 && has!("avx" "avx2" "bmi1" "bmi2" "f16c" "fma" "lzcnt" "movbe");
    let v4 = v3 && has!("avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl");
    Some(match (v2, v3, v4) {
        (_, _, true) => "v4",
        (_, true, _) => "v3",
        (true, ..) => "v2",
        _ => "v1",
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn variant() -> Option<&'static str> {
    None
}

/// Go's name for an architecture, from the kernel's or Rust's.
fn go_architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Platform> {
        let parts: Vec<&str> = text.split('/').collect();
        let valid =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(valid) {
            return Err(Error::invalid(format!("`{}` is not a platform", text.escape_debug()))
                .hint("a platform is `os/architecture` or `os/architecture/variant`, such as `linux/arm64`"));
        }
        Ok(Platform {
            os: parts[0].to_ascii_lowercase(),
            architecture: go_architecture(&parts[1].to_ascii_lowercase()).to_owned(),
            variant: parts.get(2).map(|v| v.to_ascii_lowercase()),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        assert_eq!("linux/x86_64".parse::<Platform>().unwrap().to_string(), "linux/amd64");
        for text in ["linux", "", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_machine_runs_what_was_made_for_it_and_for_earlier_ones() {
        for (machine, best_first, never) in [
            (
                "linux/arm/v8",
                &[
                    "linux/arm/v8",
                    "linux/arm/v7",
                    "linux/arm/v6",
                    "linux/arm/v5",
                    "linux/arm",
                ][..],
                &["linux/arm64"][..],
            ),
            (
                "linux/arm",
                &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5", "linux/arm"],
                &["linux/arm/v8"],
            ),
            (
                "linux/arm/v6",
                &["linux/arm/v6", "linux/arm/v5", "linux/arm"],
                &["linux/arm/v7"],
            ),
            ("linux/arm64", &["linux/arm64/v8"], &["linux/arm64/v9", "linux/arm/v8"]),
            ("linux/arm64/v8", &["linux/arm64"], &["linux/arm64/v9"]),
            (
                "linux/amd64",
                &["linux/amd64/v1"],
                &["linux/amd64/v2", "windows/amd64", "linux/386"],
            ),
            (
                "linux/amd64/v3",
                &["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"],
                &["linux/amd64/v4"],
            ),
            (
                "linux/amd64/v2",
                &["linux/amd64/v2", "linux/amd64"],
                &["linux/amd64/v3", "linux/amd64/odd"],
            ),
            ("linux/riscv64", &["linux/riscv64"], &["linux/riscv64/rva23"]),
        ] {
            let suits = |offered: &&str| machine.parse::<Platform>().unwrap().suits(&offered.parse().unwrap());
            let places: Vec<_> = best_first.iter().map(|offered| suits(offered).unwrap()).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "{machine}: {places:?}");
            assert!(never.iter().all(|offered| suits(offered).is_none()), "{machine}");
        }
        assert!(Platform::machine().suits(&Platform::host()).is_some());
    }

    #[test]
    fn a_wish_without_variant_fits_all() {
        let v7: Platform = "linux/arm/v7".parse().unwrap();
        assert!(v7.fits(&"linux/arm".parse().unwrap()));
        assert!(!v7.fits(&"linux/arm/v6".parse().unwrap()));
    }
}
