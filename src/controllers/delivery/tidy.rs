//! What follows the end of a delivery.

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};

use super::{finalizer, ttl};
use crate::api::{ConditionType, DeliveryStatus, OutboundDelivery, OutboundLedger};
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
    if !finalizer::is_set(delivery) {
        echo(context, delivery).await?;
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

/// Answers a request that came after all was delivered: there is nothing left to do.
async fn echo(context: &Context, delivery: &OutboundDelivery) -> Result<(), ReconcileError> {
    let request = request_of(&delivery.metadata);
    if let Some(status) = delivery
        .status
        .as_ref()
        .filter(|status| status.last_handled_request != request)
    {
        let echoed = DeliveryStatus {
            last_handled_request: request,
            ..status.clone()
        };
        let api: Api<OutboundDelivery> = Api::namespaced(
            context.client.clone(),
            &delivery.namespace().unwrap_or_default(),
        );
        status::write(&api, delivery, &echoed)
            .await
            .map_err(ReconcileError::from_status)?;
    }
    Ok(())
}
