//! Makes buckets that can be called: one HTTPS client and its connections for all destinations.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, IdentityCache, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};

use super::answer::BoundAnswer;
use super::bucket::{Bucket, Transport};
use super::ca_bundle::CaBundle;
use super::credentials::{AccessKey, OwnIdentity, app_name};
use super::endpoint::Endpoint;
use super::role::RoleRequest;
use super::session::{RoleSession, SessionProvider};
use super::target::{Addressing, AwsTarget, Target};

/// How long TCP and TLS may take to a store that is there; a lost SYN is sent again after 1 s and 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bundles of authorities whose connections are kept: one for each store of its own authority, with room for changes.
const MAX_BUNDLES: usize = 64;

/// How AWS's own S3 is reached, by the operator's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsOptions {
    /// What stands in for AWS's own S3 when our own identity signs: PrivateLink, tests.
    pub s3: Option<Endpoint>,
    /// What stands in for AWS's own STS, likewise.
    pub sts: Option<Endpoint>,
    /// AWS's FIPS 140 endpoints.
    pub use_fips: bool,
    /// AWS's endpoints with IPv6.
    pub use_dual_stack: bool,
}

/// Makes [`Bucket`]s. Cheap to clone; all clones share connections.
#[derive(Clone)]
pub struct ClientFactory {
    http: SharedHttpClient,
    trusting: Arc<Mutex<HashMap<[u8; 32], SharedHttpClient>>>,
    aws: AwsOptions,
}

impl ClientFactory {
    /// A factory with a pool of connections of its own. Redirects are never followed.
    #[must_use]
    pub fn new(aws: AwsOptions) -> Self {
        Self {
            http: http_client(None),
            trusting: Arc::default(),
            aws,
        }
    }

    /// The same factory, whose buckets trust the authorities of `bundle` and no other. Equal bundles share
    /// connections; another bundle begins with new ones.
    #[must_use]
    pub fn trusting(&self, bundle: &CaBundle) -> Self {
        let mut known = self.trusting.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_BUNDLES && !known.contains_key(&bundle.hash()) {
            // Buckets in use hold their own; what comes next connects anew.
            known.clear();
        }
        let http = known
            .entry(bundle.hash())
            .or_insert_with(|| http_client(Some(bundle)));
        Self {
            http: http.clone(),
            ..self.clone()
        }
    }

    /// A bucket that a customer's key signs for: at the destination's endpoint, else at AWS.
    ///
    /// The client is built from nothing but `target` and `key`, so there is no identity of ours that
    /// it could fall back to.
    #[must_use]
    pub fn with_access_key(&self, target: Target, key: &AccessKey) -> Bucket {
        let endpoint = target.endpoint.clone();
        let config = self
            .config(&target, endpoint.as_ref())
            .credentials_provider(key.provider());
        Bucket::new(config, target, Transport::of(endpoint.as_ref()))
    }

    /// A bucket that our own identity signs for: at AWS, or at the operator's stand-in for it.
    #[must_use]
    pub fn with_own_identity(&self, target: AwsTarget, identity: &OwnIdentity) -> Bucket {
        let target = target.into_inner();
        let config = self
            .config(&target, self.aws.s3.as_ref())
            .credentials_provider(identity.provider.clone())
            .identity_cache(identity.cache.clone());
        Bucket::new(config, target, Transport::of(self.aws.s3.as_ref()))
    }

    /// A bucket that a session of the customer's role signs for: at AWS, or at the operator's stand-in for it. Our own
    /// identity signs for nothing but the session, at STS in its own region.
    #[must_use]
    pub fn with_role(
        &self,
        target: AwsTarget,
        identity: &OwnIdentity,
        request: RoleRequest,
    ) -> Bucket {
        let target = target.into_inner();
        let session = Arc::new(RoleSession::new(self.sts(identity), request));
        let config = self
            .config(&target, self.aws.s3.as_ref())
            .credentials_provider(SessionProvider(session.clone()))
            // The session knows when to renew itself, and when the store calls it over.
            .identity_cache(IdentityCache::no_cache());
        Bucket::new(config, target, Transport::of(self.aws.s3.as_ref())).with_session(session)
    }

    /// STS of our own region: a session of a regional STS holds in every region of the partition.
    pub(super) fn sts(&self, identity: &OwnIdentity) -> aws_sdk_sts::Client {
        let region = identity.region.as_str().to_owned();
        let config = aws_sdk_sts::config::Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .app_name(app_name())
            .http_client(self.http.clone())
            .region(aws_sdk_sts::config::Region::new(region))
            .timeout_config(timeouts())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .credentials_provider(identity.provider.clone())
            .identity_cache(identity.cache.clone());
        let config = match &self.aws.sts {
            Some(endpoint) => config.endpoint_url(endpoint.as_str()),
            None => config
                .use_fips(self.aws.use_fips)
                .use_dual_stack(self.aws.use_dual_stack),
        };
        aws_sdk_sts::Client::from_conf(config.build())
    }

    fn config(&self, target: &Target, endpoint: Option<&Endpoint>) -> Builder {
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .app_name(app_name())
            .http_client(self.http.clone())
            .region(aws_sdk_s3::config::Region::new(
                target.region.as_str().to_owned(),
            ))
            .force_path_style(target.addressing == Addressing::Path)
            .timeout_config(timeouts())
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // We send checksums of our own: the SDK's would read every body again.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            // A directory bucket's session is asked for with rights that delivering doesn't need.
            .interceptor(BoundAnswer)
            .disable_s3_express_session_auth(true)
            .disable_multi_region_access_points(true);
        match endpoint {
            Some(endpoint) => config.endpoint_url(endpoint.as_str()),
            None => config
                .use_fips(self.aws.use_fips)
                .use_dual_stack(self.aws.use_dual_stack),
        }
    }
}

impl fmt::Debug for ClientFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFactory")
            .field("aws", &self.aws)
            .finish_non_exhaustive()
    }
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // The SDK's read timeout counts from the first byte sent, and would kill a slow upload
        // that is alive; `watch` tells the two apart.
        .disable_read_timeout()
        .disable_operation_timeout()
        .disable_operation_attempt_timeout()
        .build()
}

/// The SDK's default HTTPS client (aws-lc-rs, proxies from the environment; the bundle's authorities, else the
/// system's roots or `SSL_CERT_FILE`), made here so that all buckets share it: each SDK client would make its own.
pub(super) fn http_client(bundle: Option<&CaBundle>) -> SharedHttpClient {
    let tls = bundle.map(tls_context);
    aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = aws_smithy_http_client::Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        if let Some(tls) = &tls {
            connector.set_tls_context(tls.clone());
        }
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.build()
    })
}

#[allow(
    clippy::expect_used,
    reason = "the builder has no error of its own; to go on without it would trust others"
)]
fn tls_context(bundle: &CaBundle) -> TlsContext {
    let store = TrustStore::empty().with_pem_certificate(bundle.pem());
    let context = TlsContext::builder().with_trust_store(store).build();
    context.expect("a TLS context of certificates that were read before")
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
