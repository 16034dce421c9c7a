//! The client against servers that ask, lie, break off and lead astray.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::blobs::Download;
use super::testing::{Reply, Server, reply, user};
use super::*;
use crate::error::Kind;
use crate::images::manifest::Descriptor;
use crate::model::{Context, Digest, Secret};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn manifest(ctx: &Context, registry: &Registry) -> crate::error::Result<Received> {
    registry.manifest(ctx, "team/app", "1")
}

fn found() -> Reply {
    reply(200, &[("Content-Type", MANIFEST)], b"{}")
}

/// A registry that wants a token from `realm`, and takes one that starts so.
fn with_token(realm: &str, prefix: &'static str) -> Server {
    let challenge = format!(r#"Bearer realm="{realm}",service="reg",scope="repository:team/app:pull""#);
    Server::new(move |asked| match asked.header("authorization") {
        Some(shown) if shown.starts_with(&format!("Bearer {prefix}")) => found(),
        _ => reply(401, &[("WWW-Authenticate", &challenge)], b""),
    })
}

fn token_service(life: &'static str) -> Server {
    let count = AtomicU32::new(0);
    Server::new(move |_| {
        let count = count.fetch_add(1, Ordering::Relaxed);
        reply(200, &[], format!(r#"{{"token":"t{count}"{life}}}"#).as_bytes())
    })
}

#[test]
fn r30_a_token_is_fetched_once_for_all_that_want_it_and_again_when_it_is_over() {
    let service = token_service("");
    let server = with_token(&format!("http://{}/token?x=1", service.address), "t");
    let registry = server.registry(user());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| manifest(&Context::new(), &registry).unwrap());
        }
    });
    let asked = service.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].path,
        "/token?x=1&service=reg&scope=repository%3Ateam%2Fapp%3Apull&account=ann"
    );
    assert_eq!(asked[0].header("authorization"), Some("Basic YW5uOmh1bnRlcjI="));
    assert!(
        !server.heard().contains("YW5uOmh1bnRlcjI="),
        "the registry has no use for the password"
    );

    let service = token_service("");
    let server = with_token(&format!("http://{}/token", service.address), "t1");
    manifest(&Context::new(), &server.registry(user())).unwrap_err();
    assert_eq!(service.asked().len(), 1, "one refusal, one new token");
    let registry = server.registry(user());
    registry
        .request(reqwest::Method::GET, "team/app/x", Scope::pull("team/app"))
        .send(&Context::new())
        .unwrap();
    manifest(&Context::new(), &registry).unwrap();
}

#[test]
fn r30_identity_tokens_are_exchanged_and_registry_tokens_shown() {
    let service = Server::new(|_| reply(200, &[], br#"{"access_token":"t1","expires_in":300}"#));
    let server = with_token(&format!("http://{}/token", service.address), "t");
    manifest(
        &Context::new(),
        &server.registry(Credential::Identity(Secret::new("refresh&me"))),
    )
    .unwrap();
    let asked = &service.asked()[0];
    let form = "grant_type=refresh_token&client_id=hoist&service=reg&scope=repository%3Ateam%2Fapp%3Apull&refresh_token=refresh%26me";
    assert_eq!(asked.method, "POST");
    assert!(asked.text.ends_with(form), "{}", asked.text);
    let server = with_token("http://127.0.0.1:1/token", "mine");
    manifest(
        &Context::new(),
        &server.registry(Credential::Token(Secret::new("mine"))),
    )
    .unwrap();
}

#[test]
fn r30_basic_is_shown_where_it_is_asked_for() {
    let server = Server::new(|asked| match asked.header("authorization") {
        Some("Basic YW5uOmh1bnRlcjI=") => found(),
        Some(_) => reply(
            401,
            &[("WWW-Authenticate", "Basic realm=x")],
            br#"{"errors":[{"message":"go away"}]}"#,
        ),
        None => reply(
            401,
            &[("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "Basic realm=x")],
            b"",
        ),
    });
    manifest(&Context::new(), &server.registry(user())).unwrap();
    let wrong = Credential::Basic {
        user: "ann".into(),
        secret: Secret::new("no"),
    };
    let error = manifest(&Context::new(), &server.registry(wrong)).unwrap_err();
    assert_eq!((error.kind(), error.http_status()), (Kind::Unauthorized, Some(401)));
    assert!(
        error.message().ends_with("answered 401 unauthorized: go away"),
        "{error}"
    );
    let error = manifest(&Context::new(), &server.registry(Credential::Anonymous)).unwrap_err();
    assert!(error.way_out().unwrap().contains("`username`"), "{error:?}");
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths.len(), 5, "two, two and one: nothing is asked twice the same way");
}

#[test]
fn s32_a_token_service_elsewhere_learns_no_credentials() {
    let service = token_service("");
    let realm = format!("http://localhost:{}/token", service.address.port());
    let server = with_token(&realm, "never");
    for credential in [user(), Credential::Identity(Secret::new("hunter2"))] {
        let error = manifest(&Context::new(), &server.registry(credential)).unwrap_err();
        assert!(
            error.way_out().unwrap().contains("were not shown to `localhost:"),
            "{error:?}"
        );
    }
    let heard = [service.heard(), server.heard()].concat();
    assert!(
        !heard.contains("hunter2") && !heard.contains("YW5u") && !heard.contains("ann"),
        "{heard}"
    );
    for realm in ["http://169.254.169.254/latest", "ftp://x/y", "", "file:///etc/passwd"] {
        let server = with_token(realm, "never");
        assert_eq!(
            manifest(&Context::new(), &server.registry(user())).unwrap_err().kind(),
            Kind::Denied,
            "{realm}"
        );
    }
}

#[test]
fn s22_what_has_no_end_is_cut_off() {
    let service = Server::new(|_| reply(200, &[], &vec![b' '; 2 << 20]));
    let server = with_token(&format!("http://{}/token", service.address), "t");
    let error = manifest(&Context::new(), &server.registry(user())).unwrap_err();
    assert!(error.message().contains("`token`"), "{error}");
    let server = Server::new(|_| reply(200, &[], &vec![b' '; 5 << 20]));
    let error = manifest(&Context::new(), &server.registry(user())).unwrap_err();
    assert!(error.message().contains("`document`"), "{error}");
    let server = Server::new(|_| reply(400, &[], &vec![b'x'; 5 << 20]));
    let error = manifest(&Context::new(), &server.registry(user())).unwrap_err();
    assert!(error.message().len() < 1000, "{}", error.message().len());
}

#[test]
fn r36_what_may_pass_is_tried_again_and_what_may_not_is_not() {
    for (status, header, asked) in [
        (503, "0", 3),
        (429, "1", 3),
        (429, "3600", 1),
        (500, "", 3),
        (404, "", 1),
        (400, "", 1),
    ] {
        let count = AtomicU32::new(0);
        let server = Server::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            2 => found(),
            _ => reply(
                status,
                &[("Retry-After", header)],
                br#"{"errors":[{"message":"slow down"}]}"#,
            ),
        });
        let result = manifest(&Context::new(), &server.registry(Credential::Anonymous));
        assert_eq!(
            (server.asked().len(), result.is_ok()),
            (asked, asked == 3),
            "{status} {header}"
        );
        if header == "3600" {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), Kind::RateLimited);
            assert!(error.way_out().unwrap().starts_with("try again in 1h"), "{error:?}");
        }
    }
    let server = Server::new(|_| reply(502, &[], b""));
    let registry = server.registry(Credential::Anonymous).with_retries(2);
    let error = manifest(&Context::new(), &registry).unwrap_err();
    assert!(
        error.message().ends_with("answered 502 bad gateway (tried 3 times)"),
        "{error}"
    );
    assert!(
        error
            .message()
            .starts_with("failed to get the manifest of `team/app:1` from `127.0.0.1:"),
        "{error}"
    );
    let post = registry
        .request(reqwest::Method::POST, "x", Scope::none())
        .send(&Context::new())
        .unwrap();
    assert_eq!(
        (post.status(), server.asked().len()),
        (502, 4),
        "what is no repetition is not repeated"
    );
}

#[test]
fn r36_a_broken_connection_is_tried_again_and_a_closed_port_is_not() {
    let count = AtomicU32::new(0);
    let server = Server::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply {
            bytes: Vec::new(),
            is_last: true,
        },
        1 => Reply {
            bytes: b"HTTP/1.1 2".to_vec(),
            is_last: true,
        },
        _ => found(),
    });
    manifest(&Context::new(), &server.registry(Credential::Anonymous)).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let registry = server.registry_named(&port.to_string(), Credential::Anonymous);
    let error = manifest(&Context::new(), &registry).unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(
        error
            .message()
            .ends_with(&format!("failed to connect to `{port}`: connection refused")),
        "{error}"
    );
}

#[test]
fn s30_nothing_secret_follows_a_redirect() {
    let storage = Server::new(|_| found());
    let place = format!("http://localhost:{}/blob?signature=s3cr3t", storage.address.port());
    let server = Server::new(
        move |asked| match (asked.path.as_str(), asked.header("authorization")) {
            (_, None) => reply(401, &[("WWW-Authenticate", "Basic realm=x")], b""),
            ("/v2/team/app/manifests/1", _) => reply(307, &[("Location", "/v2/moved")], b""),
            _ => reply(302, &[("Location", &place)], b""),
        },
    );
    manifest(&Context::new(), &server.registry(user())).unwrap();
    assert!(
        !storage.heard().to_lowercase().contains("authorization"),
        "{}",
        storage.heard()
    );
    assert!(
        storage.heard().contains("accept: application/vnd.oci"),
        "what is not secret does"
    );
    let own = server
        .asked()
        .into_iter()
        .filter(|asked| asked.header("authorization").is_some())
        .count();
    assert_eq!(own, 2, "within the registry they do");

    let failing = Server::new(|_| Reply {
        bytes: b"no".to_vec(),
        is_last: true,
    });
    let place = format!("http://{}/blob?signature=s3cr3t", failing.address);
    let server = Server::new(move |_| reply(302, &[("Location", &place)], b""));
    let error = manifest(&Context::new(), &server.registry(user())).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("s3cr3t"), "{error:?}");
}

#[test]
fn s30_redirects_that_lead_nowhere_good_end() {
    for place in [
        "/v2/team/app/manifests/1",
        "http://169.254.169.254/x",
        "file:///etc/passwd",
        "ftp://x",
    ] {
        let server = Server::new(move |_| reply(302, &[("Location", place)], b""));
        let error = manifest(&Context::new(), &server.registry(user())).unwrap_err();
        assert!(
            [Kind::Network, Kind::Denied].contains(&error.kind()),
            "{place}: {error}"
        );
    }
}

#[test]
fn r32_the_digest_is_that_of_the_body() {
    let truth = Digest::of(b"{}");
    let lie = Digest::of(b"lie");
    let server = Server::new(move |asked| match asked.path.as_str() {
        "/v2/a/manifests/lie" => reply(200, &[("Docker-Content-Digest", lie.as_str())], b"{}"),
        _ => found(),
    });
    let registry = server.registry(Credential::Anonymous);
    let ctx = Context::new();
    assert_eq!(registry.manifest(&ctx, "a", "1").unwrap().digest, truth);
    assert_eq!(
        registry.manifest(&ctx, "a", truth.as_str()).unwrap().media_type,
        MANIFEST
    );
    assert_eq!(registry.manifest(&ctx, "a", "lie").unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(
        registry
            .manifest(&ctx, "a", Digest::of(b"x").as_str())
            .unwrap_err()
            .kind(),
        Kind::Corrupt
    );
    assert_eq!(
        registry.head(&ctx, "a", "lie").unwrap().unwrap().digest,
        Some(Digest::of(b"lie"))
    );
}

#[test]
fn s26_pages_stay_at_the_registry_and_end() {
    let server = Server::new(|asked| {
        let link = match asked.path.as_str() {
            "/v2/a/tags/list?n=1000" => "</v2/a/tags/list?last=x>; rel=next",
            "/v2/b/tags/list?n=1000" => "</v2/b/tags/list?n=1000>; rel=next",
            "/v2/c/tags/list?n=1000" => "<http://169.254.169.254/x>; rel=next",
            path if path.starts_with("/v2/d") => {
                return reply(200, &[("Link", &format!("<{path}1>; rel=next"))], b"{}");
            }
            _ => return reply(200, &[], br#"{"tags":null}"#),
        };
        reply(200, &[("Link", link)], br#"{"name":"a","tags":["x","y"]}"#)
    });
    let (ctx, registry) = (Context::new(), server.registry(Credential::Anonymous));
    assert_eq!(registry.tags(&ctx, "a").unwrap(), ["x", "y"]);
    assert_eq!(registry.tags(&ctx, "b").unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(registry.tags(&ctx, "c").unwrap_err().kind(), Kind::Denied);
    assert!(registry.tags(&ctx, "d").unwrap_err().message().contains("`pages`"));
}

/// A blob by parts: the function makes the answer to a request from an offset, given the rest of the blob.
fn blob_server(blob: Vec<u8>, answer: impl Fn(u32, usize, &[u8]) -> Reply + Send + Sync + 'static) -> Server {
    let count = AtomicU32::new(0);
    Server::new(move |asked| {
        let from = asked
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        answer(count.fetch_add(1, Ordering::Relaxed), from.unwrap_or(0), &blob)
    })
}

fn partial(from: usize, blob: &[u8]) -> Reply {
    let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
    reply(206, &[("Content-Range", &range)], &blob[from..])
}

fn fetch(server: &Server, blob: &[u8], from: usize) -> (std::io::Result<Vec<u8>>, Arc<Traffic>) {
    let described = Descriptor::new("", Digest::of(blob), blob.len() as u64);
    let (traffic, registry, mut bytes) = (Arc::default(), server.registry(user()), Vec::new());
    let mut download = Download::new(&Context::new(), &registry, "a", &described, from as u64, &traffic);
    let read = download.read_to_end(&mut bytes).map(|_| bytes);
    (read, traffic)
}

#[test]
fn r32_a_blob_goes_on_where_it_broke_off() {
    let blob: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let good = blob_server(blob.clone(), |count, from, blob| match count {
        0 => reply(200, &[], blob).cut(700_000),
        1 => partial(from, blob).cut(300_000),
        _ => partial(from, blob),
    });
    let (bytes, traffic) = fetch(&good, &blob, 0);
    assert!(bytes.unwrap() == blob);
    assert_eq!(
        (
            traffic.fetched.load(Ordering::Relaxed),
            traffic.again.load(Ordering::Relaxed)
        ),
        (1_000_000, 0)
    );
    assert_eq!(good.asked().len(), 3);
    let (bytes, traffic) = fetch(&good, &blob, 999_000);
    assert!(bytes.unwrap() == blob[999_000..]);
    assert_eq!(traffic.fetched.load(Ordering::Relaxed), 1000);
    assert_eq!(fetch(&good, &blob, blob.len()).0.unwrap(), b"");

    for odd in [
        |_: u32, _: usize, blob: &[u8]| reply(200, &[], blob),
        |_: u32, from: usize, blob: &[u8]| {
            if from > 0 {
                reply(416, &[], b"")
            } else {
                reply(200, &[], blob)
            }
        },
        |_: u32, from: usize, blob: &[u8]| {
            if from > 0 {
                partial(from - 1, blob)
            } else {
                reply(200, &[], blob)
            }
        },
        |_: u32, from: usize, blob: &[u8]| {
            if from > 0 {
                reply(206, &[], blob)
            } else {
                reply(200, &[], blob)
            }
        },
    ] {
        let server = blob_server(blob.clone(), odd);
        let (bytes, traffic) = fetch(&server, &blob, 400_000);
        assert!(bytes.unwrap() == blob[400_000..]);
        assert_eq!(traffic.again.load(Ordering::Relaxed), 400_000);
    }
}

#[test]
fn s21_a_blob_of_another_size_is_refused_at_its_first_byte_too_many() {
    let blob = vec![7; 100_000];
    let told = |server: &Server| fetch(server, &blob, 0).0.unwrap_err().to_string();
    let long = blob_server([&blob[..], b"x"].concat(), |_, _, blob| reply(200, &[], blob));
    assert!(told(&long).contains("has 100001 bytes, and should have 100000"));
    let endless = blob_server(Vec::new(), |_, _, _| Reply {
        bytes: [b"HTTP/1.1 200 OK\r\n\r\n", &vec![7; 10 << 20][..]].concat(),
        is_last: true,
    });
    assert!(told(&endless).contains("has more bytes, and should have 100000"));
    let short = blob_server(blob.clone(), |_, _, blob| reply(200, &[], blob).cut(1000));
    let message = told(&short);
    assert!(
        message.contains("`: ") && message.ends_with("(tried 5 times)"),
        "{message}"
    );
}

#[test]
fn a_wait_ends_with_its_context() {
    let server = Server::new(|_| Reply {
        bytes: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_vec(),
        is_last: false,
    });
    let registry = server.registry(Credential::Anonymous);
    let ctx = Context::new().with_timeout(Duration::from_millis(200));
    let error = manifest(&ctx, &registry).unwrap_err();
    assert!(ctx.owns_timeout(&error), "{error}");
    let ctx = Context::new();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| manifest(&ctx, &registry));
        while server.asked().len() < 2 {
            std::thread::yield_now();
        }
        ctx.cancel();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), Kind::Cancelled);
    });
}

#[test]
fn bodies_are_sent_whole_however_they_are_kept() {
    let server = Server::new(|_| reply(201, &[("Location", "/v2/next?state=1")], b""));
    let registry = server.registry(Credential::Anonymous);
    let open: Opener = std::sync::Arc::new(|| Ok(Box::new(std::io::Cursor::new(vec![b'a'; 600_000]))));
    for body in [
        Body::Bytes(vec![b'a'; 600_000].into()),
        Body::Stream(open, Some(600_000)),
    ] {
        let request = registry
            .about(reqwest::Method::PUT, "a", "blobs/x", "pull,push")
            .body(body);
        let answer = request.send(&Context::new()).unwrap().expect(&[201]).unwrap();
        assert_eq!(
            answer.location().unwrap().as_str(),
            format!("http://{}/v2/next?state=1", server.address)
        );
        let asked = server.asked().pop().unwrap();
        assert_eq!(asked.header("content-length"), Some("600000"));
        assert!(asked.text.ends_with(&"a".repeat(600_000)));
    }
}

/// What cancels the rest is often what failed beside it.
#[test]
fn r20_what_a_server_said_is_told_even_when_the_work_was_called_off() {
    let told = br#"{"errors":[{"code":"DENIED","message":"quota is used up"}]}"#;
    let server = Server::new(|_| reply(403, &[], told));
    let (ctx, registry) = (Context::new(), server.registry(user()));
    let answer = registry
        .about(reqwest::Method::GET, "app", "tags/list", "pull")
        .send(&ctx)
        .unwrap();
    ctx.cancel();
    let error = answer.into_error();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.message().contains("quota is used up"), "{error}");
}
