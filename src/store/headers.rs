//! An object's settings in the SDK's words.

use aws_sdk_s3::types::{self, ServerSideEncryption};

use super::settings::{Encryption, StorageClass};

/// The encryption's headers.
pub(super) struct ServerSide {
    pub(super) algorithm: Option<ServerSideEncryption>,
    pub(super) key: Option<String>,
    pub(super) bucket_key: Option<bool>,
}

/// `encryption` as headers; none of them for the bucket's default.
pub(super) fn server_side(encryption: &Encryption) -> ServerSide {
    let (algorithm, key, bucket_key) = match encryption {
        Encryption::BucketDefault => (None, None, None),
        Encryption::SseS3 => (Some(ServerSideEncryption::Aes256), None, None),
        Encryption::SseKms { key, bucket_key } => (
            Some(ServerSideEncryption::AwsKms),
            key.as_ref().map(|key| key.as_str().to_owned()),
            *bucket_key,
        ),
    };
    ServerSide {
        algorithm,
        key,
        bucket_key,
    }
}

/// The class in the SDK's words.
pub(super) const fn storage_class(class: StorageClass) -> types::StorageClass {
    match class {
        StorageClass::Standard => types::StorageClass::Standard,
        StorageClass::IntelligentTiering => types::StorageClass::IntelligentTiering,
        StorageClass::StandardIa => types::StorageClass::StandardIa,
        StorageClass::OnezoneIa => types::StorageClass::OnezoneIa,
        StorageClass::GlacierIr => types::StorageClass::GlacierIr,
        StorageClass::Glacier => types::StorageClass::Glacier,
        StorageClass::DeepArchive => types::StorageClass::DeepArchive,
        StorageClass::ReducedRedundancy => types::StorageClass::ReducedRedundancy,
    }
}
