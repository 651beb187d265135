//! Who must do what when S3 refuses to let a source be read.

use crate::store::{Refusal, StoreError, code};

/// What follows from a refusal, or from silence.
pub(super) fn store_advice(error: &StoreError) -> &'static str {
    match (&*error.code, error.refusal()) {
        ("InvalidObjectState", _) => {
            "it lies in an archive: whoever keeps the bucket must restore it, or the delivery must exclude it"
        }
        (_, Some(Refusal::BucketNotFound)) => {
            "whoever keeps our buckets must make it, or the delivery's source.s3.bucket must be corrected"
        }
        (code::NO_CREDENTIALS, _) => {
            "the operator's administrator must give our own identity its credentials (IRSA, Pod Identity or environment)"
        }
        (_, Some(Refusal::RegionMismatch)) => {
            "the delivery's source.s3.region must be corrected, or left out"
        }
        ("AccessDenied" | "Http403", _) => {
            "the operator's administrator must let our own identity list the prefix and read its objects, with their \
             KMS key where there is one, in a bucket of our own account (docs/sources.md has the policy)"
        }
        _ => "the operator's administrator must look at it when it stays so",
    }
}
