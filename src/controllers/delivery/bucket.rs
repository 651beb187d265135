//! The bucket that a run writes to.

use std::time::Instant;

use kube::ResourceExt as _;
use tokio::sync::watch;

use super::outcome::End;
use super::run::Work;
use crate::controllers::connect::{NoConnection, connect};
use crate::controllers::destination::known;
use crate::store::Bucket;

/// The bucket with the credentials that were last proved; those of a destination that had nothing to do are read again.
///
/// # Errors
/// When they aren't there, or no longer allowed.
pub(super) async fn of(work: &Work) -> Result<watch::Receiver<Bucket>, End> {
    let context = &work.context;
    let uid = work.gate.destination_uid();
    let target = &work.gate.resolved().target;
    let namespace = work.delivery.namespace().unwrap_or_default();
    if let Some(live) = context.buckets.subscribe(&namespace, uid)
        && live.borrow().target() == target
    {
        return Ok(live);
    }
    let spec = &work.gate.destination().spec;
    let name = work.gate.destination().name_any();
    match connect(context, (&namespace, &name), spec, target.clone()).await {
        Ok(connection) => {
            let known = known(work.gate.destination());
            let bucket = match known {
                Some(known) => connection.bucket.with_capabilities(known),
                None => connection.bucket,
            };
            Ok(context.buckets.publish(&namespace, uid, bucket))
        }
        Err(
            NoConnection::Refused {
                reason, message, ..
            }
            | NoConnection::Unanswered { reason, message },
        ) => Err(End::AccessLost(
            format!("{reason}: {message}"),
            Instant::now(),
        )),
    }
}
