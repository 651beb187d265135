//! Secrets and access keys that can't be used.

use super::{access_key, nothing_is_left, refused, requests_by, verified};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Credentials, World};

fn secret(world: &World, name: &str, data: &str) {
    world.apply(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, stringData: {data}}}"
    ));
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table is as long as its cases")]
async fn a_secret_that_cannot_be_used_is_told_and_never_shown() {
    const ID: &str = "AKIDNEVERSHOWN";
    const KEY: &str = "hunter2-never-shown";
    let world = World::start("secrets").await;
    // We may write there, but an AccessKey destination must never do so as us.
    let us = world.s3.us();
    world.bucket.grant(&us, PREFIX, &WRITE_ACTIONS).await;
    secret(&world, "no-secret-key", &format!("{{accessKeyId: {ID}}}"));
    secret(&world, "no-key-id", &format!("{{secretAccessKey: {KEY}}}"));
    secret(
        &world,
        "newline",
        &format!("{{accessKeyId: {ID}, secretAccessKey: \"{KEY}\\n\"}}"),
    );
    secret(
        &world,
        "newline-id",
        &format!("{{accessKeyId: \"{ID}\\n\", secretAccessKey: {KEY}}}"),
    );
    secret(
        &world,
        "empty",
        &format!("{{accessKeyId: {ID}, secretAccessKey: \"\"}}"),
    );
    let cases: [(&str, &str, &[&str]); 6] = [
        (
            "absent",
            "SecretNotFound",
            &[
                "no Secret absent",
                world.namespace.name(),
                "create it with the keys accessKeyId and secretAccessKey",
            ],
        ),
        (
            "no-secret-key",
            "SecretKeyMissing",
            &[
                "Secret no-secret-key",
                "the key secretAccessKey is missing",
                "whoever keeps the Secret must",
            ],
        ),
        (
            "no-key-id",
            "SecretKeyMissing",
            &["the key accessKeyId is missing"],
        ),
        (
            "newline",
            "SecretInvalid",
            &[
                "the value of secretAccessKey ends with a newline",
                "write it without one",
            ],
        ),
        (
            "newline-id",
            "SecretInvalid",
            &["the value of accessKeyId ends with a newline"],
        ),
        (
            "empty",
            "SecretInvalid",
            &["the value of secretAccessKey is empty"],
        ),
    ];
    for (name, _, _) in cases {
        world.apply(&access_key(&world, name, &world.bucket, ""));
    }
    for (name, reason, words) in cases {
        refused(&world, name, reason, words).await;
        let said = format!("{:?}{}", world.events(name), world.get("obdest", name));
        assert!(!said.contains(ID) && !said.contains(KEY), "{said}");
    }
    let log = world.operator.log();
    assert!(!log.contains(ID) && !log.contains(KEY), "{log}");
    assert_eq!(requests_by(&world.bucket, &us.access_key), 0);
    nothing_is_left(&world.bucket).await;
}

#[tokio::test]
async fn a_wrong_key_id_and_a_wrong_secret_are_told_apart() {
    let world = World::start("keys").await;
    let user = world.s3.user("writer");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    let unknown = Credentials {
        access_key: "AKIDUNKNOWN".to_owned(),
        ..user.clone()
    };
    let wrong = Credentials {
        secret_key: "wrong-never-shown".to_owned(),
        ..user.clone()
    };
    world.secret("unknown", &unknown);
    world.secret("wrong", &wrong);
    for name in ["unknown", "wrong"] {
        world.apply(&access_key(&world, name, &world.bucket, ""));
    }
    let words = [
        "The store does not know the customer's access key",
        world.bucket.name(),
        world.s3.url(),
    ];
    refused(&world, "unknown", "InvalidAccessKeyId", &words).await;
    let words = [
        "The secret of the customer's access key does not belong to its access key id",
        "403",
    ];
    refused(&world, "wrong", "SignatureDoesNotMatch", &words).await;
    let said = format!(
        "{:?}{}{}",
        world.events("wrong"),
        world.get("obdest", "wrong"),
        world.operator.log()
    );
    assert!(
        !said.contains("wrong-never-shown") && !said.contains(&user.secret_key),
        "{said}"
    );
    nothing_is_left(&world.bucket).await;

    // The Secret's keeper corrects it, and asks.
    world.secret("wrong", &user);
    world.request("obdest", "wrong", "corrected").await;
    verified(&world, "wrong").await;
}

#[tokio::test]
async fn an_access_key_destination_never_falls_back_to_our_identity() {
    let world = World::start("fallback").await;
    let us = world.s3.us();
    world.bucket.grant(&us, PREFIX, &WRITE_ACTIONS).await;
    let stranger = world.s3.user("stranger");
    world.secret("acme", &stranger);
    world.apply(&access_key(&world, "acme", &world.bucket, ""));
    refused(
        &world,
        "acme",
        "AccessDenied",
        &[
            "for the IAM user of this access key",
            "status.grant.identityPolicy",
        ],
    )
    .await;
    assert_eq!(requests_by(&world.bucket, &us.access_key), 0);
    assert!(requests_by(&world.bucket, &stranger.access_key) > 0);
    let status = &world.get("obdest", "acme")["status"];
    assert!(status.get("identity").is_none(), "{status:#}");
}

/// With the next proof an hour away, only a watch can notice.
#[tokio::test]
async fn a_changed_secret_is_noticed_at_once_where_secrets_are_watched() {
    let s3 = crate::support::S3Server::shared();
    let world = World::start_with("watched", &s3, |config| config.with("secrets", "Watch")).await;
    let user = world.access_key_destination("acme", "").await;
    world.condition("obdest", "acme", "Ready", "True").await;
    let wrong = Credentials {
        access_key: user.access_key.clone(),
        secret_key: "another".to_owned(),
    };
    world.secret("acme", &wrong);
    let reason = "SignatureDoesNotMatch";
    world.reason("obdest", "acme", "Ready", reason).await;
    world.secret("acme", &user);
    world.condition("obdest", "acme", "Ready", "True").await;
}
