//! How far a delivery is, for whoever watches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::tally::Tally;
use crate::plan::ObjectKey;

/// Notices that are kept for whoever looks late.
const MAX_NOTICES: usize = 16;

/// Something that happened once and that people should be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An object starts again from its beginning.
    Restarted {
        /// The object.
        key: ObjectKey,
        /// What came back.
        why: String,
    },
    /// The store doesn't tell which parts it has, so an object in flight starts again.
    PartsNotListed {
        /// The object.
        key: ObjectKey,
        /// What came back.
        why: String,
    },
    /// An upload had to stay open, and no ledger knows it.
    UploadLeft {
        /// The object.
        key: ObjectKey,
        /// The upload and what came back.
        why: String,
    },
}

/// The last notices, numbered from 1 on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notices {
    given: u64,
    last: VecDeque<Notice>,
}

impl Notices {
    /// How many were given so far.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Those that were given after the first `seen`, as far as they are kept: the last sixteen.
    pub fn since(&self, seen: u64) -> impl Iterator<Item = &Notice> {
        let fresh = usize::try_from(self.given.saturating_sub(seen)).unwrap_or(usize::MAX);
        self.last.iter().skip(self.last.len().saturating_sub(fresh))
    }

    fn push(&mut self, notice: Notice) {
        self.given += 1;
        self.last.push_back(notice);
        if self.last.len() > MAX_NOTICES {
            self.last.pop_front();
        }
    }
}

/// What the engine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferPhase {
    /// Objects are on their way.
    #[default]
    Uploading,
    /// All objects are there; the sources are looked at once more, and the receipt is written.
    Finalizing,
    /// The receipt is there.
    Complete,
}

/// How far a delivery is. The receipt isn't counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes in all objects, before compression.
    pub bytes_total: u64,
    /// Those of them that the store confirmed. Goes back where an object must start again.
    pub bytes_done: u64,
    /// Parts of all objects, as far as their sizes tell.
    pub parts_total: u64,
    /// Parts that the store confirmed. Goes back where an object must start again.
    pub parts_done: u64,
    /// Objects in the plan.
    pub objects_total: u32,
    /// Objects that are there and verified.
    pub objects_done: u32,
    /// Files of the source.
    pub files_total: u32,
    /// Failures in a row, without a newly confirmed part between them.
    pub attempts: u32,
    /// The last failure, until a part is confirmed after it.
    pub last_error: Option<String>,
    /// What the engine is doing.
    pub phase: TransferPhase,
    /// What people should be told.
    pub notices: Notices,
    /// Why the store doesn't list parts, once it refused to.
    pub parts_not_listed: Option<String>,
    /// What this run did so far.
    pub tally: Tally,
}

/// Where progress goes. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<watch::Sender<Progress>>);

impl Meter {
    pub(super) fn new(sender: watch::Sender<Progress>) -> Self {
        Self(Arc::new(sender))
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.0.send_modify(change);
    }

    pub(super) fn notice(&self, notice: Notice) {
        self.update(|progress| {
            if let Notice::PartsNotListed { why, .. } = &notice {
                progress.parts_not_listed = Some(why.clone());
            }
            progress.notices.push(notice);
        });
    }
}

/// The share of one object, which may have to be taken back.
#[derive(Debug)]
pub(super) struct ObjectMeter {
    /// `None` for the receipt.
    meter: Option<Meter>,
    confirmed: AtomicU64,
    parts: AtomicU64,
}

impl ObjectMeter {
    pub(super) fn new(meter: Option<Meter>) -> Self {
        Self {
            meter,
            confirmed: AtomicU64::new(0),
            parts: AtomicU64::new(0),
        }
    }

    /// The store has a part of it, of `bytes` bytes, from before.
    pub(super) fn held(&self, bytes: u64) {
        self.confirmed.fetch_add(bytes, Ordering::Relaxed);
        self.parts.fetch_add(1, Ordering::Relaxed);
        self.update(|progress| {
            progress.bytes_done += bytes;
            progress.parts_done += 1;
        });
    }

    /// A part of it, of `bytes` bytes, was sent in one request as `sent` bytes, and confirmed.
    pub(super) fn sent(&self, bytes: u64, sent: u64) {
        self.held(bytes);
        self.update(|progress| progress.tally.sent(sent));
    }

    /// Nothing of the object counts any more.
    pub(super) fn restart(&self) {
        let bytes = self.confirmed.swap(0, Ordering::Relaxed);
        let parts = self.parts.swap(0, Ordering::Relaxed);
        self.update(|progress| {
            progress.bytes_done -= bytes;
            progress.parts_done -= parts;
        });
    }

    /// All `bytes` and `parts` of it count, and the object itself: this run saw it land.
    pub(super) fn landed(&self, bytes: u64, parts: u64) {
        self.was_there(bytes, parts);
        self.update(|progress| progress.tally.objects += 1);
    }

    /// The same for one that an earlier run saw land.
    pub(super) fn was_there(&self, bytes: u64, parts: u64) {
        let before = self.confirmed.swap(bytes, Ordering::Relaxed);
        let parts_before = self.parts.swap(parts, Ordering::Relaxed);
        self.update(|progress| {
            progress.bytes_done = progress.bytes_done + bytes - before;
            progress.parts_done = progress.parts_done + parts - parts_before;
            progress.objects_done += 1;
        });
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(meter) = &self.meter {
            meter.update(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::KeyPrefix;

    #[test]
    fn the_last_notices_are_kept_and_each_is_told_once() {
        let key = ObjectKey::new(&KeyPrefix::default(), "a").unwrap();
        let mut notices = Notices::default();
        for number in 1..=20 {
            notices.push(Notice::Restarted {
                key: key.clone(),
                why: number.to_string(),
            });
        }
        let since = |seen| {
            let whys = notices.since(seen).map(|notice| match notice {
                Notice::Restarted { why, .. } => why.parse::<u64>().unwrap(),
                other => panic!("{other:?}"),
            });
            whys.collect::<Vec<_>>()
        };
        assert_eq!(notices.given(), 20);
        assert_eq!(since(18), [19, 20]);
        assert_eq!(since(20), [0; 0]);
        assert_eq!(since(0).len(), MAX_NOTICES);
    }
}
