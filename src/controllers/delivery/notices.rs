//! What a run did, passed on: counts to the metrics, the engine's notices as Events, each once.

use kube::runtime::events::EventType;

use super::run::Work;
use crate::api::EventReason;
use crate::controllers::events;
use crate::transfer::{Notice, Progress, Tally};

/// What of a run was passed on.
#[derive(Debug, Default)]
pub(super) struct Told {
    notices: u64,
    tally: Tally,
}

impl Told {
    /// Counts and publishes what wasn't yet.
    pub(super) async fn tell(&mut self, work: &Work, progress: &Progress) {
        let metrics = &work.context.observers.metrics;
        metrics.transferred(&progress.tally.since(&self.tally));
        self.tally = progress.tally;
        let fresh: Vec<&Notice> = progress.notices.since(self.notices).collect();
        // Of more than are kept the first are gone.
        self.notices = progress.notices.given() - fresh.len() as u64;
        for notice in fresh {
            let (reason, note) = event(notice);
            if matches!(notice, Notice::UploadLeft { .. }) {
                events::publish_somewhere(&work.context, &work.delivery, reason, &note).await;
                metrics.uploads_left(1);
            } else {
                let (recorder, warning) = (&work.context.recorder, EventType::Warning);
                events::publish(recorder, &work.delivery, warning, reason, &note).await;
            }
            // Only now: a run that ends meanwhile tells it again.
            self.notices += 1;
        }
    }
}

/// The Event's reason and its line for people.
fn event(notice: &Notice) -> (EventReason, String) {
    match notice {
        Notice::Restarted { key, why } => (
            EventReason::ObjectRestarted,
            format!("{key} is sent again from its beginning: {why}"),
        ),
        Notice::PartsNotListed { key, why } => (
            EventReason::PartsNotListed,
            format!(
                "{key} is sent again from its beginning, because the store doesn't tell which parts it has: {why}; \
                 the customer can grant s3:ListMultipartUploadParts"
            ),
        ),
        Notice::UploadLeft { key, why } => (
            EventReason::UploadsLeft,
            format!(
                "left behind: {key}, {why}; the bucket's lifecycle rule for incomplete uploads removes it"
            ),
        ),
    }
}
