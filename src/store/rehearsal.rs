//! Delivering without the last step: what the proof of access is made of. Each upload that is begun here is
//! aborted here.

use std::time::Duration;

use bytes::Bytes;

use super::bucket::Bucket;
use super::capabilities::{Dialect, PartChecksum};
use super::error::{ErrorClass, StoreError};
use super::meaning::Meaning;
use super::names::Region;
use super::refusal::{Refusal, may_be_the_checksum};
use super::target::Target;
use super::types::{ObjectMetadata, PartBody, UploadId};
use crate::plan::{Md5Digest, ObjectKey, PartNumber};

/// How a rehearsal failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// The first refused call.
    pub(super) error: StoreError,
    /// Why the upload that was begun is still open, where it is.
    pub(super) orphan: Option<StoreError>,
}

/// The calls of a rehearsal, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Create,
    Part,
    Abort,
}

impl Failure {
    /// A failure that left nothing.
    pub(super) const fn clean(error: StoreError) -> Self {
        Self {
            error,
            orphan: None,
        }
    }

    /// Which call failed.
    pub(super) fn step(&self) -> Step {
        match self.error.action {
            "CreateMultipartUpload" => Step::Create,
            "UploadPart" => Step::Part,
            _ => Step::Abort,
        }
    }

    pub(super) fn names_another_region(&self, target: &Target) -> Option<Region> {
        let mismatch = self.error.refusal() == Some(Refusal::RegionMismatch);
        self.error
            .region
            .clone()
            .filter(|region| mismatch && *region != target.region)
    }

    /// Whether another checksum may be taken, and nothing speaks against another upload.
    pub(super) fn may_be_the_checksum(&self) -> bool {
        self.orphan.is_none() && may_be_the_checksum(&self.error)
    }

    /// Whether trying again may end otherwise.
    pub(super) fn may_pass(&self) -> bool {
        self.error.class != ErrorClass::Terminal
    }
}

/// Create, one small part, Abort: never Complete.
pub(super) async fn rehearse(bucket: &Bucket) -> Result<(), Failure> {
    let key = key(bucket.target());
    let upload = bucket.create_upload(&key, &metadata()).await;
    let upload = upload.map_err(Failure::clean)?;
    let part = send_part(bucket, &key, &upload).await;
    let abort = abort(bucket, &key, &upload).await;
    match (part, abort) {
        (Ok(_), Ok(())) => Ok(()),
        (Err(error), Ok(())) => Err(Failure::clean(error)),
        (Ok(_), Err(error)) => Err(Failure {
            error: error.clone(),
            orphan: Some(error),
        }),
        (Err(error), Err(abort)) => Err(Failure {
            error,
            orphan: Some(abort),
        }),
    }
}

/// Sends the part, and makes sure that the store compares its checksum with the bytes.
async fn send_part(bucket: &Bucket, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
    let send = |checksum| {
        let body = PartBody::Buffer(Bytes::from_static(BODY));
        bucket.send_part(key, upload, PartNumber::FIRST, body, checksum)
    };
    let dialect = bucket.capabilities().dialect;
    let checksum = PartChecksum::over(dialect, BODY);
    if dialect == Dialect::ContentMd5 {
        // No answer repeats an MD5: that a wrong one is refused shows that they are compared.
        return match send(PartChecksum::Md5(Md5Digest::new([0; 16]))).await {
            Ok(_) => Err(StoreError::checksum_ignored("UploadPart")),
            Err(error) if error.means(Meaning::ChecksumRefused) => send(checksum).await.map(drop),
            Err(error) => Err(error),
        };
    }
    match send(checksum.clone()).await? {
        (_, Some(theirs)) if theirs == checksum => Ok(()),
        _ => Err(StoreError::checksum_ignored("UploadPart")),
    }
}

/// What the rehearsal's key begins with behind the prefix; random digits follow.
pub(super) const REHEARSAL_NAME: &str = ".outbound-access-check-";

/// The part's content: what somebody who looks into the open upload should know.
const BODY: &[u8] = b"outbound-operator access check\n";

#[allow(
    clippy::expect_used,
    reason = "512 bytes of prefix and 39 of name; a test makes the longest"
)]
pub(super) fn key(target: &Target) -> ObjectKey {
    let name = format!("{REHEARSAL_NAME}{:016x}", fastrand::u64(..));
    ObjectKey::new(&target.prefix, &name).expect("a valid key")
}

fn metadata() -> ObjectMetadata {
    ObjectMetadata {
        token: "access-check".to_owned(),
        delivery_uid: "access-check".to_owned(),
        content_type: "application/octet-stream",
    }
}

/// Tries of an Abort that wasn't refused but got lost: an upload that stays costs the customer.
const ABORT_TRIES: u32 = 3;

async fn abort(bucket: &Bucket, key: &ObjectKey, upload: &UploadId) -> Result<(), StoreError> {
    let mut tries = 1;
    loop {
        match bucket.abort_upload(key, upload).await {
            Ok(()) => return Ok(()),
            Err(error) if error.means(Meaning::UploadGone) => return Ok(()),
            Err(error) if error.class == ErrorClass::Terminal || tries == ABORT_TRIES => {
                return Err(error);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200) * tries).await,
        }
        tries += 1;
    }
}

/// What aborting an upload that never was tells.
pub(super) enum AbortRight {
    /// The bucket is whose we think, and we may abort.
    Held,
    /// We may abort once no owner is pinned: the bucket is somebody else's.
    WithoutOwner,
    /// We may not, or the store doesn't say.
    Denied(StoreError),
}

/// Aborts an invented upload: 404 means allowed, 403 means denied or another owner. The one call
/// without the pinned owner changes nothing, since the upload doesn't exist.
pub(super) async fn abort_right(bucket: &Bucket) -> AbortRight {
    let key = key(bucket.target());
    let invented = UploadId::new(format!("outbound-{:016x}", fastrand::u64(..)));
    let gone = |error: &StoreError| error.means(Meaning::UploadGone);
    let error = match bucket.abort_upload(&key, &invented).await {
        // A store that takes what never was, as MinIO does, would take what is.
        Ok(()) => return AbortRight::Held,
        Err(error) if gone(&error) => return AbortRight::Held,
        Err(error) => error,
    };
    let unpinned = match bucket.target().bucket_owner {
        Some(_) => bucket.abort_unpinned(&key, &invented).await,
        None => return AbortRight::Denied(error),
    };
    match unpinned {
        Err(answer) if gone(&answer) => AbortRight::WithoutOwner,
        _ => AbortRight::Denied(error),
    }
}
