//! The engine's notices as Events: each is told once.

use std::sync::atomic::{AtomicU64, Ordering};

use kube::runtime::events::EventType;

use super::run::Work;
use crate::controllers::events;
use crate::transfer::{Notice, Notices};

/// How many notices of a run were told.
#[derive(Debug, Default)]
pub(super) struct Told(AtomicU64);

impl Told {
    /// Publishes what wasn't told yet.
    pub(super) async fn tell(&self, work: &Work, notices: &Notices) {
        let told = self.0.swap(notices.given(), Ordering::Relaxed);
        for notice in notices.since(told) {
            let (reason, note) = event(notice);
            let recorder = &work.context.recorder;
            events::publish(recorder, &work.delivery, EventType::Warning, reason, &note).await;
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
            "UploadsLeft",
            format!(
                "left behind: {key}, {why}; the bucket's lifecycle rule for incomplete uploads removes it"
            ),
        ),
    }
}
