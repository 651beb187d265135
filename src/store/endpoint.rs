//! A store's address, normalised so that two spellings of one store are equal.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether an address without TLS is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only `https://`.
    Refused,
    /// `http://` too: tests and networks that encrypt below.
    Allowed,
}

/// A store's address: scheme, host and port, nothing behind them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    url: String,
    tls: bool,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointInvalid {
    /// Neither `https://` nor `http://`.
    #[error("an endpoint begins with \"https://\"")]
    Scheme,
    /// `http://` where TLS is demanded.
    #[error("an endpoint with \"http://\" is not allowed here: nothing would protect what is sent")]
    PlainHttp,
    /// A path, a query, a fragment or a user before the host.
    #[error("an endpoint is scheme, host and port, with nothing before or behind them")]
    Extra,
    /// No valid host name or address.
    #[error("the endpoint's host is neither a DNS name nor an IP address")]
    Host,
    /// No valid port.
    #[error("the endpoint's port is not a number from 1 to 65535")]
    Port,
}

impl Endpoint {
    /// Takes `https://host[:port]`, or with `http://` where `plain` allows it. The host is put in
    /// lower case and a scheme's default port is dropped.
    ///
    /// # Errors
    /// When it breaks a rule of [`EndpointInvalid`].
    pub fn parse(text: &str, plain: PlainHttp) -> Result<Self, EndpointInvalid> {
        let text = text.to_ascii_lowercase();
        let (authority, tls, default_port) = if let Some(rest) = text.strip_prefix("https://") {
            (rest, true, 443)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (rest, false, 80)
        } else {
            return Err(EndpointInvalid::Scheme);
        };
        if !tls && plain == PlainHttp::Refused {
            return Err(EndpointInvalid::PlainHttp);
        }
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(EndpointInvalid::Extra);
        }
        let (host, port) = split_port(authority)?;
        let host = normal_host(host).ok_or(EndpointInvalid::Host)?;
        let scheme = if tls { "https" } else { "http" };
        let url = match port.filter(|port| *port != default_port) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        Ok(Self { url, tls })
    }

    /// The address, normalised.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether TLS protects what is sent.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), EndpointInvalid> {
    // An IPv6 address holds colons of its own, within brackets.
    let host_end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None if authority.starts_with('[') => return Err(EndpointInvalid::Host),
        None => 0,
    };
    let Some(colon) = authority[host_end..].find(':') else {
        return Ok((authority, None));
    };
    let (host, port) = authority.split_at(host_end + colon);
    let digits = &port[1..];
    let valid = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<u16>() {
        Ok(port) if valid && port > 0 => Ok((host, Some(port))),
        _ => Err(EndpointInvalid::Port),
    }
}

fn normal_host(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let labels: Vec<&str> = host.split('.').collect();
    let numeric = labels
        .last()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    if numeric {
        // "127.1" and "2130706433" are other spellings of an address: one spelling only.
        return host
            .parse::<Ipv4Addr>()
            .ok()
            .map(|address| address.to_string());
    }
    // RFC 1035: labels of 1 to 63 bytes, 253 in a whole name.
    let label_valid = |label: &&str| {
        let inner = label
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    (host.len() <= 253 && labels.iter().all(label_valid)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, EndpointInvalid> {
        Endpoint::parse(text, PlainHttp::Allowed).map(|endpoint| endpoint.as_str().to_owned())
    }

    #[test]
    fn spellings_of_one_store_are_equal() {
        for (text, normal) in [
            (
                "https://S3.Internal.Example:9000",
                "https://s3.internal.example:9000",
            ),
            ("HTTPS://store.example:443", "https://store.example"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://localhost:7070", "http://localhost:7070"),
            (
                "https://[2001:DB8:0:0::1]:9000",
                "https://[2001:db8::1]:9000",
            ),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(normal), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("s3.example", EndpointInvalid::Scheme),
            ("ftp://s3.example", EndpointInvalid::Scheme),
            ("https://s3.example/", EndpointInvalid::Extra),
            ("https://s3.example/bucket", EndpointInvalid::Extra),
            ("https://s3.example?x", EndpointInvalid::Extra),
            ("https://user@s3.example", EndpointInvalid::Extra),
            ("https://", EndpointInvalid::Host),
            ("https://s3..example", EndpointInvalid::Host),
            ("https://s3.example.", EndpointInvalid::Host),
            ("https://-s3.example", EndpointInvalid::Host),
            ("https://s3 .example", EndpointInvalid::Host),
            ("https://127.1", EndpointInvalid::Host),
            ("https://2130706433", EndpointInvalid::Host),
            ("https://[::1", EndpointInvalid::Host),
            ("https://s3.example:0", EndpointInvalid::Port),
            ("https://s3.example:", EndpointInvalid::Port),
            ("https://s3.example:+1", EndpointInvalid::Port),
            ("https://s3.example:65536", EndpointInvalid::Port),
        ] {
            assert_eq!(parsed(text), Err(why), "{text}");
        }
    }

    #[test]
    fn plain_http_only_where_allowed() {
        let refused = Endpoint::parse("http://s3.example", PlainHttp::Refused);
        assert_eq!(refused, Err(EndpointInvalid::PlainHttp));
        assert!(
            !Endpoint::parse("http://s3.example", PlainHttp::Allowed)
                .unwrap()
                .is_tls()
        );
        assert!(
            Endpoint::parse("https://s3.example", PlainHttp::Refused)
                .unwrap()
                .is_tls()
        );
    }
}
