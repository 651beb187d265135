//! A ledger for tests, which can die.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;

use super::ledger::{Ledger, LedgerError, ObjectState, Slot};

/// Whether the record that fails was written all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    Before,
    After,
}

type OnRecord = Box<dyn Fn(Slot, &ObjectState) + Send + Sync>;

/// A ledger in memory that can die at its n-th record. What is only noted is lost then.
#[derive(Default)]
pub(super) struct MemoryLedger {
    pub(super) noted: Mutex<BTreeMap<Slot, ObjectState>>,
    pub(super) states: Mutex<BTreeMap<Slot, ObjectState>>,
    pub(super) records: AtomicUsize,
    pub(super) dies: Option<(usize, Crash)>,
    pub(super) on_record: Option<OnRecord>,
}

impl MemoryLedger {
    pub(super) fn states(&self) -> BTreeMap<Slot, ObjectState> {
        self.states.lock().unwrap().clone()
    }
}

impl Ledger for MemoryLedger {
    fn record(&self, slot: Slot, state: ObjectState) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let number = self.records.fetch_add(1, Ordering::SeqCst);
            if let Some(on_record) = &self.on_record {
                on_record(slot, &state);
            }
            match self.dies {
                Some((at, _)) if number > at => return Err(LedgerError("dead".to_owned())),
                Some((at, Crash::Before)) if number == at => {
                    return Err(LedgerError("died before".to_owned()));
                }
                _ => {}
            }
            self.states.lock().unwrap().insert(slot, state);
            match self.dies {
                Some((at, _)) if number == at => Err(LedgerError("died after".to_owned())),
                _ => Ok(()),
            }
        })
    }

    fn note(&self, slot: Slot, state: ObjectState) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.noted.lock().unwrap().insert(slot, state);
        Box::pin(std::future::ready(Ok(())))
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let noted = std::mem::take(&mut *self.noted.lock().unwrap());
            for (slot, state) in noted {
                self.record(slot, state).await?;
            }
            Ok(())
        })
    }
}
