//! Sessions of a customer's role: asked for at STS by our own identity, kept while they last, renewed in time.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;

use super::error::{ErrorClass, StoreError};
use super::role::RoleRequest;
use super::watch;

/// The action, as errors name it.
pub(super) const ACTION: &str = "AssumeRole";

/// Seconds that a session lasts: role chaining's limit, which our own identity (a role, usually) falls under
/// (IAM user guide, "Role chaining"). No role can be set to less than that.
const SESSION_SECONDS: i32 = 3600;

/// The shortest session there is (API reference, `AssumeRole`, `DurationSeconds`): for the one that must be refused.
const SHORTEST_SECONDS: i32 = 900;

/// What a session may do that we got against the customer's will: nothing. We never use it either.
const NOTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;

/// How long before its end a session is renewed: a request that was signed just before may still be on its way.
const MARGIN: Duration = Duration::from_secs(300);

/// How long after a renewal that failed the next is tried, while the session still holds.
const RENEWAL_PAUSE: Duration = Duration::from_secs(15);

/// How long STS may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What somebody without the external ID gets from the role.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum WithoutExternalId {
    /// A refusal, as it should be.
    Refused,
    /// A session.
    LetIn,
}

/// The session of one destination's role. It belongs to one bucket and those made from it.
pub(super) struct RoleSession {
    sts: aws_sdk_sts::Client,
    request: RoleRequest,
    held: Mutex<Option<Held>>,
    /// Held while a session is asked for, so that many requests ask for one.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Held {
    credentials: Credentials,
    obtained: Instant,
    renew_at: Instant,
    ends: Instant,
}

impl RoleSession {
    pub(super) fn new(sts: aws_sdk_sts::Client, request: RoleRequest) -> Self {
        Self {
            sts,
            request,
            held: Mutex::new(None),
            asking: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) const fn request(&self) -> &RoleRequest {
        &self.request
    }

    /// Asks for a new session, whatever is held: what the customer changed shows at once.
    ///
    /// # Errors
    /// What STS answered, or what kept its answer away.
    pub(super) async fn renew(&self) -> Result<(), StoreError> {
        let _asking = self.asking.lock().await;
        self.ask(Instant::now()).await.map(drop)
    }

    /// Asks for a session without the external ID, and drops what comes.
    ///
    /// # Errors
    /// What kept STS from deciding.
    pub(super) async fn without_external_id(&self) -> Result<WithoutExternalId, StoreError> {
        let call = self
            .call()
            .duration_seconds(SHORTEST_SECONDS)
            .policy(NOTHING);
        match answered(call).await {
            Ok(_) => Ok(WithoutExternalId::LetIn),
            Err(error) if error.is("AccessDenied") => Ok(WithoutExternalId::Refused),
            Err(error) => Err(error),
        }
    }

    /// A request that began at `begun` was answered that the session is over: the next one gets another, unless that
    /// was asked for since.
    pub(super) fn is_over(&self, begun: Instant) {
        let mut held = self.held();
        if held.as_ref().is_some_and(|held| held.obtained <= begun) {
            *held = None;
        }
    }

    /// The credentials that hold at `now`.
    async fn current(&self, now: Instant) -> Result<Credentials, StoreError> {
        if let Some(fresh) = self.fresh(now) {
            return Ok(fresh);
        }
        let _asking = self.asking.lock().await;
        // Who held the lock may have asked.
        if let Some(fresh) = self.fresh(now) {
            return Ok(fresh);
        }
        let failure = match self.ask(now).await {
            Ok(credentials) => return Ok(credentials),
            Err(failure) => failure,
        };
        match self.held().as_mut().filter(|held| held.ends > now) {
            Some(held) => {
                tracing::warn!(role = %self.request.role, error = %failure, "the session is not renewed yet");
                held.renew_at = now + RENEWAL_PAUSE;
                Ok(held.credentials.clone())
            }
            None => Err(failure),
        }
    }

    fn fresh(&self, now: Instant) -> Option<Credentials> {
        let held = self.held();
        let fresh = held
            .as_ref()
            .filter(|held| now < held.renew_at && now < held.ends)?;
        Some(fresh.credentials.clone())
    }

    async fn ask(&self, now: Instant) -> Result<Credentials, StoreError> {
        let call = self
            .call()
            .external_id(self.request.external_id.as_str())
            .duration_seconds(SESSION_SECONDS);
        let answer = answered(call).await?;
        let given = answer
            .credentials
            .ok_or_else(|| harmless(StoreError::unreadable(ACTION, "no credentials")))?;
        let expiry = SystemTime::try_from(given.expiration).ok();
        let left = expiry.and_then(|at| at.duration_since(SystemTime::now()).ok());
        let left = left.unwrap_or_default();
        let credentials = Credentials::new(
            given.access_key_id,
            given.secret_access_key,
            Some(given.session_token),
            expiry,
            "AssumeRole",
        );
        // A session that is shorter than what was asked for is renewed in its middle at the latest.
        let held = Held {
            credentials: credentials.clone(),
            obtained: Instant::now(),
            renew_at: now + left.saturating_sub(MARGIN).max(left / 2),
            ends: now + left,
        };
        *self.held() = Some(held);
        Ok(credentials)
    }

    fn call(&self) -> AssumeRoleFluentBuilder {
        self.sts
            .assume_role()
            .role_arn(self.request.role.as_str())
            .role_session_name(self.request.session_name.as_str())
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answered(
    call: AssumeRoleFluentBuilder,
) -> Result<aws_sdk_sts::operation::assume_role::AssumeRoleOutput, StoreError> {
    match watch::within(ANSWER, call.send()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(harmless(StoreError::from_sdk(ACTION, &error))),
        Err(watch::Overdue(limit)) => Err(harmless(StoreError::overdue(ACTION, limit))),
    }
}

/// A session whose answer was lost changes nothing: that request may be sent again, and the one that it was for was
/// never sent.
fn harmless(error: StoreError) -> StoreError {
    let class = match error.class {
        ErrorClass::Ambiguous => ErrorClass::Transient,
        class => class,
    };
    StoreError { class, ..error }
}

/// The provider of a bucket's client, which has no cache of its own.
#[derive(Clone)]
pub(super) struct SessionProvider(pub(super) std::sync::Arc<RoleSession>);

impl ProvideCredentials for SessionProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let current = self.0.current(Instant::now()).await;
            current.map_err(CredentialsError::provider_error)
        })
    }
}

impl fmt::Debug for SessionProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionProvider(redacted)")
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
