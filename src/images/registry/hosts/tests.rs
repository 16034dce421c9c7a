//! Settings as people have them, and what they come to.

use std::path::PathBuf;

use super::*;
use crate::error::Kind;

struct Etc(tempfile::TempDir);

impl Etc {
    fn new(conf: &str) -> Etc {
        let etc = Etc(tempfile::tempdir().unwrap());
        etc.write("registries.conf", conf);
        etc
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn hosts(&self) -> Hosts {
        let at = |name: &str| self.0.path().join(name);
        Hosts::new(&Registries {
            settings: vec![at("own.conf"), at("registries.conf")],
            drop_ins: vec![at("registries.conf.d"), at("own.d")],
            certificates: vec![at("certs.d"), at("docker/certs.d")],
            ..Registries::default()
        })
    }

    fn sources(&self, name: &str) -> Vec<String> {
        let sources = self.hosts().sources(&name.parse().unwrap()).unwrap();
        let text =
            |source: &Location| format!("{}{}", source.reference, if source.insecure { " insecure" } else { "" });
        sources.iter().map(text).collect()
    }
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn i38_mirrors_come_before_what_they_mirror() {
    let etc = Etc::new(
        r#"
[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "mirror.example.com/hub/"
[[registry.mirror]]
location = "localhost:5000"
insecure = true
pull-from-mirror = "digest-only"
[[registry]]
prefix = "docker.io/library"
location = "official.example.com"
[[registry]]
prefix = "*.internal.example.com"
insecure = true
[[registry]]
prefix = "old.example.com/team/app:1"
location = "new.example.com/app:2"
"#,
    );
    assert_eq!(
        etc.sources("docker.io/team/app:1"),
        ["mirror.example.com/hub/team/app:1", "docker.io/team/app:1"]
    );
    assert_eq!(
        etc.sources(&format!("docker.io/team/app@{DIGEST}")),
        [
            format!("mirror.example.com/hub/team/app@{DIGEST}"),
            format!("localhost:5000/team/app@{DIGEST} insecure"),
            format!("docker.io/team/app@{DIGEST}"),
        ]
    );
    assert_eq!(etc.sources("debian:12"), ["official.example.com/debian:12"]);
    assert_eq!(
        etc.sources("a.internal.example.com/x"),
        ["a.internal.example.com/x:latest insecure"]
    );
    assert_eq!(etc.sources("internal.example.com/x"), ["internal.example.com/x:latest"]);
    assert_eq!(etc.sources("old.example.com/team/app:1"), ["new.example.com/app:2"]);
    assert_eq!(
        etc.sources("old.example.com/team/app:12"),
        ["old.example.com/team/app:12"]
    );
    let destination = etc
        .hosts()
        .destination(&"docker.io/team/app:1".parse().unwrap())
        .unwrap();
    assert_eq!(destination.reference.to_string(), "docker.io/team/app:1");
}

#[test]
fn i38_what_is_blocked_is_refused_with_the_file_that_says_so() {
    let etc = Etc::new("[[registry]]\nprefix = \"evil.io\"\nblocked = true\n");
    for found in [
        etc.hosts().sources(&"evil.io/x".parse().unwrap()).map(drop),
        etc.hosts().destination(&"evil.io/x".parse().unwrap()).map(drop),
    ] {
        let error = found.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.message().contains("registries.conf`"), "{error}");
    }
    assert_eq!(etc.sources("evil.iox.io/x"), ["evil.iox.io/x:latest"]);
}

#[test]
fn i38_what_is_said_of_short_names_changes_nothing() {
    let etc = Etc::new("unqualified-search-registries = [\"r.io\"]\nshort-name-mode = \"enforcing\"\n");
    etc.write(
        "registries.conf.d/shortnames.conf",
        "[aliases]\n\"hello\" = \"quay.io/podman/hello\"\n",
    );
    assert_eq!(etc.sources("hello"), ["docker.io/library/hello:latest"]);
}

#[test]
fn the_last_file_has_the_last_word_on_a_prefix() {
    let etc = Etc::new("[[registry]]\nlocation = \"r.io\"\ninsecure = true\n");
    etc.write("registries.conf.d/9.conf", "[[registry]]\nlocation = \"r.io\"\n");
    etc.write("registries.conf.d/readme", "this is not read");
    assert_eq!(etc.sources("r.io/x"), ["r.io/x:latest"]);
    etc.write("own.conf", "");
    etc.write("registries.conf.d/9.conf", "");
    assert_eq!(
        etc.sources("r.io/x"),
        ["r.io/x:latest"],
        "the first file is the only one"
    );
}

#[test]
fn a_broken_file_is_named_with_the_line_and_a_way_out() {
    for (text, message) in [
        ("a = 1\nb c\n", "registries.conf`: line 2: "),
        ("[[registry]]\n\ninsecure = 1\n", "registries.conf`: line 3: "),
        ("[registries.search]\nregistries = [\"docker.io\"]\n", "version 1"),
        ("[[registry]]\ninsecure = true\n", "neither `prefix` nor `location`"),
        (
            "[[registry]]\nlocation = \"https://r.io\"\n",
            "`https://r.io` has a scheme",
        ),
        (
            "[[registry]]\nlocation = \"r.io\"\n[[registry.mirror]]\nlocation = \"\"\n",
            "a mirror of `r.io`",
        ),
    ] {
        let error = Etc::new(text).hosts().sources(&"r.io/x".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert!(
            error.way_out().unwrap().contains("CONTAINERS_REGISTRIES_CONF"),
            "{error:?}"
        );
    }
    let etc = Etc::new("[[registry]]\nprefix = \"r.io\"\nlocation = \"nohost\"\n");
    let error = etc.hosts().sources(&"r.io/x".parse().unwrap()).unwrap_err();
    assert!(error.message().contains("`nohost` in "), "{error}");
}

#[test]
fn i38_certificates_are_found_by_host_and_port() {
    let etc = Etc::new("");
    etc.write("docker/certs.d/r.io:5000/a.crt", "A");
    etc.write("docker/certs.d/r.io:5000/b.crt", "B");
    etc.write("docker/certs.d/r.io:5000/client.cert", "C");
    etc.write("docker/certs.d/r.io:5000/client.key", "K");
    let found = etc.hosts().certificates("r.io:5000").unwrap();
    assert_eq!(found.authorities, b"A\nB\n");
    assert_eq!(found.identity.unwrap().expose(), "C\nK");
    for host in ["r.io", "..", "../docker/certs.d/r.io:5000", ""] {
        assert_eq!(
            etc.hosts().certificates(host).unwrap(),
            Certificates::default(),
            "{host}"
        );
    }
    let half = etc.write("certs.d/h.io/client.key", "K");
    let error = etc.hosts().certificates("h.io").unwrap_err();
    assert!(error.message().contains(half.to_str().unwrap()), "{error}");
}
