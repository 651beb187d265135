//! One proof of access, from the spec to what was found; and what the customer must grant.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;

use super::capabilities::{Asked, after_proof, known};
use super::judge::{Finding, Outcome};
use super::memory::Question;
use super::resolve::{Resolved, learned_region, resolve};
use crate::api::{
    DestinationReason, Grant, Identity, OutboundDestination, OutboundDestinationSpec,
    PermissionMode,
};
use crate::config::Config;
use crate::controllers::connect::{Connection, NoConnection, connect};
use crate::controllers::context::Context;
use crate::store::{
    Bucket, Caller, Capabilities, Dialect, GrantRequest, Proof, Refusal, bucket_policy,
    identity_policy, may_abort, prove as prove_bucket,
};

/// A proof that takes longer has met a store that neither answers nor refuses.
const LONGEST: Duration = Duration::from_secs(180);

/// Proves access as the destination now asks for it. A proof that succeeds makes its credentials those of the
/// deliveries that run.
pub(super) async fn prove(
    context: Arc<Context>,
    destination: OutboundDestination,
    question: Question,
) -> Outcome {
    let mut outcome = Outcome {
        question,
        secret_version: None,
        region: None,
        capabilities: None,
        finding: Finding::Unanswered(DestinationReason::EndpointUnreachable, String::new()),
    };
    let resolved = match resolve(
        &context.config,
        &destination.spec,
        learned_region(&destination),
    ) {
        Ok(resolved) => resolved,
        Err(error) => {
            // But for an unnamed region the schema refuses it: then the object is from before the schema.
            outcome.finding = Finding::Refused(error.reason(), error.to_string());
            return outcome;
        }
    };
    let namespace = destination.namespace().unwrap_or_default();
    match connect(
        &context,
        &namespace,
        &destination.spec,
        resolved.target.clone(),
    )
    .await
    {
        Ok(connection) => {
            outcome
                .secret_version
                .clone_from(&connection.secret_version);
            with_connection(&context, &destination, &resolved, connection, &mut outcome).await;
        }
        Err(NoConnection::Refused {
            reason,
            message,
            secret_version,
        }) => {
            outcome.secret_version = secret_version;
            outcome.finding = Finding::Refused(reason, message);
        }
        Err(NoConnection::Unanswered { reason, message }) => {
            outcome.finding = Finding::Unanswered(reason, message)
        }
    }
    outcome
}

async fn with_connection(
    context: &Context,
    destination: &OutboundDestination,
    resolved: &Resolved,
    connection: Connection,
    outcome: &mut Outcome,
) {
    let caller = match (destination.spec.permission_mode, &context.config.identity) {
        (PermissionMode::CrossAccount, Some(identity)) => Caller::Own {
            principal_arn: identity.principal_arn.clone(),
        },
        _ => Caller::AccessKey,
    };
    // Where the last proof could not abort its upload, another would leave another.
    let uid = destination.uid().unwrap_or_default();
    if let Some(message) = context.memory.orphan(&uid, outcome.question.generation)
        && !may_abort(&connection.bucket).await
    {
        outcome.finding = Finding::Orphaned(message);
        return;
    }
    let proof = prove_bucket(&connection.bucket, resolved.region, &caller);
    let Ok(proof) = tokio::time::timeout(LONGEST, proof).await else {
        let message = format!(
            "the store did not finish answering within {} s",
            LONGEST.as_secs()
        );
        outcome.finding = Finding::Unanswered(DestinationReason::EndpointUnreachable, message);
        return;
    };
    outcome.finding = match proof {
        Proof::Verified { region, dialect } => {
            outcome.region = Some(region.as_str().to_owned());
            let bucket = connection.bucket.in_region(region);
            let capabilities =
                capabilities(context, destination, &outcome.question, &bucket, dialect);
            outcome.capabilities = Some(capabilities);
            context
                .buckets
                .publish(&uid, bucket.with_capabilities(capabilities));
            Finding::Verified
        }
        Proof::Orphaned { region, message } => {
            outcome.region = Some(region.as_str().to_owned());
            Finding::Orphaned(message)
        }
        Proof::Refused { refusal, message } => Finding::Refused(reason(refusal), message),
        Proof::Transient { refusal, message } => Finding::Unanswered(reason(refusal), message),
    };
}

/// What is known of the store after a proof that found `dialect`.
fn capabilities(
    context: &Context,
    destination: &OutboundDestination,
    question: &Question,
    bucket: &Bucket,
    dialect: Dialect,
) -> Capabilities {
    let uid = destination.uid().unwrap_or_default();
    let learned = context.memory.learned(&uid, question.generation);
    let status = destination.status.as_ref();
    let handled = status.and_then(|status| status.last_handled_request.as_ref());
    let asked = if handled == question.request.as_ref() {
        Asked::Periodically
    } else {
        Asked::Anew
    };
    let before = Capabilities::before_proof(bucket.target());
    after_proof(
        learned.or_else(|| known(destination)),
        before,
        dialect,
        asked,
    )
}

/// The store's words in the API's.
const fn reason(refusal: Refusal) -> DestinationReason {
    match refusal {
        Refusal::InvalidAccessKeyId => DestinationReason::InvalidAccessKeyId,
        Refusal::SignatureDoesNotMatch => DestinationReason::SignatureDoesNotMatch,
        Refusal::AccessDenied => DestinationReason::AccessDenied,
        Refusal::BucketNotFound => DestinationReason::BucketNotFound,
        Refusal::BucketOwnerMismatch => DestinationReason::BucketOwnerMismatch,
        Refusal::RegionMismatch => DestinationReason::RegionMismatch,
        Refusal::KmsAccessDenied => DestinationReason::KmsAccessDenied,
        Refusal::AclNotAllowed => DestinationReason::AclNotAllowed,
        Refusal::ClockSkew => DestinationReason::ClockSkew,
        Refusal::ChecksumUnsupported => DestinationReason::ChecksumUnsupported,
        Refusal::EndpointUnreachable => DestinationReason::EndpointUnreachable,
        Refusal::TlsFailure => DestinationReason::TlsFailure,
        Refusal::Throttled => DestinationReason::Throttled,
    }
}

/// Who we are to the customer: told where it is our account that is allow-listed.
pub(super) fn identity(config: &Config, spec: &OutboundDestinationSpec) -> Option<Identity> {
    let identity = config
        .identity
        .as_ref()
        .filter(|_| spec.permission_mode == PermissionMode::CrossAccount)?;
    Some(Identity {
        account: identity.account_id.clone(),
        arn: identity.principal_arn.clone(),
    })
}

/// The policies to paste, there before the first proof.
pub(super) fn grant(
    config: &Config,
    spec: &OutboundDestinationSpec,
    resolved: &Resolved,
) -> Option<Grant> {
    let request = GrantRequest::new(&resolved.target, resolved.read_back);
    let bucket_policy = match spec.permission_mode {
        PermissionMode::CrossAccount => Some(bucket_policy(
            &request,
            &config.identity.as_ref()?.principal_arn,
        )),
        PermissionMode::AccessKey => None,
    };
    Some(Grant {
        bucket_policy,
        identity_policy: Some(identity_policy(&request)),
    })
}
