//! Line 28: names are taken apart as Docker takes them apart, told by a table and by Docker itself.

use hoist::model::Reference;

use crate::harness::Peers;

/// Registries as written, and what they become.
const REGISTRIES: [(&str, &str); 17] = [
    ("docker.io", "docker.io"),
    ("index.docker.io", "docker.io"),
    ("localhost", "localhost"),
    ("localhost:5000", "localhost:5000"),
    ("example.org", "example.org"),
    ("example.org:443", "example.org:443"),
    ("EXAMPLE.org", "EXAMPLE.org"),
    ("UPPER", "UPPER"),
    ("camelCase", "camelCase"),
    ("host:80", "host:80"),
    ("a.b", "a.b"),
    ("a-b.c-d", "a-b.c-d"),
    ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("192.168.0.1", "192.168.0.1"),
    ("127.0.0.1:5000", "127.0.0.1:5000"),
    ("[::1]:5000", "[::1]:5000"),
    ("[2001:db8::1]", "[2001:db8::1]"),
];

/// Repositories' paths.
const PATHS: [&str; 13] = [
    "app",
    "team/app",
    "a/b/c/d",
    "a_b",
    "a__b",
    "a.b",
    "a-b",
    "a---b",
    "0",
    "9a/8b",
    "library/x",
    "a0.b1_c2-d3",
    "a/0__1/2.3",
];

/// What stands alone, and what it means.
const WHOLE: [(&str, &str); 26] = [
    ("app", "docker.io/library/app:latest"),
    ("app:1", "docker.io/library/app:1"),
    ("team/app", "docker.io/team/app:latest"),
    ("library/app", "docker.io/library/app:latest"),
    ("a/b/c", "docker.io/a/b/c:latest"),
    ("localhost", "docker.io/library/localhost:latest"),
    ("localhost:5000", "docker.io/library/localhost:5000"),
    ("a.b", "docker.io/library/a.b:latest"),
    ("a.b:1", "docker.io/library/a.b:1"),
    ("a_b/c", "docker.io/a_b/c:latest"),
    ("a-b/c", "docker.io/a-b/c:latest"),
    ("localhost.x/a", "localhost.x/a:latest"),
    ("localhosts/a", "docker.io/localhosts/a:latest"),
    ("app:latest", "docker.io/library/app:latest"),
    ("app:_", "docker.io/library/app:_"),
    ("app:A.b-c_D", "docker.io/library/app:A.b-c_D"),
    ("app:1.2.3-rc.1", "docker.io/library/app:1.2.3-rc.1"),
    ("app:0", "docker.io/library/app:0"),
    ("index.docker.io/library/app", "docker.io/library/app:latest"),
    ("docker.io/library/a/b", "docker.io/library/a/b:latest"),
    ("deadbeef", "docker.io/library/deadbeef:latest"),
    ("deadbeef:deadbeef", "docker.io/library/deadbeef:deadbeef"),
    ("example.org/deadbeef", "example.org/deadbeef:latest"),
    ("a.b/c:80", "a.b/c:80"),
    ("host:80/app:80", "host:80/app:80"),
    ("sha256/a", "docker.io/sha256/a:latest"),
];

const NONE: [&str; 55] = [
    ":",
    "a:",
    ":a",
    "a:b:c",
    "a/",
    "/a",
    "//",
    "a//b",
    "a/b/",
    "-a",
    "a-",
    "_a",
    "a_",
    ".a",
    "a.",
    "a..b",
    "a___b",
    "a._b",
    "a-_b",
    "a.-b",
    "A",
    "aB",
    "team/App",
    "docker.io/App",
    "localhost/A",
    "a b",
    "a\tb",
    " a",
    "a ",
    "ä",
    "a:ä",
    "a:-x",
    "a:.x",
    "a:x/y",
    "a:x y",
    "a@",
    "@a",
    "a@b",
    "a@sha256",
    "a@sha256:",
    "a@sha256:abc",
    "../a",
    "./a",
    "a/../b",
    "~a",
    "a~b",
    "a+b",
    "a:b+c",
    "http://a/b",
    "https://example.org/a",
    "localhost:x/a",
    "host:/a",
    "-a.b/c",
    "a-.b/c",
    "[::g]/a",
];

/// What Docker takes and Hoist does not, and why.
const STRICTER: [(&str, &str); 3] = [
    ("[:::]/a", "no IPv6 address"),
    ("[12345]/a", "no IPv6 address"),
    ("a_b.c/d", "no host: Docker takes it for a path that is in no registry"),
];

fn hex(digit: &str, count: usize) -> String {
    digit.repeat(count)
}

/// Every valid vector, and what it means.
fn valid() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = WHOLE.map(|(text, whole)| (text.to_owned(), whole.to_owned())).to_vec();
    for (number, (written, registry)) in REGISTRIES.iter().enumerate() {
        for (place, path) in PATHS.iter().enumerate() {
            let is_short = *registry == "docker.io" && !path.contains('/');
            let full = if is_short {
                format!("library/{path}")
            } else {
                (*path).to_owned()
            };
            let tag = ["", ":1", ":v1.0", ":Tag_-."][(number + place) % 4];
            let shown = if tag.is_empty() { ":latest" } else { tag };
            all.push((format!("{written}/{path}{tag}"), format!("{registry}/{full}{shown}")));
        }
    }
    let (tag, path) = ("t".repeat(128), "p".repeat(255));
    all.push((format!("app:{tag}"), format!("docker.io/library/app:{tag}")));
    all.push((format!("example.org/{path}"), format!("example.org/{path}:latest")));
    all.push((
        format!("example.org/{}", hex("a", 64)),
        format!("example.org/{}:latest", hex("a", 64)),
    ));
    all.push((hex("a", 63), format!("docker.io/library/{}:latest", hex("a", 63))));
    all
}

/// Those with a digest: it rules, and the tag beside it stays.
fn pinned() -> Vec<(String, String)> {
    let (short, long) = (format!("sha256:{}", hex("0", 64)), format!("sha512:{}", hex("f", 128)));
    vec![
        (format!("app@{short}"), format!("docker.io/library/app@{short}")),
        (format!("app:1@{short}"), format!("docker.io/library/app:1@{short}")),
        (format!("host:80/app@{short}"), format!("host:80/app@{short}")),
        (format!("host:80/app:2@{short}"), format!("host:80/app:2@{short}")),
        (format!("[::1]:5000/app:2@{short}"), format!("[::1]:5000/app:2@{short}")),
        (format!("app@{long}"), format!("docker.io/library/app@{long}")),
    ]
}

fn invalid() -> Vec<String> {
    let mut all: Vec<String> = NONE.map(str::to_owned).to_vec();
    all.extend([
        hex("a", 64),
        format!("app:{}", "t".repeat(129)),
        format!("example.org/{}", "p".repeat(256)),
        format!("{}a", "a/".repeat(128)),
        format!("app@sha256:{}", hex("A", 64)),
        format!("app@sha256:{}", hex("0", 63)),
        format!("app@md5:{}", hex("0", 32)),
        format!("app@sha256:{}:1", hex("0", 64)),
        format!("app@sha256:{0}@sha256:{0}", hex("0", 64)),
    ]);
    all
}

#[test]
fn c28_names_mean_what_they_mean_to_docker() {
    let mut count = 0;
    for (text, whole) in valid().into_iter().chain(pinned()) {
        let reference: Reference = text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"));
        assert_eq!(reference.to_string(), whole, "`{text}`");
        // The short form and the whole one are the same name.
        for form in [reference.familiar(), whole] {
            assert_eq!(form.parse::<Reference>().unwrap(), reference, "`{form}` of `{text}`");
        }
        count += 1;
    }
    for text in invalid()
        .iter()
        .map(String::as_str)
        .chain(["", "a\n", "\0"])
        .chain(STRICTER.map(|(text, _)| text))
    {
        assert!(
            text.parse::<Reference>().is_err(),
            "`{}` is a name",
            text.escape_debug()
        );
        count += 1;
    }
    assert!(count >= 200, "{count} vectors");
}

/// Docker's own word on the table above: what it refuses, and the short form of what it takes.
#[test]
fn c28_docker_agrees() {
    let peers = Peers::new();
    let all: Vec<String> = valid().into_iter().chain(pinned()).map(|(text, _)| text).collect();
    let none = invalid();
    for (name, texts) in [("all", &all), ("none", &none)] {
        std::fs::write(peers.file(name), texts.join("\n") + "\n").unwrap();
    }
    // It shows the short form of what it does not find, and takes a new name apart before it looks for the image.
    let script = r#"
        while IFS= read -r name; do set -- "$@" "$name"; done <all
        docker image inspect -- "$@" 2>&1 >/dev/null || true
        echo --
        while IFS= read -r name; do docker tag -- none "$name" 2>&1 || true; done <none"#;
    let output = peers.docker(script, &[]).success();
    let (taken, refused) = output.stdout.split_once("--\n").unwrap();
    let missing = |line: &str| line.split_once("No such image: ").map(|(_, name)| name.to_owned());
    let theirs: Vec<_> = taken.lines().map(missing).collect();
    let ours: Vec<_> = all
        .iter()
        .map(|text| Some(text.parse::<Reference>().unwrap().familiar()))
        .collect();
    assert_eq!(ours, theirs);
    let taken: Vec<_> = refused.lines().filter(|line| line.contains("No such image")).collect();
    assert!(
        taken.is_empty() && refused.lines().count() >= none.len(),
        "Docker takes {taken:?}"
    );
}
