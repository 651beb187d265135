//! What a run begins from: the ledger of an earlier one, or a new plan written into a new ledger.

use jiff::Timestamp;
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;

use super::gate::Access;
use super::judge::{Report, Stage};
use super::known::Known;
use super::place::Place;
use super::planning::{self, NoPlan, on_own_thread};
use super::request::Request;
use super::run::Work;
use super::{abandon, orphans};
use crate::api::{IdentitySnapshot, LedgerHeader, LedgerObject, OutboundLedger};
use crate::controllers::compression;
use crate::controllers::destination::{acl_policy, addressing_style};
use crate::controllers::ledger::{self, LedgerUnusable, Opened};
use crate::plan::Plan;
use crate::store::{Bucket, Endpoint};
use crate::transfer::{DeliveryToken, SourceFault, TokenParts, encoder_version};

/// How long aborting what an earlier ledger left open may take.
const ABORT_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// The ledger to go on from. What an earlier run left is taken where it is of this destination and mode, and (in a
/// retry after a failure) of the files as they are now; else it is given up and the source is planned anew.
///
/// # Errors
/// When there is no plan, or the apiserver can't be reached.
pub(super) async fn prepare(
    work: &Work,
    request: &Request,
    place: &Place,
    bucket: &Bucket,
    report: &watch::Sender<Report>,
) -> Result<Known, NoPlan> {
    let namespace = work.delivery.namespace().unwrap_or_default();
    let api: Api<OutboundLedger> = Api::namespaced(work.context.client.clone(), &namespace);
    match ledger::open(api.clone(), &work.delivery).await {
        Ok(Some(opened)) => match unfit(work, place, &opened).await? {
            None => return Ok(resumed(work, opened.into(), bucket).await),
            Some(why) => give_up(work, &api, opened.into(), bucket, why).await?,
        },
        Ok(None) => {}
        Err(error @ LedgerUnusable::Kubernetes(_)) => {
            return Err(NoPlan::Transient(error.to_string()));
        }
        Err(error @ LedgerUnusable::Corrupt { .. }) => {
            tracing::warn!(%error, "planning anew");
            ledger::delete(&api, &work.delivery)
                .await
                .map_err(transient)?;
        }
    }
    report.send_if_modified(|report| report.stage != Stage::Looking && report.plans());
    let plan = planning::make(place.clone(), request.clone(), report).await?;
    let part_size = work.context.config.transfer.part_size;
    planning::require_memory(&work.context, &plan, part_size)?;
    let header = header(work, &plan, part_size);
    let opened = ledger::create(api, &work.delivery, plan, header).await;
    opened.map(Known::from).map_err(transient)
}

/// A ledger that is gone on from: what a crash left beside it is aborted first. Whichever version encoded what is
/// in it: finished objects stay, and of one in flight the parts that this version makes otherwise are sent again.
async fn resumed(work: &Work, known: Known, bucket: &Bucket) -> Known {
    let (was, is) = (
        known.header.encoder,
        encoder_version(known.plan.compression()),
    );
    if was != is {
        let (namespace, name) = (work.delivery.namespace(), work.delivery.name_any());
        tracing::info!(
            namespace,
            name,
            was,
            is,
            "another version of the encoder began this delivery; what is in flight is encoded anew"
        );
        known.ledger.encoded_by(is);
    }
    let left = orphans::abort_orphans(&work.context, &known, bucket).await;
    abandon::report(&work.context, &work.delivery, &left).await;
    known
}

fn transient(error: impl std::fmt::Display) -> NoPlan {
    NoPlan::Transient(error.to_string())
}

/// Why an earlier ledger can't be gone on from.
async fn unfit(
    work: &Work,
    place: &Place,
    opened: &Opened,
) -> Result<Option<&'static str>, NoPlan> {
    let header = &opened.header;
    if header.destination.hash != work.gate.planned().hash {
        return Ok(Some("it is of another destination"));
    }
    if header.token != token(work, &opened.plan).as_str() {
        return Ok(Some("its token isn't this delivery's"));
    }
    if Access::from(&header.destination) != work.gate.access() {
        return Ok(Some(
            "the destination's permission mode or role was changed",
        ));
    }
    if work.retry && source_moved(place, &opened.plan).await? {
        return Ok(Some("the source isn't what was planned any more"));
    }
    Ok(None)
}

async fn source_moved(place: &Place, plan: &Plan) -> Result<bool, NoPlan> {
    let files = place.files(plan);
    on_own_thread("recheck", move || match files.recheck() {
        Ok(()) => Ok(false),
        Err(SourceFault::Changed(_) | SourceFault::Unreadable(_)) => Ok(true),
        Err(SourceFault::Transient(why)) => Err(NoPlan::Transient(why)),
    })
    .await
}

/// Aborts what an earlier ledger left open, then deletes it.
async fn give_up(
    work: &Work,
    api: &Api<OutboundLedger>,
    known: Known,
    bucket: &Bucket,
    why: &str,
) -> Result<(), NoPlan> {
    tracing::info!(
        why,
        "an earlier ledger is given up; the source is planned anew"
    );
    let left = abandon::abandon(&work.context, &known, bucket, ABORT_TIME).await;
    abandon::report(&work.context, &work.delivery, &left).await;
    ledger::delete(api, &work.delivery).await.map_err(transient)
}

/// The mark in each object's metadata.
pub(super) fn token(work: &Work, plan: &Plan) -> DeliveryToken {
    DeliveryToken::new(&TokenParts {
        cluster_id: &work.context.config.cluster_id,
        namespace: &work.delivery.namespace().unwrap_or_default(),
        name: &work.delivery.name_any(),
        destination: &work.gate.planned().hash,
        plan: &plan.hash(),
    })
}

fn header(work: &Work, plan: &Plan, part_size: u64) -> LedgerHeader {
    LedgerHeader {
        plan_hash: plan.hash().as_str().to_owned(),
        token: token(work, plan).as_str().to_owned(),
        encoder: encoder_version(plan.compression()),
        compression: compression::write(plan.compression()),
        part_size: i64::try_from(part_size).unwrap_or(i64::MAX),
        planned_at: Timestamp::now().to_string(),
        destination: snapshot(work),
        receipt: LedgerObject {
            key: plan.receipt().as_str().to_owned(),
            ..LedgerObject::default()
        },
    }
}

fn snapshot(work: &Work) -> IdentitySnapshot {
    let destination = work.gate.destination();
    let target = &work.gate.resolved().target;
    let access = work.gate.access();
    IdentitySnapshot {
        name: destination.name_any(),
        uid: work.gate.planned().uid.clone(),
        hash: work.gate.planned().hash.clone(),
        bucket: target.bucket.as_str().to_owned(),
        prefix: target.prefix.as_str().to_owned(),
        region: target.region.as_str().to_owned(),
        bucket_owner: target
            .bucket_owner
            .as_ref()
            .map(|owner| owner.as_str().to_owned()),
        endpoint: target
            .endpoint
            .as_ref()
            .map(Endpoint::as_str)
            .map(str::to_owned),
        addressing: addressing_style(target.addressing),
        acl: acl_policy(target.acl),
        permission_mode: access.mode(),
        role_arn: access.role().map(str::to_owned),
        secret_name: destination
            .spec
            .access_key
            .as_ref()
            .map(|key| key.secret_ref.name.clone()),
        ca_bundle_name: destination
            .spec
            .ca_bundle_ref
            .as_ref()
            .map(|bundle| bundle.name.clone()),
    }
}
