//! The permission report: which right is missing, who must act, and what only a delivery tells. What AWS says
//! is put into the mouth of a proxy before the real server.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    access_key, cross_account, nothing_is_left, proofs, proxy, refused, verified, world_behind,
};
use crate::support::proxy::{At, Deed, Fault, Kind, Proxy, Record, Refusal};
use crate::support::wait::PATIENCE;
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{S3Server, World};

const ARN: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const TAGS: &str = "x-amz-tagging";
const ACL: &str = "x-amz-acl";
const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// Everything that asks for a right of its own.
fn all_of_it() -> String {
    format!(
        "acl: BucketOwnerFullControl\nencryption: {{type: SSE-KMS, kmsKeyId: \"{ARN}\"}}\n\
         objectTags: [{{key: feed, value: audience}}]\nreadBack: Granted"
    )
}

/// Result and side of each action, by the destination's status.
fn report(object: &Value) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = object["status"]["permissions"].as_array();
    let lines = lines.unwrap_or_else(|| panic!("no report: {:#}", object["status"]));
    lines
        .iter()
        .map(|line| {
            (
                text(&line["action"]),
                (text(&line["result"]), text(&line["by"])),
            )
        })
        .collect()
}

/// The message of one line.
fn message(object: &Value, action: &str) -> String {
    let lines = object["status"]["permissions"].as_array().unwrap();
    let line = lines.iter().find(|line| line["action"] == action).unwrap();
    line["message"].as_str().unwrap().to_owned()
}

fn with_result(object: &Value, result: &str) -> Vec<String> {
    let report = report(object).into_iter();
    report
        .filter(|(_, (found, _))| found == result)
        .map(|(action, _)| action)
        .collect()
}

/// A world with one AccessKey destination behind each proxy, by its place: `d0`, `d1`, ...
async fn world(topic: &str, proxies: &[&Proxy], settings: &str) -> World {
    let s3 = S3Server::shared();
    let world = world_behind(topic, &s3, proxies).await;
    let user = s3.user("writer");
    let more = ["s3:GetObject", "s3:PutObjectTagging", "s3:PutObjectAcl"];
    let actions = [&WRITE_ACTIONS[..], &more].concat();
    world.bucket.grant(&user, PREFIX, &actions).await;
    for (place, proxy) in proxies.iter().enumerate() {
        let name = format!("d{place}");
        world.secret(&name, &user);
        let change = format!("endpoint: {}\n{settings}", proxy.url());
        world.apply(&access_key(&world, &name, &world.bucket, change.trim_end()));
    }
    world
}

/// What AWS says where it may say why.
fn words(action: &str, why: &str) -> Refusal {
    let resource = if action.starts_with("kms:") {
        ARN.to_owned()
    } else {
        "\"arn:aws:s3:::acme/audience/.outbound-access-check-0123\"".to_owned()
    };
    let words = format!(
        "User: arn:aws:iam::222222222222:role/outbound is not authorized to perform: {action} on resource: \
         {resource} {why}"
    );
    Refusal::new(403, "AccessDenied", &words)
}

fn bare() -> Refusal {
    Refusal::new(403, "AccessDenied", "Access Denied")
}

#[tokio::test]
async fn a_verified_destination_lists_what_it_uses_and_what_only_a_delivery_tells() {
    let server = proxy(&S3Server::shared(), vec![]).await;
    let world = world("permissions", &[&server], &all_of_it()).await;
    let object = verified(&world, "d0").await;
    let used = [
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "s3:AbortMultipartUpload",
        "s3:PutObject",
        "s3:PutObjectAcl",
        "s3:PutObjectTagging",
    ];
    assert_eq!(with_result(&object, "Allowed"), used);
    let untold = ["s3:GetObject", "s3:ListMultipartUploadParts"];
    assert_eq!(with_result(&object, "Unknown"), untold);
    assert!(report(&object).values().all(|(_, by)| by == "Customer"));
    let told = message(&object, "s3:ListMultipartUploadParts");
    assert!(told.contains("a delivery that resumes"), "{told}");
    // Nothing that isn't sent is listed, and the same result is no write.
    world.apply(&access_key(
        &world,
        "d0",
        &world.bucket,
        &format!("endpoint: {}", server.url()),
    ));
    let plain = verified(&world, "d0").await;
    assert_eq!(
        with_result(&plain, "Allowed"),
        ["s3:AbortMultipartUpload", "s3:PutObject"]
    );
    assert_eq!(
        with_result(&plain, "Unknown"),
        ["s3:ListMultipartUploadParts"]
    );
    let again = world.request("obdest", "d0", "again").await;
    assert_eq!(
        again["status"]["permissions"],
        plain["status"]["permissions"]
    );
}

/// What is refused, what the condition then says, and which rights the report knows.
struct Case {
    rules: Vec<(Kind, Option<&'static str>, Refusal)>,
    reason: &'static str,
    words: Vec<&'static str>,
    denied: Vec<&'static str>,
    allowed: Vec<&'static str>,
    /// Uploads that a proof begins.
    uploads: usize,
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let create = |header| (Kind::ProofCreate, Some(header), bare());
    let decrypt = "because no resource-based policy allows the kms:Decrypt action";
    let generate = "because no resource-based policy allows the kms:GenerateDataKey action";
    vec![
        Case {
            rules: vec![create(TAGS)],
            reason: "AccessDenied",
            words: vec![
                "without the tags is taken",
                "s3:PutObjectTagging",
                "status.grant.identityPolicy",
            ],
            denied: vec!["s3:PutObjectTagging"],
            allowed: vec![
                "kms:Decrypt",
                "kms:GenerateDataKey",
                "s3:AbortMultipartUpload",
                "s3:PutObject",
                "s3:PutObjectAcl",
            ],
            uploads: 2,
        },
        Case {
            rules: vec![create(ACL)],
            reason: "AclNotAllowed",
            words: vec![
                "without the ACL bucket-owner-full-control is taken",
                "s3:PutObjectAcl",
            ],
            denied: vec!["s3:PutObjectAcl"],
            allowed: vec![
                "kms:Decrypt",
                "kms:GenerateDataKey",
                "s3:AbortMultipartUpload",
                "s3:PutObject",
                "s3:PutObjectTagging",
            ],
            uploads: 4,
        },
        Case {
            rules: vec![create(TAGS), create(ACL)],
            reason: "AclNotAllowed",
            words: vec!["s3:PutObjectAcl"],
            denied: vec!["s3:PutObjectAcl", "s3:PutObjectTagging"],
            allowed: vec![
                "kms:Decrypt",
                "kms:GenerateDataKey",
                "s3:AbortMultipartUpload",
                "s3:PutObject",
            ],
            uploads: 4,
        },
        Case {
            rules: vec![create(ENCRYPTION)],
            reason: "KmsAccessDenied",
            words: vec![
                "without the encryption is taken",
                "kms:GenerateDataKey",
                "kms:Decrypt",
            ],
            denied: vec!["kms:GenerateDataKey"],
            allowed: vec!["s3:AbortMultipartUpload", "s3:PutObject"],
            uploads: 4,
        },
        Case {
            rules: vec![(Kind::ProofCreate, None, bare())],
            reason: "AccessDenied",
            words: vec!["must allow s3:PutObject on"],
            denied: vec!["s3:PutObject"],
            allowed: vec!["s3:AbortMultipartUpload"],
            uploads: 4,
        },
        // AWS names the right: no probe is needed.
        Case {
            rules: vec![(
                Kind::ProofCreate,
                Some(TAGS),
                words(
                    "s3:PutObjectTagging",
                    "because no identity-based policy allows the s3:PutObjectTagging action",
                ),
            )],
            reason: "AccessDenied",
            words: vec!["must allow s3:PutObjectTagging on"],
            denied: vec!["s3:PutObjectTagging"],
            allowed: vec![],
            uploads: 1,
        },
        Case {
            rules: vec![(
                Kind::ProofCreate,
                Some(ENCRYPTION),
                words("kms:GenerateDataKey", generate),
            )],
            reason: "KmsAccessDenied",
            words: vec!["must allow kms:GenerateDataKey on the key"],
            denied: vec!["kms:GenerateDataKey"],
            allowed: vec![],
            uploads: 1,
        },
        // The trap: an upload can be begun, and its parts are refused by the key.
        Case {
            rules: vec![(Kind::ProofPart, None, words("kms:Decrypt", decrypt))],
            reason: "KmsAccessDenied",
            words: vec!["UploadPart", "must allow kms:Decrypt on the key"],
            denied: vec!["kms:Decrypt"],
            allowed: vec![
                "kms:GenerateDataKey",
                "s3:AbortMultipartUpload",
                "s3:PutObject",
                "s3:PutObjectAcl",
                "s3:PutObjectTagging",
            ],
            uploads: 1,
        },
        Case {
            rules: vec![(Kind::ProofPart, None, bare())],
            reason: "KmsAccessDenied",
            words: vec!["Creating the upload was allowed", "kms:Decrypt"],
            denied: vec!["kms:Decrypt"],
            allowed: vec![
                "kms:GenerateDataKey",
                "s3:AbortMultipartUpload",
                "s3:PutObject",
                "s3:PutObjectAcl",
                "s3:PutObjectTagging",
            ],
            uploads: 1,
        },
    ]
}

/// How many uploads the first proof tried to begin: each proof's first try carries all headers.
fn begun_by_first_proof(proxy: &Proxy) -> usize {
    let records = proxy.records().into_iter();
    let creates = records.filter(|record| record.kind == Kind::ProofCreate);
    let full = |record: &Record| {
        let has = |header| record.headers.contains_key(header);
        [TAGS, ACL, ENCRYPTION].into_iter().all(has)
    };
    1 + creates.skip(1).take_while(|record| !full(record)).count()
}

#[tokio::test]
async fn each_right_that_is_taken_away_is_the_one_that_is_named_and_its_return_is_noticed() {
    let s3 = S3Server::shared();
    let cases = cases();
    let mut proxies = Vec::new();
    for case in &cases {
        let proxy = proxy(&s3, vec![]).await;
        for (kind, header, refusal) in &case.rules {
            proxy.refuse(*kind, *header, refusal.clone());
        }
        proxies.push(proxy);
    }
    let all: Vec<&Proxy> = proxies.iter().collect();
    let world = world("taken-away", &all, &all_of_it()).await;
    for (place, case) in cases.iter().enumerate() {
        let name = format!("d{place}");
        refused(&world, &name, case.reason, &case.words).await;
        let object = world.get("obdest", &name);
        assert_eq!(with_result(&object, "Denied"), case.denied, "{name}");
        assert_eq!(with_result(&object, "Allowed"), case.allowed, "{name}");
        for denied in &case.denied {
            let told = message(&object, denied);
            assert!(
                told.contains("status.grant.identityPolicy"),
                "{name}: {told}"
            );
        }
        assert_eq!(
            begun_by_first_proof(&proxies[place]),
            case.uploads,
            "{name}"
        );
    }
    // Repaired at the customer's; nobody edits anything here.
    proxies.iter().for_each(Proxy::relent);
    for place in 0..cases.len() {
        let object = verified(&world, &format!("d{place}")).await;
        assert_eq!(object["metadata"]["generation"], 1);
        assert_eq!(with_result(&object, "Denied"), [""; 0]);
    }
    nothing_is_left(&world.bucket).await;
    assert!(proofs(&world.bucket) > 0);
}

#[tokio::test]
async fn who_must_act_is_read_from_awss_own_words() {
    let s3 = S3Server::shared();
    let server = proxy(&s3, vec![]).await;
    let url = server.url();
    let world = World::start_with("by", &s3, |config| config.with("endpoints.s3", url)).await;
    let put = |why: &str| words("s3:PutObject", why);
    let table = [
        (
            put("because no identity-based policy allows the s3:PutObject action"),
            "Us",
            "Our own role must have",
        ),
        (
            put("with an explicit deny in a service control policy"),
            "Us",
            "service control policy",
        ),
        (
            put("because no VPC endpoint policy allows the s3:PutObject action"),
            "Us",
            "our own VPC endpoint",
        ),
        (
            put("because no resource-based policy allows the s3:PutObject action"),
            "Customer",
            "status.grant.bucketPolicy",
        ),
        (
            put("with an explicit deny in a resource control policy"),
            "Customer",
            "status.grant.bucketPolicy",
        ),
        (
            put("with an explicit deny"),
            "Unknown",
            "status.grant.identityPolicy",
        ),
        (bare(), "Unknown", "status.grant.identityPolicy"),
    ];
    server.refuse(Kind::ProofCreate, None, bare());
    world
        .bucket
        .grant(&world.s3.us(), PREFIX, &WRITE_ACTIONS)
        .await;
    world.apply(&cross_account(&world, "acme", &world.bucket, "acl: None"));
    refused(&world, "acme", "AccessDenied", &[]).await;
    for (number, (refusal, by, cure)) in table.into_iter().enumerate() {
        server.relent();
        server.refuse(Kind::ProofCreate, None, refusal.clone());
        let object = world.request("obdest", "acme", &format!("r{number}")).await;
        let denied = ("Denied".to_owned(), by.to_owned());
        assert_eq!(report(&object)["s3:PutObject"], denied, "{refusal:?}");
        let told = message(&object, "s3:PutObject");
        assert!(
            told.contains(cure) && !told.contains("check-0123"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_delivery_tells_what_no_proof_asks_for() {
    let s3 = S3Server::shared();
    let fault = |n, deed| Fault {
        at: At {
            kind: Kind::Complete,
            n,
            times: 1,
        },
        deed,
    };
    // The answer to Complete is lost, and the next is none: the upload itself is looked at.
    let allowed = proxy(
        &s3,
        vec![fault(1, Deed::LoseAnswer), fault(2, Deed::Answer(412))],
    )
    .await;
    let denied = proxy(
        &s3,
        vec![fault(1, Deed::Answer(500)), fault(2, Deed::Answer(409))],
    )
    .await;
    denied.refuse(Kind::ListParts, None, bare());
    let world = world("told", &[&allowed, &denied], "").await;
    world.file("a.csv", "a,b\n1,2\n");
    for (name, result) in [("d0", "Allowed"), ("d1", "Denied")] {
        let object = verified(&world, name).await;
        let line = &report(&object)["s3:ListMultipartUploadParts"];
        assert_eq!(line.0, "Unknown");
        world.apply(&format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\nspec:\n  \
             destinationRef: {{name: {name}}}\n  source: {{volume: {{path: a.csv}}}}\n  key: {name}.csv\n"
        ));
        world.condition("obdel", name, "Complete", "True").await;
        let line = |object: &Value| {
            let report = report(object);
            (report["s3:ListMultipartUploadParts"].0 == result).then_some(())
        };
        let what = format!("{name} tells ListParts {result}");
        world
            .eventually(PATIENCE, &what, "obdest", name, line)
            .await;
        // A periodic proof, or another process, takes nothing back.
        let status = world.get("obdest", name)["status"].clone();
        assert_eq!(
            status["conditions"], object["status"]["conditions"],
            "{status:#}"
        );
    }
    let told = message(&world.get("obdest", "d1"), "s3:ListMultipartUploadParts");
    assert!(told.contains("A delivery was refused it"), "{told}");
}
