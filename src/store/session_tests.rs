//! An AWS of one role, in this process: an STS that trusts or doesn't, and an S3 that takes its sessions only.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;

use super::*;
use crate::plan::{ObjectKey, PartNumber};
use crate::store::testserver::{OURS, PREFIX, at, key, target_at};
use crate::store::{
    AwsOptions, AwsTarget, Bucket, ClientFactory, Endpoint, ExternalId, OwnIdentity, PartBody,
    PartChecksum, PlainHttp, Refusal, RoleProof, SessionName, Target, Trust, UploadId, prove_role,
};

const ROLE: &str = "arn:aws:iam::111111111111:role/drop";

/// What the role's trust policy asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trusts {
    OurExternalId,
    Anybody,
    Nobody,
}

struct State {
    trusts: Trusts,
    /// Seconds that a session lasts.
    lifetime: i64,
    /// The answer to the next calls of STS, in place of a decision.
    says: Option<(u16, &'static str)>,
    /// Sessions that S3 takes: those that were issued since this number.
    valid_from: usize,
    /// The bodies of STS's requests.
    asked: Vec<String>,
    issued: usize,
    /// The tokens and paths that S3 saw.
    stored: Vec<(String, String)>,
}

struct OneRole {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for OneRole {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl OneRole {
    async fn start(trusts: Trusts) -> Self {
        let state = Arc::new(Mutex::new(State {
            trusts,
            lifetime: 3600,
            says: None,
            valid_from: 0,
            asked: Vec::new(),
            issued: 0,
            stored: Vec::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serves = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = serves.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().asked.len()
    }

    fn bucket(&self) -> Bucket {
        let endpoint = at("http", self.address);
        let factory = ClientFactory::new(AwsOptions {
            s3: Some(endpoint.clone()),
            sts: Some(endpoint.clone()),
            ..AwsOptions::default()
        });
        let target = AwsTarget::try_from(Target {
            endpoint: None,
            ..target_at(endpoint)
        });
        let request = RoleRequest {
            role: ROLE.parse().unwrap(),
            external_id: ExternalId::issue("test", "marketing", "acme"),
            session_name: SessionName::of("marketing", "acme"),
        };
        factory.with_role(target.unwrap(), &OwnIdentity::fixed(&key(OURS)), request)
    }
}

fn reply(status: u16, body: String) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("etag", "\"e\"")
        .body(Full::new(body.into()))
        .unwrap()
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut state = state.lock().unwrap();
    if head.uri.path() == "/" {
        return Ok(sts(&mut state, String::from_utf8_lossy(&body).into_owned()));
    }
    let token = head.headers["x-amz-security-token"].to_str().unwrap();
    let number: usize = token.trim_start_matches("token-").parse().unwrap();
    state.stored.push((token.to_owned(), head.uri.to_string()));
    if number < state.valid_from {
        let said = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
        return Ok(reply(400, said.to_owned()));
    }
    Ok(reply(200, "<ListPartsResult/>".to_owned()))
}

fn sts(state: &mut State, body: String) -> Response<Full<Bytes>> {
    let trusted = match state.trusts {
        Trusts::Anybody => true,
        Trusts::Nobody => false,
        Trusts::OurExternalId => {
            let ours = ExternalId::issue("test", "marketing", "acme");
            body.contains(&format!("ExternalId={ours}"))
        }
    };
    state.asked.push(body);
    let (status, code) = state.says.unwrap_or((403, "AccessDenied"));
    if !trusted || state.says.is_some() {
        let said = "User: arn:aws:sts::222222222222:assumed-role/outbound/web-17 is not authorized";
        return reply(
            status,
            format!(
                "<ErrorResponse><Error><Code>{code}</Code><Message>{said}</Message></Error></ErrorResponse>"
            ),
        );
    }
    let expiration = Timestamp::from_second(Timestamp::now().as_second() + state.lifetime).unwrap();
    let number = state.issued;
    state.issued += 1;
    reply(
        200,
        format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIACANARY</AccessKeyId>\
             <SecretAccessKey>canary-secret</SecretAccessKey><SessionToken>token-{number}</SessionToken>\
             <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ),
    )
}

fn object() -> ObjectKey {
    ObjectKey::new(&crate::plan::KeyPrefix::new(PREFIX).unwrap(), "x").unwrap()
}

async fn list(bucket: &Bucket) -> Result<(), StoreError> {
    let upload = UploadId::new("u".to_owned());
    bucket.list_parts(&object(), &upload).await.map(drop)
}

async fn send(bucket: &Bucket) -> Result<(), StoreError> {
    let upload = UploadId::new("the-upload".to_owned());
    let (key, bytes) = (object(), Bytes::from_static(b"content"));
    let checksum = PartChecksum::over(bucket.capabilities().dialect, &bytes);
    let sent = bucket.upload_part(
        &key,
        &upload,
        PartNumber::FIRST,
        PartBody::Buffer(bytes),
        checksum,
    );
    sent.await.map(drop)
}

async fn proof(aws: &OneRole) -> RoleProof {
    prove_role(&aws.bucket(), OURS).await.unwrap()
}

#[tokio::test]
async fn a_role_is_proved_both_ways() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    assert_eq!(proof(&aws).await, RoleProof::Assumed(Trust::Closed));
    let asked = aws.state.lock().unwrap().asked.clone();
    let (with, without) = (&asked[0], &asked[1]);
    assert!(
        with.contains("RoleSessionName=outbound.marketing.acme"),
        "{with}"
    );
    assert!(with.contains("DurationSeconds=3600"), "{with}");
    assert!(!without.contains("ExternalId"), "{without}");
    assert!(
        without.contains("RoleArn=") && without.contains("Deny"),
        "{without}"
    );
}

#[tokio::test]
async fn a_role_that_asks_for_no_external_id_is_too_open() {
    let aws = OneRole::start(Trusts::Anybody).await;
    let RoleProof::Assumed(Trust::Open { message }) = proof(&aws).await else {
        panic!("the role is open");
    };
    let id = ExternalId::issue("test", "marketing", "acme");
    assert!(
        message.contains(id.as_str()) && message.contains(ROLE),
        "{message}"
    );
}

#[tokio::test]
async fn a_role_that_refuses_us_names_both_sides() {
    let aws = OneRole::start(Trusts::Nobody).await;
    let RoleProof::Refused { refusal, message } = proof(&aws).await else {
        panic!("the role refuses");
    };
    assert_eq!(refusal, Refusal::RoleNotAssumable);
    let id = ExternalId::issue("test", "marketing", "acme");
    for word in [
        ROLE,
        OURS,
        id.as_str(),
        "trustPolicy",
        "identityPolicy",
        "403 AccessDenied",
    ] {
        assert!(message.contains(word), "{word} in {message}");
    }
    assert!(!message.contains("web-17"), "{message}");
    assert_eq!(
        aws.asked(),
        1,
        "who is refused isn't asked without the external ID"
    );
}

#[tokio::test]
async fn what_sts_answers_has_the_classes_of_s3() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    for (status, code, refusal) in [
        (400, "Throttling", Refusal::Throttled),
        (503, "ServiceUnavailable", Refusal::EndpointUnreachable),
        (500, "InternalFailure", Refusal::EndpointUnreachable),
    ] {
        aws.set(|state| state.says = Some((status, code)));
        match proof(&aws).await {
            RoleProof::Transient { refusal: met, .. } => assert_eq!(met, refusal, "{code}"),
            other => panic!("{code}: {other:?}"),
        }
    }
    for (status, code, refusal) in [
        (403, "AccessDenied", Refusal::RoleNotAssumable),
        (403, "InvalidClientTokenId", Refusal::RoleNotAssumable),
        (403, "RegionDisabledException", Refusal::RoleNotAssumable),
        (400, "RequestExpired", Refusal::ClockSkew),
    ] {
        aws.set(|state| state.says = Some((status, code)));
        match proof(&aws).await {
            RoleProof::Refused { refusal: met, .. } => assert_eq!(met, refusal, "{code}"),
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_sts_that_is_gone_may_come_back() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    let bucket = aws.bucket();
    aws.task.abort();
    drop(aws);
    match prove_role(&bucket, OURS).await.unwrap() {
        RoleProof::Transient { refusal, message } => {
            assert_eq!(refusal, Refusal::EndpointUnreachable);
            assert!(message.contains("AssumeRole of"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_session_serves_all_requests_until_shortly_before_its_end() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    let bucket = aws.bucket();
    let all = futures::future::join_all((0..8).map(|_| list(&bucket)));
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(aws.asked(), 1);
    let session = bucket.session.as_ref().unwrap();
    let now = Instant::now();
    let minutes = |n: u64| now + Duration::from_secs(60 * n);
    session.current(minutes(50)).await.unwrap();
    assert_eq!(aws.asked(), 1);
    session.current(minutes(56)).await.unwrap();
    assert_eq!(aws.asked(), 2);
}

#[tokio::test]
async fn a_session_that_can_not_be_renewed_serves_to_its_end() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    let bucket = aws.bucket();
    let session = bucket.session.as_ref().unwrap();
    let now = Instant::now();
    let minutes = |n: u64| now + Duration::from_secs(60 * n);
    session.current(now).await.unwrap();
    aws.set(|state| state.says = Some((503, "ServiceUnavailable")));
    session.current(minutes(56)).await.unwrap();
    session.current(minutes(56)).await.unwrap();
    assert_eq!(aws.asked(), 2, "the next renewal waits a while");
    let over = session.current(minutes(61)).await.unwrap_err();
    assert_eq!(over.class, ErrorClass::Transient);
    aws.set(|state| state.says = None);
    session.current(minutes(61)).await.unwrap();
}

#[tokio::test]
async fn a_session_that_the_store_calls_over_is_renewed_and_the_same_upload_goes_on() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    let bucket = aws.bucket();
    send(&bucket).await.unwrap();
    aws.set(|state| state.valid_from = 1);
    let over = send(&bucket).await.unwrap_err();
    assert_eq!(
        (over.code.as_str(), over.class),
        ("ExpiredToken", ErrorClass::Transient)
    );
    send(&bucket).await.unwrap();
    // What is made from the bucket shares its session.
    let elsewhere = bucket.in_region("eu-west-1".parse().unwrap());
    list(&elsewhere).await.unwrap();
    assert_eq!(aws.asked(), 2);
    let state = aws.state.lock().unwrap();
    let tokens: Vec<_> = state
        .stored
        .iter()
        .map(|(token, _)| token.as_str())
        .collect();
    assert_eq!(tokens, ["token-0", "token-0", "token-1", "token-1"]);
    assert!(
        state.stored[..3]
            .iter()
            .all(|(_, uri)| uri.contains("uploadId=the-upload"))
    );
}

#[tokio::test]
async fn late_words_of_an_old_session_do_not_end_the_new_one() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    let bucket = aws.bucket();
    let before = Instant::now();
    list(&bucket).await.unwrap();
    let session = bucket.session.as_ref().unwrap();
    session.is_over(before);
    list(&bucket).await.unwrap();
    assert_eq!(aws.asked(), 1);
    session.is_over(Instant::now());
    list(&bucket).await.unwrap();
    assert_eq!(aws.asked(), 2);
}

#[tokio::test]
async fn a_role_that_is_closed_in_mid_upload_is_a_refusal_of_the_role() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    let bucket = aws.bucket();
    send(&bucket).await.unwrap();
    aws.set(|state| {
        state.valid_from = 1;
        state.trusts = Trusts::Nobody;
    });
    assert_eq!(
        send(&bucket).await.unwrap_err().class,
        ErrorClass::Transient
    );
    let refused = send(&bucket).await.unwrap_err();
    assert_eq!(refused.action, ACTION);
    assert_eq!(refused.class, ErrorClass::Terminal);
    assert_eq!(refused.refusal(), Some(Refusal::RoleNotAssumable));
}

#[tokio::test]
async fn nothing_of_a_session_is_printed() {
    let aws = OneRole::start(Trusts::OurExternalId).await;
    let bucket = aws.bucket();
    list(&bucket).await.unwrap();
    let provider = SessionProvider(bucket.session.clone().unwrap());
    let printed = format!("{bucket:?} {provider:?}");
    assert!(
        !printed.contains("canary") && !printed.contains("token-"),
        "{printed}"
    );
    assert!(!printed.contains("ASIACANARY"), "{printed}");
}

/// Where a client would go: it is stopped when it connects.
#[derive(Clone, Debug, Default)]
struct Nowhere(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Nowhere {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().unwrap().push(request.uri().to_owned());
        HttpConnectorFuture::ready(Err(ConnectorError::io("nowhere".into())))
    }
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn sts_is_the_one_of_our_own_region_as_configured() {
    let (fips, dual) = (true, true);
    for (region, use_fips, use_dual_stack, sts, expected) in [
        (
            "eu-west-1",
            !fips,
            !dual,
            None,
            "https://sts.eu-west-1.amazonaws.com/",
        ),
        (
            "us-east-1",
            !fips,
            !dual,
            None,
            "https://sts.us-east-1.amazonaws.com/",
        ),
        (
            "us-east-1",
            fips,
            !dual,
            None,
            "https://sts-fips.us-east-1.amazonaws.com/",
        ),
        (
            "eu-west-1",
            !fips,
            dual,
            None,
            "https://sts.eu-west-1.api.aws/",
        ),
        (
            "cn-north-1",
            !fips,
            !dual,
            None,
            "https://sts.cn-north-1.amazonaws.com.cn/",
        ),
        (
            "us-gov-west-1",
            !fips,
            !dual,
            None,
            "https://sts.us-gov-west-1.amazonaws.com/",
        ),
        (
            "eu-west-1",
            fips,
            dual,
            Some("https://sts.internal.example:8443"),
            "https://sts.internal.example:8443/",
        ),
    ] {
        let sts = sts.map(|url| Endpoint::parse(url, PlainHttp::Refused).unwrap());
        let factory = ClientFactory::new(AwsOptions {
            s3: None,
            sts,
            use_fips,
            use_dual_stack,
        });
        let identity = OwnIdentity {
            region: region.parse().unwrap(),
            ..OwnIdentity::fixed(&key(OURS))
        };
        let nowhere = Nowhere::default();
        let connects = nowhere.clone();
        let client = http_client_fn(move |_, _| SharedHttpConnector::new(connects.clone()));
        let call = factory
            .sts(&identity)
            .assume_role()
            .role_arn(ROLE)
            .role_session_name("x");
        let stopped = call
            .customize()
            .config_override(aws_sdk_sts::Config::builder().http_client(client));
        assert!(stopped.send().await.is_err());
        assert_eq!(*nowhere.0.lock().unwrap(), [expected], "{region}");
    }
}
