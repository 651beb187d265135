//! Gives up the uploads of a ledger that stays: in an order that no crash can turn into a wrong "delivered".

use std::time::{Duration, Instant};

use crate::controllers::ledger::KubeLedger;
use crate::plan::Plan;
use crate::store::{Bucket, UploadId};
use crate::transfer::{Ledger as _, ObjectState, abort_open};

/// Aborts what the ledger says is open; returns, after `within` at the latest, what had to stay and why.
///
/// An upload that may have been completed is first recorded as merely open: after our own Abort, "gone" must never
/// be read as "completed".
pub(super) async fn abandon(
    ledger: &KubeLedger,
    plan: &Plan,
    bucket: &Bucket,
    within: Duration,
) -> Vec<String> {
    let deadline = Instant::now() + within;
    let states = match ledger.states() {
        Ok(states) => states,
        Err(error) => return vec![error.to_string()],
    };
    for (slot, state) in &states {
        if let ObjectState::Completing {
            upload, started_at, ..
        } = state
        {
            let open = ObjectState::Open {
                upload: upload.clone(),
                started_at: *started_at,
            };
            if let Err(error) = ledger.record(*slot, open).await {
                return vec![format!("upload {upload}: {error}")];
            }
        }
    }
    let left = abort_open(
        plan,
        &states,
        bucket,
        deadline.saturating_duration_since(Instant::now()),
    )
    .await;
    for (slot, state) in &states {
        let is_left = |upload: &UploadId| left.iter().any(|left| left.upload == *upload);
        if state.open_upload().is_some_and(|upload| !is_left(upload)) {
            // Unrecorded it is aborted once more, which is as well.
            if let Err(error) = ledger.record(*slot, ObjectState::Planned).await {
                tracing::debug!(%error, "an aborted upload stays in the ledger");
            }
        }
    }
    left.iter().map(ToString::to_string).collect()
}
