//! One destination's bucket: every S3 call that delivering makes, with our headers.

use super::error::StoreError;
use super::target::Target;
use super::types::{
    CompletedUpload, HeldObject, ObjectMetadata, PartBody, StoredPart, UploadId, UploadedPart,
};
use crate::plan::{Crc64, ObjectKey, PartNumber};

/// A bucket that we can call. Cheap to clone. The SDK retries nothing: retrying is the caller's.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: aws_sdk_s3::Client,
    target: std::sync::Arc<Target>,
}

impl Bucket {
    /// Where it is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// CreateMultipartUpload with the ACL, metadata and CRC64NVME as full-object checksum.
    pub async fn create_upload(
        &self,
        key: &ObjectKey,
        metadata: &ObjectMetadata,
    ) -> Result<UploadId, StoreError> {
        todo!("{key} {metadata:?} {:?}", self.client)
    }

    /// UploadPart with `crc64` (of this part) in a header; never SHA-256-signed over TLS.
    pub async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: PartNumber,
        body: PartBody,
        crc64: Crc64,
    ) -> Result<UploadedPart, StoreError> {
        todo!(
            "{key} {upload} {number:?} {crc64} {}",
            matches!(body, PartBody::Buffer(_))
        )
    }

    /// All parts of an upload (paged). Called only to resume or to settle.
    pub async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
    ) -> Result<Vec<StoredPart>, StoreError> {
        todo!("{key} {upload}")
    }

    /// CompleteMultipartUpload with `If-None-Match: *`, the whole object's checksum and size.
    pub async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[UploadedPart],
        crc64: Crc64,
        bytes: u64,
    ) -> Result<CompletedUpload, StoreError> {
        todo!("{key} {upload} {parts:?} {crc64} {bytes}")
    }

    /// AbortMultipartUpload. An upload that is gone already is an error with code `NoSuchUpload`.
    pub async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        todo!("{key} {upload}")
    }

    /// PutObject with `If-None-Match: *` and the checksum in a header (read-back destinations only, where a lost answer
    /// can be settled by [`Bucket::head`]).
    pub async fn put_object(
        &self,
        key: &ObjectKey,
        metadata: &ObjectMetadata,
        body: PartBody,
        crc64: Crc64,
    ) -> Result<CompletedUpload, StoreError> {
        todo!(
            "{key} {metadata:?} {crc64} {}",
            matches!(body, PartBody::Buffer(_))
        )
    }

    /// HeadObject; `None` when nothing is there. Needs read-back.
    pub async fn head(&self, key: &ObjectKey) -> Result<Option<HeldObject>, StoreError> {
        todo!("{key}")
    }
}
