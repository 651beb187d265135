//! Which host a request goes to. Nothing is sent: S3's is told by a presigned request, STS's by a recorder.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::*;
use crate::plan::KeyPrefix;
use crate::store::{Acl, ObjectSettings, PlainHttp};

fn target(region: &str, addressing: Addressing) -> Target {
    Target {
        bucket: "acme-inbound".parse().unwrap(),
        prefix: KeyPrefix::new("audience/").unwrap(),
        region: region.parse().unwrap(),
        bucket_owner: None,
        endpoint: None,
        addressing,
        acl: Acl::None,
        settings: ObjectSettings::default(),
    }
}

/// The host of a request for an object, or what the SDK says where there is none.
async fn host(bucket: &Bucket) -> Result<String, String> {
    let valid = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let request = bucket.client.get_object().bucket("acme-inbound").key("a");
    let request = request.presigned(valid).await;
    let request = request.map_err(|error| format!("{:?}", error.into_source()))?;
    let rest = request.uri().split_once("://").unwrap().1;
    Ok(rest.split('/').next().unwrap().to_owned())
}

fn key() -> AccessKey {
    AccessKey::new(Some(b"AKIDEXAMPLE"), Some(b"secret"), None).unwrap()
}

fn options(use_fips: bool, use_dual_stack: bool) -> AwsOptions {
    AwsOptions {
        use_fips,
        use_dual_stack,
        ..AwsOptions::default()
    }
}

/// Region; then the host as it is, with FIPS, with dual-stack, and with both; empty where AWS has none.
const HOSTS: [(&str, [&str; 4]); 4] = [
    (
        "eu-west-1",
        [
            "s3.eu-west-1.amazonaws.com",
            "s3-fips.eu-west-1.amazonaws.com",
            "s3.dualstack.eu-west-1.amazonaws.com",
            "s3-fips.dualstack.eu-west-1.amazonaws.com",
        ],
    ),
    (
        "us-east-1",
        [
            "s3.us-east-1.amazonaws.com",
            "s3-fips.us-east-1.amazonaws.com",
            "s3.dualstack.us-east-1.amazonaws.com",
            "s3-fips.dualstack.us-east-1.amazonaws.com",
        ],
    ),
    (
        "us-gov-west-1",
        [
            "s3.us-gov-west-1.amazonaws.com",
            "s3-fips.us-gov-west-1.amazonaws.com",
            "s3.dualstack.us-gov-west-1.amazonaws.com",
            "s3-fips.dualstack.us-gov-west-1.amazonaws.com",
        ],
    ),
    (
        "cn-north-1",
        [
            "s3.cn-north-1.amazonaws.com.cn",
            "",
            "s3.dualstack.cn-north-1.amazonaws.com.cn",
            "",
        ],
    ),
];

#[tokio::test]
async fn hosts_follow_the_partition_and_the_settings_in_both_modes() {
    let identity = OwnIdentity::fixed(&key());
    for (region, hosts) in HOSTS {
        for (at, expected) in hosts.into_iter().enumerate() {
            let factory = ClientFactory::new(options(at % 2 == 1, at >= 2));
            for addressing in [Addressing::Path, Addressing::VirtualHosted] {
                let expected = match addressing {
                    Addressing::Path => expected.to_owned(),
                    Addressing::VirtualHosted => format!("acme-inbound.{expected}"),
                };
                let target = target(region, addressing);
                let theirs = factory.with_access_key(target.clone(), &key());
                let ours = factory.with_own_identity(target.try_into().unwrap(), &identity);
                for bucket in [theirs, ours] {
                    match host(&bucket).await {
                        Ok(host) => assert_eq!(host, expected, "{region} {at}"),
                        Err(error) => {
                            assert!(expected.ends_with('.') || expected.is_empty(), "{error}");
                            assert!(error.contains("FIPS"), "{region} {at}: {error}");
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_is_left_alone_by_the_settings() {
    let endpoint = Endpoint::parse("https://s3.example:9000", PlainHttp::Refused).unwrap();
    let factory = ClientFactory::new(AwsOptions {
        s3: Some(endpoint.clone()),
        ..options(true, true)
    });
    let aws = target("eu-west-1", Addressing::Path);
    let identity = OwnIdentity::fixed(&key());
    let ours = factory.with_own_identity(aws.clone().try_into().unwrap(), &identity);
    let store = Target {
        endpoint: Some(endpoint),
        ..aws
    };
    let theirs = factory.with_access_key(store, &key());
    for bucket in [ours, theirs] {
        assert_eq!(host(&bucket).await.as_deref(), Ok("s3.example:9000"));
    }
}

/// Notes where each request would go, and sends none.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Recorder {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().split('/').nth(2).unwrap_or_default();
        self.0.lock().unwrap().push(host.to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::user("recorded".into())))
    }
}

/// Region; then STS's host as it is, with FIPS, with dual-stack, and with both.
const STS_HOSTS: [(&str, [&str; 4]); 3] = [
    (
        "us-east-1",
        [
            "sts.us-east-1.amazonaws.com",
            "sts-fips.us-east-1.amazonaws.com",
            "sts.us-east-1.api.aws",
            "sts-fips.us-east-1.api.aws",
        ],
    ),
    (
        "us-gov-west-1",
        [
            "sts.us-gov-west-1.amazonaws.com",
            "sts.us-gov-west-1.amazonaws.com",
            "sts.us-gov-west-1.api.aws",
            "sts-fips.us-gov-west-1.api.aws",
        ],
    ),
    (
        "cn-north-1",
        [
            "sts.cn-north-1.amazonaws.com.cn",
            "sts-fips.cn-north-1.amazonaws.com.cn",
            "sts.cn-north-1.api.amazonwebservices.com.cn",
            "sts-fips.cn-north-1.api.amazonwebservices.com.cn",
        ],
    ),
];

#[tokio::test]
async fn sts_is_asked_in_our_own_region_as_the_settings_say() {
    for (region, hosts) in STS_HOSTS {
        for (at, expected) in hosts.into_iter().enumerate() {
            let recorder = Recorder::default();
            let connector = SharedHttpConnector::new(recorder.clone());
            let factory = ClientFactory {
                http: http_client_fn(move |_, _| connector.clone()),
                ..ClientFactory::new(options(at % 2 == 1, at >= 2))
            };
            let identity = OwnIdentity {
                region: region.parse().unwrap(),
                ..OwnIdentity::fixed(&key())
            };
            let sts = factory.sts(&identity);
            let asked = sts.assume_role().role_arn("r").role_session_name("s");
            assert!(asked.send().await.is_err());
            assert_eq!(*recorder.0.lock().unwrap(), [expected], "{region} {at}");
        }
    }
}
