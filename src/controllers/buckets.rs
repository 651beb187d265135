//! The buckets that destinations with deliveries under way stand for, with the credentials that were last proved.
//!
//! A running delivery holds a receiver and so takes renewed credentials over at its next request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::store::{Bucket, Capabilities};

/// The buckets by their destinations' uids.
#[derive(Default)]
pub(crate) struct Buckets {
    entries: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    namespace: String,
    bucket: watch::Sender<Bucket>,
}

impl Buckets {
    /// Makes `bucket` the one that stands for the destination.
    pub(crate) fn publish(
        &self,
        namespace: &str,
        uid: &str,
        bucket: Bucket,
    ) -> watch::Receiver<Bucket> {
        let mut entries = self.entries();
        if let Some(entry) = entries.get(uid) {
            // Other places are other uploads: whoever runs there keeps what it has.
            if entry.bucket.borrow().target() == bucket.target() {
                entry.bucket.send_replace(bucket);
                return entry.bucket.subscribe();
            }
        }
        let (sender, receiver) = watch::channel(bucket);
        let entry = Entry {
            namespace: namespace.to_owned(),
            bucket: sender,
        };
        entries.insert(uid.to_owned(), entry);
        receiver
    }

    /// More is known of the destination's store: whoever runs there takes it over at its next request.
    pub(crate) fn learned(&self, uid: &str, capabilities: Capabilities) {
        if let Some(entry) = self.entries().get(uid) {
            entry
                .bucket
                .send_modify(|bucket| *bucket = bucket.with_capabilities(capabilities));
        }
    }

    /// The bucket that stands for the destination of that namespace, where one was published. The uid alone isn't
    /// enough: a ledger names one too, and who can forge a ledger must not get at another namespace's credentials.
    pub(crate) fn subscribe(&self, namespace: &str, uid: &str) -> Option<watch::Receiver<Bucket>> {
        let entries = self.entries();
        let entry = entries
            .get(uid)
            .filter(|entry| entry.namespace == namespace)?;
        Some(entry.bucket.subscribe())
    }

    /// Forgets that destination's.
    pub(crate) fn forget(&self, uid: &str) {
        self.entries().remove(uid);
    }

    /// Keeps only the destinations that `is_known` knows.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.entries().retain(|uid, _| is_known(uid));
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
