//! Keys and prefixes that S3 and every consumer of a listing can take.

use std::fmt;

use super::limits::MAX_KEY_BYTES;

/// Bytes in a prefix: the destination's own limit, which leaves half of a key to the file's name.
const MAX_PREFIX_BYTES: usize = 512;

/// Why a key or a prefix is refused. The text names the rule, never the unescaped value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyInvalid {
    /// Nothing was rendered.
    #[error("the key is empty")]
    Empty,
    /// Over S3's limit.
    #[error("{value:?} has {bytes} bytes as UTF-8; at most {limit} are allowed")]
    TooLong {
        /// What was rendered.
        value: String,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A control character.
    #[error("{0:?} holds a control character")]
    ControlCharacter(String),
    /// A leading slash or an empty segment.
    #[error("{0:?} begins with \"/\" or holds \"//\"")]
    EmptySegment(String),
    /// A segment that clients resolve as a folder above or here.
    #[error("{0:?} holds a \".\" or \"..\" segment")]
    DotSegment(String),
    /// A key that ends like a folder, or a prefix that doesn't.
    #[error("{0:?}: a prefix ends with \"/\" and a key does not")]
    Ending(String),
}

fn check(value: &str, limit: usize) -> Result<(), KeyInvalid> {
    if value.len() > limit {
        let bytes = value.len();
        let value = value.chars().take(64).collect();
        return Err(KeyInvalid::TooLong {
            value,
            bytes,
            limit,
        });
    }
    if value.chars().any(char::is_control) {
        return Err(KeyInvalid::ControlCharacter(value.to_owned()));
    }
    if value.starts_with('/') || value.contains("//") {
        return Err(KeyInvalid::EmptySegment(value.to_owned()));
    }
    if value
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(KeyInvalid::DotSegment(value.to_owned()));
    }
    Ok(())
}

/// A destination's prefix: empty, or ends in `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Takes a prefix as the customer named it.
    ///
    /// # Errors
    /// When it breaks a rule of [`KeyInvalid`].
    pub fn new(value: impl Into<String>) -> Result<Self, KeyInvalid> {
        let value = value.into();
        check(&value, MAX_PREFIX_BYTES)?;
        if !value.is_empty() && !value.ends_with('/') {
            return Err(KeyInvalid::Ending(value));
        }
        Ok(Self(value))
    }

    /// The prefix, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A whole key, prefix included, of at most [`MAX_KEY_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key `prefix + rendered`, verbatim.
    ///
    /// # Errors
    /// When it breaks a rule of [`KeyInvalid`].
    pub fn new(prefix: &KeyPrefix, rendered: &str) -> Result<Self, KeyInvalid> {
        if rendered.is_empty() {
            return Err(KeyInvalid::Empty);
        }
        let key = format!("{}{rendered}", prefix.as_str());
        check(&key, MAX_KEY_BYTES)?;
        if key.ends_with('/') {
            return Err(KeyInvalid::Ending(key));
        }
        // The prefix's own "/" would hide a leading one of the rendered part.
        check(rendered, MAX_KEY_BYTES)?;
        Ok(Self(key))
    }

    /// The key, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as consumers of the prefix see it: without the prefix.
    #[must_use]
    pub fn without<'a>(&'a self, prefix: &KeyPrefix) -> &'a str {
        self.0.strip_prefix(prefix.as_str()).unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    /// Escaped, so that it can stand in a log line or a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_taken_verbatim_or_refused() {
        for good in ["", "a/", "a/b c/é/", "..a/", ".a/"] {
            assert_eq!(KeyPrefix::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "a", "/", "/a/", "a//", "./", "../", "a/../", "a/./", "a\u{7f}/",
        ] {
            assert!(KeyPrefix::new(bad).is_err(), "{bad:?}");
        }
        assert!(KeyPrefix::new(format!("{}/", "a".repeat(511))).is_ok());
        assert!(KeyPrefix::new(format!("{}/", "a".repeat(512))).is_err());
    }

    #[test]
    fn keys_are_prefix_and_rendered_verbatim_or_refused() {
        let prefix = KeyPrefix::new("p/").unwrap();
        let key = ObjectKey::new(&prefix, "a b.csv").unwrap();
        assert_eq!(
            (key.as_str(), key.without(&prefix)),
            ("p/a b.csv", "a b.csv")
        );
        for bad in ["", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a\tb"] {
            assert!(ObjectKey::new(&prefix, bad).is_err(), "{bad:?}");
        }
        assert!(ObjectKey::new(&prefix, &"é".repeat(511)).is_ok());
        assert!(ObjectKey::new(&prefix, &"é".repeat(512)).is_err());
    }

    #[test]
    fn messages_are_escaped() {
        let refused = ObjectKey::new(&KeyPrefix::default(), "a\u{1b}[0m").unwrap_err();
        assert!(!refused.to_string().contains('\u{1b}'), "{refused}");
        let shown = ObjectKey::new(&KeyPrefix::default(), "a\"b").unwrap();
        assert_eq!(shown.to_string(), "a\\\"b");
    }
}
