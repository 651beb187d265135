//! The metrics by name. Those that count from nothing are there before the first count, so that an alert sees it.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::{Kind, Sample};
use crate::api::{DeliveryReason, DestinationReason};
use crate::transfer::RetryReason;

/// The labels of a series: names and values that are our own words.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Upper bounds in seconds. A reconcile is a few requests to the apiserver: milliseconds when all is well, and a
/// minute for each request that isn't answered.
const DURATIONS: [f64; 9] = [0.005, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

pub(super) fn of_kind(kind: Kind) -> Labels<1> {
    [("kind", kind.as_str())]
}

pub(super) fn of_reason(reason: &'static str) -> Labels<1> {
    [("reason", reason)]
}

pub(super) struct Families {
    pub(super) leader: Gauge,
    destinations: Family<Labels<2>, Gauge>,
    pub(super) proofs: Family<Labels<1>, Counter>,
    oldest_proof: Gauge<f64, AtomicU64>,
    deliveries: Family<Labels<2>, Gauge>,
    pub(super) finished: Family<Labels<1>, Counter>,
    runs: Gauge,
    pub(super) sent_bytes: Counter,
    pub(super) sent_parts: Counter,
    pub(super) delivered_objects: Counter,
    pub(super) retries: Family<Labels<1>, Counter>,
    pub(super) uploads_left: Counter,
    buffers: Gauge,
    pub(super) buffer_limit: Gauge,
    pub(super) reconcile_duration: Family<Labels<1>, Histogram>,
    pub(super) in_flight: Family<Labels<1>, Gauge>,
    pub(super) reconcile_errors: Family<Labels<1>, Counter>,
    pub(super) watch_failures: Family<Labels<1>, Counter>,
}

impl Default for Families {
    fn default() -> Self {
        let families = Self {
            leader: Gauge::default(),
            destinations: Family::default(),
            proofs: Family::default(),
            oldest_proof: Gauge::default(),
            deliveries: Family::default(),
            finished: Family::default(),
            runs: Gauge::default(),
            sent_bytes: Counter::default(),
            sent_parts: Counter::default(),
            delivered_objects: Counter::default(),
            retries: Family::default(),
            uploads_left: Counter::default(),
            buffers: Gauge::default(),
            buffer_limit: Gauge::default(),
            reconcile_duration: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            in_flight: Family::default(),
            reconcile_errors: Family::default(),
            watch_failures: Family::default(),
        };
        families.begin();
        families
    }
}

impl Families {
    /// Makes every series whose labels are known beforehand.
    fn begin(&self) {
        for reason in DestinationReason::ALL {
            drop(self.proofs.get_or_create(&of_reason(reason.as_str())));
        }
        for reason in DeliveryReason::ALL {
            drop(self.finished.get_or_create(&of_reason(reason.as_str())));
        }
        for reason in RetryReason::ALL {
            drop(self.retries.get_or_create(&of_reason(reason.as_str())));
        }
        for kind in [Kind::Destination, Kind::Delivery] {
            drop(self.reconcile_duration.get_or_create(&of_kind(kind)));
            drop(self.in_flight.get_or_create(&of_kind(kind)));
            drop(self.reconcile_errors.get_or_create(&of_kind(kind)));
            drop(self.watch_failures.get_or_create(&of_kind(kind)));
        }
    }

    /// Names them all. The registry adds `_total` to counters, the unit, and a full stop to the help.
    pub(super) fn register(&self, registry: &mut Registry) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The operator's version", Info::new(version));
        let help = "1 while this process works: it holds the Lease, or needs none";
        registry.register("leader", help, self.leader.clone());
        self.register_destinations(registry);
        self.register_deliveries(registry);
        self.register_reconciles(registry);
    }

    fn register_destinations(&self, registry: &mut Registry) {
        let help = "Destinations by the status and the reason of Ready";
        registry.register("destinations", help, self.destinations.clone());
        let help = "Proofs of access by their result";
        registry.register("destination_verifications", help, self.proofs.clone());
        let help = "Time since the last success of the destination whose last success lies longest back, \
                    suspended and never verified ones left out";
        let name = "destination_oldest_verification";
        registry.register_with_unit(name, help, Unit::Seconds, self.oldest_proof.clone());
    }

    fn register_deliveries(&self, registry: &mut Registry) {
        let help = "Deliveries by their phase and the reason of Ready";
        registry.register("deliveries", help, self.deliveries.clone());
        let help = "Deliveries that came to their end, by its reason";
        registry.register("deliveries_finished", help, self.finished.clone());
        registry.register("runs", "Deliveries that are at work now", self.runs.clone());
        let help = "Bytes of objects that were sent and confirmed, those that were sent again too";
        registry.register_with_unit("sent", help, Unit::Bytes, self.sent_bytes.clone());
        let help = "Parts, and objects in one piece, that were sent and confirmed";
        registry.register("sent_parts", help, self.sent_parts.clone());
        let help = "Objects that are in their bucket, verified; receipts are not counted";
        registry.register("delivered_objects", help, self.delivered_objects.clone());
        let help = "What was tried again, by why";
        registry.register("retries", help, self.retries.clone());
        let help =
            "Uploads that had to stay open in a bucket; where their number is not known, as one";
        registry.register("uploads_left", help, self.uploads_left.clone());
        let help = "Memory in part buffers, idle ones included";
        registry.register_with_unit("part_buffer", help, Unit::Bytes, self.buffers.clone());
        let (name, help) = ("part_buffer_limit", "What part buffers may hold at most");
        registry.register_with_unit(name, help, Unit::Bytes, self.buffer_limit.clone());
    }

    fn register_reconciles(&self, registry: &mut Registry) {
        let (name, help) = ("reconcile_duration", "How long reconciles took, by kind");
        registry.register_with_unit(name, help, Unit::Seconds, self.reconcile_duration.clone());
        let help = "Reconciles under way, by kind";
        registry.register("reconciles_in_flight", help, self.in_flight.clone());
        let help = "Reconciles that ended because the apiserver did not take a write, by kind";
        registry.register("reconcile_errors", help, self.reconcile_errors.clone());
        let help = "Watches that broke or could not begin, by kind";
        registry.register("watch_failures", help, self.watch_failures.clone());
    }

    /// Shows what is the case now in place of what was.
    pub(super) fn show(&self, sample: &Sample) {
        self.destinations.clear();
        for (&(ready, reason), count) in &sample.destinations {
            let labels = [("ready", ready), ("reason", reason)];
            self.destinations.get_or_create(&labels).set(*count);
        }
        self.deliveries.clear();
        for (&(phase, reason), count) in &sample.deliveries {
            let labels = [("phase", phase), ("reason", reason)];
            self.deliveries.get_or_create(&labels).set(*count);
        }
        self.oldest_proof.set(sample.oldest_proof.as_secs_f64());
        self.runs.set(sample.runs);
        self.buffers.set(sample.buffers);
    }
}
