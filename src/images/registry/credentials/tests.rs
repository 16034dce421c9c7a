//! Files as the tools write them, helpers as people have them, and what must not come of either.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::Kind;
use crate::model::Secret;

/// A home with nothing in it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// A helper that keeps what it is given in a file for each server.
    fn helper(&self, name: &str) {
        let dir = self.path("");
        let script = format!(
            r#"#!/bin/sh
read -r input
name() {{ printf %s "$1" | tr -c 'a-z0-9.' _; }}
case $1 in
    get) cat "{0}/$(name "$input")" 2>/dev/null || {{ echo 'credentials not found in native keychain'; exit 1; }} ;;
    store) server=${{input#*ServerURL\":\"}}; printf %s "$input" >"{0}/$(name "${{server%%\"*}}")" ;;
    erase) rm "{0}/$(name "$input")" ;;
esac
"#,
            dir.display()
        );
        self.program(name, &script);
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.write(&format!("bin/docker-credential-{name}"), script);
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn credentials(&self) -> Credentials {
        let files = ["run/auth.json", "config/auth.json", "docker/config.json", ".dockercfg"];
        Credentials::new(&Registries {
            credentials: files.iter().map(|name| self.path(name)).collect(),
            login: Some(self.path("docker/config.json")),
            programs: vec![PathBuf::from("."), self.path("bin"), "/usr/bin".into(), "/bin".into()],
            ..Registries::default()
        })
    }

    fn find(&self, key: &str) -> Result<Option<Credential>> {
        self.credentials().find(&Context::new(), &key.parse().unwrap())
    }

    fn password(&self, key: &str) -> Option<String> {
        match self.find(key).unwrap() {
            Some(Credential::Basic { user, secret }) => Some(format!("{user} {}", secret.expose())),
            None => None,
            other => panic!("{other:?}"),
        }
    }
}

fn alice() -> Credential {
    Credential::of_user("alice".to_owned(), Secret::new("pass:word"))
}

/// What podman 5.8, skopeo 1.22, docker 28 and crane 0.20 wrote of `alice` and `pass:word`.
const PODMAN: &str =
    "{\n\t\"auths\": {\n\t\t\"127.0.0.1:5000/team/app\": {\n\t\t\t\"auth\": \"YWxpY2U6cGFzczp3b3Jk\"\n\t\t}\n\t}\n}";
const DOCKER: &str =
    "{\n\t\"auths\": {\n\t\t\"127.0.0.1:5000\": {\n\t\t\t\"auth\": \"YWxpY2U6cGFzczp3b3Jk\"\n\t\t}\n\t}\n}";

#[test]
fn i31_files_of_podman_and_docker_are_understood() {
    let home = Home::new();
    assert_eq!(home.password("127.0.0.1:5000"), None);
    home.write("docker/config.json", DOCKER);
    assert_eq!(home.password("127.0.0.1:5000").as_deref(), Some("alice pass:word"));
    assert_eq!(
        home.password("127.0.0.1:5000/any/thing").as_deref(),
        Some("alice pass:word")
    );
    assert_eq!(home.password("127.0.0.1:5001"), None);
    std::fs::remove_file(home.path("docker/config.json")).unwrap();
    home.write("run/auth.json", PODMAN);
    assert_eq!(home.password("127.0.0.1:5000"), None);
    assert_eq!(
        home.password("127.0.0.1:5000/team/app").as_deref(),
        Some("alice pass:word")
    );
    assert_eq!(home.password("127.0.0.1:5000/team/application"), None);
}

#[test]
fn i31_the_first_file_that_knows_a_registry_decides() {
    let home = Home::new();
    let entry = |user: &str| format!(r#"{{"auths": {{"r.io": {{"username": "{user}", "password": "x"}}}}}}"#);
    home.write(
        ".dockercfg",
        r#"{"https://r.io/v1/": {"auth": "b2xkOng", "email": "a@b"}}"#,
    );
    assert_eq!(home.password("r.io").as_deref(), Some("old x"));
    for (name, user) in [
        ("docker/config.json", "d"),
        ("config/auth.json", "c"),
        ("run/auth.json", "r"),
    ] {
        home.write(name, &entry(user));
        assert_eq!(home.password("r.io"), Some(format!("{user} x")), "{name}");
    }
    home.write("run/auth.json", r#"{"auths": {"other.io": {"auth": "eDp5"}}}"#);
    assert_eq!(home.password("r.io").as_deref(), Some("c x"));
    let mut credentials = home.credentials();
    credentials.places.environment = Some(Secret::new(entry("e")));
    let found = credentials.find(&Context::new(), &"r.io".parse().unwrap()).unwrap();
    assert_eq!(found, Some(Credential::of_user("e".to_owned(), Secret::new("x"))));
}

#[test]
fn i31_the_longest_key_wins() {
    let home = Home::new();
    let auth = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, text);
    let text = format!(
        r#"{{"auths": {{"r.io": {{"auth": "{}"}}, "r.io/team": {{"auth": "{}"}}, "r.io/team/app": {{"auth": "{}"}}}}}}"#,
        auth("whole:1"),
        auth("team:22"),
        auth("app:333")
    );
    home.write("run/auth.json", &text);
    for (key, found) in [
        ("r.io", "whole 1"),
        ("r.io/other/app", "whole 1"),
        ("r.io/team", "team 22"),
        ("r.io/team/application", "team 22"),
        ("r.io/team/app", "app 333"),
        ("r.io/team/app/part", "app 333"),
    ] {
        assert_eq!(home.password(key).as_deref(), Some(found), "{key}");
    }
}

#[test]
fn i31_docker_hub_has_many_names() {
    for key in [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "https://registry-1.docker.io/v2/",
    ] {
        let home = Home::new();
        home.write(
            "docker/config.json",
            &format!(r#"{{"auths": {{"{key}": {{"auth": "YTpi"}}}}}}"#),
        );
        assert_eq!(home.password("docker.io").as_deref(), Some("a b"), "{key}");
        assert_eq!(
            home.password("docker.io/library/debian").as_deref(),
            Some("a b"),
            "{key}"
        );
    }
}

#[test]
fn i31_tokens_are_told_from_passwords() {
    let home = Home::new();
    home.write(
        "docker/config.json",
        r#"{"auths": {"i.io": {"auth": "YTo=", "identitytoken": "I"}, "r.io": {"registrytoken": "R"}, "u.io": {"auth": "PHRva2VuPjpV"}, "empty.io": {}}}"#,
    );
    assert_eq!(home.find("i.io").unwrap(), Some(Credential::Identity(Secret::new("I"))));
    assert_eq!(home.find("r.io").unwrap(), Some(Credential::Token(Secret::new("R"))));
    assert_eq!(home.find("u.io").unwrap(), Some(Credential::Identity(Secret::new("U"))));
    assert_eq!(home.find("empty.io").unwrap(), None);
}

#[test]
fn i31_helpers_are_asked_before_the_file_itself() {
    let home = Home::new();
    home.helper("shop");
    home.helper("own");
    home.write(
        "docker/config.json",
        r#"{"credsStore": "shop", "credHelpers": {"own.io": "own", "plain.io": ""}, "auths": {"r.io": {"auth": "YTpi"}}}"#,
    );
    assert_eq!(home.password("r.io").as_deref(), Some("a b"), "the helper has nothing");
    home.write("r.io", r#"{"ServerURL": "r.io", "Username": "h", "Secret": "elper"}"#);
    assert_eq!(home.password("r.io/team/app").as_deref(), Some("h elper"));
    home.write("own.io", r#"{"Username": "<token>", "Secret": "T"}"#);
    assert_eq!(
        home.find("own.io").unwrap(),
        Some(Credential::Identity(Secret::new("T")))
    );
}

#[test]
fn what_is_stored_is_found_and_can_be_erased() {
    let (home, ctx) = (Home::new(), Context::new());
    let key: Key = "docker.io".parse().unwrap();
    let path = home.write(
        "docker/config.json",
        r#"{"HttpHeaders": {"a": "b"}, "auths": {"x.io": {"auth": "YTpi"}}}"#,
    );
    let place = home.credentials().store(&ctx, &key, &alice()).unwrap();
    assert_eq!(place, format!("`{}`", path.display()));
    let text = home.read("docker/config.json");
    assert_eq!(
        text,
        "{\n\t\"HttpHeaders\": {\n\t\t\"a\": \"b\"\n\t},\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \
         \"YWxpY2U6cGFzczp3b3Jk\"\n\t\t},\n\t\t\"x.io\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t}\n}\n"
    );
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(home.find("docker.io").unwrap(), Some(alice()));
    assert_eq!(home.credentials().erase(&ctx, &key).unwrap(), [place]);
    assert_eq!(home.find("docker.io").unwrap(), None);
    assert!(home.read("docker/config.json").contains("x.io"));
    assert!(home.credentials().erase(&ctx, &key).unwrap().is_empty());
}

#[test]
fn what_is_stored_goes_where_it_will_be_found() {
    let (home, ctx) = (Home::new(), Context::new());
    home.write("config/auth.json", r#"{"auths": {"r.io": {"auth": "YTpi"}}}"#);
    let store = |key: &str| home.credentials().store(&ctx, &key.parse().unwrap(), &alice()).unwrap();
    assert!(store("r.io").ends_with("config/auth.json`"));
    assert_eq!(home.find("r.io").unwrap(), Some(alice()));
    assert!(store("new.io").ends_with("docker/config.json`"));
    assert_eq!(
        home.path("docker").metadata().unwrap().permissions().mode() & 0o777,
        0o700
    );
    home.helper("shop");
    home.write("docker/config.json", r#"{"credsStore": "shop"}"#);
    assert_eq!(store("third.io"), "the helper `shop`");
    assert_eq!(home.read("docker/config.json"), r#"{"credsStore": "shop"}"#);
    assert_eq!(home.find("third.io").unwrap(), Some(alice()));
    let erased = home.credentials().erase(&ctx, &"third.io".parse().unwrap()).unwrap();
    assert_eq!(erased, ["the helper `shop`"]);
    assert_eq!(home.find("third.io").unwrap(), None);
}

#[test]
fn a_file_that_is_a_link_stays_one() {
    let (home, ctx) = (Home::new(), Context::new());
    let real = home.write("dotfiles/config.json", "");
    std::fs::create_dir(home.path("docker")).unwrap();
    std::os::unix::fs::symlink(&real, home.path("docker/config.json")).unwrap();
    home.credentials()
        .store(&ctx, &"r.io".parse().unwrap(), &alice())
        .unwrap();
    assert!(home.path("docker/config.json").symlink_metadata().unwrap().is_symlink());
    assert!(home.read("dotfiles/config.json").contains("r.io"));
}

#[test]
fn logins_side_by_side_are_all_kept() {
    let home = Home::new();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (credentials, key) = (home.credentials(), format!("r{n}.io").parse().unwrap());
            scope.spawn(move || credentials.store(&Context::new(), &key, &alice()).unwrap());
        }
    });
    assert_eq!(home.read("docker/config.json").matches(".io").count(), 16);
}

#[test]
fn a_broken_file_is_named_with_the_line_and_without_its_secrets() {
    for (text, message) in [
        (
            "{\"auths\": {\n\"r.io\": {\"auth\": \"aHVudGVy\" \"x\"",
            "at line 2 column",
        ),
        (r#"["hunter2"]"#, "is no valid file of credentials"),
        (r#"{"auths": ["hunter2"]}"#, "`auths` must be an object"),
        (
            r#"{"auths": {"r.io": {"auth": "hunter2!"}}}"#,
            "has an `auth` for `r.io` that is no user and password",
        ),
        (
            r#"{"auths": {"r.io": {"auth": "aHVudGVyMg=="}}}"#,
            "has an `auth` for `r.io` that is no user and password",
        ),
    ] {
        let home = Home::new();
        let path = home.write("docker/config.json", text);
        let error = home.find("r.io").unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.message().contains(message), "{error}");
        assert!(error.message().contains(path.to_str().unwrap()), "{error}");
        assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
        assert!(error.way_out().is_some());
    }
}

#[test]
fn s35_a_helper_is_a_program_of_the_path() {
    let home = Home::new();
    for (name, kind) in [
        ("../x", Kind::Invalid),
        ("a/b", Kind::Invalid),
        ("nothing", Kind::NotFound),
    ] {
        home.write("docker/config.json", &format!(r#"{{"credsStore": "{name}"}}"#));
        let error = home.find("r.io").unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains("docker/config.json"), "{error}");
    }
    // A directory that is relative to wherever the process is, is none to look in.
    let programs = [PathBuf::from("."), PathBuf::from("bin")];
    assert!(Helper::find("shop", &programs).is_err());
}

#[test]
fn a_helper_that_fails_is_told_without_what_it_was_given() {
    let (home, ctx) = (Home::new(), Context::new());
    home.write("docker/config.json", r#"{"credsStore": "bad"}"#);
    home.program("bad", "#!/bin/sh\necho \"locked $(cat)\"; exit 3\n");
    let error = home.find("r.io").unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(
        error
            .message()
            .contains("the credential helper `bad` failed to get `r.io`: locked r.io"),
        "{error}"
    );
    let error = home
        .credentials()
        .store(&ctx, &"r.io".parse().unwrap(), &alice())
        .unwrap_err();
    assert!(
        !format!("{error:?}").contains("pass:word") && error.message().contains("***"),
        "{error}"
    );
    home.program("bad", "#!/bin/sh\necho '{\"Secret\": [\"hunter2\"]}'\n");
    let error = home.find("r.io").unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    // More than any credential has is not taken, and does not fill the memory.
    home.program("bad", "#!/bin/sh\nexec yes\n");
    home.find("r.io").unwrap_err();
}

#[test]
fn a_helper_that_does_not_come_back_is_waited_for_as_long_as_the_operation_lasts() {
    let home = Home::new();
    home.write("docker/config.json", r#"{"credsStore": "slow"}"#);
    home.program("slow", "#!/bin/sh\nexec sleep 1000\n");
    let ctx = Context::new().with_timeout(std::time::Duration::from_millis(50));
    let error = home.credentials().find(&ctx, &"r.io".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    // What a helper leaves running, as an agent, is not waited for.
    home.program(
        "slow",
        "#!/bin/sh\necho '{\"Username\": \"a\", \"Secret\": \"b\"}'; sleep 2 &\n",
    );
    assert_eq!(home.password("r.io").as_deref(), Some("a b"));
}

#[test]
fn keys_are_registries_and_paths_below_them() {
    for (text, key) in [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("localhost:5000/team/app", "localhost:5000/team/app"),
        ("index.docker.io", "docker.io"),
        ("localhost", "localhost"),
        ("[::1]:5000", "[::1]:5000"),
    ] {
        assert_eq!(text.parse::<Key>().unwrap().to_string(), key);
    }
    for text in ["", "debian", "r.io/UPPER", "r.io/a:tag", "r.io/a@b", "-.io", "a b.io"] {
        assert!(text.parse::<Key>().is_err(), "{text:?}");
    }
}
