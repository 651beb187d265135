//! What each object is stored with: encryption, storage class, tags.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How objects are encrypted at rest. Absent: as the bucket's default says.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.type == 'SSE-KMS' || (!has(self.kmsKeyId) && !has(self.bucketKey))")
        .message("kmsKeyId and bucketKey go with encryption type SSE-KMS only: SSE-S3 has no key to choose")
)]
#[serde(rename_all = "camelCase")]
pub struct EncryptionSpec {
    /// SSE-S3: with keys that S3 keeps. SSE-KMS: with a key in AWS KMS, which must let us use it.
    #[serde(rename = "type")]
    pub type_: EncryptionType,
    /// The KMS key, with SSE-KMS only: its full ARN, or, with AccessKey, its id. Required in the other modes. Absent: the key aws/s3 of the bucket's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('alias/') && !self.contains(':alias/')")
            .message("kmsKeyId names the key itself: an alias can be pointed at another key while a delivery runs, and is looked up in the wrong account across accounts"),
        validation = Rule::new("self.matches('^[a-zA-Z0-9_.:/-]+$')")
            .message("kmsKeyId is a key's ARN, arn:aws:kms:REGION:ACCOUNT:key/ID, or its id"),
        validation = Rule::new("!self.startsWith('arn:') || self.matches('^arn:(aws|aws-cn|aws-us-gov):kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]+$')")
            .message("a key's ARN is written arn:aws:kms:REGION:ACCOUNT:key/ID (or arn:aws-cn:..., arn:aws-us-gov:...)"),
    )]
    pub kms_key_id: Option<String>,
    /// Whether S3 makes fewer calls to KMS by a key of the bucket's own, with SSE-KMS only. Absent: as the bucket says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_key: Option<bool>,
}

/// Who keeps the key: S3, or AWS KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EncryptionType {
    /// S3 does (`AES256`).
    #[serde(rename = "SSE-S3")]
    SseS3,
    /// AWS KMS does (`aws:kms`).
    #[serde(rename = "SSE-KMS")]
    SseKms,
}

/// S3's storage classes that an upload to a general purpose bucket may name. Absent: STANDARD, as S3 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    /// Read often.
    Standard,
    /// S3 moves objects by how they are read.
    IntelligentTiering,
    /// Read rarely, at once.
    StandardIa,
    /// As STANDARD_IA, in one zone.
    OnezoneIa,
    /// Archived, read at once.
    GlacierIr,
    /// Archived, restored in minutes to hours before it can be read.
    Glacier,
    /// Archived, restored in hours.
    DeepArchive,
    /// Fewer copies; AWS advises against it, and some other stores know no other.
    ReducedRedundancy,
}

/// A tag on each object.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectTag {
    /// 1 to 128 letters, digits, blanks and + - = . _ : / @, not beginning with aws:.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$')")
            .message("a tag's key has letters, digits, blanks and + - = . _ : / @ only"),
        validation = Rule::new("!self.matches('^[aA][wW][sS]:')").message("AWS keeps tags that begin with aws: to itself"),
    )]
    pub key: String,
    /// 0 to 256 letters, digits, blanks and + - = . _ : / @.
    #[schemars(length(max = 256))]
    #[x_kube(
        validation = Rule::new(r"self.matches('^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$')")
            .message("a tag's value has letters, digits, blanks and + - = . _ : / @ only"),
    )]
    pub value: String,
}
