//! The open uploads of a bucket, where we may see them: no grant of ours asks for it.

use jiff::Timestamp;

use super::bucket::Bucket;
use super::error::StoreError;
use super::types::UploadId;
use crate::plan::MAX_OBJECTS;

/// Pages of a listing that are read at most, of 1,000 uploads each: no list may keep us.
const MAX_PAGES: usize = 50;

/// Uploads of a listing that are kept at most, some MiB: as many as a delivery has objects.
const MAX_KEPT: usize = MAX_OBJECTS;

/// An upload that was neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    /// The key, verbatim.
    pub key: String,
    /// The upload.
    pub upload: UploadId,
    /// When it was created, by the store's clock, where it says.
    pub initiated: Option<Timestamp>,
    /// Who created it, where the store says.
    pub initiator: Option<String>,
}

impl Bucket {
    /// The `wanted` ones of the open uploads of keys that begin with `prefix` (paged; of the first 50,000, and no more
    /// than a delivery has objects). Needs `s3:ListBucketMultipartUploads`, which delivering doesn't.
    ///
    /// # Errors
    /// The store's refusal, or what kept its answer away.
    pub async fn list_uploads(
        &self,
        prefix: &str,
        wanted: impl Fn(&OpenUpload) -> bool,
    ) -> Result<Vec<OpenUpload>, StoreError> {
        const ACTION: &str = "ListMultipartUploads";
        let mut uploads = Vec::new();
        let mut markers = (None, None);
        for _ in 0..MAX_PAGES {
            let call = self
                .client
                .list_multipart_uploads()
                .bucket(self.target.bucket.as_str())
                .prefix(prefix)
                .set_expected_bucket_owner(self.owner())
                .set_key_marker(markers.0.clone())
                .set_upload_id_marker(markers.1.clone());
            let page = self.answered(ACTION, call.send()).await?;
            let found = page.uploads.unwrap_or_default().into_iter();
            let found = found.filter_map(open_upload).filter(|open| wanted(open));
            uploads.extend(found.take(MAX_KEPT - uploads.len()));
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || next == markers || uploads.len() == MAX_KEPT {
                break;
            }
            markers = next;
        }
        Ok(uploads)
    }
}

fn open_upload(upload: aws_sdk_s3::types::MultipartUpload) -> Option<OpenUpload> {
    let initiated = upload.initiated.and_then(|time| {
        let nanos = i32::try_from(time.subsec_nanos()).ok()?;
        Timestamp::new(time.secs(), nanos).ok()
    });
    Some(OpenUpload {
        key: upload.key?,
        upload: UploadId::new(upload.upload_id?),
        initiated,
        initiator: upload
            .initiator
            .and_then(|initiator| initiator.id)
            .filter(|id| !id.is_empty()),
    })
}
