//! Who is let in, and by which way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use crate::harness::served::{Answered, request};
use crate::harness::{Authority, Hoist, Served};

#[test]
fn only_users_of_the_file_are_let_in() {
    let hoist = Hoist::with_busybox();
    let users = hoist.write("users", format!("ann:{}\n", bcrypt::hash("pass word", 4).unwrap()));
    let served = Served::start(&hoist, &["--auth", users.to_str().unwrap(), "--write"]);
    let ask = |method: &str, target: &str, who: Option<&str>| {
        let header = who.map(|who| format!("Basic {}", STANDARD.encode(who)));
        let headers: Vec<_> = header.iter().map(|header| ("Authorization", header.as_str())).collect();
        served.send(method, target, &headers, b"")
    };
    for target in [
        "/v2/",
        "/v2/busybox/manifests/latest",
        "/v2/_catalog",
        "/v2/no/such/thing",
        "/elsewhere",
    ] {
        for who in [None, Some("ann:wrong"), Some("ann:"), Some("bob:pass word"), Some(":")] {
            let answer = ask("GET", target, who).is(401);
            assert_eq!(answer.code(), "UNAUTHORIZED");
            assert!(answer.header("WWW-Authenticate").unwrap().starts_with("Basic realm="));
        }
    }
    ask("POST", "/v2/a/blobs/uploads/", None).is(401);
    ask("GET", "/v2/", Some("ann:pass word")).is(200);
    ask("GET", "/v2/busybox/manifests/latest", Some("ann:pass word")).is(200);
    ask("POST", "/v2/a/blobs/uploads/", Some("ann:pass word")).is(202);
    drop(served);
    let output = hoist
        .run(&["serve", "registry", "--listen", "127.0.0.1:bad"])
        .fails_with(2);
    assert!(
        output.stderr.contains("`127.0.0.1:bad` is no address"),
        "{}",
        output.stderr
    );
    let file = hoist.write("bad", "ann:secret");
    let output = hoist
        .run(&[
            "serve",
            "registry",
            "--listen",
            "127.0.0.1:0",
            "--auth",
            file.to_str().unwrap(),
        ])
        .fails_with(2);
    assert!(
        output.stderr.contains("line 1 of") && output.stderr.contains("htpasswd -B"),
        "{}",
        output.stderr
    );
}

#[test]
fn it_proves_who_it_is() {
    let hoist = Hoist::with_busybox();
    let authority = Authority::new();
    let (cert, key) = authority.sign(&["localhost", "127.0.0.1"]).write(&hoist.dir());
    let served = Served::start(&hoist, &["--tls", cert.to_str().unwrap(), key.to_str().unwrap()]);
    assert!(served.url().starts_with("https://"));
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls::pki_types::pem::PemObject::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let ask = |target: &str| {
        let client = rustls::ClientConnection::new(Arc::new(config.clone()), "localhost".try_into().unwrap()).unwrap();
        let mut wire = rustls::StreamOwned::new(client, TcpStream::connect(served.address()).unwrap());
        wire.write_all(&request("GET", target, &[], b"")).unwrap();
        Answered::read(&mut wire, false)
    };
    let manifest = ask("/v2/busybox/manifests/latest").is(200).json();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let blob = ask(&format!("/v2/busybox/blobs/{layer}")).is(200).body;
    assert_eq!(crate::harness::served::sha256(&blob), layer);
    drop(served);
    let words = [
        "serve",
        "registry",
        "--listen",
        "127.0.0.1:0",
        "--tls",
        key.to_str().unwrap(),
        key.to_str().unwrap(),
    ];
    assert!(hoist.run(&words).fails_with(2).stderr.contains("holds no certificate"));
}

#[test]
fn whoever_opens_it_to_others_is_told_what_that_means() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write", "--listen", "0.0.0.0:0"]);
    let (said, code) = served.stop();
    assert_eq!(code, Some(0));
    assert!(
        said.contains("asks for no password: whoever reaches it can read and write"),
        "{said}"
    );
    assert!(said.contains("is not encrypted"), "{said}");
    let taken = Served::start(&hoist, &[]);
    let output = hoist
        .run(&["serve", "registry", "--listen", taken.name()])
        .fails_with(1);
    assert!(
        output.stderr.contains(&format!(
            "failed to listen at `{}`: address already in use",
            taken.name()
        )),
        "{}",
        output.stderr
    );
    let planned = hoist.run(&["--dry-run", "serve", "registry"]).success();
    assert!(planned.stderr.contains("registry::serve") || planned.stdout.contains("registry::serve"));
}

#[test]
fn a_script_serves_until_it_ends() {
    let hoist = Hoist::with_busybox();
    let script = r#"
        let server = registry::serve(#{listen: "127.0.0.1:0"});
        print(server.addr);
        assert::throws("internal", || registry::serve(#{listen: server.addr}));
        server.stop();
        let again = registry::serve(#{listen: server.addr});
        assert::eq(again.addr, server.addr);
    "#;
    let output = hoist.script(script, &[]);
    let address = output.success().stdout.trim().to_owned();
    assert!(TcpStream::connect(address).is_err());
}
