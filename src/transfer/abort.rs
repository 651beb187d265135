//! Gives up what a delivery left open: exactly the uploads that its ledger knows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use super::ledger::{ObjectState, Slot};
use super::retry::is_retryable;
use crate::plan::{ObjectKey, Plan};
use crate::store::{Bucket, Meaning, UploadId};

/// Aborts under way at once.
const AT_ONCE: usize = 8;

/// Before an Abort that failed is sent again.
const PAUSE: Duration = Duration::from_millis(500);

/// An upload that had to stay, for whoever can remove it.
#[derive(Clone, Debug)]
pub struct LeftOpen {
    /// The object's key.
    pub key: ObjectKey,
    /// The upload.
    pub upload: UploadId,
    /// What kept it from being aborted.
    pub why: String,
}

impl fmt::Display for LeftOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upload {} of {}: {}", self.upload, self.key, self.why)
    }
}

/// Names in the log an upload that had to stay, or why nobody knows of one.
pub fn warn_of_left(what: impl fmt::Display) {
    tracing::warn!(
        %what,
        "left behind; the bucket's lifecycle rule for incomplete uploads, or the customer, removes it"
    );
}

/// Aborts the uploads that `states` says may be open. One that is gone already is fine. Returns, after
/// `within` at the latest, those that had to stay.
///
/// A run of the same delivery must have ended before, and its ledger must not be resumed after: an
/// upload that is gone would be taken for a completed one.
pub async fn abort_open(
    plan: &Plan,
    states: &BTreeMap<Slot, ObjectState>,
    bucket: &Bucket,
    within: Duration,
) -> Vec<LeftOpen> {
    // Owned, or the future couldn't be proved Send.
    let open: Vec<_> = states
        .iter()
        .filter_map(|(slot, state)| {
            Some((key_of(plan, *slot)?.clone(), state.open_upload()?.clone()))
        })
        .collect();
    abort_uploads(open, bucket, within).await
}

/// Aborts these uploads. One that is gone already is fine. Returns, after `within` at the latest, those that had to
/// stay.
pub async fn abort_uploads(
    open: Vec<(ObjectKey, UploadId)>,
    bucket: &Bucket,
    within: Duration,
) -> Vec<LeftOpen> {
    let deadline = Instant::now() + within;
    let aborts = open.into_iter().map(|(key, upload)| async move {
        let why = abort(bucket, &key, &upload, deadline).await.err()?;
        Some(LeftOpen { key, upload, why })
    });
    // One that hangs holds one place, and no other upload's chance.
    let results = futures::stream::iter(aborts).buffer_unordered(AT_ONCE);
    results.filter_map(|left| async { left }).collect().await
}

fn key_of(plan: &Plan, slot: Slot) -> Option<&ObjectKey> {
    match slot {
        Slot::Receipt => Some(plan.receipt()),
        Slot::Object(sequence) => {
            let object = plan
                .objects()
                .iter()
                .find(|object| object.sequence == sequence);
            object.map(|object| &object.key)
        }
    }
}

async fn abort(
    bucket: &Bucket,
    key: &ObjectKey,
    upload: &UploadId,
    deadline: Instant,
) -> Result<(), String> {
    let mut last = "there was no time left to try".to_owned();
    loop {
        let Ok(answer) = tokio::time::timeout_at(deadline, bucket.abort_upload(key, upload)).await
        else {
            return Err(last);
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if error.means(Meaning::UploadGone) => return Ok(()),
            Err(error) if is_retryable(&error) => last = error.to_string(),
            Err(error) => return Err(error.to_string()),
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(last);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
