//! The buckets that destinations stand for, with the credentials that were last proved.
//!
//! A running delivery holds a receiver and so takes renewed credentials over at its next request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::store::{Bucket, Capabilities};

/// The buckets by their destinations' uids.
#[derive(Default)]
pub(crate) struct Buckets {
    entries: Mutex<HashMap<String, watch::Sender<Bucket>>>,
}

impl Buckets {
    /// Makes `bucket` the one that stands for the destination.
    pub(crate) fn publish(&self, uid: &str, bucket: Bucket) -> watch::Receiver<Bucket> {
        let mut entries = self.entries();
        if let Some(sender) = entries.get(uid) {
            // Other places are other uploads: whoever runs there keeps what it has.
            if sender.borrow().target() == bucket.target() {
                sender.send_replace(bucket);
                return sender.subscribe();
            }
        }
        let (sender, receiver) = watch::channel(bucket);
        entries.insert(uid.to_owned(), sender);
        receiver
    }

    /// More is known of the destination's store: whoever runs there takes it over at its next request.
    pub(crate) fn learned(&self, uid: &str, capabilities: Capabilities) {
        if let Some(sender) = self.entries().get(uid) {
            sender.send_modify(|bucket| *bucket = bucket.with_capabilities(capabilities));
        }
    }

    /// The bucket that stands for the destination, where one was published.
    pub(crate) fn subscribe(&self, uid: &str) -> Option<watch::Receiver<Bucket>> {
        self.entries().get(uid).map(watch::Sender::subscribe)
    }

    /// Keeps only the destinations that `is_known` knows.
    pub(crate) fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.entries().retain(|uid, _| is_known(uid));
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Bucket>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
