//! The head of a request: its line and its headers.

use crate::error::{Error, Result};

/// Headers of one request that are read.
const HEADERS: usize = 64;

/// What a request asks for.
#[derive(Debug)]
pub(in crate::server) struct Head {
    pub(in crate::server) method: String,
    /// The path, decoded.
    pub(in crate::server) path: String,
    /// The parameters of the query, decoded.
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    /// Whether the client takes another answer on this connection.
    pub(super) goes_on: bool,
}

/// How long a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    /// Parses the bytes up to and with the empty line. Errors: `invalid`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Head> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut raw = httparse::Request::new(&mut headers);
        let parsed = raw
            .parse(bytes)
            .map_err(|cause| Error::invalid(format!("the request is not valid: {cause}")))?;
        let (Some(method), Some(target), true) = (raw.method, raw.path, parsed.is_complete()) else {
            return Err(Error::invalid("the request is not whole"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name, true)?, decoded(value, true)?))
        });
        let text = |header: &httparse::Header<'_>| {
            let value = std::str::from_utf8(header.value).map_err(|_| Error::invalid("a header is no text"))?;
            Ok((header.name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let mut head = Head {
            method: method.to_owned(),
            path: decoded(path, false)?,
            query: query.collect::<Result<_>>()?,
            headers: raw.headers.iter().map(text).collect::<Result<_>>()?,
            goes_on: false,
        };
        let asks = |word: &str| head.header("connection").is_some_and(|text| has_word(text, word));
        head.goes_on = if raw.version == Some(1) {
            !asks("close")
        } else {
            asks("keep-alive")
        };
        Ok(head)
    }

    /// The first header of this name, in lower case.
    pub(in crate::server) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first parameter of this name.
    pub(in crate::server) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters(name).next()
    }

    /// All parameters of this name.
    pub(in crate::server) fn parameters(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.query.iter().filter(move |(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All parameters, in their order.
    pub(in crate::server) fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How long the body is. Errors: `invalid` for what two readers could take for two things (RFC 9112, 6.3).
    pub(super) fn framing(&self) -> Result<Framing> {
        let all = |name: &str| {
            let found = self.headers.iter().filter(|(own, _)| own == name);
            found.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        match (&all("transfer-encoding")[..], &all("content-length")[..]) {
            ([], []) => Ok(Framing::Length(0)),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            ([], [length]) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => length
                .parse()
                .map(Framing::Length)
                .map_err(|_| Error::invalid("the body's length is beyond all bounds")),
            _ => Err(Error::invalid("the request says in no clear way how long its body is")),
        }
    }
}

/// Whether a list of words, parted by commas, has this one.
fn has_word(list: &str, word: &str) -> bool {
    list.split(',').any(|own| own.trim().eq_ignore_ascii_case(word))
}

/// Undoes percent encoding (RFC 3986, 2.1); a `+` is a space in queries. Errors: `invalid`.
fn decoded(text: &str, is_query: bool) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(), digit());
                let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                value.ok_or_else(|| Error::invalid("the address is not well encoded"))?
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid("the address is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head> {
        Head::parse(text.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn a_request_is_what_it_says() {
        let head =
            head("GET /v2/a%2Fb/tags/list?n=1&last=x+y%26&tag=a&tag=b HTTP/1.1\nHost: x\nRANGE:  bytes=0-1 \n\n")
                .unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str()), ("GET", "/v2/a/b/tags/list"));
        assert_eq!(
            (head.parameter("last"), head.header("range")),
            (Some("x y&"), Some("bytes=0-1"))
        );
        assert_eq!(head.parameters("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert!(head.goes_on);
        assert_eq!(head.framing().unwrap(), Framing::Length(0));
    }

    #[test]
    fn a_body_that_two_readers_could_end_in_two_places_is_refused() {
        for headers in [
            "Content-Length: 1\nContent-Length: 1",
            "Content-Length: 1\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "Content-Length: +1",
            "Content-Length: -1",
            "Content-Length: 99999999999999999999999",
            "Content-Length:",
        ] {
            let head = head(&format!("PUT / HTTP/1.1\n{headers}\n\n")).unwrap();
            assert!(head.framing().is_err(), "{headers}");
        }
        for text in [
            "GET /%zz HTTP/1.1\n\n",
            "GET /%ff HTTP/1.1\n\n",
            "GET / HTTP/1.1\nA b: c\n\n",
            "GET\n\n",
        ] {
            assert!(head(text).is_err(), "{text}");
        }
        assert!(!head("GET / HTTP/1.0\n\n").unwrap().goes_on);
        assert!(!head("GET / HTTP/1.1\nConnection: Close\n\n").unwrap().goes_on);
    }
}
