//! The ledgers of deliveries at work, by their deliveries' uids.
//!
//! A namespace that is going may lose the ledger before its delivery: what is open is known here then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Api, ResourceExt as _};

use crate::api::{LedgerHeader, OutboundDelivery, OutboundLedger};
use crate::controllers::context::Context;
use crate::controllers::ledger::{self, KubeLedger, LedgerUnusable, Opened};
use crate::plan::Plan;

/// A ledger and what stands in it.
#[derive(Clone)]
pub(crate) struct Known {
    pub(super) plan: Arc<Plan>,
    pub(super) header: Arc<LedgerHeader>,
    pub(super) ledger: Arc<KubeLedger>,
}

impl From<Opened> for Known {
    fn from(opened: Opened) -> Self {
        Self {
            plan: Arc::new(opened.plan),
            header: Arc::new(opened.header),
            ledger: Arc::new(opened.ledger),
        }
    }
}

/// The ledgers that runs of this process opened.
#[derive(Default)]
pub(crate) struct KnownLedgers(Mutex<HashMap<String, Known>>);

impl KnownLedgers {
    pub(super) fn keep(&self, uid: &str, known: Known) {
        self.entries().insert(uid.to_owned(), known);
    }

    pub(super) fn forget(&self, uid: &str) {
        self.entries().remove(uid);
    }

    /// Keeps only those of deliveries that `is_known` knows.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.entries().retain(|uid, _| is_known(uid));
    }

    fn get(&self, uid: &str) -> Option<Known> {
        self.entries().get(uid).cloned()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The delivery's ledger: the cluster's, else what a run of this process knows of one that is gone.
///
/// # Errors
/// When it can't be read.
pub(super) async fn find(
    context: &Context,
    delivery: &OutboundDelivery,
) -> Result<Option<Known>, LedgerUnusable> {
    let namespace = delivery.namespace().unwrap_or_default();
    let ledgers: Api<OutboundLedger> = Api::namespaced(context.client.clone(), &namespace);
    let remembered = || context.ledgers.get(&delivery.uid().unwrap_or_default());
    match ledger::open(ledgers, delivery).await {
        Ok(Some(opened)) => Ok(Some(opened.into())),
        Ok(None) => Ok(remembered()),
        Err(error) => remembered().map(Some).ok_or(error),
    }
}
