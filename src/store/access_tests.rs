//! The proof against a real S3 server: what it finds, and that it leaves nothing.

use serde_json::{Value, json};

use super::*;
use crate::dialects::{Checksums, Conditions, Dialects};
use crate::store::target::{Acl, Target};
use crate::store::testserver::{
    BUCKET, OURS, OWNER, PREFIX, Parrot, TestServer, at, free_address, key, target_at,
};
use crate::store::{
    AccessKey, AwsOptions, ClientFactory, Endpoint, GrantRequest, PlainHttp, ReadBack,
    bucket_policy,
};

const STRANGER: &str = "AKIDSTRANGER";

fn us() -> Caller {
    Caller::Own {
        principal_arn: OURS.to_owned(),
    }
}

/// What we send across accounts: the owner pinned, the ACL on.
fn across(server: &TestServer) -> Target {
    let bucket_owner = Some(OWNER.parse().unwrap());
    Target {
        bucket_owner,
        acl: Acl::BucketOwnerFullControl,
        ..server.target()
    }
}

/// The one statement of the policy that we print for `target`.
fn printed(target: &Target) -> Value {
    let policy = bucket_policy(&GrantRequest::new(target, ReadBack::WriteOnly), OURS);
    let mut policy: Value = serde_json::from_str(&policy).unwrap();
    policy["Statement"][0].take()
}

fn statement(effect: &str, actions: &[&str]) -> Value {
    json!({"Effect": effect, "Principal": {"AWS": OURS}, "Action": actions,
        "Resource": format!("arn:aws:s3:::{BUCKET}/{PREFIX}*")})
}

#[track_caller]
fn assert_refused(proof: Proof, expected: Refusal, words: &[&str]) {
    let Proof::Refused { refusal, message } = proof else {
        panic!("not refused: {proof:?}")
    };
    assert_eq!(refusal, expected, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

#[track_caller]
fn assert_transient(proof: Proof, expected: Refusal) {
    let Proof::Transient { refusal, message } = proof else {
        panic!("not transient: {proof:?}")
    };
    assert_eq!(refusal, expected, "{message}");
    assert!(message.contains(BUCKET), "{message}");
}

async fn proved(bucket: &Bucket, caller: &Caller) -> Proof {
    prove(bucket, RegionSource::Named, caller).await.proof
}

fn verified(region: &str) -> Proof {
    Proof::Verified {
        region: region.parse().unwrap(),
        dialect: Dialect::Crc64Nvme,
    }
}

#[test]
fn the_longest_prefix_has_room_for_the_rehearsal() {
    let prefix = crate::plan::KeyPrefix::new(format!("{}/", "p".repeat(511))).unwrap();
    let target = Target {
        prefix,
        ..target_at(at("http", free_address()))
    };
    let key = super::super::rehearsal::key(&target);
    assert!(
        key.without(&target.prefix)
            .starts_with(".outbound-access-check-")
    );
    assert_ne!(key, super::super::rehearsal::key(&target));
}

#[tokio::test]
async fn verified_with_the_customers_key() {
    let server = TestServer::start().await;
    let bucket = server.with_key(server.target(), &key(OWNER));
    assert_eq!(
        proved(&bucket, &Caller::AccessKey).await,
        verified("us-east-1")
    );
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn verified_as_ourselves_by_the_printed_policy() {
    let server = TestServer::start().await;
    let target = across(&server);
    server.set_policy(&[printed(&target)]).await;
    assert_eq!(
        proved(&server.as_us(target), &us()).await,
        verified("us-east-1")
    );
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn a_grant_on_another_prefix_is_none() {
    let server = TestServer::start().await;
    let target = across(&server);
    let elsewhere = crate::plan::KeyPrefix::new("other/").unwrap();
    server
        .set_policy(&[printed(&Target {
            prefix: elsewhere,
            ..target.clone()
        })])
        .await;
    let proof = proved(&server.as_us(target), &us()).await;
    let arn = format!("arn:aws:s3:::{BUCKET}/{PREFIX}*");
    assert_refused(
        proof,
        Refusal::AccessDenied,
        &["s3:PutObject", &arn, OURS, "VPC endpoint"],
    );
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn wrong_keys_secrets_and_strangers() {
    let server = TestServer::start().await;
    server.create_user(STRANGER);
    let wrong_secret = AccessKey::new(Some(OWNER.as_bytes()), Some(b"hunter2"), None).unwrap();
    for (key, refusal, word) in [
        (
            key("AKIDNOBODY"),
            Refusal::InvalidAccessKeyId,
            "does not know the customer's access key",
        ),
        (wrong_secret, Refusal::SignatureDoesNotMatch, "secret"),
        (key(STRANGER), Refusal::AccessDenied, "identityPolicy"),
    ] {
        let bucket = server.with_key(server.target(), &key);
        let first = proved(&bucket, &Caller::AccessKey).await;
        // The same cause says the same, or each proof would change the condition.
        assert_eq!(proved(&bucket, &Caller::AccessKey).await, first);
        let printed = format!("{first:?}");
        assert!(
            !printed.contains("hunter2") && !printed.contains("secret-of"),
            "{printed}"
        );
        assert_refused(first, refusal, &[word, "CreateMultipartUpload", "403"]);
    }
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn a_missing_bucket() {
    let server = TestServer::start().await;
    let target = Target {
        bucket: "acme-gone".parse().unwrap(),
        ..server.target()
    };
    let proof = proved(&server.with_key(target, &key(OWNER)), &Caller::AccessKey).await;
    assert_refused(
        proof,
        Refusal::BucketNotFound,
        &["acme-gone", "404 NoSuchBucket"],
    );
}

#[tokio::test]
async fn a_bucket_of_another_account() {
    let server = TestServer::start().await;
    let bucket_owner = Some("333333333333".parse().unwrap());
    let target = Target {
        bucket_owner,
        ..across(&server)
    };
    server.set_policy(&[printed(&target)]).await;
    let proof = proved(&server.as_us(target), &us()).await;
    assert_refused(
        proof,
        Refusal::BucketOwnerMismatch,
        &["333333333333", BUCKET],
    );
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn a_region_is_learned_or_told() {
    let server = TestServer::start().await;
    let target = Target {
        region: "eu-west-1".parse().unwrap(),
        ..server.target()
    };
    let bucket = server.with_key(target, &key(OWNER));
    let guessed = prove(&bucket, RegionSource::Guessed, &Caller::AccessKey)
        .await
        .proof;
    assert_eq!(guessed, verified("us-east-1"));
    let named = proved(&bucket, &Caller::AccessKey).await;
    assert_refused(named, Refusal::RegionMismatch, &["in us-east-1"]);
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn a_server_that_is_down_or_untrusted() {
    let factory = ClientFactory::new(AwsOptions::default());
    for scheme in ["http", "https"] {
        let down = factory.with_access_key(target_at(at(scheme, free_address())), &key(OWNER));
        assert_transient(
            proved(&down, &Caller::AccessKey).await,
            Refusal::EndpointUnreachable,
        );
    }
    let nowhere =
        crate::store::Endpoint::parse("https://s3.invalid", crate::store::PlainHttp::Refused);
    let nowhere = factory.with_access_key(target_at(nowhere.unwrap()), &key(OWNER));
    assert_transient(
        proved(&nowhere, &Caller::AccessKey).await,
        Refusal::EndpointUnreachable,
    );

    let server = TestServer::start_untrusted();
    let untrusted = server.with_key(server.target(), &key(OWNER));
    assert_transient(
        proved(&untrusted, &Caller::AccessKey).await,
        Refusal::TlsFailure,
    );

    let plain = TestServer::start().await;
    let https = plain.endpoint().as_str().replace("http:", "https:");
    let https = Endpoint::parse(&https, PlainHttp::Refused).unwrap();
    let no_tls = factory.with_access_key(target_at(https), &key(OWNER));
    assert_transient(
        proved(&no_tls, &Caller::AccessKey).await,
        Refusal::TlsFailure,
    );
}

#[tokio::test]
async fn servers_that_fail_throttle_or_are_no_s3() {
    let factory = ClientFactory::new(AwsOptions::default());
    for (status, code, refusal) in [
        ("503 Slow Down", "SlowDown", Refusal::Throttled),
        ("500 Oops", "InternalError", Refusal::EndpointUnreachable),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        let server = Parrot::saying(status, "", &body).await;
        let bucket = factory.with_access_key(target_at(server.endpoint()), &key(OWNER));
        assert_transient(proved(&bucket, &Caller::AccessKey).await, refusal);
        assert_eq!(server.heard().len(), 1, "the SDK retries nothing");
    }
    let server = Parrot::saying("404 Not Found", "", "<html>nothing here</html>").await;
    let bucket = factory.with_access_key(target_at(server.endpoint()), &key(OWNER));
    let proof = proved(&bucket, &Caller::AccessKey).await;
    assert_refused(
        proof,
        Refusal::EndpointUnreachable,
        &["404", "No S3 answers"],
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Parrot::saying("200 OK", "", "").await;
    let header = format!(
        "Location: {}/\r\nx-amz-bucket-region: eu-central-1\r\n",
        elsewhere.endpoint().as_str()
    );
    let body = "<Error><Code>PermanentRedirect</Code><Message>m</Message></Error>";
    let server = Parrot::saying("301 Moved", &header, body).await;
    let factory = ClientFactory::new(AwsOptions::default());
    let bucket = factory.with_access_key(target_at(server.endpoint()), &key(OWNER));
    let proof = proved(&bucket, &Caller::AccessKey).await;
    assert_refused(proof, Refusal::RegionMismatch, &["eu-central-1"]);
    assert_eq!(elsewhere.heard().len(), 0);
}

#[tokio::test]
async fn a_refused_abort_is_told_and_not_repeated() {
    let server = TestServer::start().await;
    let target = across(&server);
    let no_abort = statement("Deny", &["s3:AbortMultipartUpload"]);
    server.set_policy(&[printed(&target), no_abort]).await;
    let bucket = server.as_us(target.clone());
    let Proof::Orphaned { message, .. } = proved(&bucket, &us()).await else {
        panic!("an Abort that is refused leaves an orphan");
    };
    for word in ["s3:AbortMultipartUpload", "stays open", OURS] {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(server.leftovers().await, (1, 0));
    assert!(!may_abort(&bucket).await);
    server.set_policy(&[printed(&target)]).await;
    assert!(may_abort(&bucket).await);
}

#[tokio::test]
async fn no_probe_where_abort_is_not_known_to_work() {
    let server = TestServer::start().await;
    let target = across(&server);
    // Without the ACL a Create would work, and leave an upload that nobody may abort.
    let mut no_acl = statement("Deny", &["s3:PutObject"]);
    no_acl["Condition"] = json!({"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}});
    server
        .set_policy(&[statement("Allow", &["s3:PutObject"]), no_acl])
        .await;
    let proof = proved(&server.as_us(target), &us()).await;
    assert_refused(proof, Refusal::AccessDenied, &["s3:AbortMultipartUpload"]);
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn taking_the_acl_away_tells_that_it_is_refused() {
    let server = TestServer::start().await;
    let target = across(&server);
    let mut no_acl = statement("Deny", &["s3:PutObject"]);
    no_acl["Condition"] = json!({"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}});
    server.set_policy(&[printed(&target), no_acl]).await;
    let proof = proved(&server.as_us(target), &us()).await;
    assert_refused(
        proof,
        Refusal::AclNotAllowed,
        &["s3:PutObjectAcl", "acl must be None"],
    );
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn a_denied_put_where_abort_works() {
    let server = TestServer::start().await;
    let target = across(&server);
    server
        .set_policy(&[printed(&target), statement("Deny", &["s3:PutObject"])])
        .await;
    let proof = proved(&server.as_us(target), &us()).await;
    assert_refused(
        proof,
        Refusal::AccessDenied,
        &["allow s3:PutObject on", "bucketPolicy"],
    );
    assert_eq!(server.leftovers().await, (0, 0));
}

#[tokio::test]
async fn the_dialect_is_what_the_store_verifies() {
    let server = TestServer::start().await;
    let authority = server
        .endpoint()
        .as_str()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    for (checksums, dialect) in [
        (Checksums::All, Some(Dialect::Crc64Nvme)),
        (Checksums::NoCrc64, Some(Dialect::Crc32c)),
        (Checksums::NoHeaders, Some(Dialect::ContentMd5)),
        (Checksums::Ignored, Some(Dialect::ContentMd5)),
        (Checksums::NoneAtAll, None),
    ] {
        let (owner, conditions) = (server.owner(), Conditions::Honoured);
        let store = Dialects::before(&authority, owner, checksums, conditions).await;
        let endpoint = Endpoint::parse(&store.endpoint(), PlainHttp::Allowed).unwrap();
        let bucket = server.with_key(target_at(endpoint), &key(OWNER));
        let proof = proved(&bucket, &Caller::AccessKey).await;
        match dialect {
            Some(dialect) => {
                let region = "us-east-1".parse().unwrap();
                assert_eq!(proof, Proof::Verified { region, dialect }, "{checksums:?}");
            }
            None => assert_refused(
                proof,
                Refusal::ChecksumUnsupported,
                &["CRC32C", "Content-MD5"],
            ),
        }
        assert_eq!(server.leftovers().await, (0, 0), "{checksums:?}");
    }
}
