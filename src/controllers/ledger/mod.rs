//! The ledger of a delivery, kept in `OutboundLedger` objects: sharded, owned by the delivery.

mod convert;
mod forgotten;
mod shards;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Resource as _, ResourceExt as _};

use super::finalizers::{self, Wanted};
use super::status::{is_conflict, is_not_found};
use crate::api::{FINALIZER, LedgerHeader, OutboundDelivery, OutboundLedger, OutboundLedgerSpec};
use crate::plan::Plan;
use crate::transfer::{Ledger, LedgerError, ObjectState, Slot};

pub(crate) use forgotten::release_forgotten;

/// How often a write that the apiserver didn't take is tried, with a pause that doubles from 200 ms.
const TRIES: u32 = 5;

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

struct Shard {
    name: String,
    content: Mutex<Content>,
    /// Held while the shard is written; what others recorded meanwhile goes with the next write.
    written: tokio::sync::Mutex<Written>,
}

struct Content {
    object: OutboundLedger,
    version: u64,
}

struct Written {
    resource_version: Option<String>,
    version: u64,
}

/// The shards of one delivery's ledger.
pub(crate) struct KubeLedger {
    api: Api<OutboundLedger>,
    shards: Vec<Shard>,
    places: BTreeMap<Slot, Place>,
}

#[derive(Clone, Copy)]
struct Place {
    shard: usize,
    index: usize,
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

impl KubeLedger {
    fn new(api: Api<OutboundLedger>, objects: Vec<OutboundLedger>) -> Self {
        let mut places = BTreeMap::from([(Slot::Receipt, Place { shard: 0, index: 0 })]);
        for (shard, object) in objects.iter().enumerate() {
            for (index, entry) in object.spec.objects.iter().enumerate() {
                places.insert(Slot::Object(entry.sequence), Place { shard, index });
            }
        }
        let shards = objects.into_iter().map(|object| Shard {
            name: object.name_any(),
            written: tokio::sync::Mutex::new(Written {
                resource_version: object.resource_version(),
                version: 0,
            }),
            content: Mutex::new(Content { object, version: 0 }),
        });
        Self {
            api,
            shards: shards.collect(),
            places,
        }
    }

    /// From its next write on, and so before an upload is used that it records, each shard outlives a deletion until it
    /// is released. To be called once the delivery has its finalizer, and no sooner.
    pub(crate) fn protect(&self) {
        for shard in &self.shards {
            let mut content = shard.content.lock().unwrap_or_else(PoisonError::into_inner);
            let finalizers = content.object.finalizers_mut();
            if !finalizers.iter().any(|entry| entry == FINALIZER) {
                finalizers.push(FINALIZER.to_owned());
            }
        }
    }

    /// From the header's next write on, the ledger says that this version of the encoder makes its objects.
    pub(crate) fn encoded_by(&self, version: u32) {
        for shard in &self.shards {
            let mut content = shard.content.lock().unwrap_or_else(PoisonError::into_inner);
            let header = content.object.spec.header.iter_mut();
            header.for_each(|header| header.encoder = version);
        }
    }

    /// Every slot's state as it was last recorded.
    ///
    /// # Errors
    /// When an entry isn't what its state needs.
    pub(crate) fn states(&self) -> Result<BTreeMap<Slot, ObjectState>, LedgerUnusable> {
        self.places
            .iter()
            .map(|(slot, place)| {
                let shard = &self.shards[place.shard];
                let mut content = shard.content.lock().unwrap_or_else(PoisonError::into_inner);
                let state = convert::entry(&mut content.object.spec, *slot, place.index)
                    .ok_or_else(|| "it has no header".to_owned())
                    .and_then(|entry| convert::state(entry));
                state
                    .map(|state| (*slot, state))
                    .map_err(|why| LedgerUnusable::Corrupt {
                        name: shard.name.clone(),
                        why,
                    })
            })
            .collect()
    }

    async fn write(&self, slot: Slot, state: &ObjectState) -> Result<(), LedgerError> {
        let place = self
            .places
            .get(&slot)
            .ok_or_else(|| LedgerError(format!("there is no {slot:?}")))?;
        let shard = &self.shards[place.shard];
        let wanted = shard.change(slot, place.index, state)?;
        let mut written = shard.written.lock().await;
        if written.version >= wanted {
            return Ok(());
        }
        let (object, version) = shard.snapshot(written.resource_version.clone());
        let answer = self.replace(&shard.name, &object).await?;
        *written = Written {
            resource_version: answer,
            version,
        };
        Ok(())
    }

    /// Writes a shard. A conflict that isn't our own lost answer means that somebody else works on this
    /// delivery: we lost, and must stop.
    async fn replace(
        &self,
        name: &str,
        object: &OutboundLedger,
    ) -> Result<Option<String>, LedgerError> {
        let mut pause = Duration::from_millis(200);
        let mut last = String::new();
        for _ in 0..TRIES {
            match self.api.replace(name, &PostParams::default(), object).await {
                Ok(answer) => return Ok(answer.resource_version()),
                Err(error) if is_conflict(&error) => match self.api.get_opt(name).await {
                    Ok(Some(found)) if found.spec == object.spec => {
                        return Ok(found.resource_version());
                    }
                    Ok(_) => {
                        return Err(LedgerError(format!("{name} was written by somebody else")));
                    }
                    Err(error) => last = error.to_string(),
                },
                Err(error) if is_not_found(&error) => {
                    return Err(LedgerError(format!("{name} is gone")));
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(LedgerError(format!(
            "{name} could not be written in {TRIES} tries: {last}"
        )))
    }
}

impl Shard {
    /// Changes an entry, and returns the version of the content that holds the change.
    fn change(&self, slot: Slot, index: usize, state: &ObjectState) -> Result<u64, LedgerError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = convert::entry(&mut content.object.spec, slot, index)
            .ok_or_else(|| LedgerError(format!("{} has no place for {slot:?}", self.name)))?;
        convert::write(entry, state);
        content.version += 1;
        Ok(content.version)
    }

    fn snapshot(&self, resource_version: Option<String>) -> (OutboundLedger, u64) {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut object = content.object.clone();
        object.metadata.resource_version = resource_version;
        object.metadata.managed_fields = None;
        (object, content.version)
    }
}

impl Ledger for KubeLedger {
    fn record(&self, slot: Slot, state: ObjectState) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move { self.write(slot, &state).await })
    }
}
