//! A store's answer in the words of the destination's conditions. Pure.

use std::fmt;

use super::action::Action;
use super::error::{ErrorClass, StoreError, code};
use super::meaning::Meaning;
use super::names::Region;
use super::session;

/// Why a destination can't be written to, in the words of its conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The store knows no such access key, or its session is over.
    InvalidAccessKeyId,
    /// The secret doesn't belong to the access key.
    SignatureDoesNotMatch,
    /// A right is missing.
    AccessDenied,
    /// There is no such bucket.
    BucketNotFound,
    /// The bucket belongs to another account than the pinned one.
    BucketOwnerMismatch,
    /// The bucket is in another region.
    RegionMismatch,
    /// The bucket's KMS key can't be used.
    KmsAccessDenied,
    /// The customer's role doesn't let us in.
    RoleNotAssumable,
    /// The ACL that we send isn't taken.
    AclNotAllowed,
    /// Our clock and the store's differ.
    ClockSkew,
    /// The store takes none of the checksums that we can send.
    ChecksumUnsupported,
    /// No S3 answers there.
    EndpointUnreachable,
    /// No trusted TLS connection.
    TlsFailure,
    /// The store asks for fewer requests.
    Throttled,
}

impl Refusal {
    /// The reason as it stands in a condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAccessKeyId => "InvalidAccessKeyId",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            Self::AccessDenied => "AccessDenied",
            Self::BucketNotFound => "BucketNotFound",
            Self::BucketOwnerMismatch => "BucketOwnerMismatch",
            Self::RegionMismatch => "RegionMismatch",
            Self::KmsAccessDenied => "KmsAccessDenied",
            Self::RoleNotAssumable => "RoleNotAssumable",
            Self::AclNotAllowed => "AclNotAllowed",
            Self::ClockSkew => "ClockSkew",
            Self::ChecksumUnsupported => "ChecksumUnsupported",
            Self::EndpointUnreachable => "EndpointUnreachable",
            Self::TlsFailure => "TlsFailure",
            Self::Throttled => "Throttled",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason that an error's code, status and message give.
pub(super) fn refusal_of(error: &StoreError) -> Option<Refusal> {
    match error.denial.action {
        Some(action) if action.is_of_kms() => return Some(Refusal::KmsAccessDenied),
        Some(Action::PutObjectAcl) => return Some(Refusal::AclNotAllowed),
        _ => {}
    }
    let message = error.message.to_ascii_lowercase();
    if error.action == session::ACTION && error.class == ErrorClass::Terminal {
        return Some(by_sts(&error.code, &message));
    }
    by_code(&error.code, &message, error.region.is_some()).or_else(|| by_status(error))
}

/// STS refuses a role in the words that S3 has for a bucket, and they mean the role.
fn by_sts(code: &str, message: &str) -> Refusal {
    match code {
        "RequestExpired" | "RequestTimeTooSkewed" => Refusal::ClockSkew,
        "SignatureDoesNotMatch" if message.contains("signature expired") => Refusal::ClockSkew,
        _ => Refusal::RoleNotAssumable,
    }
}

fn by_code(code: &str, message: &str, other_region: bool) -> Option<Refusal> {
    Some(match code {
        "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "UnrecognizedClientException" => Refusal::InvalidAccessKeyId,
        "SignatureDoesNotMatch" => Refusal::SignatureDoesNotMatch,
        // S3 itself says AccessDenied where the caller may not use the bucket's key.
        "AccessDenied" if message.contains("kms:") => Refusal::KmsAccessDenied,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "NotSignedUp" => {
            Refusal::AccessDenied
        }
        _ if code.to_ascii_lowercase().starts_with("kms") => Refusal::KmsAccessDenied,
        "NoSuchBucket" => Refusal::BucketNotFound,
        "PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException" => {
            Refusal::RegionMismatch
        }
        "AuthorizationHeaderMalformed" if other_region || message.contains("region") => {
            Refusal::RegionMismatch
        }
        // The other thing that can be malformed in it is the id within.
        "AuthorizationHeaderMalformed" => Refusal::InvalidAccessKeyId,
        "AccessControlListNotSupported" | "InvalidBucketAclWithObjectOwnership" => {
            Refusal::AclNotAllowed
        }
        "RequestTimeTooSkewed" | "RequestExpired" => Refusal::ClockSkew,
        "InvalidRequest" | "InvalidArgument" | "NotImplemented"
            if message.contains("x-amz-acl") || message.contains("access control list") =>
        {
            Refusal::AclNotAllowed
        }
        "InvalidRequest" | "InvalidArgument" | "NotImplemented"
            if message.contains("checksum")
                || message.contains("crc64")
                || message.contains("crc32c") =>
        {
            Refusal::ChecksumUnsupported
        }
        code::CHECKSUM_IGNORED => Refusal::ChecksumUnsupported,
        code::TLS_FAILED => Refusal::TlsFailure,
        code::UNREACHABLE
        | code::CONNECTION_LOST
        | code::OVERDUE
        | code::UNREADABLE
        | code::NO_CREDENTIALS => Refusal::EndpointUnreachable,
        _ => match Meaning::of(code)? {
            // A delivery's bytes may be damaged, and are sent again instead; of a proof's few it means the checksum.
            Meaning::ChecksumRefused => Refusal::ChecksumUnsupported,
            Meaning::UploadGone
            | Meaning::NothingThere
            | Meaning::ConditionFailed
            | Meaning::Conflict
            | Meaning::PartsRefused
            | Meaning::BodyCutOff => return None,
        },
    })
}

fn by_status(error: &StoreError) -> Option<Refusal> {
    let spoken = !error.code.starts_with("Http");
    match error.status? {
        _ if error.class == ErrorClass::Throttled => Some(Refusal::Throttled),
        500.. => Some(Refusal::EndpointUnreachable),
        // S3 says with a code of its own that a bucket is elsewhere for now; other redirects aren't S3's.
        301 => Some(Refusal::RegionMismatch),
        300..400 if !spoken => Some(Refusal::EndpointUnreachable),
        401 | 403 => Some(Refusal::AccessDenied),
        // A 404 or 405 without a word of S3's comes from something that isn't an S3.
        400.. if !spoken => Some(Refusal::EndpointUnreachable),
        _ => None,
    }
}

/// Whether an answer means that another checksum may be taken: it says so, or it says no more than that
/// something in the request isn't known.
pub(super) fn may_be_the_checksum(error: &StoreError) -> bool {
    let vague = [
        "NotImplemented",
        "XNotImplemented",
        "InvalidRequest",
        "InvalidArgument",
        "Http400",
        "Http501",
    ];
    match refusal_of(error) {
        _ if error.class != ErrorClass::Terminal => false,
        Some(Refusal::ChecksumUnsupported) => true,
        Some(Refusal::EndpointUnreachable) | None => vague.contains(&error.code.as_str()),
        Some(_) => false,
    }
}

/// The region that an answer names: a header, an element of its body, or words of its message.
pub(super) fn region_hint(header: Option<&str>, body: &str, message: &str) -> Option<Region> {
    let element = || between(body, "<Region>", "</Region>");
    // "...; the region 'us-east-1' is wrong; expecting 'eu-west-1'"
    let expecting = || between(message, "expecting '", "'");
    header
        .or_else(element)
        .or_else(expecting)
        .and_then(|region| region.parse().ok())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// Characters of a store's message that are kept.
/// A denial of AWS's with a long key has about 500, and says at its end whose policy it was.
const MAX_MESSAGE: usize = 600;

/// A store's words, fit for a log line and a status: escaped, shortened, without access key ids.
pub(super) fn redacted(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let masked: String = words.map(masked).collect();
    let mut kept = String::new();
    for (count, c) in masked.chars().enumerate() {
        match c {
            _ if count == MAX_MESSAGE => {
                kept.push_str("...");
                break;
            }
            '\'' | '"' => kept.push(c),
            c => kept.extend(c.escape_debug()),
        }
    }
    kept
}

/// A word, unless it has the form of an AWS access key id: 4 letters that say the kind, 16 more.
fn masked(word: &str) -> String {
    let id = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let kind = ["AKIA", "ASIA", "AROA", "AIDA"]
        .iter()
        .any(|kind| id.starts_with(kind));
    if kind && id.len() >= 20 {
        word.replace(id, &format!("{}...", &id[..4]))
    } else {
        word.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, code: &str, message: &str) -> StoreError {
        StoreError {
            action: "CreateMultipartUpload",
            code: code.to_owned(),
            message: message.to_owned(),
            status: Some(status),
            class: if code == "SlowDown" {
                ErrorClass::Throttled
            } else {
                ErrorClass::Terminal
            },
            request_id: None,
            region: None,
            denial: super::super::denial::Denial::read(message),
        }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn codes_become_reasons() {
        for (status, code, message, expected) in [
            (
                403,
                "InvalidAccessKeyId",
                "",
                Some(Refusal::InvalidAccessKeyId),
            ),
            (400, "ExpiredToken", "", Some(Refusal::InvalidAccessKeyId)),
            (
                403,
                "SignatureDoesNotMatch",
                "",
                Some(Refusal::SignatureDoesNotMatch),
            ),
            (
                403,
                "AccessDenied",
                "Access Denied",
                Some(Refusal::AccessDenied),
            ),
            (
                403,
                "AccessDenied",
                "User: x is not authorized to perform: kms:GenerateDataKey",
                Some(Refusal::KmsAccessDenied),
            ),
            (
                400,
                "KMS.DisabledException",
                "",
                Some(Refusal::KmsAccessDenied),
            ),
            (400, "kms:KeyNotFound", "", Some(Refusal::KmsAccessDenied)),
            (404, "NoSuchBucket", "", Some(Refusal::BucketNotFound)),
            (301, "PermanentRedirect", "", Some(Refusal::RegionMismatch)),
            (307, "TemporaryRedirect", "", Some(Refusal::RegionMismatch)),
            (302, "Http302", "", Some(Refusal::EndpointUnreachable)),
            (307, "Http307", "", Some(Refusal::EndpointUnreachable)),
            (
                400,
                "AuthorizationHeaderMalformed",
                "the region 'a' is wrong; expecting 'b'",
                Some(Refusal::RegionMismatch),
            ),
            (
                400,
                "AuthorizationHeaderMalformed",
                "an AKID",
                Some(Refusal::InvalidAccessKeyId),
            ),
            (
                400,
                "AccessControlListNotSupported",
                "",
                Some(Refusal::AclNotAllowed),
            ),
            (403, "RequestTimeTooSkewed", "", Some(Refusal::ClockSkew)),
            (
                400,
                "InvalidRequest",
                "Checksum type not known",
                Some(Refusal::ChecksumUnsupported),
            ),
            (
                501,
                "NotImplemented",
                "x-amz-acl",
                Some(Refusal::AclNotAllowed),
            ),
            (503, "SlowDown", "", Some(Refusal::Throttled)),
            (500, "InternalError", "", Some(Refusal::EndpointUnreachable)),
            (403, "Http403", "", Some(Refusal::AccessDenied)),
            (405, "Http405", "", Some(Refusal::EndpointUnreachable)),
            (404, "NoSuchUpload", "", None),
            (412, "PreconditionFailed", "", None),
            (400, "EntityTooSmall", "", None),
            (400, "IncompleteBody", "", None),
            (400, "InvalidDigest", "", Some(Refusal::ChecksumUnsupported)),
        ] {
            assert_eq!(
                error(status, code, message).refusal(),
                expected,
                "{status} {code}"
            );
        }
    }

    #[test]
    fn an_unknown_checksum_is_told_from_other_refusals() {
        for (status, code, message, expected) in [
            (400, "InvalidRequest", "Checksum type not known", true),
            (400, "InvalidRequest", "x-amz-checksum-crc32c", true),
            (
                501,
                "NotImplemented",
                "a header implies functionality",
                true,
            ),
            (501, "Http501", "", true),
            (400, "BadDigest", "", true),
            (501, "NotImplemented", "x-amz-acl", false),
            (403, "AccessDenied", "", false),
            (404, "Http404", "", false),
            (400, "EntityTooSmall", "", false),
        ] {
            let error = error(status, code, message);
            assert_eq!(may_be_the_checksum(&error), expected, "{status} {code}");
        }
        let ignored = StoreError::checksum_ignored("UploadPart");
        assert!(may_be_the_checksum(&ignored));
        assert_eq!(ignored.refusal(), Some(Refusal::ChecksumUnsupported));
    }

    #[test]
    fn regions_are_found_and_checked() {
        let hint =
            |header, body, message| region_hint(header, body, message).map(|r| r.to_string());
        assert_eq!(
            hint(Some("eu-west-1"), "", "").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            hint(None, "<Error><Region>cn-north-1</Region></Error>", "").as_deref(),
            Some("cn-north-1")
        );
        assert_eq!(
            hint(None, "", "'a' is wrong; expecting 'us-west-2'").as_deref(),
            Some("us-west-2")
        );
        assert_eq!(hint(Some("evil.example/"), "", ""), None);
        assert_eq!(hint(None, "", "no hint"), None);
    }

    #[test]
    fn messages_are_fit_to_print() {
        assert_eq!(
            redacted("a\n\u{1b}[31m 'b' \"c\""),
            "a\\n\\u{1b}[31m 'b' \"c\""
        );
        assert_eq!(
            redacted("key AKIAIOSFODNN7EXAMPLE, unknown"),
            "key AKIA..., unknown"
        );
        assert_eq!(redacted("AKIA alone"), "AKIA alone");
        assert_eq!(
            redacted(&"x".repeat(700)),
            format!("{}...", "x".repeat(600))
        );
        assert_eq!(redacted(&"ü".repeat(601)).chars().count(), 603);
    }
}
