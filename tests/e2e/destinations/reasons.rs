//! Every reason of a destination, reached: by the real server where it can say it, else by the bytes that AWS
//! documents, said by a proxy before it.

use std::collections::BTreeSet;

use outbound_operator::api::DestinationReason;
use serde_json::Value;

use super::{access_key, cross_account, proxy};
use crate::support::dialects::{Checksums, Conditions, Dialects};
use crate::support::proxy::{At, Deed, Fault, Kind, Proxy, Refusal};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Credentials, S3Server, World};

/// Reasons that need more than this world has, and the test that reaches each: its file and its name.
const ELSEWHERE: [(&str, &str, &str); 4] = [
    (
        "RoleNotAllowed",
        "tests/e2e/roles/closed.rs",
        "a_role_that_the_namespace_was_not_given_is_not_even_asked",
    ),
    (
        "RoleNotAssumable",
        "tests/e2e/roles/closed.rs",
        "each_side_that_is_missing_is_told",
    ),
    (
        "TrustTooOpen",
        "tests/e2e/roles/trusted.rs",
        "a_role_that_asks_for_no_external_id_is_warned_of_and_stays_ready",
    ),
    // This world's schema refuses it.
    (
        "SpecInvalid",
        "src/controllers/destination/resolve.rs",
        "what_the_schema_should_have_refused_has_its_own_reason",
    ),
];

/// How a destination comes to its reason.
enum Way {
    /// The destination differs from a good one.
    Change(&'static str),
    /// The Secret's content.
    Secret(&'static str),
    /// Who signs.
    Signs(Who),
    /// What the store says to the proof's first call.
    Says(u16, &'static str, &'static str),
    /// What happens to that call.
    Meets(Deed),
    /// A store that compares no checksum.
    NoChecksum,
    /// The port answers no TLS.
    NoTls,
    /// CrossAccount to a bucket that isn't given to the namespace.
    NotGiven,
}

#[derive(Clone, Copy)]
enum Who {
    Stranger,
    UnknownId,
    WrongSecret,
}

/// One case for each reason, and more where several answers lead to one.
fn table() -> Vec<(&'static str, Way)> {
    use Way::{Change, Meets, NoChecksum, NoTls, NotGiven, Says, Secret, Signs};
    let skewed = "The difference between the request time and the current time is too large.";
    let off = "The bucket does not allow ACLs";
    vec![
        ("Verified", Change("")),
        ("Verifying", Meets(Deed::Stall(3_600_000))),
        ("Suspended", Change("suspend: true")),
        (
            "SecretNotFound",
            Change("accessKey: {secretRef: {name: never-made}}"),
        ),
        ("SecretKeyMissing", Secret("{accessKeyId: AKIDEXAMPLE}")),
        (
            "SecretInvalid",
            Secret(r#"{accessKeyId: AKIDEXAMPLE, secretAccessKey: "a\n"}"#),
        ),
        ("InvalidAccessKeyId", Signs(Who::UnknownId)),
        (
            "InvalidAccessKeyId",
            Says(400, "ExpiredToken", "The provided token has expired."),
        ),
        ("SignatureDoesNotMatch", Signs(Who::WrongSecret)),
        ("AccessDenied", Signs(Who::Stranger)),
        (
            "AccessDenied",
            Says(
                403,
                "AllAccessDisabled",
                "All access to this object has been disabled",
            ),
        ),
        (
            "AccessDenied",
            Says(
                400,
                "InvalidStorageClass",
                "The storage class you specified is not valid",
            ),
        ),
        ("BucketNotFound", Change("bucket: never-made")),
        (
            "BucketOwnerMismatch",
            Change("bucketOwner: \"333333333333\""),
        ),
        ("RegionMismatch", Change("region: eu-west-1")),
        (
            "RegionMismatch",
            Says(
                301,
                "PermanentRedirect",
                "The bucket must be addressed elsewhere.",
            ),
        ),
        (
            "KmsAccessDenied",
            Says(400, "KMS.NotFoundException", "Key 'arn' does not exist"),
        ),
        (
            "KmsAccessDenied",
            Says(400, "KMS.DisabledException", "arn is disabled."),
        ),
        (
            "KmsAccessDenied",
            Says(
                400,
                "KMS.KMSInvalidStateException",
                "arn is pending deletion.",
            ),
        ),
        (
            "KmsAccessDenied",
            Says(
                400,
                "kms:KeyNotFound",
                "key with given key ID does not exist",
            ),
        ),
        (
            "AclNotAllowed",
            Says(400, "AccessControlListNotSupported", off),
        ),
        ("ClockSkew", Says(403, "RequestTimeTooSkewed", skewed)),
        ("EndpointNotAllowed", Change("endpoint: http://127.0.0.1:9")),
        ("BucketNotAllowed", NotGiven),
        ("ChecksumUnsupported", NoChecksum),
        ("EndpointUnreachable", Meets(Deed::Drop)),
        ("TlsFailure", NoTls),
        (
            "Throttled",
            Says(503, "SlowDown", "Please reduce your request rate."),
        ),
    ]
}

#[test]
fn the_table_has_every_reason() {
    let reached: BTreeSet<&str> = table().into_iter().map(|(reason, _)| reason).collect();
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(reason, ..)| *reason).collect();
    for (reason, file, test) in ELSEWHERE {
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(path).unwrap();
        assert!(
            source.contains(&format!("fn {test}(")),
            "{file} has no {test}"
        );
        assert!(
            source.contains(&format!("\"{reason}\"")),
            "{test} doesn't say {reason}"
        );
    }
    let all: BTreeSet<&str> = DestinationReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    assert_eq!(
        reached.union(&elsewhere).copied().collect::<BTreeSet<_>>(),
        all
    );
    assert_eq!(reached.intersection(&elsewhere).count(), 0);
}

/// What must live as long as the destinations.
#[derive(Default)]
struct Stores {
    proxies: Vec<Proxy>,
    dialects: Vec<Dialects>,
}

impl Stores {
    /// The store that a case needs beside the world's own: its URL.
    async fn url(&mut self, s3: &S3Server, way: &Way) -> Option<String> {
        let deed = match way {
            Way::Says(status, code, words) => Deed::Refuse(Refusal::new(*status, code, words)),
            Way::Meets(deed) => deed.clone(),
            Way::NoChecksum => {
                let server = s3.url().strip_prefix("http://").unwrap();
                let owner = s3.client(&s3.customer());
                let (checksums, conditions) = (Checksums::NoneAtAll, Conditions::Honoured);
                let store = Dialects::before(server, owner, checksums, conditions).await;
                let url = store.endpoint();
                self.dialects.push(store);
                return Some(url);
            }
            Way::NoTls => return Some(s3.url().replace("http:", "https:")),
            _ => return None,
        };
        let at = At {
            kind: Kind::ProofCreate,
            n: 1,
            times: u32::MAX,
        };
        let proxy = proxy(s3, vec![Fault { at, deed }]).await;
        let url = proxy.url();
        self.proxies.push(proxy);
        Some(url)
    }
}

/// Applies the destination `name` that comes to its reason by `way`.
fn apply(world: &World, name: &str, way: &Way, url: Option<&str>, users: &[Credentials; 2]) {
    let [writer, stranger] = users;
    let mut who = writer.clone();
    let mut change = url
        .map(|url| format!("endpoint: {url}"))
        .unwrap_or_default();
    match way {
        Way::Change(fields) => change = (*fields).to_owned(),
        Way::Signs(Who::Stranger) => who = stranger.clone(),
        Way::Signs(Who::UnknownId) => who.access_key = "AKIDUNKNOWN".to_owned(),
        Way::Signs(Who::WrongSecret) => who.secret_key = "wrong".to_owned(),
        Way::NotGiven => {
            world.apply(&cross_account(
                world,
                name,
                &world.bucket,
                "prefix: elsewhere/",
            ));
            return;
        }
        Way::Secret(data) => {
            world.apply(&format!(
                "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, stringData: {data}}}"
            ));
            world.apply(&access_key(world, name, &world.bucket, ""));
            return;
        }
        Way::Says(..) | Way::Meets(_) | Way::NoChecksum | Way::NoTls => {}
    }
    world.secret(name, &who);
    world.apply(&access_key(world, name, &world.bucket, &change));
}

/// The status of Ready that a reason comes with. What may pass by itself is Unknown before it is False.
fn goes_with(reason: &str, ready: &Value) -> bool {
    let status = ready["status"].as_str().unwrap();
    match reason {
        "Verified" => status == "True",
        "Verifying" | "Suspended" => status == "Unknown",
        "EndpointUnreachable" | "TlsFailure" | "Throttled" => status != "True",
        _ => status == "False",
    }
}

#[tokio::test]
async fn every_reason_is_reached() {
    let s3 = S3Server::shared();
    let mut stores = Stores::default();
    let mut cases = Vec::new();
    for (reason, way) in table() {
        let url = stores.url(&s3, &way).await;
        cases.push((reason, way, url));
    }
    let named = cases.iter().filter_map(|(_, _, url)| url.clone());
    let urls: Vec<String> = named.chain([s3.url().to_owned()]).collect();
    let world = World::start_with("reasons", &s3, |config| {
        config.with("endpoints.allow", urls)
    })
    .await;
    let users = [s3.user("writer"), s3.user("stranger")];
    world.bucket.grant(&users[0], PREFIX, &WRITE_ACTIONS).await;
    for (place, (_, way, url)) in cases.iter().enumerate() {
        apply(&world, &format!("d{place}"), way, url.as_deref(), &users);
    }
    for (place, (reason, ..)) in cases.iter().enumerate() {
        let ready = world
            .reason("obdest", &format!("d{place}"), "Ready", reason)
            .await;
        assert!(goes_with(reason, &ready), "d{place} {reason}: {ready:#}");
        let message = ready["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && message.len() <= 2048,
            "{reason}: {message}"
        );
    }
}
