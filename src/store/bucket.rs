//! One destination's bucket: where it is, how it is reached, and how its answers are understood.
//! The calls themselves are in `calls`.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::ObjectCannedAcl;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;

use super::capabilities::Capabilities;
use super::endpoint::Endpoint;
use super::error::{ErrorClass, StoreError};
use super::names::Region;
use super::role::RoleRequest;
use super::session::RoleSession;
use super::target::{Acl, Target};
use super::types::PartBody;
use super::watch::{self, Overdue, Pace, Patience};

/// A bucket that we can call. Cheap to clone. The SDK retries nothing: retrying is the caller's.
#[derive(Clone)]
pub struct Bucket {
    pub(super) client: aws_sdk_s3::Client,
    pub(super) target: Arc<Target>,
    pub(super) transport: Transport,
    pub(super) patience: Patience,
    pub(super) capabilities: Capabilities,
    /// Who says when bodies go out.
    pub(super) pace: Option<Arc<dyn Pace>>,
    /// Where a customer's role signs.
    pub(super) session: Option<Arc<RoleSession>>,
}

/// What protects a body on its way, which decides whether its bytes are hashed into the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// TLS protects the bytes and the checksum header; SHA-256 over them would cost more than all
    /// else, so the payload goes unsigned.
    Tls,
    /// Only the signature ties the bytes to the request, so what is small is signed: proofs and receipts,
    /// which name the MD5 of each object. Data is not, at the same cost: its CRC64NVME is in a signed
    /// header, so the store refuses bytes that changed by accident, and who must fear more takes TLS.
    Plain,
}

/// Whether a body's bytes are hashed into the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// They are.
    Signed,
    /// The signature says that they aren't.
    Unsigned,
}

/// Bytes that are signed over plain HTTP at most: the receipt of some 150 objects.
const SIGNED: usize = 64 << 10;

impl Transport {
    /// Whether the bytes of `body` become a part of the signature.
    pub(super) fn payload(self, body: &PartBody) -> Payload {
        match (self, body) {
            (Self::Plain, PartBody::Buffer(bytes)) if bytes.len() <= SIGNED => Payload::Signed,
            _ => Payload::Unsigned,
        }
    }

    pub(super) fn of(endpoint: Option<&Endpoint>) -> Self {
        if endpoint.is_none_or(Endpoint::is_tls) {
            Self::Tls
        } else {
            Self::Plain
        }
    }
}

impl Bucket {
    pub(super) fn new(config: Builder, target: Target, transport: Transport) -> Self {
        let client = aws_sdk_s3::Client::from_conf(config.build());
        Self {
            client,
            capabilities: Capabilities::before_proof(&target),
            target: Arc::new(target),
            transport,
            patience: Patience::default(),
            pace: None,
            session: None,
        }
    }

    /// The same bucket, whose client signs with that session.
    pub(super) fn with_session(self, session: Arc<RoleSession>) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    /// What the session of the customer's role is asked for with, where one signs.
    #[must_use]
    pub fn role_request(&self) -> Option<&RoleRequest> {
        self.session.as_deref().map(RoleSession::request)
    }

    /// What its store can do, as far as is known.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The same bucket, of whose store more is known.
    #[must_use]
    pub fn with_capabilities(&self, capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            ..self.clone()
        }
    }

    /// The same bucket, whose bodies go out as `pace` says.
    #[must_use]
    pub fn paced_by(&self, pace: Arc<dyn Pace>) -> Self {
        Self {
            pace: Some(pace),
            ..self.clone()
        }
    }

    /// Where it is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The same bucket, reached and signed for in another region.
    #[must_use]
    pub fn in_region(&self, region: Region) -> Self {
        let sdk_region = aws_sdk_s3::config::Region::new(region.as_str().to_owned());
        let config = self.client.config().to_builder().region(sdk_region).build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let target = Arc::new(Target {
            region,
            ..Target::clone(&self.target)
        });
        Self {
            client,
            target,
            ..self.clone()
        }
    }

    /// The same bucket, with other headers on what is sent.
    pub(super) fn with_target(&self, change: impl FnOnce(&mut Target)) -> Self {
        let mut target = Target::clone(&self.target);
        change(&mut target);
        Self {
            target: Arc::new(target),
            ..self.clone()
        }
    }

    /// A call without a body.
    pub(super) async fn answered<T, E>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let begun = Instant::now();
        let answer = watch::within(self.patience.answer, call).await;
        self.understood(begun, action, answer)
    }

    /// What came of a call that began at `begun`: the answer, the store's refusal, or silence. Where the store says
    /// that the role's session is over, the next call gets another, so that trying again may succeed.
    pub(super) fn understood<T, E>(
        &self,
        begun: Instant,
        action: &'static str,
        answer: Result<Result<T, SdkError<E, HttpResponse>>, Overdue>,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => StoreError::from_sdk(action, &error),
            Err(Overdue(limit)) => StoreError::overdue(action, limit),
        };
        match &self.session {
            Some(session) if error.ends_a_session() => {
                session.is_over(begun);
                Err(StoreError {
                    class: ErrorClass::Transient,
                    ..error
                })
            }
            _ => Err(error),
        }
    }

    pub(super) fn owner(&self) -> Option<String> {
        self.target
            .bucket_owner
            .as_ref()
            .map(|owner| owner.as_str().to_owned())
    }

    pub(super) fn canned_acl(&self) -> Option<ObjectCannedAcl> {
        match self.target.acl {
            Acl::BucketOwnerFullControl => Some(ObjectCannedAcl::BucketOwnerFullControl),
            Acl::None => None,
        }
    }

    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}

impl fmt::Debug for Bucket {
    /// Where it is. The client's own Debug would print the access key's id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
