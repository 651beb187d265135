//! The actions of AWS's policies that delivering may use, and which of them a target asks for. Pure.

use std::fmt;

use super::target::{Acl, ReadBack, Target};

/// An action as policies name it, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Begins an upload, sends its parts, completes it; puts a small object.
    PutObject,
    /// Aborts an upload.
    AbortMultipartUpload,
    /// Lists an upload's parts, to resume or to settle.
    ListMultipartUploadParts,
    /// Sends an ACL with an object.
    PutObjectAcl,
    /// Sends tags with an object.
    PutObjectTagging,
    /// Looks at an object's headers, with read-back.
    GetObject,
    /// Has S3 make a data key when an object is begun.
    KmsGenerateDataKey,
    /// Has S3 decrypt the data key for each part.
    KmsDecrypt,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PutObject,
        Self::AbortMultipartUpload,
        Self::ListMultipartUploadParts,
        Self::PutObjectAcl,
        Self::PutObjectTagging,
        Self::GetObject,
        Self::KmsGenerateDataKey,
        Self::KmsDecrypt,
    ];

    /// As it stands in a policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PutObject => "s3:PutObject",
            Self::AbortMultipartUpload => "s3:AbortMultipartUpload",
            Self::ListMultipartUploadParts => "s3:ListMultipartUploadParts",
            Self::PutObjectAcl => "s3:PutObjectAcl",
            Self::PutObjectTagging => "s3:PutObjectTagging",
            Self::GetObject => "s3:GetObject",
            Self::KmsGenerateDataKey => "kms:GenerateDataKey",
            Self::KmsDecrypt => "kms:Decrypt",
        }
    }

    /// Whether the KMS key's policy decides on it.
    #[must_use]
    pub const fn is_of_kms(self) -> bool {
        matches!(self, Self::KmsGenerateDataKey | Self::KmsDecrypt)
    }

    /// Whether delivering to `target` uses it. A bucket whose own default is a KMS key asks for more than
    /// its destination can know.
    #[must_use]
    pub fn is_used(self, target: &Target, read_back: ReadBack) -> bool {
        match self {
            Self::PutObject | Self::AbortMultipartUpload | Self::ListMultipartUploadParts => true,
            Self::PutObjectAcl => target.acl != Acl::None,
            Self::PutObjectTagging => !target.settings.tags.is_empty(),
            Self::GetObject => read_back == ReadBack::Granted,
            Self::KmsGenerateDataKey | Self::KmsDecrypt => target.settings.encryption.is_kms(),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
