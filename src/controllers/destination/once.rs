//! One look at a destination that no cluster holds: the reconciler's own steps, with nothing to watch or write.

use std::sync::Arc;

use jiff::Timestamp;

use super::{facts, judge, proof, question};
use crate::api::{Grant, OutboundDestination};
use crate::controllers::context::Context;

/// The destination with the status that the operator would write after one proof of a fresh object.
pub(crate) async fn proved(
    context: Arc<Context>,
    mut destination: OutboundDestination,
) -> OutboundDestination {
    // What the apiserver gives a fresh object.
    destination.metadata.generation = Some(1);
    destination.status = None;
    let (old, now) = (Default::default(), Timestamp::now());
    let status = if destination.spec.suspend == Some(true) {
        let facts = facts(&context, &destination, None);
        judge::suspended(&old, facts, &question(&destination), now)
    } else {
        let question = question(&destination);
        let outcome = proof::prove(context.clone(), destination.clone(), question).await;
        let facts = facts(&context, &destination, outcome.region.as_deref());
        judge::judged(&old, facts, &outcome, 1, Timestamp::now())
    };
    destination.status = Some(status);
    destination
}

/// The policies that the destination's status would hold; nothing is contacted.
pub(crate) fn granted(context: &Context, destination: &OutboundDestination) -> Option<Grant> {
    facts(context, destination, None).grant
}
