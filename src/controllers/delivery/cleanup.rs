//! The end of a delivery that is deleted in flight: its uploads are aborted, what was delivered stays.
//!
//! Bounded in time: a bucket or a Secret that is gone never holds up a deletion.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;

use super::{abandon, finalizer};
use crate::api::OutboundDelivery;
use crate::controllers::context::Context;
use crate::controllers::error::ReconcileError;
use crate::controllers::supervisor::Standing;

/// How long aborting what is known may take; looking for what isn't comes after.
const KNOWN_TIME: Duration = Duration::from_secs(15);

/// How long all of it may take. With the 20 s of a run that stops, a deletion ends within 60 s on a busy machine too.
const ABORT_TIME: Duration = Duration::from_secs(25);

/// Stops the run, then aborts what is open, then lets the deletion pass.
pub(super) async fn reconcile(
    context: &Arc<Context>,
    delivery: &OutboundDelivery,
) -> Result<Action, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    match context.runs.standing(&uid) {
        Standing::Running(_) => {
            super::stop(context, delivery);
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
            abandon::report(context, delivery, &left).await;
            finalizer::remove(context, delivery)
                .await
                .map_err(ReconcileError::from_status)?;
            context.cleanups.forget(&uid);
            context.ledgers.forget(&uid);
            Ok(Action::await_change())
        }
    }
}

/// Aborts what the delivery has open; returns what had to stay, each with why.
async fn abort_uploads(context: Arc<Context>, delivery: OutboundDelivery) -> Vec<String> {
    let aborts = abandon::abandon_deleted(&context, &delivery, KNOWN_TIME);
    match tokio::time::timeout(ABORT_TIME, aborts).await {
        Ok(left) => left,
        Err(_) => vec![format!(
            "uploads that the ledger knows: not answered within {} s",
            ABORT_TIME.as_secs()
        )],
    }
}
