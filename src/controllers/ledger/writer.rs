//! What a delivery's ledger says while it is delivered: changed in memory, written a shard at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};

use super::super::status::{is_conflict, is_not_found};
use super::{LedgerUnusable, convert};
use crate::api::{FINALIZER, OutboundLedger};
use crate::transfer::{Ledger, LedgerError, ObjectState, Slot};

/// How often a write that the apiserver didn't take is tried, with a pause that doubles from 200 ms.
const TRIES: u32 = 5;

/// How long what is only noted may wait for a write: one holds up to half a megabyte, so a thousand small objects
/// would wait for little else.
const NOTED: Duration = Duration::from_secs(1);

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
    at: Instant,
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

impl KubeLedger {
    pub(super) fn new(api: Api<OutboundLedger>, objects: Vec<OutboundLedger>) -> Self {
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
                at: Instant::now(),
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

    /// Changes the slot's entry, and returns its shard and the version of it that holds the change.
    fn change(&self, slot: Slot, state: &ObjectState) -> Result<(&Shard, u64), LedgerError> {
        let place = self
            .places
            .get(&slot)
            .ok_or_else(|| LedgerError(format!("there is no {slot:?}")))?;
        let shard = &self.shards[place.shard];
        Ok((shard, shard.change(slot, place.index, state)?))
    }

    /// Writes the shard, unless what was written last holds the version `wanted`.
    async fn write(&self, shard: &Shard, wanted: u64) -> Result<(), LedgerError> {
        let mut written = shard.written.lock().await;
        if written.version >= wanted {
            return Ok(());
        }
        let (object, version) = shard.snapshot(written.resource_version.clone());
        let answer = self.replace(&shard.name, &object).await?;
        *written = Written {
            resource_version: answer,
            version,
            at: Instant::now(),
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

    /// Whether what was noted has waited long enough, and nobody is writing.
    fn is_late(&self) -> bool {
        let written = self.written.try_lock();
        written.is_ok_and(|written| written.at.elapsed() >= NOTED)
    }

    fn version(&self) -> u64 {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.version
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
        Box::pin(async move {
            let (shard, version) = self.change(slot, &state)?;
            self.write(shard, version).await
        })
    }

    fn note(&self, slot: Slot, state: ObjectState) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let (shard, version) = self.change(slot, &state)?;
            if shard.is_late() {
                self.write(shard, version).await?;
            }
            Ok(())
        })
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            for shard in &self.shards {
                self.write(shard, shard.version()).await?;
            }
            Ok(())
        })
    }
}
