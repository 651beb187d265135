//! How far a delivery is, for whoever watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

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
    /// Bytes in all objects.
    pub bytes_total: u64,
    /// Bytes that the store confirmed. Goes back where an object must start again.
    pub bytes_done: u64,
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
}

/// The share of one object, which may have to be taken back.
#[derive(Debug)]
pub(super) struct ObjectMeter {
    /// `None` for the receipt.
    meter: Option<Meter>,
    confirmed: AtomicU64,
}

impl ObjectMeter {
    pub(super) fn new(meter: Option<Meter>) -> Self {
        Self {
            meter,
            confirmed: AtomicU64::new(0),
        }
    }

    pub(super) fn confirmed(&self, bytes: u64) {
        self.confirmed.fetch_add(bytes, Ordering::Relaxed);
        self.update(|progress| progress.bytes_done += bytes);
    }

    /// Nothing of the object counts any more.
    pub(super) fn restart(&self) {
        let bytes = self.confirmed.swap(0, Ordering::Relaxed);
        self.update(|progress| progress.bytes_done -= bytes);
    }

    /// All `bytes` of it count, and the object itself.
    pub(super) fn landed(&self, bytes: u64) {
        let before = self.confirmed.swap(bytes, Ordering::Relaxed);
        self.update(|progress| {
            progress.bytes_done = progress.bytes_done + bytes - before;
            progress.objects_done += 1;
        });
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(meter) = &self.meter {
            meter.update(change);
        }
    }
}
