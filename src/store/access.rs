//! The proof of access: what delivering does, at the real prefix with the real headers, but for the
//! last step. It leaves no object and asks for no right that delivering doesn't need.

use std::time::Duration;

use bytes::Bytes;

use super::bucket::Bucket;
use super::caller::Caller;
use super::capabilities::{Capabilities, Dialect, PartChecksum};
use super::error::{ErrorClass, StoreError};
use super::explain::{self, Case};
use super::names::Region;
use super::refusal::{Refusal, may_be_the_checksum};
use super::target::{Acl, Target};
use super::types::{ObjectMetadata, PartBody, UploadId};
use crate::plan::{Md5Digest, ObjectKey, PartNumber};

/// Where the target's region comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionSource {
    /// The user named it: another one is a mistake to be told.
    Named,
    /// Nobody named it: an answer that names another is followed, once.
    Guessed,
}

/// What the proof found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// We may deliver.
    Verified {
        /// The bucket's region: the target's, or what was learned.
        region: Region,
        /// The checksums that the store verifies.
        dialect: Dialect,
    },
    /// Somebody must act; trying again changes nothing.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What was tried, what came back, who must do what. The same for the same cause.
        message: String,
    },
    /// Abort is refused, so that an upload of this proof stays open: another proof would leave another.
    /// Ask [`may_abort`] first.
    Orphaned {
        /// The bucket's region: the target's, or what was learned.
        region: Region,
        /// As in [`Proof::Refused`].
        message: String,
    },
    /// Nothing is known yet: unreachable, throttled, a server's failure.
    Transient {
        /// What kept the answer away.
        refusal: Refusal,
        /// What was tried and what came back.
        message: String,
    },
}

/// Proves that `caller` may deliver to `bucket`.
///
/// Let it run to its end: dropped between its first and last call it may leave an upload open.
pub async fn prove(bucket: &Bucket, region: RegionSource, caller: &Caller) -> Proof {
    let (found, failure) = match down_the_dialects(bucket).await {
        Ok(dialect) => return verified(bucket, dialect),
        Err(failed) => failed,
    };
    let elsewhere = failure.names_another_region(bucket.target());
    match (region, elsewhere) {
        (RegionSource::Guessed, Some(elsewhere)) => {
            match down_the_dialects(&bucket.in_region(elsewhere.clone())).await {
                Ok(dialect) => verified(&bucket.in_region(elsewhere), dialect),
                Err((found, failure)) => diagnose(&found, failure, caller).await,
            }
        }
        _ => diagnose(&found, failure, caller).await,
    }
}

fn verified(bucket: &Bucket, dialect: Dialect) -> Proof {
    Proof::Verified {
        region: bucket.target().region.clone(),
        dialect,
    }
}

/// Rehearses in one dialect after the other, as long as it may be the checksum that the store refuses and
/// no upload had to stay. A failure comes with the bucket in the dialect that it was met in; where no
/// dialect works that is the first, which asks for the most.
async fn down_the_dialects(bucket: &Bucket) -> Result<Dialect, (Bucket, Failure)> {
    let mut first = None;
    for dialect in Dialect::ALL {
        let bucket = bucket.with_capabilities(Capabilities {
            dialect,
            ..bucket.capabilities()
        });
        match rehearse(&bucket).await {
            Ok(()) => return Ok(dialect),
            Err(failure) if failure.may_be_the_checksum() => {
                first.get_or_insert((bucket, failure));
            }
            Err(failure) => return Err((bucket, failure)),
        }
    }
    // There is at least one dialect, and each of them failed.
    Err(first.unwrap_or_else(|| {
        let error = StoreError::checksum_ignored("UploadPart");
        let failure = Failure {
            error,
            orphan: None,
        };
        (bucket.clone(), failure)
    }))
}

/// How a rehearsal failed.
#[derive(Debug)]
struct Failure {
    /// The first refused call.
    error: StoreError,
    /// Why the upload that was begun is still open, where it is.
    orphan: Option<StoreError>,
}

impl Failure {
    fn names_another_region(&self, target: &Target) -> Option<Region> {
        let mismatch = self.error.refusal() == Some(Refusal::RegionMismatch);
        self.error
            .region
            .clone()
            .filter(|region| mismatch && *region != target.region)
    }

    /// Whether another checksum may be taken, and nothing speaks against another upload.
    fn may_be_the_checksum(&self) -> bool {
        self.orphan.is_none() && may_be_the_checksum(&self.error)
    }

    /// Whether trying again may end otherwise.
    fn may_pass(&self) -> bool {
        self.error.class != ErrorClass::Terminal
    }

    /// Whether the store said no more than "no", so that probes may tell why.
    fn is_bare_denial(&self) -> bool {
        self.error.refusal() == Some(Refusal::AccessDenied)
    }
}

/// Create, one small part, Abort: never Complete.
async fn rehearse(bucket: &Bucket) -> Result<(), Failure> {
    let key = rehearsal_key(bucket.target());
    let upload = bucket.create_upload(&key, &rehearsal_metadata()).await;
    let upload = upload.map_err(|error| Failure {
        error,
        orphan: None,
    })?;
    let part = rehearse_part(bucket, &key, &upload).await;
    let abort = abort(bucket, &key, &upload).await;
    match (part, abort) {
        (Ok(_), Ok(())) => Ok(()),
        (Err(error), Ok(())) => Err(Failure {
            error,
            orphan: None,
        }),
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
async fn rehearse_part(
    bucket: &Bucket,
    key: &ObjectKey,
    upload: &UploadId,
) -> Result<(), StoreError> {
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
            Err(error) if error.is("BadDigest") || error.is("InvalidDigest") => {
                send(checksum).await.map(drop)
            }
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
fn rehearsal_key(target: &Target) -> ObjectKey {
    let name = format!("{REHEARSAL_NAME}{:016x}", fastrand::u64(..));
    ObjectKey::new(&target.prefix, &name).expect("a valid key")
}

fn rehearsal_metadata() -> ObjectMetadata {
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
            Err(error) if error.is("NoSuchUpload") => return Ok(()),
            Err(error) if error.class == ErrorClass::Terminal || tries == ABORT_TRIES => {
                return Err(error);
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200) * tries).await,
        }
        tries += 1;
    }
}

/// From how a rehearsal failed to what somebody must do. Each step is certain before the next is tried.
async fn diagnose(bucket: &Bucket, failure: Failure, caller: &Caller) -> Proof {
    let case = Case {
        target: bucket.target(),
        caller,
        error: &failure.error,
    };
    tracing::debug!(
        bucket = %bucket.target(),
        error = %failure.error,
        request_id = failure.error.request_id.as_deref().unwrap_or_default(),
        "access check failed"
    );
    // 1. An upload that we can't abort: nothing else is tried, or there would be more of them.
    if let Some(orphan) = &failure.orphan {
        let message = explain::orphan(&case, orphan);
        return match orphan.class {
            ErrorClass::Terminal => orphaned(&case, message),
            _ => transient(orphan, message),
        };
    }
    // 2. No answer, or one that may be another the next time.
    if failure.may_pass() {
        return transient(&failure.error, explain::no_answer(&case));
    }
    // 3. An answer that says what is wrong.
    if !failure.is_bare_denial() {
        // What S3 has no reason of ours for is still a refusal: its code is in the message.
        let refusal = failure.error.refusal().unwrap_or(Refusal::AccessDenied);
        return refused(refusal, explain::refusal(&case, refusal));
    }
    // 4. A bare 403: whose bucket is it, and would an Abort work?
    match abort_right(bucket).await {
        AbortRight::WithoutOwner => {
            let refusal = Refusal::BucketOwnerMismatch;
            refused(refusal, explain::refusal(&case, refusal))
        }
        // 5. Only where it works: which of our headers is refused?
        AbortRight::Held => subtract(bucket, &case).await,
        AbortRight::Denied => refused(
            Refusal::AccessDenied,
            explain::denied(&case, explain::Missing::All),
        ),
    }
}

fn refused(refusal: Refusal, message: String) -> Proof {
    Proof::Refused { refusal, message }
}

fn orphaned(case: &Case<'_>, message: String) -> Proof {
    Proof::Orphaned {
        region: case.target.region.clone(),
        message,
    }
}

fn transient(error: &StoreError, message: String) -> Proof {
    Proof::Transient {
        refusal: error.refusal().unwrap_or(Refusal::EndpointUnreachable),
        message,
    }
}

/// Whether an Abort would work, asked without creating anything.
pub async fn may_abort(bucket: &Bucket) -> bool {
    matches!(abort_right(bucket).await, AbortRight::Held)
}

/// What aborting an upload that never was tells.
enum AbortRight {
    /// The bucket is whose we think, and we may abort.
    Held,
    /// We may abort once no owner is pinned: the bucket is somebody else's.
    WithoutOwner,
    /// We may not, or the store doesn't say.
    Denied,
}

/// Aborts an invented upload: 404 means allowed, 403 means denied or another owner. The one call
/// without the pinned owner changes nothing, since the upload doesn't exist.
async fn abort_right(bucket: &Bucket) -> AbortRight {
    let key = rehearsal_key(bucket.target());
    let invented = UploadId::new(format!("outbound-{:016x}", fastrand::u64(..)));
    let gone = |answer: Result<(), StoreError>| answer.is_err_and(|e| e.is("NoSuchUpload"));
    if gone(bucket.abort_upload(&key, &invented).await) {
        AbortRight::Held
    } else if bucket.target().bucket_owner.is_some()
        && gone(bucket.abort_unpinned(&key, &invented).await)
    {
        AbortRight::WithoutOwner
    } else {
        AbortRight::Denied
    }
}

/// A header that a right or a setting of the bucket may forbid, and the rehearsal without it.
struct Subtraction {
    /// Whether the header is sent to this target.
    sent: fn(&Target) -> bool,
    /// The bucket without it.
    without: fn(&Bucket) -> Bucket,
    /// What it means that the rehearsal works without it.
    refusal: Refusal,
}

/// At most three, in the order in which they are taken away.
const SUBTRACTIONS: [Subtraction; 1] = [Subtraction {
    sent: |target| target.acl != Acl::None,
    without: |bucket| bucket.with_acl(Acl::None),
    refusal: Refusal::AclNotAllowed,
}];

/// Rehearses without one header after the other; each is aborted, and the first that can't be is the last.
async fn subtract(bucket: &Bucket, case: &Case<'_>) -> Proof {
    for subtraction in SUBTRACTIONS.iter().filter(|s| (s.sent)(bucket.target())) {
        match rehearse(&(subtraction.without)(bucket)).await {
            Ok(()) => {
                return refused(
                    subtraction.refusal,
                    explain::refusal(case, subtraction.refusal),
                );
            }
            Err(Failure {
                orphan: Some(orphan),
                ..
            }) => {
                return orphaned(case, explain::orphan(case, &orphan));
            }
            Err(_) => {}
        }
    }
    refused(
        Refusal::AccessDenied,
        explain::denied(case, explain::Missing::Put),
    )
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
