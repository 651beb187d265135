//! The reconcilers. They know Kubernetes and what the other layers offer, and nothing of bytes.
//!
//! A reconcile observes, decides, and starts or stops; work that takes longer is owned by a supervisor, which
//! feeds its news back as triggers.

mod buckets;
mod ca_bundle;
mod compression;
mod connect;
mod context;
mod delivery;
mod destination;
mod error;
mod events;
mod finalizers;
mod index;
mod ledger;
mod observe;
mod offline;
mod queue;
mod start;
mod status;
mod supervisor;
mod tenancy;
mod watches;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use delivery::{Preview, Then, Unplanned};
pub use observe::Observers;
pub use offline::{
    Deliveries, Doing, End, Ended, Errand, Folder, Left, Offline, OfflineError, Standing,
    StateError, Tenancy, Told, Urgency,
};
pub use start::run;

use crate::api::REQUESTED_AT;

/// Characters of an annotation's value that are kept: what the status' field takes.
const MAX_REQUEST: usize = 256;

/// The value of `outbound.dev/requestedAt`, as the status echoes it.
fn request_of(metadata: &ObjectMeta) -> Option<String> {
    let value = metadata.annotations.as_ref()?.get(REQUESTED_AT)?;
    Some(value.chars().take(MAX_REQUEST).collect())
}
