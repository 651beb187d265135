//! Why a reconcile did not end, and what follows from it.

use std::time::Duration;

use super::status::{is_conflict, is_not_found};

/// What went wrong with the apiserver; everything else is a condition.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The object changed since it was seen: look again.
    #[error("the object changed while it was looked at")]
    Outdated,
    /// The object is gone: nothing is left to do.
    #[error("the object is gone")]
    Gone,
    /// The apiserver refused, or could not be reached.
    #[error("the apiserver did not take a write: {0}")]
    Kubernetes(#[source] kube::Error),
}

impl ReconcileError {
    /// Sorts the answer to a write of a status or of metadata.
    pub(crate) fn from_status(error: kube::Error) -> Self {
        if is_conflict(&error) {
            Self::Outdated
        } else if is_not_found(&error) {
            Self::Gone
        } else {
            Self::Kubernetes(error)
        }
    }

    /// How long until the next look; `None` when the next change is soon enough.
    pub(crate) const fn pause(&self) -> Option<Duration> {
        match self {
            // The cache is behind our own write for a moment.
            Self::Outdated => Some(Duration::from_millis(300)),
            Self::Gone => None,
            Self::Kubernetes(_) => Some(Duration::from_secs(5)),
        }
    }
}
