//! Shards that nobody looks after: somebody took a delivery's finalizer away by hand, or the delivery itself.

use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::{Client, ResourceExt as _};

use super::super::finalizers::{self, Wanted};
use crate::api::{FINALIZER, OutboundDelivery, OutboundLedger};

/// Shards in one page of a list, of their metadata alone.
const AT_ONCE: u32 = 500;

/// Lets those shards of the namespace (none: of all) go that are being deleted while their delivery is gone: they
/// would hold up a namespace for ever.
///
/// # Errors
/// When the apiserver refuses or can't be reached.
pub(crate) async fn release_forgotten(
    client: &Client,
    namespace: Option<&str>,
) -> Result<(), kube::Error> {
    let shards: Api<OutboundLedger> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut page = ListParams::default().limit(AT_ONCE);
    loop {
        let list = shards.list_metadata(&page).await?;
        for shard in list.items.iter().filter(|shard| waits(shard)) {
            release(client, shard).await?;
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn waits(shard: &PartialObjectMeta<OutboundLedger>) -> bool {
    let ours = |finalizer: &String| finalizer == FINALIZER;
    shard.metadata.deletion_timestamp.is_some() && shard.finalizers().iter().any(ours)
}

async fn release(
    client: &Client,
    shard: &PartialObjectMeta<OutboundLedger>,
) -> Result<(), kube::Error> {
    let namespace = shard.namespace().unwrap_or_default();
    let deliveries: Api<OutboundDelivery> = Api::namespaced(client.clone(), &namespace);
    for owner in shard.owner_references() {
        let found = deliveries.get_metadata_opt(&owner.name).await?;
        if found.and_then(|found| found.uid()) == Some(owner.uid.clone()) {
            // Its delivery's own clean-up releases it.
            return Ok(());
        }
    }
    let name = shard.name_any();
    tracing::warn!(
        namespace,
        name,
        "a ledger without its delivery: what it knows to be open stays"
    );
    let shards: Api<OutboundLedger> = Api::namespaced(client.clone(), &namespace);
    finalizers::set(&shards, &name, None, Wanted::Absent).await?;
    Ok(())
}
