//! One proof of access, from the spec to what was found; and what the customer must grant.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::capabilities::{Asked, after_proof, known};
use super::judge::{Finding, Outcome};
use super::memory::Question;
use super::permissions;
use super::resolve::{Resolved, learned_region, resolve};
use super::trust::{self, Trust};
use crate::api::{
    DestinationReason, Grant, Identity, OutboundDestination, OutboundDestinationSpec,
    PermissionMode,
};
use crate::config::Config;
use crate::controllers::connect::{Connection, NoConnection, connect};
use crate::controllers::context::Context;
use crate::store::{
    Bucket, Caller, Capabilities, Dialect, ExternalId, GrantRequest, Proof, Proved, Refusal,
    RoleArn, RoleProof, Signer, assume_policy, bucket_policy, identity_policy, key_policy,
    may_abort, prove as prove_bucket, prove_role, report, trust_policy,
};

/// Proves access as the destination now asks for it. A proof that succeeds makes its credentials those of the
/// deliveries that run.
pub(super) async fn prove(
    context: Arc<Context>,
    destination: OutboundDestination,
    question: Question,
) -> Outcome {
    let mut outcome = Outcome::not_asked(question);
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
    let (namespace, name) = (
        destination.namespace().unwrap_or_default(),
        destination.name_any(),
    );
    match connect(
        &context,
        (&namespace, &name),
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

/// Hands the bucket to the deliveries that aren't finished. One that begins later connects by itself.
fn publish(context: &Context, destination: &OutboundDestination, bucket: Bucket) {
    let namespace = destination.namespace().unwrap_or_default();
    let name = destination.name_any();
    if context.unfinished.is_named(&namespace, &name) {
        let uid = destination.uid().unwrap_or_default();
        context.buckets.publish(&namespace, &uid, bucket);
    }
}

async fn with_connection(
    context: &Context,
    destination: &OutboundDestination,
    resolved: &Resolved,
    connection: Connection,
    outcome: &mut Outcome,
) {
    let principal_arn = principal_arn(&context.config);
    match role(&connection.bucket, &principal_arn).await {
        Ok(trust) => outcome.trust = trust,
        Err(finding) => {
            outcome.finding = finding;
            return;
        }
    }
    let caller = caller(&destination.spec, &connection.bucket, principal_arn);
    // Where the last proof could not abort its upload, another would leave another.
    let uid = destination.uid().unwrap_or_default();
    if let Some(message) = context.memory.orphan(&uid, outcome.question.generation)
        && !may_abort(&connection.bucket).await
    {
        outcome.finding = Finding::Orphaned(message);
        return;
    }
    // Each of its calls has an end, and only the whole of it leaves no upload.
    let Proved { proof, evidence } =
        prove_bucket(&connection.bucket, resolved.region, &caller).await;
    let mut met = learned(context, destination, &outcome.question)
        .map(|known| known.met)
        .unwrap_or_default();
    let told = !matches!(proof, Proof::Transient { .. });
    outcome.finding = match proof {
        Proof::Verified { region, dialect } => {
            outcome.region = Some(region.as_str().to_owned());
            let bucket = connection.bucket.in_region(region);
            let capabilities =
                capabilities(context, destination, &outcome.question, &bucket, dialect);
            outcome.capabilities = Some(capabilities);
            met = capabilities.met;
            publish(context, destination, bucket.with_capabilities(capabilities));
            Finding::Verified
        }
        Proof::Orphaned { region, message } => {
            context.observers.metrics.uploads_left(1);
            outcome.region = Some(region.as_str().to_owned());
            Finding::Orphaned(message)
        }
        Proof::Refused { refusal, message } => Finding::Refused(reason(refusal), message),
        Proof::Transient { refusal, message } => Finding::Unanswered(reason(refusal), message),
    };
    let rights = report(
        &resolved.target,
        resolved.read_back,
        &caller,
        &evidence,
        met,
    );
    outcome.permissions = told.then(|| permissions::published(rights));
}

/// Whose identity signs.
pub(super) const fn signer(spec: &OutboundDestinationSpec) -> Signer {
    match spec.permission_mode {
        PermissionMode::AccessKey => Signer::CustomersUser,
        PermissionMode::CrossAccount => Signer::OurRole,
        PermissionMode::AssumeRole => Signer::CustomersRole,
    }
}

/// What is known of the store from before this proof.
fn learned(
    context: &Context,
    destination: &OutboundDestination,
    question: &Question,
) -> Option<Capabilities> {
    let uid = destination.uid().unwrap_or_default();
    let learned = context.memory.learned(&uid, question.generation);
    learned.or_else(|| known(destination))
}

/// Proves the customer's role, where one is named, and says what it does without our external ID.
async fn role(bucket: &Bucket, principal_arn: &str) -> Result<Option<Trust>, Finding> {
    match prove_role(bucket, principal_arn).await {
        None => Ok(None),
        Some(RoleProof::Assumed(found)) => Ok(Some(trust::found(found))),
        Some(RoleProof::Refused { refusal, message }) => {
            Err(Finding::Refused(reason(refusal), message))
        }
        Some(RoleProof::Transient { refusal, message }) => {
            Err(Finding::Unanswered(reason(refusal), message))
        }
    }
}

/// Who signs, as the customer knows us.
fn caller(spec: &OutboundDestinationSpec, bucket: &Bucket, principal_arn: String) -> Caller {
    match (spec.permission_mode, bucket.role_request()) {
        (PermissionMode::AccessKey, _) => Caller::AccessKey,
        (_, Some(request)) => Caller::Role {
            request: request.clone(),
            principal_arn,
        },
        (_, None) => Caller::Own { principal_arn },
    }
}

/// What is known of the store after a proof that found `dialect`.
fn capabilities(
    context: &Context,
    destination: &OutboundDestination,
    question: &Question,
    bucket: &Bucket,
    dialect: Dialect,
) -> Capabilities {
    let status = destination.status.as_ref();
    let handled = status.and_then(|status| status.last_handled_request.as_ref());
    let asked = if handled == question.request.as_ref() {
        Asked::Periodically
    } else {
        Asked::Anew
    };
    let before = Capabilities::before_proof(bucket.target());
    after_proof(
        learned(context, destination, question),
        before,
        dialect,
        asked,
    )
}

/// The store's words in the API's.
pub(super) const fn reason(refusal: Refusal) -> DestinationReason {
    match refusal {
        Refusal::InvalidAccessKeyId => DestinationReason::InvalidAccessKeyId,
        Refusal::SignatureDoesNotMatch => DestinationReason::SignatureDoesNotMatch,
        Refusal::AccessDenied => DestinationReason::AccessDenied,
        Refusal::BucketNotFound => DestinationReason::BucketNotFound,
        Refusal::BucketOwnerMismatch => DestinationReason::BucketOwnerMismatch,
        Refusal::RegionMismatch => DestinationReason::RegionMismatch,
        Refusal::KmsAccessDenied => DestinationReason::KmsAccessDenied,
        Refusal::RoleNotAssumable => DestinationReason::RoleNotAssumable,
        Refusal::AclNotAllowed => DestinationReason::AclNotAllowed,
        Refusal::ClockSkew => DestinationReason::ClockSkew,
        Refusal::ChecksumUnsupported => DestinationReason::ChecksumUnsupported,
        Refusal::EndpointUnreachable => DestinationReason::EndpointUnreachable,
        Refusal::TlsFailure => DestinationReason::TlsFailure,
        Refusal::Throttled => DestinationReason::Throttled,
    }
}

/// How the customer's policies name us; empty where the configuration names nobody.
fn principal_arn(config: &Config) -> String {
    let identity = config.identity.as_ref();
    identity.map_or_else(String::new, |identity| identity.principal_arn.clone())
}

/// What the customer's role must ask of us, in AssumeRole.
pub(super) fn external_id(
    config: &Config,
    destination: &OutboundDestination,
) -> Option<ExternalId> {
    destination.spec.assume_role.as_ref()?;
    let namespace = destination.namespace().unwrap_or_default();
    Some(ExternalId::issue(
        &config.cluster_id,
        &namespace,
        &destination.name_any(),
    ))
}

/// Who we are to the customer: told where it is our account that is allow-listed, or trusted.
pub(super) fn identity(config: &Config, spec: &OutboundDestinationSpec) -> Option<Identity> {
    let identity = config
        .identity
        .as_ref()
        .filter(|_| spec.permission_mode != PermissionMode::AccessKey)?;
    Some(Identity {
        account: identity.account_id.as_str().to_owned(),
        arn: identity.principal_arn.clone(),
    })
}

/// The policies to paste, there before the first proof.
pub(super) fn grant(
    config: &Config,
    destination: &OutboundDestination,
    resolved: &Resolved,
) -> Option<Grant> {
    let request = GrantRequest::new(&resolved.target, resolved.read_back);
    let principal = config
        .identity
        .as_ref()
        .map(|identity| identity.principal_arn.as_str());
    Some(match destination.spec.permission_mode {
        PermissionMode::AccessKey => Grant {
            bucket_policy: None,
            trust_policy: None,
            key_policy: None,
            identity_policy: Some(identity_policy(&request)),
        },
        PermissionMode::CrossAccount => Grant {
            bucket_policy: Some(bucket_policy(&request, principal?)),
            trust_policy: None,
            key_policy: key_policy(&request, principal?),
            identity_policy: Some(identity_policy(&request)),
        },
        PermissionMode::AssumeRole => {
            let role = destination.spec.assume_role.as_ref()?;
            let role: RoleArn = role.role_arn.parse().ok()?;
            let external_id = external_id(config, destination)?;
            Grant {
                bucket_policy: Some(bucket_policy(&request, role.as_str())),
                trust_policy: Some(trust_policy(principal?, &external_id)),
                key_policy: key_policy(&request, role.as_str()),
                identity_policy: Some(assume_policy(&role)),
            }
        }
    })
}
