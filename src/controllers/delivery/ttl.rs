//! `ttlSecondsAfterFinished`: a delivery is deleted so long after its end. What was delivered stays.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use super::work_time::LONGEST_PAUSE;
use crate::api::{ConditionType, OutboundDelivery};
use crate::controllers::context::Context;
use crate::controllers::error::ReconcileError;

/// Deletes a finished delivery whose time is over, and else comes back when it is.
///
/// # Errors
/// When it changed since it was seen (it may have been asked for again), or the apiserver refuses.
pub(super) async fn enforce(
    context: &Context,
    delivery: &OutboundDelivery,
) -> Result<Action, ReconcileError> {
    let Some(left) = left(delivery, Timestamp::now()) else {
        return Ok(Action::await_change());
    };
    if !left.is_zero() {
        return Ok(Action::requeue(left.min(LONGEST_PAUSE)));
    }
    let namespace = delivery.namespace().unwrap_or_default();
    let api: Api<OutboundDelivery> = Api::namespaced(context.client.clone(), &namespace);
    let parameters = DeleteParams::background().preconditions(Preconditions {
        uid: delivery.uid(),
        resource_version: delivery.resource_version(),
    });
    let name = delivery.name_any();
    api.delete(&name, &parameters)
        .await
        .map_err(ReconcileError::from_status)?;
    tracing::info!("deleted: its ttlSecondsAfterFinished is over");
    Ok(Action::await_change())
}

/// What is left of a finished delivery's time; `None` when it is kept.
fn left(delivery: &OutboundDelivery, now: Timestamp) -> Option<Duration> {
    let ttl = SignedDuration::from_secs(delivery.spec.ttl_seconds_after_finished?);
    let status = delivery.status.as_ref()?;
    let end = status
        .condition(ConditionType::Complete)
        .or_else(|| status.condition(ConditionType::Failed))?;
    let ended: Timestamp = end.last_transition_time.parse().ok()?;
    let left = ttl - now.duration_since(ended);
    Some(Duration::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(condition: &str, ttl: Option<i64>) -> OutboundDelivery {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "outbound.dev/v1alpha1", "kind": "OutboundDelivery", "metadata": {"name": "d"},
            "spec": {
                "destinationRef": {"name": "acme"}, "source": {"volume": {"path": "a"}},
                "ttlSecondsAfterFinished": ttl,
            },
            "status": {"observedGeneration": 1, "conditions": [{
                "type": condition, "status": "True", "reason": "Any", "message": "", "observedGeneration": 1,
                "lastTransitionTime": "2026-11-24T00:00:00Z",
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn the_time_counts_from_the_end_be_it_good_or_bad() {
        let now: Timestamp = "2026-11-24T00:01:00Z".parse().unwrap();
        for condition in ["Complete", "Failed"] {
            let left = |ttl| left(&finished(condition, ttl), now);
            assert_eq!(left(None), None);
            assert_eq!(left(Some(90)), Some(Duration::from_secs(30)));
            assert_eq!(left(Some(60)), Some(Duration::ZERO));
            assert_eq!(left(Some(0)), Some(Duration::ZERO));
        }
        assert_eq!(left(&finished("Ready", Some(0)), now), None);
    }
}
