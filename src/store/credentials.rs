//! Who signs: a customer's access key, or our own identity.

use std::fmt;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::{AppName, BehaviorVersion, SharedIdentityCache};
use aws_sdk_s3::config::{IdentityCache, IntoShared as _};
use secrecy::{ExposeSecret as _, SecretString};

use super::names::Region;

/// Bytes in one value of a key: IAM's access key ids end at 128, session tokens have no published
/// limit, and S3 takes 8 KiB of headers (REST API, "Common request headers").
const MAX_VALUE_BYTES: usize = 8192;

/// One key of the Secret that holds an access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKey {
    /// `accessKeyId`
    AccessKeyId,
    /// `secretAccessKey`
    SecretAccessKey,
    /// `sessionToken`, optional.
    SessionToken,
}

impl SecretKey {
    /// The key as it stands in the Secret.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessKeyId => "accessKeyId",
            Self::SecretAccessKey => "secretAccessKey",
            Self::SessionToken => "sessionToken",
        }
    }
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a value's shape; never the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// No byte.
    #[error("is empty")]
    Empty,
    /// A line end behind the value: `echo` without `-n` wrote the file.
    #[error("ends with a newline (write it without one, for example with printf)")]
    TrailingNewline,
    /// A space, or a line end within.
    #[error("holds white space")]
    WhiteSpace,
    /// A control character.
    #[error("holds a control character")]
    ControlCharacter,
    /// A byte over 127.
    #[error("holds a character that is not ASCII")]
    NotAscii,
    /// Over what S3 takes.
    #[error("is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong,
}

/// Why a Secret holds no usable access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessKeyInvalid {
    /// A key that must be there isn't.
    #[error("the key {0} is missing")]
    Missing(SecretKey),
    /// A value that can't be what it should be.
    #[error("the value of {0} {1}")]
    Malformed(SecretKey, Flaw),
}

/// A customer's access key. Its Debug prints nothing of it.
#[derive(Clone)]
pub struct AccessKey {
    access_key_id: SecretString,
    secret_access_key: SecretString,
    session_token: Option<SecretString>,
}

impl AccessKey {
    /// Takes the values of a Secret's keys, as bytes; `None` where the Secret has no such key.
    ///
    /// # Errors
    /// When a value that must be there isn't, or has a shape that no key has.
    pub fn new(
        access_key_id: Option<&[u8]>,
        secret_access_key: Option<&[u8]>,
        session_token: Option<&[u8]>,
    ) -> Result<Self, AccessKeyInvalid> {
        let required = |key, value: Option<&[u8]>| {
            value
                .ok_or(AccessKeyInvalid::Missing(key))
                .and_then(|value| checked(key, value))
        };
        Ok(Self {
            access_key_id: required(SecretKey::AccessKeyId, access_key_id)?,
            secret_access_key: required(SecretKey::SecretAccessKey, secret_access_key)?,
            session_token: session_token
                .map(|value| checked(SecretKey::SessionToken, value))
                .transpose()?,
        })
    }

    pub(super) fn provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(Credentials::new(
            self.access_key_id.expose_secret(),
            self.secret_access_key.expose_secret(),
            self.session_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            None,
            "OutboundDestination",
        ))
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(redacted)")
    }
}

fn checked(key: SecretKey, value: &[u8]) -> Result<SecretString, AccessKeyInvalid> {
    let text = std::str::from_utf8(value).unwrap_or("\u{fffd}");
    match flaw(text) {
        Some(flaw) => Err(AccessKeyInvalid::Malformed(key, flaw)),
        None => Ok(SecretString::from(text)),
    }
}

fn flaw(text: &str) -> Option<Flaw> {
    let core = text.trim_end_matches(['\n', '\r']);
    if core.is_empty() {
        Some(Flaw::Empty)
    } else if core.len() < text.len() {
        Some(Flaw::TrailingNewline)
    } else if text.len() > MAX_VALUE_BYTES {
        Some(Flaw::TooLong)
    } else if text.bytes().any(|b| b.is_ascii_whitespace()) {
        Some(Flaw::WhiteSpace)
    } else if text.bytes().any(|b| b.is_ascii_control()) {
        Some(Flaw::ControlCharacter)
    } else if !text.is_ascii() {
        Some(Flaw::NotAscii)
    } else {
        None
    }
}

/// Our own identity, from the SDK's default chain. One cache of credentials serves every client, so
/// that a thousand destinations ask STS once.
#[derive(Clone)]
pub struct OwnIdentity {
    pub(super) provider: SharedCredentialsProvider,
    pub(super) cache: SharedIdentityCache,
    /// Whose STS is asked for sessions.
    pub(super) region: Region,
}

/// The SDK was built without a source of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the AWS SDK's default chain offers no source of credentials")]
pub struct NoIdentity;

impl OwnIdentity {
    /// Sets the default chain up (environment, profile, IRSA, Pod Identity, IMDS); `region` is where
    /// it asks STS. Credentials themselves are loaded at the first call, and renewed in time.
    ///
    /// # Errors
    /// [`NoIdentity`] when the SDK offers no chain.
    pub async fn load(region: &Region) -> Result<Self, NoIdentity> {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::new(region.as_str().to_owned()))
            .app_name(app_name())
            // Ours knows the proxies of the environment.
            .http_client(super::client::http_client(None))
            .load()
            .await;
        config
            .credentials_provider()
            .map(|provider| Self::new(provider, region.clone()))
            .ok_or(NoIdentity)
    }

    fn new(provider: SharedCredentialsProvider, region: Region) -> Self {
        Self {
            region,
            provider,
            cache: IdentityCache::lazy().build().into_shared(),
        }
    }

    /// An identity with a fixed key, in place of the environment's.
    #[cfg(test)]
    pub(super) fn fixed(key: &AccessKey) -> Self {
        Self::new(key.provider(), Region::us_east_1())
    }
}

impl fmt::Debug for OwnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnIdentity(redacted)")
    }
}

/// How we name ourselves in the customer's access logs.
#[allow(
    clippy::expect_used,
    reason = "a constant of letters and a hyphen; a test makes it"
)]
pub(super) fn app_name() -> AppName {
    AppName::new("outbound-operator").expect("a valid name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &[u8], secret: &[u8]) -> Result<AccessKey, AccessKeyInvalid> {
        AccessKey::new(Some(id), Some(secret), None)
    }

    #[test]
    fn names_the_key_and_the_flaw_never_the_content() {
        use AccessKeyInvalid::{Malformed, Missing};
        let id = b"AKIDEXAMPLE".as_slice();
        for (result, why) in [
            (
                AccessKey::new(None, Some(b"s"), None),
                Missing(SecretKey::AccessKeyId),
            ),
            (
                AccessKey::new(Some(id), None, None),
                Missing(SecretKey::SecretAccessKey),
            ),
            (
                key(b"", b"s"),
                Malformed(SecretKey::AccessKeyId, Flaw::Empty),
            ),
            (
                key(b"\n", b"s"),
                Malformed(SecretKey::AccessKeyId, Flaw::Empty),
            ),
            (
                key(id, b"hunter2\n"),
                Malformed(SecretKey::SecretAccessKey, Flaw::TrailingNewline),
            ),
            (
                key(id, b"hunter2\r\n"),
                Malformed(SecretKey::SecretAccessKey, Flaw::TrailingNewline),
            ),
            (
                key(id, b"hunter 2"),
                Malformed(SecretKey::SecretAccessKey, Flaw::WhiteSpace),
            ),
            (
                key(id, b"hun\x00ter2"),
                Malformed(SecretKey::SecretAccessKey, Flaw::ControlCharacter),
            ),
            (
                key(id, "hüunter2".as_bytes()),
                Malformed(SecretKey::SecretAccessKey, Flaw::NotAscii),
            ),
            (
                key(id, b"hunter2\xff"),
                Malformed(SecretKey::SecretAccessKey, Flaw::NotAscii),
            ),
            (
                key(id, &[b'a'; 8193]),
                Malformed(SecretKey::SecretAccessKey, Flaw::TooLong),
            ),
            (
                AccessKey::new(Some(id), Some(b"s"), Some(b"hunter2 ")),
                Malformed(SecretKey::SessionToken, Flaw::WhiteSpace),
            ),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error, why);
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
    }

    #[tokio::test]
    async fn debug_prints_nothing() {
        let key = AccessKey::new(Some(b"AKIDEXAMPLE"), Some(b"hunter2"), Some(b"token")).unwrap();
        let printed = format!("{key:?} {:?}", OwnIdentity::fixed(&key));
        assert_eq!(printed, "AccessKey(redacted) OwnIdentity(redacted)");
    }

    #[test]
    fn we_have_a_name() {
        assert_eq!(app_name().as_ref(), "outbound-operator");
    }
}
