//! The open uploads of a bucket, where we may see them: no grant of ours asks for it.

use jiff::Timestamp;

use super::bucket::Bucket;
use super::error::StoreError;
use super::types::UploadId;

/// Pages of a listing that are read at most, of 1,000 uploads each: no list may keep us.
const MAX_PAGES: usize = 50;

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
    /// The open uploads of keys that begin with `prefix` (paged; the first 50,000). Needs
    /// `s3:ListBucketMultipartUploads`, which delivering doesn't.
    ///
    /// # Errors
    /// The store's refusal, or what kept its answer away.
    pub async fn list_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
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
            uploads.extend(
                page.uploads
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(open_upload),
            );
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || next == markers {
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
