//! Every S3 call that delivering makes, with our headers.

use std::time::Instant;

use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};

use super::body::into_stream;
use super::bucket::{Bucket, Payload};
use super::capabilities::{Dialect, PartChecksum};
use super::error::StoreError;
use super::headers::{server_side, storage_class};
use super::types::{
    CompletedUpload, HeldObject, ObjectMetadata, PartBody, StoredPart, UploadId, UploadedPart,
};
use super::watch::{self, Progress, WatchBody};
use crate::plan::{Crc64, ObjectKey, PartNumber};

/// The metadata keys behind `x-amz-meta-`.
const TOKEN: &str = "outbound-token";
const UID: &str = "outbound-uid";

/// The condition that nothing is under the key yet.
const NOTHING_THERE: &str = "*";

/// Sends a call that carries a body, which is watched while it moves.
macro_rules! send_body {
    ($bucket:expr, $action:literal, $payload:expr, $call:expr) => {{
        let (progress, begun) = (Progress::start(), Instant::now());
        let watch = WatchBody {
            progress: progress.clone(),
            pace: $bucket.pace.clone(),
        };
        let call = $call.customize().interceptor(watch);
        let call = match $payload {
            Payload::Unsigned => call.disable_payload_signing(),
            Payload::Signed => call,
        };
        let answer = watch::while_moving($bucket.patience.idle, progress, call.send()).await;
        $bucket.understood(begun, $action, answer)
    }};
}

/// Adds the headers of the object's settings to a call that begins an object.
macro_rules! with_settings {
    ($bucket:expr, $call:expr) => {{
        let settings = &$bucket.target.settings;
        let sse = server_side(&settings.encryption);
        $call
            .set_server_side_encryption(sse.algorithm)
            .set_ssekms_key_id(sse.key)
            .set_bucket_key_enabled(sse.bucket_key)
            .set_storage_class(settings.storage_class.map(storage_class))
            .set_tagging(settings.tags.header())
    }};
}

impl Bucket {
    /// CreateMultipartUpload with the ACL, the settings, the metadata and the checksum of the bucket's dialect.
    ///
    /// # Errors
    /// The store's refusal, or what kept its answer away. An upload whose answer was lost is open.
    pub async fn create_upload(
        &self,
        key: &ObjectKey,
        metadata: &ObjectMetadata,
    ) -> Result<UploadId, StoreError> {
        const ACTION: &str = "CreateMultipartUpload";
        let call = self
            .client
            .create_multipart_upload()
            .bucket(self.target.bucket.as_str())
            .key(key.as_str())
            .set_expected_bucket_owner(self.owner())
            .set_acl(self.canned_acl())
            .content_type(metadata.content_type)
            .metadata(TOKEN, &metadata.token)
            .metadata(UID, &metadata.delivery_uid);
        let call = with_settings!(self, call);
        let call = match self.capabilities.dialect {
            Dialect::Crc64Nvme => call
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_type(ChecksumType::FullObject),
            // No type: of parts there are composite ones only, and some stores take no type at all.
            Dialect::Crc32c => call.checksum_algorithm(ChecksumAlgorithm::Crc32C),
            Dialect::ContentMd5 => call,
        };
        let answer = self.answered(ACTION, call.send()).await?;
        let id = answer.upload_id.filter(|id| !id.is_empty());
        id.map(UploadId::new)
            .ok_or_else(|| StoreError::unreadable(ACTION, "no upload id"))
    }

    /// UploadPart with `checksum` (of this part) in its header; its bytes are signed only over plain HTTP, and where they are few.
    ///
    /// # Errors
    /// The store's refusal, or what kept its answer away. Sending the same part again is harmless.
    pub async fn upload_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: PartNumber,
        body: PartBody,
        checksum: PartChecksum,
    ) -> Result<UploadedPart, StoreError> {
        self.send_part(key, upload, number, body, checksum)
            .await
            .map(|(part, _)| part)
    }

    /// [`Bucket::upload_part`], and the checksum that the store says it computed.
    pub(super) async fn send_part(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        number: PartNumber,
        body: PartBody,
        checksum: PartChecksum,
    ) -> Result<(UploadedPart, Option<PartChecksum>), StoreError> {
        let (len, payload) = (content_length(&body), self.transport.payload(&body));
        let call = self
            .client
            .upload_part()
            .bucket(self.target.bucket.as_str())
            .key(key.as_str())
            .upload_id(upload.as_str())
            .part_number(number.get())
            .set_expected_bucket_owner(self.owner())
            .set_checksum_crc64_nvme(checksum.crc64())
            .set_checksum_crc32_c(checksum.crc32c())
            .set_content_md5(checksum.content_md5())
            .content_length(len)
            .body(into_stream(body));
        let answer = send_body!(self, "UploadPart", payload, call)?;
        let reported = PartChecksum::reported(answer.checksum_crc64_nvme, answer.checksum_crc32_c);
        let etag = answer.e_tag.filter(|etag| !etag.is_empty());
        let etag = etag.ok_or_else(|| StoreError::unreadable("UploadPart", "no ETag"))?;
        let part = UploadedPart {
            number: number.get(),
            etag,
            checksum: Some(checksum),
        };
        Ok((part, reported))
    }

    /// All parts of an upload (paged). Called only to resume or to settle.
    ///
    /// # Errors
    /// The store's refusal (`NoSuchUpload` when the upload was completed or aborted), or what kept
    /// its answer away.
    pub async fn list_parts(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
    ) -> Result<Vec<StoredPart>, StoreError> {
        const ACTION: &str = "ListParts";
        let mut parts: Vec<StoredPart> = Vec::new();
        let mut marker: Option<String> = None;
        loop {
            let call = self
                .client
                .list_parts()
                .bucket(self.target.bucket.as_str())
                .key(key.as_str())
                .upload_id(upload.as_str())
                .set_expected_bucket_owner(self.owner())
                .set_part_number_marker(marker.clone());
            let page = self.answered(ACTION, call.send()).await?;
            let more = page.is_truncated == Some(true);
            let before = parts.len();
            for part in page.parts.unwrap_or_default() {
                let part = stored_part(part).ok_or_else(|| {
                    StoreError::unreadable(ACTION, "a part without a number or an ETag")
                })?;
                // So there are as many as there are part numbers, whatever the store says.
                if parts.last().is_some_and(|last| last.number >= part.number) {
                    return Err(StoreError::unreadable(ACTION, "parts out of order"));
                }
                parts.push(part);
            }
            if !more {
                return Ok(parts);
            }
            if parts.len() == before {
                return Err(StoreError::unreadable(ACTION, "a page that leads nowhere"));
            }
            marker = page.next_part_number_marker;
        }
    }

    /// CompleteMultipartUpload with `If-None-Match: *`, the whole object's size and, where its parts
    /// have CRC64NVMEs, its checksum.
    ///
    /// # Errors
    /// The store's refusal (`PreconditionFailed` when something is under the key), also where it came
    /// in the body of a 200, or what kept its answer away; then the object may be there.
    pub async fn complete_upload(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        parts: &[UploadedPart],
        crc64: Crc64,
        bytes: u64,
    ) -> Result<CompletedUpload, StoreError> {
        let combines = |part: &UploadedPart| matches!(part.checksum, Some(PartChecksum::Crc64(_)));
        let whole = parts.iter().all(combines).then(|| crc64.to_string());
        let parts = parts.iter().map(completed_part).collect();
        let call = self
            .client
            .complete_multipart_upload()
            .bucket(self.target.bucket.as_str())
            .key(key.as_str())
            .upload_id(upload.as_str())
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts))
                    .build(),
            )
            .set_expected_bucket_owner(self.owner())
            .if_none_match(NOTHING_THERE)
            .set_checksum_type(whole.as_ref().map(|_| ChecksumType::FullObject))
            .set_checksum_crc64_nvme(whole)
            .mpu_object_size(i64::try_from(bytes).unwrap_or(i64::MAX));
        let begun = Instant::now();
        let answer = watch::within(self.patience.complete, call.send()).await;
        let answer = self.understood(begun, "CompleteMultipartUpload", answer)?;
        Ok(CompletedUpload {
            crc64: whole_checksum(answer.checksum_crc64_nvme),
            version_id: answer.version_id,
        })
    }

    /// AbortMultipartUpload. An upload that is gone already is an error with code `NoSuchUpload`.
    ///
    /// # Errors
    /// The store's refusal, or what kept its answer away.
    pub async fn abort_upload(&self, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
        self.abort(key, upload, self.owner()).await
    }

    /// An Abort that pins no owner, for an upload id that never was: tells a wrong owner from a denial.
    pub(super) async fn abort_unpinned(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
    ) -> Result<(), StoreError> {
        self.abort(key, upload, None).await
    }

    async fn abort(
        &self,
        key: &ObjectKey,
        upload: &UploadId,
        owner: Option<String>,
    ) -> Result<(), StoreError> {
        let call = self
            .client
            .abort_multipart_upload()
            .bucket(self.target.bucket.as_str())
            .key(key.as_str())
            .upload_id(upload.as_str())
            .set_expected_bucket_owner(owner);
        self.answered("AbortMultipartUpload", call.send())
            .await
            .map(|_| ())
    }

    /// PutObject with `If-None-Match: *` and the checksum in a header (read-back destinations only,
    /// where a lost answer can be settled by [`Bucket::head`]).
    ///
    /// # Errors
    /// The store's refusal (`PreconditionFailed` when something is under the key), or what kept its
    /// answer away; then the object may be there.
    pub async fn put_object(
        &self,
        key: &ObjectKey,
        metadata: &ObjectMetadata,
        body: PartBody,
        checksum: &PartChecksum,
    ) -> Result<CompletedUpload, StoreError> {
        let (len, payload) = (content_length(&body), self.transport.payload(&body));
        let call = self
            .client
            .put_object()
            .bucket(self.target.bucket.as_str())
            .key(key.as_str())
            .set_expected_bucket_owner(self.owner())
            .set_acl(self.canned_acl())
            .content_type(metadata.content_type)
            .metadata(TOKEN, &metadata.token)
            .metadata(UID, &metadata.delivery_uid)
            .if_none_match(NOTHING_THERE)
            .set_checksum_crc64_nvme(checksum.crc64())
            .set_checksum_crc32_c(checksum.crc32c())
            .set_content_md5(checksum.content_md5())
            .content_length(len)
            .body(into_stream(body));
        let call = with_settings!(self, call);
        let answer = send_body!(self, "PutObject", payload, call)?;
        Ok(CompletedUpload {
            crc64: whole_checksum(answer.checksum_crc64_nvme),
            version_id: answer.version_id,
        })
    }

    /// HeadObject; `None` when nothing is there. Needs read-back.
    ///
    /// # Errors
    /// The store's refusal (403 also when nothing is there and we may not list), or what kept its
    /// answer away.
    pub async fn head(&self, key: &ObjectKey) -> Result<Option<HeldObject>, StoreError> {
        let call = self
            .client
            .head_object()
            .bucket(self.target.bucket.as_str())
            .key(key.as_str())
            .set_expected_bucket_owner(self.owner())
            .checksum_mode(ChecksumMode::Enabled);
        let answer = match self.answered("HeadObject", call.send()).await {
            Ok(answer) => answer,
            Err(error) if error.status == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = answer
            .content_length
            .and_then(|len| u64::try_from(len).ok());
        Ok(Some(HeldObject {
            bytes: bytes.ok_or_else(|| StoreError::unreadable("HeadObject", "no length"))?,
            token: answer
                .metadata
                .and_then(|mut metadata| metadata.remove(TOKEN)),
            crc64: whole_checksum(answer.checksum_crc64_nvme),
            version_id: answer.version_id,
        }))
    }
}

/// What isn't a checksum of the whole object, as a composite one ("...-3"), says nothing of it.
fn whole_checksum(text: Option<String>) -> Option<Crc64> {
    text.and_then(|text| text.parse().ok())
}

fn content_length(body: &PartBody) -> i64 {
    let len = match body {
        PartBody::Buffer(bytes) => bytes.len() as u64,
        PartBody::Stream { len, .. } => *len,
    };
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn completed_part(part: &UploadedPart) -> CompletedPart {
    let checksum = part.checksum.as_ref();
    CompletedPart::builder()
        .part_number(part.number)
        .e_tag(&part.etag)
        .set_checksum_crc64_nvme(checksum.and_then(PartChecksum::crc64))
        .set_checksum_crc32_c(checksum.and_then(PartChecksum::crc32c))
        .build()
}

fn stored_part(part: aws_sdk_s3::types::Part) -> Option<StoredPart> {
    Some(StoredPart {
        number: PartNumber::new(u64::try_from(part.part_number?).ok()?)?,
        etag: part.e_tag?,
        bytes: u64::try_from(part.size?).ok()?,
        checksum: PartChecksum::reported(part.checksum_crc64_nvme, part.checksum_crc32_c),
    })
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
