//! Where a registry is, how far its connection is trusted, and whom else its credentials may reach.

use std::net::IpAddr;

use reqwest::Url;

use crate::error::{Error, Result};
use crate::model::Secret;

/// Docker Hub's name, and the host that speaks its protocol.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A registry's address and the trust its connections need.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The name people know it by: `docker.io`, `localhost:5000`.
    pub name: String,
    /// Host and port that are asked: `registry-1.docker.io`.
    pub host: String,
    /// What stands before every repository there, with a slash at its end; for mirrors that keep others' repositories below one of theirs.
    pub prefix: String,
    /// How its connections are secured.
    pub security: Security,
    /// Certificates of authorities that are trusted beside the system's, as PEM.
    pub authorities: Vec<u8>,
    /// The certificate and the key that are shown to it, as PEM.
    pub identity: Option<Secret>,
    /// Hosts of token services beyond its own domain that may see its credentials.
    pub realms: Vec<String>,
}

/// How connections to a registry are secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// TLS, and the certificate must be right.
    Verified,
    /// TLS with whatever certificate, or plain HTTP where there is no TLS.
    Insecure,
    /// The same for a registry on this machine, where plain HTTP is what is found nearly always.
    Loopback,
}

impl Endpoint {
    /// The registry of this name, as Docker takes it: on this machine's loopback no certificate is asked for. `verify` has the last word.
    ///
    /// Errors: `invalid` for what is no host.
    pub fn new(name: &str, verify: Option<bool>) -> Result<Endpoint> {
        let host = if name == HUB.0 { HUB.1 } else { name };
        let bad = || Error::invalid(format!("`{}` is not a registry host", name.escape_debug()));
        let url = Url::parse(&format!("https://{host}/")).map_err(|_| bad())?;
        if url.path() != "/" || !url.username().is_empty() || url.query().is_some() || url.fragment().is_some() {
            return Err(bad());
        }
        let security = match verify {
            Some(true) => Security::Verified,
            Some(false) => Security::Insecure,
            None if is_loopback(&url) => Security::Loopback,
            None => Security::Verified,
        };
        Ok(Endpoint {
            name: name.to_owned(),
            host: host.to_owned(),
            prefix: String::new(),
            security,
            authorities: Vec::new(),
            identity: None,
            realms: Vec::new(),
        })
    }

    /// The root of its addresses, by one of the schemes.
    pub(super) fn base(&self, scheme: &str) -> Result<Url> {
        Url::parse(&format!("{scheme}://{}/v2/", self.host))
            .map_err(|_| Error::invalid(format!("`{}` is not a registry host", self.host.escape_debug())))
    }

    /// Whether the service at `realm`, which a registry at `base` names, may be asked for a token at all (CVE-2026-33540 of distribution).
    pub(super) fn may_ask(&self, base: &Url, realm: &Url) -> bool {
        let secure = realm.scheme() == "https" || (realm.scheme() == "http" && base.scheme() == "http");
        secure && (!is_link_local(realm) || realm.host_str() == base.host_str())
    }

    /// Whether the service at `realm` may see the credentials: on the registry's own host or in its domain, or where settings say so.
    pub(super) fn may_know(&self, base: &Url, realm: &Url) -> bool {
        let (Some(own), Some(other)) = (base.host_str(), realm.host_str()) else {
            return false;
        };
        let is_listed = self.realms.iter().any(|listed| listed == other);
        own == other || is_listed || (realm.scheme() == "https" && shared_domain(own, other))
    }
}

/// Whether a URL's host is this machine by its very name.
fn is_loopback(url: &Url) -> bool {
    match address(url) {
        Some(address) => address.is_loopback(),
        None => url.host_str() == Some("localhost"),
    }
}

/// Where clouds keep what their machines may know and nobody else: no registry sends anyone there in good faith.
pub(super) fn is_link_local(url: &Url) -> bool {
    match address(url) {
        Some(IpAddr::V4(v4)) => v4.is_link_local(),
        Some(IpAddr::V6(v6)) => {
            let aws = "fd00:ec2::254".parse::<std::net::Ipv6Addr>().ok();
            v6.is_unicast_link_local() || Some(v6) == aws || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_link_local())
        }
        None => false,
    }
}

fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Whether two host names belong to one registered domain, as far as names tell: the last two labels are the same, or three where the
/// second last may be a registry's own, as in `co.uk`.
fn shared_domain(one: &str, other: &str) -> bool {
    let is_name = |host: &str| host.parse::<IpAddr>().is_err() && !host.starts_with('[');
    let (one, other): (Vec<&str>, Vec<&str>) = (one.rsplit('.').collect(), other.rsplit('.').collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let is_public = |labels: &[&str]| labels.len() > 1 && labels[0].len() == 2 && labels[1].len() <= 3;
    let needed = if is_public(&one) { 3 } else { 2 };
    is_name(&one.join(".")) && is_name(&other.join(".")) && same >= needed
}

/// Whether two URLs have scheme, host and port in common: only then do credentials go from one to the other.
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn loopback_needs_no_certificate_unless_asked_for() {
        let security = |name: &str, verify| Endpoint::new(name, verify).unwrap().security;
        for name in [
            "localhost:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:5000",
            "localhost",
        ] {
            assert_eq!(security(name, None), Security::Loopback, "{name}");
            assert_eq!(security(name, Some(true)), Security::Verified, "{name}");
        }
        for name in ["docker.io", "localhost.example.com", "10.0.0.1:5000", "registry:5000"] {
            assert_eq!(security(name, None), Security::Verified, "{name}");
            assert_eq!(security(name, Some(false)), Security::Insecure, "{name}");
        }
        assert_eq!(Endpoint::new("docker.io", None).unwrap().host, "registry-1.docker.io");
        for name in ["", "a/b", "a?b", "user@host", "a b", "host:x"] {
            assert!(Endpoint::new(name, None).is_err(), "{name}");
        }
    }

    #[test]
    fn s32_credentials_stay_in_the_domain_of_their_registry() {
        let secure = |host: &str, realm: &str| {
            let (base, realm) = (url(&format!("https://{host}/v2/")), url(realm));
            let endpoint = Endpoint::new(host, None).unwrap();
            (endpoint.may_ask(&base, &realm), endpoint.may_know(&base, &realm))
        };
        for (host, realm, expected) in [
            ("registry-1.docker.io", "https://auth.docker.io/token", (true, true)),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth", (true, true)),
            ("ghcr.io", "https://ghcr.io:8443/token", (true, true)),
            ("ghcr.io", "http://ghcr.io/token", (false, true)),
            ("ghcr.io", "https://evil.io/token", (true, false)),
            ("shop.co.uk", "https://evil.co.uk/token", (true, false)),
            ("reg.shop.co.uk", "https://auth.shop.co.uk/token", (true, true)),
            ("10.0.0.1:5000", "https://10.0.0.2/token", (true, false)),
            ("ghcr.io", "https://169.254.169.254/token", (false, false)),
            ("ghcr.io", "https://[fd00:ec2::254]/token", (false, false)),
            ("ghcr.io", "https://[::ffff:169.254.169.254]/token", (false, false)),
            ("ghcr.io", "file:///etc/passwd", (false, false)),
        ] {
            assert_eq!(secure(host, realm), expected, "{host} {realm}");
        }
        let local = Endpoint::new("localhost:5000", None).unwrap();
        let base = url("http://localhost:5000/v2/");
        assert!(local.may_ask(&base, &url("http://localhost:5001/auth")));
        assert!(local.may_know(&base, &url("http://localhost:5001/auth")));
        assert!(!local.may_know(&base, &url("http://127.0.0.1:5001/auth")));
        let listed = Endpoint {
            realms: vec!["sso.example".into()],
            ..local
        };
        assert!(listed.may_know(&base, &url("https://sso.example/auth")));
    }
}
