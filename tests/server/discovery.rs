//! What is there: tags and repositories in pages, and what refers to what.

use serde_json::{Value, json};

use super::{INDEX, MANIFEST, artifact};
use crate::harness::served::sha256;
use crate::harness::{Hoist, Served};

#[test]
fn names_come_in_order_and_in_pages() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write"]);
    let manifest = artifact(&served, "a", b"x");
    for tag in ["b", "A", "1", "a", "Z"] {
        served.push_manifest("a", tag, MANIFEST, &manifest);
    }
    let page = |query: &str| {
        let answer = served.ask("GET", &format!("/v2/a/tags/list{query}")).is(200);
        let link = answer.header("Link").map(str::to_owned);
        (answer.json()["tags"].clone(), link)
    };
    assert_eq!(page(""), (json!(["1", "A", "Z", "a", "b"]), None));
    assert_eq!(page("?n=0"), (json!([]), None));
    assert_eq!(page("?n=5").1, None);
    let (first, link) = page("?n=2");
    let link = link.unwrap();
    assert_eq!(
        (first, link.as_str()),
        (json!(["1", "A"]), r#"</v2/a/tags/list?n=2&last=A>; rel="next""#)
    );
    let next = link.split(['<', '>']).nth(1).unwrap();
    assert_eq!(served.ask("GET", next).is(200).json()["tags"], json!(["Z", "a"]));
    assert_eq!(page("?last=a").0, json!(["b"]));
    assert_eq!(page("?n=3&last=none").0, json!([]));
    // distribution CVE-2023-2253: a number that large costs nothing.
    assert_eq!(page("?n=999999999").0.as_array().unwrap().len(), 5);
    served.ask("GET", "/v2/a/tags/list?n=-1").is(400);
    assert_eq!(served.ask("GET", "/v2/none/tags/list").is(404).code(), "NAME_UNKNOWN");
    artifact(&served, "z/y", b"x");
    served.push_manifest("z/y", "1", MANIFEST, &manifest);
    let catalog = |query: &str| served.ask("GET", &format!("/v2/_catalog{query}")).is(200);
    assert_eq!(catalog("").json()["repositories"], json!(["library/a", "z/y"]));
    assert_eq!(
        catalog("?n=1").header("Link"),
        Some(r#"</v2/_catalog?n=1&last=library/a>; rel="next""#)
    );
    assert_eq!(catalog("?n=1&last=library/a").json()["repositories"], json!(["z/y"]));
}

#[test]
fn referrers_are_known_by_what_they_refer_to() {
    let hoist = Hoist::new();
    let served = Served::start(&hoist, &["--write", "--delete"]);
    let subject = artifact(&served, "a", b"subject");
    let digest = sha256(subject.as_bytes());
    let list = |query: &str| served.ask("GET", &format!("/v2/a/referrers/{digest}{query}")).is(200);
    let empty = list("");
    assert_eq!(
        (empty.header("Content-Type"), &empty.json()["manifests"]),
        (Some(INDEX), &json!([]))
    );
    let described = json!({"mediaType": MANIFEST, "digest": digest, "size": subject.len()});
    let mut base: Value = serde_json::from_str(&subject).unwrap();
    base["subject"] = described.clone();
    base["annotations"] = json!({"own": "words"});
    let push = |text: &str| {
        let target = format!("/v2/a/manifests/{}", sha256(text.as_bytes()));
        let answer = served
            .send("PUT", &target, &[("Content-Type", MANIFEST)], text.as_bytes())
            .is(201);
        assert_eq!(answer.header("OCI-Subject"), Some(digest.as_str()));
        sha256(text.as_bytes())
    };
    // Before what they refer to is there.
    let by_config = push(&base.to_string());
    base["artifactType"] = json!("x/sbom");
    let own = push(&base.to_string());
    served.push_manifest("a", "1", MANIFEST, &subject);
    let all = list("").json()["manifests"].as_array().unwrap().clone();
    let kind = |digest: &str| {
        let found = all.iter().find(|one| one["digest"] == digest).unwrap();
        assert_eq!(
            (&found["annotations"], &found["mediaType"]),
            (&json!({"own": "words"}), &json!(MANIFEST))
        );
        found["artifactType"].clone()
    };
    assert_eq!(
        (kind(&by_config), kind(&own)),
        (json!("application/vnd.oci.empty.v1+json"), json!("x/sbom"))
    );
    assert_eq!(all.len(), 2);
    let some = list("?artifactType=x%2Fsbom");
    assert_eq!(some.header("OCI-Filters-Applied"), Some("artifactType"));
    assert_eq!(some.json()["manifests"][0]["digest"], own);
    assert_eq!(some.json()["manifests"].as_array().unwrap().len(), 1);
    served.ask("DELETE", &format!("/v2/a/manifests/{own}")).is(202);
    assert_eq!(list("").json()["manifests"].as_array().unwrap().len(), 1);
    served.ask("GET", "/v2/a/referrers/sha256:00").is(400);
    served.ask("GET", &format!("/v2/none/referrers/{digest}")).is(200);
}
