//! What the operator counts, under which names, and the text that Prometheus reads.
//!
//! Few metrics, named after the domain. A label's value is one of our own words by its type (`&'static str`), so that
//! nothing that a tenant wrote becomes a label, and the number of series is bounded. `docs/metrics.md` lists them all.

mod families;
mod sample;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::api::{DeliveryReason, DestinationReason};
use crate::transfer::{RetryReason, Tally};
use families::Families;
pub use sample::Sample;

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is reconciled, or watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `OutboundDestination`
    Destination,
    /// `OutboundDelivery`
    Delivery,
    /// `Secret`, where the configuration has them watched.
    Secret,
}

impl Kind {
    /// The kind as manifests name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "OutboundDestination",
            Self::Delivery => "OutboundDelivery",
            Self::Secret => "Secret",
        }
    }
}

type Sampler = Box<dyn Fn(&mut Sample) + Send + Sync>;

/// The metrics of the process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    families: Families,
    samplers: Mutex<Vec<Sampler>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let families = Families::default();
        let mut registry = Registry::with_prefix("outbound");
        families.register(&mut registry);
        Self(Arc::new(Inner {
            registry,
            families,
            samplers: Mutex::default(),
        }))
    }
}

impl Metrics {
    /// From now on `sampler` is asked at each look for what is the case then.
    pub fn sample_by(&self, sampler: impl Fn(&mut Sample) + Send + Sync + 'static) {
        self.samplers().push(Box::new(sampler));
    }

    /// All metrics as OpenMetrics' text.
    ///
    /// # Errors
    /// Never in practice: writing to a `String` doesn't fail.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        // Held to the end, so that two looks at once don't mix.
        let samplers = self.samplers();
        let mut sample = Sample::default();
        samplers.iter().for_each(|sampler| sampler(&mut sample));
        self.0.families.show(&sample);
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// This process works: it holds the Lease, or needs none.
    pub fn leads(&self) {
        self.0.families.leader.set(1);
    }

    /// How many bytes the part buffers may hold.
    pub fn buffers_may_hold(&self, bytes: u64) {
        self.0
            .families
            .buffer_limit
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A reconcile of that kind begins, and ends with what is returned.
    #[must_use]
    pub fn reconcile_begins(&self, kind: Kind) -> InFlight {
        let labels = families::of_kind(kind);
        self.0.families.in_flight.get_or_create(&labels).inc();
        InFlight(self.clone(), kind)
    }

    /// A reconcile took that long.
    pub fn reconciled(&self, kind: Kind, took: Duration) {
        let labels = families::of_kind(kind);
        let durations = &self.0.families.reconcile_duration;
        durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The apiserver did not take what a reconcile of that kind wrote.
    pub fn reconcile_failed(&self, kind: Kind) {
        let labels = families::of_kind(kind);
        self.0
            .families
            .reconcile_errors
            .get_or_create(&labels)
            .inc();
    }

    /// The watch of that kind broke, or could not begin.
    pub fn watch_failed(&self, kind: Kind) {
        let labels = families::of_kind(kind);
        self.0.families.watch_failures.get_or_create(&labels).inc();
    }

    /// A proof of access ended.
    pub fn proved(&self, result: DestinationReason) {
        let labels = families::of_reason(result.as_str());
        self.0.families.proofs.get_or_create(&labels).inc();
    }

    /// A delivery came to its end.
    pub fn finished(&self, reason: DeliveryReason) {
        let labels = families::of_reason(reason.as_str());
        self.0.families.finished.get_or_create(&labels).inc();
    }

    /// What a run did since the last look at it.
    pub fn transferred(&self, tally: &Tally) {
        let families = &self.0.families;
        families.sent_bytes.inc_by(tally.bytes);
        families.sent_parts.inc_by(tally.parts);
        families.delivered_objects.inc_by(tally.objects);
        for reason in RetryReason::ALL {
            let labels = families::of_reason(reason.as_str());
            let retries = families.retries.get_or_create(&labels);
            retries.inc_by(tally.retries(reason));
        }
    }

    /// Uploads had to stay open in customers' buckets.
    pub fn uploads_left(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.families.uploads_left.inc_by(count);
    }

    fn samplers(&self) -> std::sync::MutexGuard<'_, Vec<Sampler>> {
        let samplers = self.0.samplers.lock();
        samplers.unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reconcile that is under way.
pub struct InFlight(Metrics, Kind);

impl Drop for InFlight {
    fn drop(&mut self) {
        let labels = families::of_kind(self.1);
        self.0.0.families.in_flight.get_or_create(&labels).dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Phase, Status};

    fn line(metrics: &Metrics, begins: &str) -> Option<String> {
        let text = metrics.render().unwrap();
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(begins)?.strip_prefix(' '));
        found.map(str::to_owned)
    }

    #[test]
    fn what_is_the_case_is_asked_at_each_look() {
        let metrics = Metrics::default();
        let series = "outbound_deliveries{phase=\"Pending\",reason=\"AccessLost\"}";
        assert_eq!(line(&metrics, series), None);
        let there = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_there = there.clone();
        metrics.sample_by(move |sample| {
            sample.verified_ago(Duration::from_secs(90));
            sample.destination(Status::True, Some(DestinationReason::Verified));
            if is_there.load(std::sync::atomic::Ordering::SeqCst) {
                sample.delivery(Some(Phase::Pending), Some(DeliveryReason::AccessLost));
            }
        });
        metrics.sample_by(|sample| sample.verified_ago(Duration::from_secs(30)));
        assert_eq!(line(&metrics, series).as_deref(), Some("1"));
        let age = "outbound_destination_oldest_verification_seconds";
        assert_eq!(line(&metrics, age).as_deref(), Some("90.0"));
        there.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(line(&metrics, series), None);
    }

    #[test]
    fn what_may_be_counted_is_there_before_it_is() {
        let metrics = Metrics::default();
        for series in [
            "outbound_leader",
            "outbound_uploads_left_total",
            "outbound_sent_bytes_total",
            "outbound_retries_total{reason=\"Throttled\"}",
            "outbound_deliveries_finished_total{reason=\"ChecksumMismatch\"}",
            "outbound_destination_verifications_total{reason=\"AccessDenied\"}",
            "outbound_reconcile_errors_total{kind=\"OutboundDelivery\"}",
        ] {
            assert_eq!(line(&metrics, series).as_deref(), Some("0"), "{series}");
        }
        metrics.proved(DestinationReason::AccessDenied);
        let series = "outbound_destination_verifications_total{reason=\"AccessDenied\"}";
        assert_eq!(line(&metrics, series).as_deref(), Some("1"));
        let begun = metrics.reconcile_begins(Kind::Delivery);
        let series = "outbound_reconciles_in_flight{kind=\"OutboundDelivery\"}";
        assert_eq!(line(&metrics, series).as_deref(), Some("1"));
        drop(begun);
        assert_eq!(line(&metrics, series).as_deref(), Some("0"));
    }
}
