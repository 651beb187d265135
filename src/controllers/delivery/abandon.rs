//! Gives up what a delivery has open: at its failure (the ledger stays, for a retry) and at its deletion.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;

use super::known::{self, Known};
use super::orphans;
use crate::api::{
    AccessKeyRef, AclPolicy, AssumeRoleSpec, ConfigMapRef, EventReason, IdentitySnapshot,
    OutboundDelivery, OutboundDestinationSpec, SecretRef,
};
use crate::controllers::connect::{NoConnection, connect};
use crate::controllers::context::Context;
use crate::controllers::ledger::LedgerUnusable;
use crate::controllers::{destination, events};
use crate::store::{Bucket, UploadId};
use crate::transfer::{Ledger as _, ObjectState, abort_open, warn_of_left};

/// How long what aborting needs is asked for again where it can't be had, and how often.
const ASKING_TIME: Duration = Duration::from_secs(10);
const ASKING_PAUSE: Duration = Duration::from_millis(500);

/// Aborts what the delivery has open, in a ledger that stays; returns, after `within` at the latest, what had to
/// stay and why.
pub(super) async fn abandon_kept(
    context: &Context,
    delivery: &OutboundDelivery,
    within: Duration,
) -> Vec<String> {
    let (known, bucket) = match reach(context, delivery).await {
        Ok(Some(reached)) => reached,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![why],
    };
    abandon(context, &known, &bucket, within).await
}

/// Aborts what a delivery that is being deleted has open: its ledger goes with it. Returns, after `within` at the
/// latest, what had to stay and why.
pub(super) async fn abandon_deleted(
    context: &Context,
    delivery: &OutboundDelivery,
    within: Duration,
) -> Vec<String> {
    let (known, bucket) = match reach(context, delivery).await {
        Ok(Some(reached)) => reached,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![why],
    };
    let states = match known.ledger.states() {
        Ok(states) => states,
        Err(error) => return vec![error.to_string()],
    };
    let left = abort_open(&known.plan, &states, &bucket, within).await;
    let left = left.iter().map(ToString::to_string).collect();
    with_orphans(context, &known, &bucket, left).await
}

/// Adds what of a crash's leavings had to stay; a store that doesn't answer isn't asked for them.
async fn with_orphans(
    context: &Context,
    known: &Known,
    bucket: &Bucket,
    left: Vec<String>,
) -> Vec<String> {
    if left.is_empty() {
        orphans::abort_orphans(context, known, bucket).await
    } else {
        left
    }
}

/// Aborts what the ledger says is open, in an order that no crash can turn into a wrong "delivered": an upload that
/// may have been completed is first recorded as merely open, because after our own Abort "gone" must never be read
/// as "completed".
pub(super) async fn abandon(
    context: &Context,
    known: &Known,
    bucket: &Bucket,
    within: Duration,
) -> Vec<String> {
    let deadline = Instant::now() + within;
    let ledger = &known.ledger;
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
    let within = deadline.saturating_duration_since(Instant::now());
    let left = abort_open(&known.plan, &states, bucket, within).await;
    for (slot, state) in &states {
        let is_left = |upload: &UploadId| left.iter().any(|left| left.upload == *upload);
        if state.open_upload().is_some_and(|upload| !is_left(upload)) {
            // Unrecorded it is aborted once more, which is as well.
            if let Err(error) = ledger.record(*slot, ObjectState::Planned).await {
                tracing::debug!(%error, "an aborted upload stays in the ledger");
            }
        }
    }
    let left = left.iter().map(ToString::to_string).collect();
    with_orphans(context, known, bucket, left).await
}

/// Names what had to stay: in the log, in a metric, and in an Event: on the operator's own object where the delivery's
/// namespace is going and takes none any more.
pub(super) async fn report(context: &Context, delivery: &OutboundDelivery, left: &[String]) {
    left.iter().for_each(warn_of_left);
    if !left.is_empty() {
        context.observers.metrics.uploads_left(left.len());
        let note = format!("left behind: {}", left.join("; "));
        events::publish_somewhere(context, delivery, EventReason::UploadsLeft, &note).await;
    }
}

/// The delivery's ledger and the bucket that its uploads are in; `None` when there is nothing to give up.
async fn reach(
    context: &Context,
    delivery: &OutboundDelivery,
) -> Result<Option<(Known, Bucket)>, String> {
    let passes = |error: &LedgerUnusable| matches!(error, LedgerUnusable::Kubernetes(_));
    let found = patiently(|| known::find(context, delivery), passes).await;
    let found =
        found.map_err(|error| format!("uploads of a ledger that can't be read: {error}"))?;
    let Some(known) = found else {
        return Ok(None);
    };
    let states = known.ledger.states();
    let states =
        states.map_err(|error| format!("uploads of a ledger that can't be read: {error}"))?;
    let none_open = states.values().all(|state| state.open_upload().is_none());
    let snapshot = &known.header.destination;
    let namespace = delivery.namespace().unwrap_or_default();
    match bucket(context, &namespace, snapshot).await {
        Ok(bucket) => Ok(Some((known, bucket))),
        Err(_) if none_open => Ok(None),
        Err(why) => Err(format!("uploads in bucket {}: {why}", snapshot.bucket)),
    }
}

/// Asks again while the answer is a failure that passes, for [`ASKING_TIME`] at most: an upload isn't left behind
/// because of one lost answer.
async fn patiently<T, E, F>(ask: impl Fn() -> F, passes: impl Fn(&E) -> bool) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + ASKING_TIME;
    loop {
        match ask().await {
            Err(error) if passes(&error) && Instant::now() < end => {
                tokio::time::sleep(ASKING_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// The bucket by the credentials that were last good, else by what the ledger says of the destination.
async fn bucket(
    context: &Context,
    namespace: &str,
    snapshot: &IdentitySnapshot,
) -> Result<Bucket, String> {
    if let Some(live) = context.buckets.subscribe(namespace, &snapshot.uid) {
        let bucket = live.borrow().clone();
        let target = bucket.target();
        // Elsewhere the tenancy's rules are asked again.
        if target.bucket.as_str() == snapshot.bucket && target.prefix.as_str() == snapshot.prefix {
            return Ok(bucket);
        }
    }
    let spec = spec_of(snapshot);
    let resolved =
        destination::resolve(&context.config, &spec, None).map_err(|error| error.to_string())?;
    let target = resolved.target;
    let named = (namespace, snapshot.name.as_str());
    let connect = || connect(context, named, &spec, target.clone());
    let passes = |error: &NoConnection| matches!(error, NoConnection::Unanswered { .. });
    match patiently(connect, passes).await {
        Ok(connection) => Ok(connection.bucket),
        Err(NoConnection::Refused { message, .. } | NoConnection::Unanswered { message, .. }) => {
            Err(message)
        }
    }
}

/// The spec that the snapshot was made from, as far as aborting needs it.
fn spec_of(snapshot: &IdentitySnapshot) -> OutboundDestinationSpec {
    let secret = snapshot.secret_name.clone();
    OutboundDestinationSpec {
        bucket: snapshot.bucket.clone(),
        prefix: Some(snapshot.prefix.clone()),
        region: Some(snapshot.region.clone()),
        bucket_owner: snapshot.bucket_owner.clone(),
        endpoint: snapshot.endpoint.clone(),
        addressing: Some(snapshot.addressing),
        permission_mode: snapshot.permission_mode,
        access_key: secret.map(|name| AccessKeyRef {
            secret_ref: SecretRef { name },
        }),
        assume_role: snapshot
            .role_arn
            .clone()
            .map(|role_arn| AssumeRoleSpec { role_arn }),
        ca_bundle_ref: snapshot
            .ca_bundle_name
            .clone()
            .map(|name| ConfigMapRef { name }),
        acl: Some(AclPolicy::None),
        read_back: None,
        split_size: None,
        encryption: None,
        storage_class: None,
        object_tags: Vec::new(),
        limits: None,
        verification: None,
        suspend: None,
    }
}
