//! From a destination to a bucket that can be called: tenancy first, then credentials, never one mode's for
//! the other's.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};

use super::context::Context;
use super::{ca_bundle, tenancy};
use crate::api::{DestinationReason, OutboundDestinationSpec, PermissionMode};
use crate::store::{
    AccessKey, AccessKeyInvalid, AwsTarget, Bucket, ExternalId, OwnIdentity, RoleArnInvalid,
    RoleRequest, SecretKey, SessionName, Target,
};

/// A bucket and the version of the Secret whose key it signs with.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) bucket: Bucket,
    pub(crate) secret_version: Option<String>,
}

/// Why there is no bucket to call.
#[derive(Clone, Debug)]
pub(crate) enum NoConnection {
    /// Somebody must act.
    Refused {
        reason: DestinationReason,
        message: String,
        secret_version: Option<String>,
    },
    /// The apiserver could not be asked.
    Unanswered {
        reason: DestinationReason,
        message: String,
    },
}

impl NoConnection {
    /// The same, after the Secret of that version was read.
    fn with_secret_version(self, version: Option<&str>) -> Self {
        match self {
            Self::Refused {
                reason, message, ..
            } => Self::Refused {
                reason,
                message,
                secret_version: version.map(str::to_owned),
            },
            unanswered @ Self::Unanswered { .. } => unanswered,
        }
    }
}

/// Connects to `target` as the destination `namespace`/`name` says in its `spec`.
///
/// # Errors
/// When the configuration doesn't allow it, or the credentials aren't there or can't be.
pub(crate) async fn connect(
    context: &Context,
    (namespace, name): (&str, &str),
    spec: &OutboundDestinationSpec,
    target: Target,
) -> Result<Connection, NoConnection> {
    tenancy::check(&context.config, namespace, spec).map_err(|denied| NoConnection::Refused {
        reason: denied.reason,
        message: denied.message,
        secret_version: None,
    })?;
    match spec.permission_mode {
        PermissionMode::AccessKey => {
            let secret = spec
                .access_key
                .as_ref()
                .map(|key| key.secret_ref.name.as_str())
                .unwrap_or_default();
            let (key, secret_version) = access_key(context, namespace, secret).await?;
            let factory = ca_bundle::factory(context, namespace, spec)
                .await
                .map_err(|error| error.with_secret_version(secret_version.as_deref()))?;
            let bucket = factory.with_access_key(target, &key);
            Ok(Connection {
                bucket,
                secret_version,
            })
        }
        PermissionMode::CrossAccount => {
            let (identity, target) =
                own_identity(context, target, DestinationReason::BucketNotAllowed)?;
            Ok(without_secret(
                context.factory.with_own_identity(target, identity),
            ))
        }
        PermissionMode::AssumeRole => {
            let (identity, target) =
                own_identity(context, target, DestinationReason::RoleNotAllowed)?;
            let request = role_request(context, namespace, name, spec)?;
            Ok(without_secret(
                context.factory.with_role(target, identity, request),
            ))
        }
    }
}

const fn without_secret(bucket: Bucket) -> Connection {
    Connection {
        bucket,
        secret_version: None,
    }
}

/// What a session of the destination's role is asked for with.
fn role_request(
    context: &Context,
    namespace: &str,
    name: &str,
    spec: &OutboundDestinationSpec,
) -> Result<RoleRequest, NoConnection> {
    let arn = spec.assume_role.as_ref().map(|role| role.role_arn.as_str());
    let role = arn.unwrap_or_default().parse();
    // The schema refuses it, so only an object from before the schema gets here.
    let role = role.map_err(|error: RoleArnInvalid| NoConnection::Refused {
        reason: DestinationReason::RoleNotAllowed,
        message: format!("spec.assumeRole.roleArn: {error}"),
        secret_version: None,
    })?;
    Ok(RoleRequest {
        role,
        external_id: ExternalId::issue(&context.config.cluster_id, namespace, name),
        session_name: SessionName::of(namespace, name),
    })
}

/// Our own identity, and the target as what it may sign for.
fn own_identity(
    context: &Context,
    target: Target,
    reason: DestinationReason,
) -> Result<(&OwnIdentity, AwsTarget), NoConnection> {
    let refused = |message: String| NoConnection::Refused {
        reason,
        message,
        secret_version: None,
    };
    let identity = context.identity.as_ref().ok_or_else(|| {
        refused("the operator found no credentials of its own (IRSA, Pod Identity or environment); its administrator must provide them".to_owned())
    })?;
    let target = target
        .try_into()
        .map_err(|error: crate::store::NotOnAws| refused(error.to_string()))?;
    Ok((identity, target))
}

async fn access_key(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<(AccessKey, Option<String>), NoConnection> {
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = secrets.get_opt(name).await.map_err(|error| NoConnection::Unanswered {
        reason: DestinationReason::SecretNotFound,
        message: format!("Secret {name} could not be read: {error}; the operator needs get on Secrets in {namespace}"),
    })?;
    let Some(secret) = found else {
        return Err(NoConnection::Refused {
            reason: DestinationReason::SecretNotFound,
            message: format!(
                "there is no Secret {name} in namespace {namespace}; create it with the keys {} and {}",
                SecretKey::AccessKeyId,
                SecretKey::SecretAccessKey,
            ),
            secret_version: None,
        });
    };
    let secret_version = secret.resource_version();
    let data = secret.data.unwrap_or_default();
    let value = |key: SecretKey| data.get(key.as_str()).map(|value| value.0.as_slice());
    let key = AccessKey::new(
        value(SecretKey::AccessKeyId),
        value(SecretKey::SecretAccessKey),
        value(SecretKey::SessionToken),
    );
    key.map(|key| (key, secret_version.clone()))
        .map_err(|error| {
            let reason = match error {
                AccessKeyInvalid::Missing(_) => DestinationReason::SecretKeyMissing,
                AccessKeyInvalid::Malformed(..) => DestinationReason::SecretInvalid,
            };
            let message =
                format!("Secret {name}: {error}; whoever keeps the Secret must correct it");
            NoConnection::Refused {
                reason,
                message,
                secret_version,
            }
        })
}
