//! The end of a delivery that is deleted in flight: its uploads are aborted, what was delivered stays.
//!
//! Bounded in time: a bucket or a Secret that is gone never holds up a deletion.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use super::finalizer;
use crate::api::{
    AccessKeyRef, AclPolicy, IdentitySnapshot, OutboundDelivery, OutboundDestinationSpec,
    OutboundLedger, SecretRef,
};
use crate::controllers::connect::{NoConnection, connect};
use crate::controllers::context::Context;
use crate::controllers::error::ReconcileError;
use crate::controllers::ledger::LedgerUnusable;
use crate::controllers::supervisor::Standing;
use crate::controllers::{destination, events, ledger};
use crate::store::Bucket;
use crate::transfer::abort_open;

/// How long aborting may take. With the grace of a run that stops, a deletion ends within 60 s.
const ABORT_TIME: Duration = Duration::from_secs(30);

/// How long what aborting needs is asked for again where it can't be had, and how often.
const ASKING_TIME: Duration = Duration::from_secs(10);
const ASKING_PAUSE: Duration = Duration::from_millis(500);

/// Stops the run, then aborts what is open, then lets the deletion pass.
pub(super) async fn reconcile(
    context: &Arc<Context>,
    delivery: &OutboundDelivery,
) -> Result<Action, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    match context.runs.standing(&uid) {
        Standing::Running(_) => {
            context.runs.stop(&uid);
            return Ok(Action::requeue(Duration::from_secs(1)));
        }
        Standing::Stopping => return Ok(Action::requeue(Duration::from_secs(1))),
        Standing::Ended(_) | Standing::Absent => context.runs.forget(&uid),
    }
    if !finalizer::is_set(delivery) {
        return Ok(Action::await_change());
    }
    match context.cleanups.standing(&uid) {
        Standing::Absent => {
            let object = ObjectRef::from_obj(&DeserializeGuard(Ok(delivery.clone())));
            let work = abort_uploads(context.clone(), delivery.clone());
            context.cleanups.start(&uid, object, |_| work);
            Ok(Action::requeue(ABORT_TIME))
        }
        Standing::Running(()) | Standing::Stopping => Ok(Action::requeue(Duration::from_secs(5))),
        Standing::Ended(left) => {
            report(context, delivery, &left).await;
            let api: Api<OutboundDelivery> = Api::namespaced(
                context.client.clone(),
                &delivery.namespace().unwrap_or_default(),
            );
            finalizer::remove(&api, delivery)
                .await
                .map_err(ReconcileError::from_status)?;
            context.cleanups.forget(&uid);
            Ok(Action::await_change())
        }
    }
}

/// Aborts the uploads that the ledger knows; returns what had to stay, each with why.
async fn abort_uploads(context: Arc<Context>, delivery: OutboundDelivery) -> Vec<String> {
    match tokio::time::timeout(ABORT_TIME, abort_known(&context, &delivery)).await {
        Ok(left) => left,
        Err(_) => vec![format!(
            "uploads that the ledger knows: not answered within {} s",
            ABORT_TIME.as_secs()
        )],
    }
}

async fn abort_known(context: &Context, delivery: &OutboundDelivery) -> Vec<String> {
    let namespace = delivery.namespace().unwrap_or_default();
    let ledgers: Api<OutboundLedger> = Api::namespaced(context.client.clone(), &namespace);
    let read = || ledger::open(ledgers.clone(), delivery);
    let passes = |error: &LedgerUnusable| matches!(error, LedgerUnusable::Kubernetes(_));
    let opened = match patiently(read, passes).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![format!("uploads of a ledger that can't be read: {error}")],
    };
    let states = match opened.ledger.states() {
        Ok(states) => states,
        Err(error) => return vec![format!("uploads of a ledger that can't be read: {error}")],
    };
    if states.values().all(|state| state.open_upload().is_none()) {
        return Vec::new();
    }
    match bucket(context, &namespace, &opened.header.destination).await {
        Ok(bucket) => {
            let left = abort_open(&opened.plan, &states, &bucket, ABORT_TIME).await;
            left.into_iter().map(|left| left.to_string()).collect()
        }
        Err(why) => vec![format!(
            "uploads in bucket {}: {why}",
            opened.header.destination.bucket
        )],
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
    if let Some(live) = context.buckets.subscribe(&snapshot.uid) {
        let bucket = live.borrow().clone();
        if bucket.target().bucket.as_str() == snapshot.bucket {
            return Ok(bucket);
        }
    }
    let spec = spec_of(snapshot);
    let resolved =
        destination::resolve(&context.config, &spec, None).map_err(|error| error.to_string())?;
    let target = resolved.target;
    let connect = || connect(context, namespace, &spec, target.clone());
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
        acl: Some(AclPolicy::None),
        read_back: None,
        split_size: None,
        verification: None,
        suspend: None,
    }
}

/// Names what had to stay: in the log, and in an Event, which a namespace that is going may not take any more.
async fn report(context: &Context, delivery: &OutboundDelivery, left: &[String]) {
    for what in left {
        tracing::warn!(
            namespace = delivery.namespace(),
            name = delivery.name_any(),
            what,
            "left behind at the deletion; the bucket's lifecycle rule for incomplete uploads, or the customer, removes it"
        );
    }
    if !left.is_empty() {
        let note = format!("left behind: {}", left.join("; "));
        events::publish(
            &context.recorder,
            delivery,
            EventType::Warning,
            "UploadsLeft",
            &note,
        )
        .await;
    }
}
