//! The finalizer: there only while an upload may be open.

use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde_json::json;

use crate::api::{FINALIZER, OutboundDelivery};
use crate::controllers::status::{is_conflict, is_not_found};

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
pub(super) async fn add(
    api: &Api<OutboundDelivery>,
    delivery: &OutboundDelivery,
) -> Result<(), NotAdded> {
    let changed = change(api, delivery, |finalizers| {
        finalizers.push(FINALIZER.to_owned())
    })
    .await?;
    if changed {
        Ok(())
    } else {
        Err(NotAdded::Deleted)
    }
}

/// Removes it; a delivery that is gone has none.
///
/// # Errors
/// When the apiserver refuses or can't be reached.
pub(super) async fn remove(
    api: &Api<OutboundDelivery>,
    delivery: &OutboundDelivery,
) -> Result<(), kube::Error> {
    change(api, delivery, |_| {}).await.map(drop)
}

/// Replaces our entry, on the object as it is now; `false` when that is gone, another, or (with an entry to add)
/// being deleted.
async fn change(
    api: &Api<OutboundDelivery>,
    delivery: &OutboundDelivery,
    entry: impl Fn(&mut Vec<String>),
) -> Result<bool, kube::Error> {
    loop {
        let Some(now) = api.get_metadata_opt(&delivery.name_any()).await? else {
            return Ok(false);
        };
        if now.uid() != delivery.uid() {
            return Ok(false);
        }
        let others = now
            .finalizers()
            .iter()
            .filter(|finalizer| *finalizer != FINALIZER);
        let mut wanted: Vec<String> = others.cloned().collect();
        let kept = wanted.len();
        entry(&mut wanted);
        if wanted.len() > kept && now.meta().deletion_timestamp.is_some() {
            return Ok(false);
        }
        if wanted == now.finalizers() {
            return Ok(true);
        }
        // The version makes this a compare-and-swap: others' finalizers are never lost.
        let patch =
            json!({"metadata": {"resourceVersion": now.resource_version(), "finalizers": wanted}});
        match api
            .patch_metadata(
                &delivery.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await
        {
            Ok(_) => return Ok(true),
            Err(error) if is_not_found(&error) => return Ok(false),
            Err(error) if is_conflict(&error) => {}
            Err(error) => return Err(error),
        }
    }
}
