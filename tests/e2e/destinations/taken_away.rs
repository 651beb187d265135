//! Each right of the grant taken away in turn, on an AWS that evaluates policies: the report names that one,
//! and whose it is. Across accounts, with an ACL, tags and the customer's own KMS key.

use serde_json::{Value, json};

use super::permissions::{message, report, with_result};
use crate::support::aws::KmsKey;
use crate::support::wait::PATIENCE;
use crate::support::world::{PREFIX, find_condition};
use crate::support::{Account, Aws, AwsBucket, S3Server, World};

const REGION: &str = "eu-west-1";

struct Companies {
    world: World,
    aws: Aws,
    ours: Account,
    customer: Account,
    bucket: AwsBucket,
    key: KmsKey,
    /// Our own role's ARN.
    us: String,
    /// The grant, as the status shows it.
    grant: Value,
}

/// A policy of the grant, and what is done with it.
#[derive(Clone, Copy, Debug)]
enum Policy {
    Bucket,
    Key,
    Identity,
}

impl Companies {
    async fn start(topic: &str) -> Companies {
        let aws = Aws::shared();
        let (ours, customer) = (aws.account("aws"), aws.account("aws"));
        let us = ours.workload_role("outbound", &[]);
        let bucket = customer.bucket(REGION);
        let key = customer.kms_key(REGION, None);
        let session = aws.session(&us, "operator");
        let rule = json!({"bucket": bucket.name(), "owners": [customer.id], "prefixes": [PREFIX]});
        let world = World::start_with(topic, &S3Server::shared(), |config| {
            let identity = json!({"accountId": ours.id, "principalArn": us, "region": REGION});
            let config = config
                .with("identity", identity)
                .with(
                    "tenancy",
                    json!([{"namespaces": ["*"], "crossAccountBuckets": [rule]}]),
                )
                .with("endpoints.s3", aws.url());
            let environment = session.environment().into_iter();
            environment.fold(config, |config, (name, value)| {
                config.environment(name, &value)
            })
        })
        .await;
        world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: acme}}\n\
             spec:\n  bucket: {}\n  prefix: {PREFIX}\n  region: {REGION}\n  bucketOwner: \"{}\"\n  \
             permissionMode: CrossAccount\n  encryption: {{type: SSE-KMS, kmsKeyId: \"{}\"}}\n  \
             objectTags: [{{key: feed, value: audience}}]\n",
            bucket.name(),
            customer.id,
            key.arn
        ));
        let grant = |object: &Value| {
            let grant = &object["status"]["grant"];
            grant["keyPolicy"].is_string().then(|| grant.clone())
        };
        let what = "the grant is there";
        let grant = world
            .eventually(PATIENCE, what, "obdest", "acme", grant)
            .await;
        Companies {
            world,
            aws,
            ours,
            customer,
            bucket,
            key,
            us,
            grant,
        }
    }

    /// Pastes a policy of the grant, without `action` where one is named.
    fn paste(&self, policy: Policy, without: &str) {
        let name = match policy {
            Policy::Bucket => "bucketPolicy",
            Policy::Key => "keyPolicy",
            Policy::Identity => "identityPolicy",
        };
        let mut text: Value = serde_json::from_str(self.grant[name].as_str().unwrap()).unwrap();
        for statement in text["Statement"].as_array_mut().unwrap() {
            let actions = statement["Action"].as_array_mut().unwrap();
            actions.retain(|action| action != without);
        }
        let text = text.to_string();
        match policy {
            Policy::Bucket => self.bucket.paste_policy(&text),
            Policy::Key => self.key.set_policy(&text),
            Policy::Identity => self.aws.set_policies(&self.us, &[&text]),
        }
    }

    fn paste_all(&self) {
        for policy in [Policy::Bucket, Policy::Key, Policy::Identity] {
            self.paste(policy, "");
        }
    }

    async fn proved(&self, request: &str) -> Value {
        self.world.request("obdest", "acme", request).await
    }
}

fn ready(object: &Value) -> (&str, &str) {
    let ready = find_condition(object, "Ready").unwrap();
    (
        ready["status"].as_str().unwrap(),
        ready["reason"].as_str().unwrap(),
    )
}

/// What all of the grant allows, by the report.
const ALLOWED: [&str; 6] = [
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "s3:AbortMultipartUpload",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectTagging",
];

/// Takes each right away, and gives it back. Abort's is the last: without it the proof leaves an upload.
async fn each_is_named(companies: &Companies, policy: Policy, by: &str) {
    companies.paste_all();
    let rights: &[(&str, &str)] = match policy {
        Policy::Key => &[
            ("kms:GenerateDataKey", "KmsAccessDenied"),
            ("kms:Decrypt", "KmsAccessDenied"),
        ],
        Policy::Bucket | Policy::Identity => &[
            ("s3:PutObjectTagging", "AccessDenied"),
            ("s3:PutObjectAcl", "AclNotAllowed"),
            ("s3:PutObject", "AccessDenied"),
        ],
    };
    for (action, reason) in rights {
        companies.paste(policy, action);
        let object = companies
            .proved(&format!("without-{policy:?}-{action}").replace(':', "-"))
            .await;
        let shown = format!("{policy:?} {action}: {:#}", object["status"]);
        assert_eq!(ready(&object), ("False", *reason), "{shown}");
        assert_eq!(with_result(&object, "Denied"), [*action], "{shown}");
        assert_eq!(report(&object)[*action].1, by, "{shown}");
        let whole = find_condition(&object, "Ready").unwrap()["message"]
            .as_str()
            .unwrap();
        assert!(whole.contains(action), "{shown}");
        let line = message(&object, action);
        let named = match policy {
            Policy::Bucket => "status.grant.bucketPolicy",
            Policy::Key => "status.grant.keyPolicy",
            Policy::Identity => "status.grant.identityPolicy",
        };
        assert!(line.contains(named), "{shown}");
        companies.paste(policy, "");
        let object = companies
            .proved(&format!("with-{policy:?}-{action}").replace(':', "-"))
            .await;
        assert_eq!(
            ready(&object),
            ("True", "Verified"),
            "{:#}",
            object["status"]
        );
        assert_eq!(with_result(&object, "Allowed"), ALLOWED);
        assert_eq!(
            with_result(&object, "Unknown"),
            ["s3:ListMultipartUploadParts"]
        );
    }
    assert_eq!(companies.bucket.uploads().await, []);
}

#[tokio::test]
async fn each_right_is_named_though_strangers_are_told_nothing() {
    let companies = Companies::start("taken-bare").await;
    each_is_named(&companies, Policy::Bucket, "Unknown").await;
}

#[tokio::test]
async fn within_an_organisation_awss_words_tell_whose_it_is() {
    let companies = Companies::start("taken-words").await;
    companies.ours.join("o-example");
    companies.customer.join("o-example");
    each_is_named(&companies, Policy::Bucket, "Customer").await;
    each_is_named(&companies, Policy::Identity, "Us").await;
    each_is_named(&companies, Policy::Key, "Customer").await;
}

#[tokio::test]
async fn a_right_to_abort_is_named_last_and_leaves_one_upload() {
    let companies = Companies::start("taken-abort").await;
    companies.paste_all();
    companies.paste(Policy::Bucket, "s3:AbortMultipartUpload");
    let object = companies.proved("no-abort").await;
    assert_eq!(
        ready(&object),
        ("False", "AccessDenied"),
        "{:#}",
        object["status"]
    );
    assert_eq!(with_result(&object, "Denied"), ["s3:AbortMultipartUpload"]);
    assert_eq!(with_result(&object, "Allowed").len(), ALLOWED.len() - 1);
    companies.proved("no-abort-again").await;
    assert_eq!(companies.bucket.uploads().await.len(), 1);
}

/// The trap: a small PutObject would work, and each part of an upload is refused by the key.
#[tokio::test]
async fn a_key_that_does_not_decrypt_is_told_and_its_repair_is_noticed_by_itself() {
    let companies = Companies::start("trap").await;
    companies.paste_all();
    companies.paste(Policy::Key, "kms:Decrypt");
    let object = companies.proved("trapped").await;
    assert_eq!(
        ready(&object),
        ("False", "KmsAccessDenied"),
        "{:#}",
        object["status"]
    );
    let whole = find_condition(&object, "Ready").unwrap()["message"]
        .as_str()
        .unwrap();
    for word in [
        "UploadPart",
        "kms:Decrypt",
        "status.grant.keyPolicy",
        &companies.us,
    ] {
        assert!(whole.contains(word), "{word}: {whole}");
    }
    // The customer repairs it; nobody edits or asks for anything here.
    companies.paste(Policy::Key, "");
    companies
        .world
        .condition("obdest", "acme", "Ready", "True")
        .await;
    let after = companies.world.get("obdest", "acme");
    assert_eq!(
        after["metadata"]["generation"],
        object["metadata"]["generation"]
    );
    assert_eq!(with_result(&after, "Allowed"), ALLOWED);
    assert_eq!(companies.bucket.uploads().await, []);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_from_a_right_that_is_missing() {
    let companies = Companies::start("key-state").await;
    companies.paste_all();
    for (state, words) in [("Disabled", "must enable"), ("PendingDeletion", "usable")] {
        companies.key.set_state(state);
        let object = companies.proved(state).await;
        assert_eq!(
            ready(&object),
            ("False", "KmsAccessDenied"),
            "{:#}",
            object["status"]
        );
        let whole = find_condition(&object, "Ready").unwrap()["message"]
            .as_str()
            .unwrap();
        assert!(
            whole.contains(words) && whole.contains(&companies.key.arn),
            "{whole}"
        );
        assert_eq!(with_result(&object, "Denied"), [""; 0]);
    }
    companies.key.set_state("Enabled");
    let object = companies.proved("enabled").await;
    assert_eq!(ready(&object), ("True", "Verified"));
}

#[tokio::test]
async fn the_buckets_own_default_key_asks_for_the_same_and_is_found() {
    let companies = Companies::start("default-key").await;
    companies.paste_all();
    companies.bucket.encrypt_with(&companies.key);
    companies.paste(Policy::Key, "kms:Decrypt");
    companies
        .world
        .namespace
        .kubectl(&[
            "patch",
            "obdest",
            "acme",
            "--type=json",
            "-p",
            r#"[{"op": "remove", "path": "/spec/encryption"}]"#,
        ])
        .ok();
    let what = "the key of the bucket refuses";
    let refused = |object: &Value| {
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        (current && ready(object).0 == "False").then(|| object.clone())
    };
    let object = companies
        .world
        .eventually(PATIENCE, what, "obdest", "acme", refused)
        .await;
    assert_eq!(
        ready(&object).1,
        "KmsAccessDenied",
        "{:#}",
        object["status"]
    );
    assert_eq!(with_result(&object, "Denied"), ["kms:Decrypt"]);
    let line = message(&object, "kms:Decrypt");
    assert!(
        line.contains("once encryption.kmsKeyId names the key"),
        "{line}"
    );
}
