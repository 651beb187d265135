//! What a run did, passed on: counts to the metrics, the engine's notices as Events, each once.

use kube::runtime::events::EventType;

use super::run::Work;
use crate::controllers::events;
use crate::transfer::{Notice, Progress, Tally};

/// The reason of the Events that name uploads that had to stay open.
pub(super) const UPLOADS_LEFT: &str = "UploadsLeft";

/// What of a run was passed on.
#[derive(Debug, Default)]
pub(super) struct Told {
    notices: u64,
    tally: Tally,
}

impl Told {
    /// Counts and publishes what wasn't yet.
    pub(super) async fn tell(&mut self, work: &Work, progress: &Progress) {
        let notices: Vec<&Notice> = progress.notices.since(self.notices).collect();
        self.notices = progress.notices.given();
        let is_upload = |notice: &&&Notice| matches!(notice, Notice::UploadLeft { .. });
        let metrics = &work.context.observers.metrics;
        metrics.transferred(&progress.tally.since(&self.tally));
        metrics.uploads_left(notices.iter().filter(is_upload).count());
        self.tally = progress.tally;
        for notice in &notices {
            let (reason, note) = event(notice);
            if is_upload(&notice) {
                events::publish_somewhere(&work.context, &work.delivery, reason, &note).await;
            } else {
                let (recorder, warning) = (&work.context.recorder, EventType::Warning);
                events::publish(recorder, &work.delivery, warning, reason, &note).await;
            }
        }
    }
}

/// The Event's reason and its line for people.
fn event(notice: &Notice) -> (&'static str, String) {
    match notice {
        Notice::Restarted { key, why } => (
            "ObjectRestarted",
            format!("{key} is sent again from its beginning: {why}"),
        ),
        Notice::PartsNotListed { key, why } => (
            "PartsNotListed",
            format!(
                "{key} is sent again from its beginning, because the store doesn't tell which parts it has: {why}; \
                 the customer can grant s3:ListMultipartUploadParts"
            ),
        ),
        Notice::UploadLeft { key, why } => (
            UPLOADS_LEFT,
            format!(
                "left behind: {key}, {why}; the bucket's lifecycle rule for incomplete uploads removes it"
            ),
        ),
    }
}
