//! Debian's own registry (`docker-registry`), on a port and in a directory of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::{Authority, Output, Peers, program};

/// A registry that runs as long as this value lives.
pub(crate) struct Registry {
    dir: TempDir,
    process: Child,
    /// Host and port.
    pub(crate) address: String,
}

/// How a registry is guarded.
#[derive(Default, Clone, Copy)]
pub(crate) struct Guard {
    /// Whether it wants `ann` and her password.
    pub(crate) password: bool,
    /// Whether it speaks TLS, with a certificate of its own making.
    pub(crate) tls: bool,
}

/// The user a guarded registry knows.
pub(crate) const USER: (&str, &str) = ("ann", "correct-horse");

impl Registry {
    /// An open one.
    pub(crate) fn new() -> Registry {
        Registry::guarded(Guard::default())
    }

    /// One that asks who is there, or hides what is said.
    pub(crate) fn guarded(guard: Guard) -> Registry {
        super::assert_needs();
        let dir = tempfile::Builder::new()
            .prefix("hoist-registry-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\n  secret: x\n",
            at("data").display()
        );
        if guard.tls {
            let authority = Authority::new();
            fs::write(at("authority.pem"), authority.pem()).unwrap();
            let (certificate, key) = authority.sign(&["localhost", "127.0.0.1"]).write(dir.path());
            config += &format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                certificate.display(),
                key.display()
            );
        }
        if guard.password {
            let mut command = program("htpasswd");
            command.args(["-Bbn", USER.0, USER.1]);
            fs::write(at("users"), Output::of(command, None).success().stdout).unwrap();
            config += &format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                at("users").display()
            );
        }
        fs::write(at("config.yml"), config).unwrap();
        let mut command = program("docker-registry");
        command.arg("serve").arg(at("config.yml"));
        command
            .stdout(File::create(at("access")).unwrap())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("the package `docker-registry` is installed");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = log.next().expect("the registry listens before it ends").unwrap();
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split([',', '"']).next().unwrap().to_owned();
            }
        };
        std::thread::spawn(move || log.for_each(drop));
        Registry { dir, process, address }
    }

    /// The name of an image in it.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Copies an image into it with skopeo, from what skopeo calls `source`.
    pub(crate) fn put(&self, peers: &Peers, source: &str, image: &str, flags: &[&str]) {
        let target = format!("docker://{}", self.name(image));
        let known = format!("{}:{}", USER.0, USER.1);
        let own = [
            "skopeo",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            "--dest-creds",
            &known,
        ];
        peers.run(&[&own[..], flags, &[source, &target]].concat()).success();
    }

    /// What it was asked since the last call: method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        let access = self.dir.path().join("access");
        let text = fs::read_to_string(&access).unwrap();
        File::options().write(true).truncate(true).open(access).unwrap();
        let requests = text.lines().filter_map(|line| line.split('"').nth(1));
        let words = requests.map(|request| request.rsplit_once(' ').map_or(request, |(words, _)| words));
        words.map(|words| words.trim_start_matches('\0').to_owned()).collect()
    }

    /// The statuses it answered with since the last call of [`Registry::asked`].
    pub(crate) fn answered(&self) -> Vec<u16> {
        let text = fs::read_to_string(self.dir.path().join("access")).unwrap();
        let rest = text
            .lines()
            .filter_map(|line| line.split('"').nth(2)?.split_whitespace().next()?.parse().ok());
        rest.collect()
    }

    /// Where it keeps a repository.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        self.dir.path().join("data/docker/registry/v2/repositories").join(name)
    }

    /// How many blobs it has, and how many uploads that were begun and not ended.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let files = |part: &str| {
            let mut find = program("find");
            find.arg(self.dir.path()).args(["-path", part]);
            Output::of(find, None).success().stdout.lines().count()
        };
        (files("*/blobs/sha256/*/*/data"), files("*/_uploads/*/startedat"))
    }

    /// The certificate of its authority.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join("authority.pem")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
