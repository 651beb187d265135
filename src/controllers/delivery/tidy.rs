//! What follows the end of a delivery.

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use super::{finalizer, ttl};
use crate::api::{Condition, ConditionType, DeliveryStatus, OutboundDelivery, OutboundLedger};
use crate::controllers::context::Context;
use crate::controllers::error::ReconcileError;
use crate::controllers::{ledger, request_of, status};

/// After the end: what only a running delivery needs goes. The ledger of a failed one stays for a retry.
pub(super) async fn tidy(
    context: &Context,
    delivery: &OutboundDelivery,
) -> Result<Action, ReconcileError> {
    let uid = delivery.uid().unwrap_or_default();
    context.runs.forget(&uid);
    context.ledgers.forget(&uid);
    let planned = delivery
        .status
        .as_ref()
        .and_then(|status| status.destination.as_ref());
    if let Some(planned) = planned {
        let namespace = delivery.namespace().unwrap_or_default();
        let destination = &delivery.spec.destination_ref.name;
        context.release_bucket(&namespace, destination, &planned.uid);
    }
    if !finalizer::is_set(delivery) {
        acknowledge(context, delivery).await?;
        return ttl::enforce(context, delivery).await;
    }
    let complete = delivery
        .status
        .as_ref()
        .is_some_and(|s| s.condition(ConditionType::Complete).is_some());
    if complete {
        let namespace = delivery.namespace().unwrap_or_default();
        let ledgers: Api<OutboundLedger> = Api::namespaced(context.client.clone(), &namespace);
        ledger::delete(&ledgers, delivery)
            .await
            .map_err(ReconcileError::from_status)?;
    }
    finalizer::remove(context, delivery)
        .await
        .map_err(ReconcileError::from_status)?;
    Ok(Action::await_change())
}

/// Says of a delivery that has ended what was asked or edited since: there is nothing left to do. Without it kstatus
/// would take an edited one for one that nobody has looked at, for ever.
async fn acknowledge(context: &Context, delivery: &OutboundDelivery) -> Result<(), ReconcileError> {
    let Some(old) = &delivery.status else {
        return Ok(());
    };
    if acknowledged(old, delivery) == *old {
        return Ok(());
    }
    let api: Api<OutboundDelivery> = Api::namespaced(
        context.client.clone(),
        &delivery.namespace().unwrap_or_default(),
    );
    // The cache has less of it than a write must hold.
    let whole = api.get(&delivery.name_any()).await;
    let whole = whole.map_err(ReconcileError::from_status)?;
    let Some(old) = whole
        .status
        .as_ref()
        .filter(|_| whole.metadata.resource_version == delivery.metadata.resource_version)
    else {
        return Err(ReconcileError::Outdated);
    };
    let new = acknowledged(old, &whole);
    status::write(&api, &whole, &new)
        .await
        .map(drop)
        .map_err(ReconcileError::from_status)
}

/// The same end, said of the present generation and request.
fn acknowledged(old: &DeliveryStatus, delivery: &OutboundDelivery) -> DeliveryStatus {
    let generation = delivery.metadata.generation.unwrap_or_default();
    let of_generation = |condition: &Condition| Condition {
        observed_generation: generation,
        ..condition.clone()
    };
    DeliveryStatus {
        observed_generation: generation,
        conditions: old.conditions.iter().map(of_generation).collect(),
        last_handled_request: request_of(&delivery.metadata),
        ..old.clone()
    }
}
