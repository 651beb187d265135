//! The ledger of a delivery, kept in `OutboundLedger` objects: sharded, owned by the delivery.

mod convert;
mod forgotten;
mod shards;
mod writer;

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Resource as _, ResourceExt as _};

use super::finalizers::{self, Wanted};
use super::status::{is_conflict, is_not_found};
use crate::api::{LedgerHeader, OutboundDelivery, OutboundLedger, OutboundLedgerSpec};
use crate::plan::Plan;

pub(crate) use forgotten::release_forgotten;
pub(crate) use writer::KubeLedger;

/// Ledgers in one page of a list: of up to 512 KiB each.
const LEDGERS_AT_ONCE: u32 = 20;

/// The ledger can't be read as what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerUnusable {
    /// The apiserver refused or didn't answer.
    #[error("the ledger can't be reached: {0}")]
    Kubernetes(#[from] kube::Error),
    /// Something else wrote into it, or it is of another version.
    #[error("the ledger {name} can't be used: {why}")]
    Corrupt {
        /// The shard.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// A ledger as it was read or created.
pub(crate) struct Opened {
    pub(crate) plan: Plan,
    pub(crate) header: LedgerHeader,
    pub(crate) ledger: KubeLedger,
}

/// The shards' names: of one uid, so that a re-created delivery never reads its predecessor's.
fn shard_name(delivery: &OutboundDelivery, shard: u32) -> String {
    format!(
        "{}.{}.{shard}",
        delivery.name_any(),
        delivery.uid().unwrap_or_default()
    )
}

/// Reads the delivery's ledger; `None` when there is none, or one whose creation was interrupted.
///
/// # Errors
/// When the apiserver can't be reached, or a shard isn't what it should be.
pub(crate) async fn open(
    api: Api<OutboundLedger>,
    delivery: &OutboundDelivery,
) -> Result<Option<Opened>, LedgerUnusable> {
    let Some(first) = api.get_opt(&shard_name(delivery, 0)).await? else {
        return Ok(None);
    };
    let mut objects = vec![first];
    for number in 1..objects[0].spec.shards {
        let name = shard_name(delivery, number);
        let found = api.get_opt(&name).await?;
        let why = "it is gone".to_owned();
        objects.push(found.ok_or(LedgerUnusable::Corrupt { name, why })?);
    }
    let specs: Vec<&OutboundLedgerSpec> = objects.iter().map(|object| &object.spec).collect();
    let corrupt = |why| LedgerUnusable::Corrupt {
        name: shard_name(delivery, 0),
        why,
    };
    let uid = delivery.uid().unwrap_or_default();
    let (plan, header) = shards::join(&specs, &uid).map_err(corrupt)?;
    Ok(Some(Opened {
        plan,
        header,
        ledger: KubeLedger::new(api, objects),
    }))
}

/// Writes a fresh ledger for `plan`. Shard 0 goes last: a ledger without it is none.
///
/// # Errors
/// When the apiserver refuses or can't be reached.
pub(crate) async fn create(
    api: Api<OutboundLedger>,
    delivery: &OutboundDelivery,
    plan: Plan,
    header: LedgerHeader,
) -> Result<Opened, LedgerUnusable> {
    let uid = delivery.uid().unwrap_or_default();
    let specs = shards::cut(&plan, &header, &uid);
    let mut objects = Vec::with_capacity(specs.len());
    for spec in specs.into_iter().rev() {
        objects.push(put(&api, delivery, spec).await?);
    }
    objects.reverse();
    Ok(Opened {
        plan,
        header,
        ledger: KubeLedger::new(api, objects),
    })
}

async fn put(
    api: &Api<OutboundLedger>,
    delivery: &OutboundDelivery,
    spec: OutboundLedgerSpec,
) -> Result<OutboundLedger, kube::Error> {
    let name = shard_name(delivery, spec.shard);
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        namespace: delivery.namespace(),
        owner_references: delivery.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let mut object = OutboundLedger { metadata, spec };
    match api.create(&PostParams::default(), &object).await {
        // Left by a creation that was interrupted, or by one whose answer was lost.
        Err(error) if is_conflict(&error) => {
            object.metadata.resource_version = api.get_metadata(&name).await?.resource_version();
            api.replace(&name, &PostParams::default(), &object).await
        }
        answer => answer,
    }
}

/// Deletes the delivery's ledger: shard 0 first, so that what is left of an interrupted deletion is none.
///
/// # Errors
/// When the apiserver refuses or can't be reached.
pub(crate) async fn delete(
    api: &Api<OutboundLedger>,
    delivery: &OutboundDelivery,
) -> Result<(), kube::Error> {
    let Some(first) = api.get_opt(&shard_name(delivery, 0)).await? else {
        return Ok(());
    };
    release_all(api, delivery, first.spec.shards).await?;
    for shard in 0..first.spec.shards {
        match api
            .delete(&shard_name(delivery, shard), &DeleteParams::default())
            .await
        {
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Lets the delivery's ledger be deleted: nothing that it knows is needed any more.
///
/// # Errors
/// When the apiserver refuses or can't be reached.
pub(crate) async fn release(
    api: &Api<OutboundLedger>,
    delivery: &OutboundDelivery,
) -> Result<(), kube::Error> {
    match api.get_opt(&shard_name(delivery, 0)).await? {
        Some(first) => release_all(api, delivery, first.spec.shards).await,
        None => Ok(()),
    }
}

/// Shard 0 goes last: as long as it is there, what was interrupted is found again.
async fn release_all(
    api: &Api<OutboundLedger>,
    delivery: &OutboundDelivery,
    shards: u32,
) -> Result<(), kube::Error> {
    for shard in (0..shards).rev() {
        finalizers::set(api, &shard_name(delivery, shard), None, Wanted::Absent).await?;
    }
    Ok(())
}

/// The upload ids that any ledger of these namespaces (none: of all) knows.
///
/// # Errors
/// When the apiserver refuses or can't be reached.
pub(crate) async fn uploads(
    client: &Client,
    namespaces: &[String],
) -> Result<HashSet<String>, kube::Error> {
    let apis: Vec<Api<OutboundLedger>> = if namespaces.is_empty() {
        vec![Api::all(client.clone())]
    } else {
        let of = |namespace: &String| Api::namespaced(client.clone(), namespace);
        namespaces.iter().map(of).collect()
    };
    let mut found = HashSet::new();
    for api in apis {
        let mut page = ListParams::default().limit(LEDGERS_AT_ONCE);
        loop {
            let list = api.list(&page).await?;
            for ledger in list.items {
                let receipt = ledger.spec.header.map(|header| header.receipt);
                let entries = ledger.spec.objects.into_iter().chain(receipt);
                found.extend(entries.filter_map(|entry| entry.upload));
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(found)
}
