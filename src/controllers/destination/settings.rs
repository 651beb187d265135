//! What each object is stored with, from the spec to the store's values: pure.

use super::resolve::{Unresolvable, refused};
use crate::api::{
    EncryptionSpec, EncryptionType, OutboundDestinationSpec, StorageClass as StorageClassField,
};
use crate::store::{Encryption, ObjectSettings, ObjectTags, StorageClass};

/// The settings that `spec` names.
///
/// # Errors
/// When a field holds what the schema refuses.
pub(super) fn of(spec: &OutboundDestinationSpec) -> Result<ObjectSettings, Unresolvable> {
    let tags = spec.object_tags.iter();
    let tags = tags.map(|tag| (tag.key.clone(), tag.value.clone()));
    Ok(ObjectSettings {
        encryption: match &spec.encryption {
            Some(encryption) => self::encryption(encryption)?,
            None => Encryption::BucketDefault,
        },
        storage_class: spec.storage_class.map(storage_class),
        tags: ObjectTags::new(tags).map_err(refused("objectTags"))?,
    })
}

fn encryption(spec: &EncryptionSpec) -> Result<Encryption, Unresolvable> {
    Ok(match spec.type_ {
        EncryptionType::SseS3 => Encryption::SseS3,
        EncryptionType::SseKms => Encryption::SseKms {
            key: match &spec.kms_key_id {
                Some(key) => Some(key.parse().map_err(refused("encryption.kmsKeyId"))?),
                None => None,
            },
            bucket_key: spec.bucket_key,
        },
    })
}

const fn storage_class(field: StorageClassField) -> StorageClass {
    match field {
        StorageClassField::Standard => StorageClass::Standard,
        StorageClassField::IntelligentTiering => StorageClass::IntelligentTiering,
        StorageClassField::StandardIa => StorageClass::StandardIa,
        StorageClassField::OnezoneIa => StorageClass::OnezoneIa,
        StorageClassField::GlacierIr => StorageClass::GlacierIr,
        StorageClassField::Glacier => StorageClass::Glacier,
        StorageClassField::DeepArchive => StorageClass::DeepArchive,
        StorageClassField::ReducedRedundancy => StorageClass::ReducedRedundancy,
    }
}

/// What of the settings is the destination's identity, as fields of its hash: encryption and tags, but not
/// the storage class, which a customer's lifecycle rule changes too.
///
/// What isn't set adds no field, so that the hashes from before these settings stay what they were.
pub(super) fn identity(settings: &ObjectSettings) -> Vec<String> {
    let encryption = match &settings.encryption {
        Encryption::BucketDefault => None,
        Encryption::SseS3 => Some("encryption SSE-S3".to_owned()),
        Encryption::SseKms { key, bucket_key } => {
            let key = key.as_ref().map(|key| key.as_str()).unwrap_or_default();
            let bucket_key = bucket_key.map(|on| on.to_string()).unwrap_or_default();
            Some(format!("encryption SSE-KMS {key} {bucket_key}"))
        }
    };
    let tags = settings.tags.header().map(|tags| format!("tags {tags}"));
    encryption.into_iter().chain(tags).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn settings(fields: &str) -> ObjectSettings {
        let spec = format!("{{bucket: acme, permissionMode: AccessKey, {fields}}}");
        of(&yaml::read(&spec).unwrap()).unwrap()
    }

    #[test]
    fn the_identity_moves_with_each_field_but_not_with_the_order_of_tags() {
        let identity = |fields: &str| super::identity(&settings(fields));
        assert_eq!(identity("storageClass: GLACIER_IR"), [""; 0]);
        let all = [
            "encryption: {type: SSE-S3}",
            "encryption: {type: SSE-KMS}",
            "encryption: {type: SSE-KMS, kmsKeyId: k}",
            "encryption: {type: SSE-KMS, kmsKeyId: k, bucketKey: true}",
            "encryption: {type: SSE-KMS, kmsKeyId: k, bucketKey: false}",
            "objectTags: [{key: a, value: b}]",
            "objectTags: [{key: a, value: b}, {key: c, value: ''}]",
        ]
        .map(identity);
        for (at, one) in all.iter().enumerate() {
            assert!(!one.is_empty());
            assert!(all.iter().skip(at + 1).all(|other| other != one), "{one:?}");
        }
        assert_eq!(
            identity("objectTags: [{key: c, value: ''}, {key: a, value: b}]"),
            all[6]
        );
    }

    #[test]
    fn every_storage_class_has_its_name() {
        for name in [
            "STANDARD",
            "INTELLIGENT_TIERING",
            "STANDARD_IA",
            "ONEZONE_IA",
            "GLACIER_IR",
            "GLACIER",
            "DEEP_ARCHIVE",
            "REDUCED_REDUNDANCY",
        ] {
            let class = settings(&format!("storageClass: {name}")).storage_class;
            let debug = format!("{:?}", class.unwrap());
            assert_eq!(name.replace('_', "").to_lowercase(), debug.to_lowercase());
        }
    }
}
