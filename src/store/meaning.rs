//! What the error codes of S3 mean that say nothing of the access: they are of the request's own upload, object or
//! bytes. [`Refusal`](super::Refusal) has the others. Pure.

use super::error::StoreError;

/// What a store's code says of an upload, an object or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The upload was completed or aborted, or never was.
    UploadGone,
    /// Nothing is under the key.
    NothingThere,
    /// The condition of the request doesn't hold: to a write that something is under the key, to a read that the object
    /// is another.
    ConditionFailed,
    /// Another request to the same key was under way.
    Conflict,
    /// The parts that Complete names aren't those that the store has, or are too small.
    PartsRefused,
    /// The checksum that was sent isn't that of the bytes that came, or is none: they were damaged on their way, or a
    /// wrong one was sent on purpose.
    ChecksumRefused,
    /// The body ended before its length.
    BodyCutOff,
}

impl Meaning {
    pub(super) fn of(code: &str) -> Option<Self> {
        Some(match code {
            "NoSuchUpload" => Self::UploadGone,
            "NoSuchKey" => Self::NothingThere,
            "PreconditionFailed" => Self::ConditionFailed,
            "ConditionalRequestConflict" => Self::Conflict,
            "InvalidPart" | "InvalidPartOrder" | "EntityTooSmall" => Self::PartsRefused,
            "BadDigest" | "InvalidDigest" | "XAmzContentChecksumMismatch" => Self::ChecksumRefused,
            "IncompleteBody" => Self::BodyCutOff,
            _ => return None,
        })
    }
}

impl StoreError {
    /// What the store says of the upload, the object or the bytes; `None` where it says something else.
    #[must_use]
    pub fn meaning(&self) -> Option<Meaning> {
        Meaning::of(&self.code)
    }

    /// Whether that is what the store says.
    #[must_use]
    pub fn means(&self, meaning: Meaning) -> bool {
        self.meaning() == Some(meaning)
    }
}
