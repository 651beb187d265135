//! Names, by the rules of Kubernetes.

/// Whether `name` is a DNS label (RFC 1123), as a namespace's name is: 1 to 63 lower-case letters, digits and hyphens,
/// none of these at an end.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let inner = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
