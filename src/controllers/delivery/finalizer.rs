//! The delivery's finalizer: there only while an upload may be open.
//!
//! Its ledger's shards have it too, from their first upload on, so that no deletion (of a namespace, or in the
//! foreground) takes what we know before the uploads are aborted. They get it later and lose it earlier than the
//! delivery: none is ever left with a finalizer that nobody looks after.

use kube::{Api, ResourceExt as _};

use crate::api::{FINALIZER, OutboundDelivery, OutboundLedger};
use crate::controllers::context::Context;
use crate::controllers::finalizers::{self, Wanted};
use crate::controllers::ledger;

/// Whether the delivery has it.
pub(super) fn is_set(delivery: &OutboundDelivery) -> bool {
    delivery
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == FINALIZER)
}

/// Why the finalizer isn't there.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAdded {
    /// The delivery is being deleted, or is gone.
    #[error("the delivery is being deleted")]
    Deleted,
    /// The apiserver refused, or could not be reached.
    #[error(transparent)]
    Kubernetes(#[from] kube::Error),
}

/// Adds it, so that no deletion passes while an upload may be open.
///
/// # Errors
/// When the delivery is being deleted, or the apiserver can't be reached.
pub(super) async fn add(context: &Context, delivery: &OutboundDelivery) -> Result<(), NotAdded> {
    if set(context, delivery, Wanted::Present).await? {
        Ok(())
    } else {
        Err(NotAdded::Deleted)
    }
}

/// Removes it from the ledger and then from the delivery; one that is gone has none.
///
/// # Errors
/// When the apiserver refuses or can't be reached.
pub(super) async fn remove(
    context: &Context,
    delivery: &OutboundDelivery,
) -> Result<(), kube::Error> {
    let namespace = delivery.namespace().unwrap_or_default();
    let ledgers: Api<OutboundLedger> = Api::namespaced(context.client.clone(), &namespace);
    ledger::release(&ledgers, delivery).await?;
    set(context, delivery, Wanted::Absent).await.map(drop)
}

async fn set(
    context: &Context,
    delivery: &OutboundDelivery,
    wanted: Wanted,
) -> Result<bool, kube::Error> {
    let namespace = delivery.namespace().unwrap_or_default();
    let api: Api<OutboundDelivery> = Api::namespaced(context.client.clone(), &namespace);
    let uid = delivery.uid();
    finalizers::set(&api, &delivery.name_any(), uid.as_deref(), wanted).await
}
