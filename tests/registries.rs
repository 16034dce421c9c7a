//! Real registries: who we are to them, what goes there and what others make of it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::harness::registry::{Guard, Registry, USER};
use crate::harness::{Answer, Fault, Faulty, Hoist, Output, Peers, Served, inputs};

/// The one user of a registry that asks who is there, and the password, which tests look for where it must not be.
const NAME: &str = USER.0;
const PASSWORD: &str = USER.1;

/// Fails if a password is in what the program said.
#[track_caller]
fn assert_silent(output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        assert!(
            !text.contains(PASSWORD) && !text.contains("Y29ycmVjdC1ob3JzZQ"),
            "{text}"
        );
    }
}

/// A file of the one who runs the program.
fn home(hoist: &Hoist, name: &str) -> PathBuf {
    hoist.dir().parent().unwrap().join("home").join(name)
}

fn login(hoist: &Hoist, registry: &str, password: &str) -> Output {
    let words = ["registry", "login", "--username", NAME, "--password-stdin", registry];
    let output = hoist.command(&words).stdin(format!("{password}\n")).output();
    assert_silent(&output);
    output
}

#[test]
fn i31_a_login_is_kept_for_everybody_and_a_logout_forgets_it() {
    let (hoist, registry) = (
        Hoist::new(),
        Registry::guarded(Guard {
            password: true,
            tls: false,
        }),
    );
    let refused = login(&hoist, &registry.address, "wrong");
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("help: look at user and password"),
        "{}",
        refused.stderr
    );
    let file = home(&hoist, ".docker/config.json");
    assert!(!file.exists());

    login(&hoist, &registry.address, PASSWORD).success();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // The other tools find it.
    let peers = Peers::new();
    std::fs::copy(&file, peers.file("auth.json")).unwrap();
    let list = |peers: &Peers| {
        let name = format!("docker://{}", registry.name("team/app"));
        peers.run(&[
            "skopeo",
            "list-tags",
            "--authfile",
            "auth.json",
            "--tls-verify=false",
            &name,
        ])
    };
    let found = list(&peers);
    assert!(!found.stderr.contains("authentication required"), "{}", found.stderr);
    assert!(
        found.stderr.contains("NAME_UNKNOWN") || found.stderr.contains("not known"),
        "{}",
        found.stderr
    );

    let out = hoist.run(&["registry", "logout", &registry.address]).success();
    out.stdout_is(&format!("Removing login credentials for {}", registry.address));
    assert!(!std::fs::read_to_string(&file).unwrap().contains(&registry.address));
    assert_eq!(
        hoist.value(&format!("registry::logout({:?})", &registry.address)),
        false
    );
}

#[test]
fn what_podman_and_crane_keep_is_shown_and_a_dry_run_keeps_nothing() {
    let registry = Registry::guarded(Guard {
        password: true,
        tls: false,
    });
    let (hoist, peers) = (Hoist::new(), Peers::new());
    let script = format!(
        "printf '%s' {PASSWORD:?} | podman login --authfile auth.json --tls-verify=false -u {NAME} --password-stdin {}",
        &registry.address
    );
    peers.run(&["sh", "-euc", &script]).success();
    let word = |user: &str| format!("registry::login({:?}, {user:?}, env::get(\"P\"))", &registry.address);
    let eval = |user: &str| hoist.command(&["eval", &word(user)]).env("P", PASSWORD);
    let wrong = eval("bob").output();
    assert_silent(&wrong);
    assert!(wrong.stderr.contains("unauthorized"), "{}", wrong.stderr);
    // Kept there, it is changed there.
    let auth = peers.file("auth.json");
    let before = std::fs::read_to_string(&auth).unwrap();
    let planned = hoist
        .command(&["--dry-run", "eval", &word(NAME)])
        .env("P", PASSWORD)
        .env("REGISTRY_AUTH_FILE", &auth)
        .output();
    assert_silent(&planned.success());
    assert_eq!(std::fs::read_to_string(&auth).unwrap(), before);
    eval(NAME).env("REGISTRY_AUTH_FILE", &auth).output().success();
    assert!(std::fs::read_to_string(&auth).unwrap().contains(&registry.address));
    assert!(!home(&hoist, ".docker").exists());
}

#[test]
fn i38_a_certificate_of_its_own_is_trusted_where_certs_d_says_so() {
    let (hoist, registry) = (
        Hoist::new(),
        Registry::guarded(Guard {
            password: true,
            tls: true,
        }),
    );
    let verified = |hoist: &Hoist| {
        let words = [
            "registry",
            "login",
            "-u",
            NAME,
            "--password-stdin",
            "--tls-verify",
            &registry.address,
        ];
        hoist.command(&words).stdin(PASSWORD).output()
    };
    let refused = verified(&hoist);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    hoist.run(&["registry", "logout", &registry.address]).success();
    let dir = home(&hoist, &format!(".config/containers/certs.d/{}", &registry.address));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("ca.crt"), std::fs::read(registry.certificate()).unwrap()).unwrap();
    verified(&hoist).success();
}

#[test]
fn a_password_is_asked_for_without_an_echo() {
    let (hoist, registry) = (
        Hoist::new(),
        Registry::guarded(Guard {
            password: true,
            tls: false,
        }),
    );
    let mut screen = hoist.command(&["registry", "login", &registry.address]).on_screen();
    let settings = screen.first_settings.clone();
    screen.wait_for("Username: ");
    screen.press(&format!("{NAME}\n"));
    screen.wait_for("Password: ");
    screen.press(&format!("{PASSWORD}\n"));
    screen.wait_for("Login Succeeded");
    assert!(!screen.shown().contains(PASSWORD), "{}", screen.shown());
    assert_eq!(screen.settings(), settings);
    // Ctrl-C gives the terminal back as it was.
    let mut screen = hoist
        .command(&["registry", "login", "-u", NAME, &registry.address])
        .on_screen();
    screen.wait_for("Password: ");
    screen.press("\u{3}");
    assert_eq!(screen.code(), 130);
    assert_eq!(screen.settings(), settings);
}

#[test]
fn i34_what_is_there_is_listed_and_described() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    let path = inputs::path("busybox.skopeo.oci.tar");
    let name = registry.name("team/app");
    let script = format!(
        r#"let i = image::load({:?})[0];
        for tag in ["1.0", "1.1"] {{ image::push(i, `{name}:${{tag}}`); }}
        let seen = registry::inspect("{name}:1.0");
        #{{
            repos: registry::repos({:?}), tags: registry::tags("{name}").sort_natural(), few: registry::tags("{name}", #{{limit: 1}}).len(),
            same: registry::digest("{name}:1.0") == i.digest && seen.digest == i.digest && seen.id == i.id,
            exists: [registry::exists("{name}:1.0"), registry::exists("{name}:9"), registry::exists("{name}x:1")],
            layers: [seen.layers.len(), registry::manifest("{name}:1.0").layers.len()],
            referrers: registry::referrers("{name}:1.0"), limits: registry::limits({:?}),
        }}"#,
        path.to_str().unwrap(),
        &registry.address,
        &registry.address
    );
    let file = hoist.write("look.rhai", format!("print(json::stringify({{ {script} }}))"));
    let seen = hoist.run(&["run", file.to_str().unwrap()]).success().json();
    assert_eq!(
        seen,
        serde_json::json!({
            "repos": ["team/app"], "tags": ["1.0", "1.1"], "few": 1, "same": true,
            "exists": [true, false, false], "layers": [1, 1], "referrers": [], "limits": null,
        })
    );
    let missing = hoist.eval(&format!("registry::tags({:?})", registry.name("nothing")));
    assert!(missing.stderr.contains("error[not_found]"), "{}", missing.stderr);
}

#[test]
fn i35_a_tag_goes_and_its_siblings_stay() {
    let (hoist, registry) = (Hoist::new(), Registry::new());
    let (path, name) = (inputs::path("busybox.skopeo.oci.tar"), registry.name("app"));
    let script = format!(
        r#"image::push(image::load({:?})[0], "{name}:1").digest"#,
        path.to_str().unwrap()
    );
    let digest = hoist.value(&script);
    let value = |script: &str| hoist.value(&script.replace("NAME", &name));
    assert_eq!(value(r#"registry::tag("NAME:1", "2")"#), format!("{name}:2"));
    let planned = hoist
        .run(&["--dry-run", "eval", &format!(r#"registry::delete_tag("{name}:2")"#)])
        .success();
    assert!(planned.stderr.contains("registry::delete_tag"), "{}", planned.stderr);
    assert_eq!(
        value(r#"registry::tags("NAME").sort_natural()"#),
        serde_json::json!(["1", "2"])
    );
    let done = |script: &str| hoist.eval(&script.replace("NAME", &name)).success();
    done(r#"registry::delete_tag("NAME:2")"#);
    assert_eq!(
        value(r#"registry::tags("NAME").sort_natural()"#),
        serde_json::json!(["1"])
    );
    assert_eq!(value(r#"registry::digest("NAME:1")"#), digest);
    for (script, kind) in [
        (r#"registry::delete_tag("NAME:2")"#, "not_found"),
        (r#"registry::delete_tag("NAME")"#, "invalid"),
        (r#"registry::delete("NAME:1")"#, "invalid"),
    ] {
        let failed = hoist.eval(&script.replace("NAME", &name));
        assert!(
            failed.stderr.contains(&format!("error[{kind}]")),
            "{script} {}",
            failed.stderr
        );
    }
    done(r#"registry::delete("NAME@" + registry::digest("NAME:1"))"#);
    assert_eq!(value(r#"registry::exists("NAME:1")"#), false);
}

/// What `docker search` asks Docker Hub for, asked of a registry that has it, and of two that have only a list of what they hold.
#[test]
fn images_are_found_by_a_word_with_a_search_or_by_the_list_of_repositories() {
    let (hoist, registry, peers) = (Hoist::new(), Registry::new(), Peers::new());
    let archive = format!("docker-archive:{}", inputs::path("busybox.skopeo.docker.tar").display());
    for name in ["team/busybox:1", "other/box:1", "team/shell:1"] {
        registry.put(&peers, &archive, name, &[]);
    }
    let names = |call: &str| hoist.value(&format!("{call}.map(|hit| hit.name)"));
    let at = |name: &str| registry.name(name);
    let found = names(&format!(
        r#"image::search("Box", #{{registry: "{}"}})"#,
        registry.address
    ));
    assert_eq!(found, serde_json::json!([at("other/box"), at("team/busybox")]));
    let found = names(&format!(r#"image::search("{}/team", #{{limit: 1}})"#, registry.address));
    assert_eq!(found, serde_json::json!([at("team/busybox")]));

    let own = Hoist::with_busybox();
    let served = Served::start(&own, &[]);
    let found = names(&format!(r#"image::search("busy", #{{registry: "{}"}})"#, served.name()));
    assert_eq!(found, serde_json::json!([format!("{}/library/busybox", served.name())]));
    hoist.eval(&format!("image::pull({found}[0])")).success();

    let faulty = Faulty::alone();
    let hits = serde_json::json!({"num_results": 1, "query": "a b", "results": [
        {"name": "team/app", "description": null, "is_official": true, "is_automated": false, "star_count": 7, "more": []},
    ]});
    let answer = Answer::status(200)
        .header("Content-Type", "application/json")
        .body(hits.to_string());
    faulty.always("GET /v1/search", Fault::Answer(answer));
    let words = ["--format", "json", "search", "--registry", &faulty.name(), "a b"];
    let shown = hoist.run(&words).success().stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let name = format!("{}/team/app", faulty.name());
    let wanted = serde_json::json!({"Name": name, "Description": "", "StarCount": "7", "IsOfficial": "[OK]"});
    assert_eq!(shown, wanted);
    assert!(
        faulty
            .seen()
            .iter()
            .any(|request| request.target == "/v1/search?q=a+b&n=25")
    );

    // One that tells nobody.
    faulty.heal();
    let refused = hoist.run(&["image", "search", "--registry", &faulty.name(), "app"]);
    assert!(
        refused.stderr.contains("many registries tell nobody what they have"),
        "{}",
        refused.stderr
    );
}
