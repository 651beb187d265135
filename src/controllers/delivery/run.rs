//! stub
use super::gate::Gate;
use super::judge::Report;
use super::outcome::*;
use crate::api::OutboundDelivery;
use crate::controllers::context::Context;
use crate::controllers::supervisor::Handle;
use std::sync::Arc;
pub(super) struct Work {
    pub(super) context: Arc<Context>,
    pub(super) delivery: OutboundDelivery,
    pub(super) gate: Gate,
    pub(super) retry: bool,
}
pub(super) async fn run(_w: Work, _h: Handle<Report>) -> Outcome {
    todo!()
}
