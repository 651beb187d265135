//! Hundreds of manifests, each a good one that was spoiled by chance: the commands take and refuse exactly what the
//! apiserver does, asked as kubectl asks it (strictly).
//!
//! `OUTBOUND_DIFFERENTIAL=5000 cargo test --test e2e differential` tries more; a seed says what a manifest is.

use fastrand::Rng;
use futures::StreamExt as _;
use kube::client::Body;
use outbound_operator::manifest;
use serde_json::{Map, Value, json};

use crate::support::ControlPlane;

/// How many manifests when nobody asks for more.
const CASES: u64 = 600;

/// Good manifests, which between them have every field.
fn good() -> Vec<Value> {
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "outbound.dev/v1alpha1", "kind": kind,
            "metadata": {"name": "case", "labels": {"team": "data"}, "annotations": {"outbound.dev/requestedAt": "1"}},
            "spec": spec,
        })
    };
    let key = json!({
        "bucket": "acme-inbound", "prefix": "a/", "region": "eu-west-1", "bucketOwner": "111122223333",
        "endpoint": "https://s3.example:9000", "addressing": "Path", "permissionMode": "AccessKey",
        "accessKey": {"secretRef": {"name": "acme"}}, "acl": "None", "readBack": "Granted", "splitSize": "5G",
        "encryption": {"type": "SSE-KMS", "kmsKeyId": "arn:aws:kms:eu-west-1:111122223333:key/a-b", "bucketKey": true},
        "storageClass": "STANDARD", "objectTags": [{"key": "a", "value": "b"}, {"key": "c", "value": ""}],
        "caBundleRef": {"name": "ca"}, "limits": {"maxConcurrentParts": 8, "bandwidth": "200M"}, "verification": {"interval": "1h"}, "suspend": false,
    });
    let cross = json!({"bucket": "acme", "bucketOwner": "111122223333", "permissionMode": "CrossAccount", "splitSize": 5_000_000});
    let role = json!({
        "bucket": "acme", "permissionMode": "AssumeRole", "assumeRole": {"roleArn": "arn:aws:iam::111122223333:role/drop"},
    });
    let delivery = json!({
        "destinationRef": {"name": "acme"}, "source": {"volume": {"path": "a/**/*.csv", "minAge": "60s"}},
        "split": {"size": "500G", "boundary": "Record", "format": "Lines", "delimiter": "\n", "maxRecordSize": "64Mi", "separator": "-", "header": "Repeat"},
        "waitFor": {"path": "_SUCCESS"}, "onEmpty": "Complete",
        "key": "{date}/{stem}{split}{ext}", "logicalTime": "2026-11-24T00:00:00Z", "ifExists": "Skip",
        "receipt": {"key": "{delivery}.info", "md5": true}, "suspend": false, "backoffLimit": 6,
        "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0,
    });
    let small =
        json!({"destinationRef": {"name": "acme"}, "source": {"volume": {"path": "a.csv"}}});
    vec![
        object("OutboundDestination", key),
        object("OutboundDestination", cross),
        object("OutboundDestination", role),
        object("OutboundDelivery", delivery),
        object("OutboundDelivery", small),
    ]
}

/// The manifest of that seed.
fn spoiled(seed: u64, good: &[Value]) -> Value {
    let mut random = Rng::with_seed(seed);
    let mut object = good[random.usize(..good.len())].clone();
    let other = &good[random.usize(..good.len())];
    for _ in 0..random.u8(1..=3) {
        let part =
            ["spec", "spec", "spec", "spec", "spec", "metadata", "status"][random.usize(..7)];
        if object[part].is_null() {
            object[part] = [
                json!({"phase": "x"}),
                json!({"observedGeneration": 7}),
                json!({"colour": 1}),
                json!(3),
            ][random.usize(..4)]
            .clone();
            continue;
        }
        let theirs = &other[part];
        spoil(&mut object[part], theirs, &mut random);
    }
    object
}

/// Changes something in the value, or somewhere within it.
fn spoil(value: &mut Value, theirs: &Value, random: &mut Rng) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = &names[random.usize(..names.len())];
            match random.u8(0..10) {
                0 => drop(members.remove(name)),
                1 => drop(members.insert(name.clone(), any(random))),
                2 => drop(members.insert(unknown(random), any(random))),
                3 => borrow(members, theirs, random),
                4 => {
                    // The same field under a name that is nearly right.
                    let moved = members.remove(name).unwrap_or_default();
                    members.insert(name.to_uppercase(), moved);
                }
                _ => spoil(&mut members[name.as_str()], &theirs[name.as_str()], random),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.usize(..items.len());
            match random.u8(0..5) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.push(any(random)),
                3 => *items = vec![items[at].clone(); random.usize(1..30)],
                _ => spoil(&mut items[at], &Value::Null, random),
            }
        }
        Value::String(text) => *value = json!(another(text, random)),
        Value::Number(_) => *value = number(random),
        other => *other = any(random),
    }
}

/// A member of the other manifest's, where it has one.
fn borrow(members: &mut Map<String, Value>, theirs: &Value, random: &mut Rng) {
    let Some(theirs) = theirs.as_object().filter(|theirs| !theirs.is_empty()) else {
        return;
    };
    let (name, value) = theirs.iter().nth(random.usize(..theirs.len())).unwrap();
    members.insert(name.clone(), value.clone());
}

fn unknown(random: &mut Rng) -> String {
    [
        "colour",
        "Spec",
        "",
        "a b",
        "ü",
        "name",
        "size",
        "namespace",
        "a.b",
        "x/y",
    ][random.usize(..10)]
    .to_owned()
}

/// A value of any type.
fn any(random: &mut Rng) -> Value {
    match random.u8(0..9) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => number(random),
        3 => json!({}),
        4 => json!([]),
        5 => json!({"name": "a"}),
        6 => json!(["a", 1]),
        7 => json!(""),
        _ => json!(another("text", random)),
    }
}

fn number(random: &mut Rng) -> Value {
    let whole = [
        0,
        1,
        -1,
        5,
        1000,
        1001,
        2_147_483_647,
        2_147_483_648,
        1_000_000_000_000,
        1_000_000_000_001,
        i64::MAX,
        i64::MIN,
    ];
    match random.u8(0..5) {
        // Not 2.0, which is a 2 to kubectl before it asks.
        0 => json!(1.5),
        _ => json!(whole[random.usize(..whole.len())]),
    }
}

/// The text, changed: longer, shorter, with letters that are special somewhere.
fn another(text: &str, random: &mut Rng) -> String {
    const BITS: [&str; 38] = [
        "/", "//", ".", "..", "../", "*", "**", "?", "[", "{", "}", "{stem}", "{path}", "-", "_",
        "A", "ü", "日本", "😀", " ", "\t", "\n", "\r\n", "\u{0}", "\u{7f}", "\u{85}", "\u{200b}",
        "\u{feff}", "\u{2028}", "\"", "\\", "%2f", ":", "@", "0", "1.5", "Ki", "e3",
    ];
    const WHOLE: [&str; 33] = [
        "0",
        "1",
        "1T",
        "1000000000001",
        "0.5",
        "1.5Ki",
        "-1",
        "+5",
        "1e3",
        "1E3",
        "100m",
        "1Pi",
        "9223372036854775807",
        "9223372036854775808",
        "yes",
        "null",
        "~",
        "1s",
        "59s",
        "1m",
        "8760h",
        "8761h",
        "1h30m",
        "1.5h",
        "1us",
        "2026-11-24",
        "2026-11-24T00:00:00+01:00",
        "2026-13-24T00:00:00Z",
        "xn--a",
        "a--x-s3",
        "192.168.0.1",
        "https://user@s3.example",
        "http://s3.example/path",
    ];
    let chars: Vec<char> = text.chars().collect();
    match random.u8(0..6) {
        0 => WHOLE[random.usize(..WHOLE.len())].to_owned(),
        1 => {
            let long = [
                1, 2, 3, 62, 63, 64, 128, 129, 256, 257, 300, 301, 512, 513, 1024, 1025,
            ];
            "a".repeat(long[random.usize(..long.len())])
        }
        2 if !chars.is_empty() => chars[..random.usize(..chars.len())].iter().collect(),
        3 => text.to_uppercase(),
        _ => {
            let at = random.usize(..=chars.len());
            let (before, after) = chars.split_at(at);
            let bit = BITS[random.usize(..BITS.len())];
            format!(
                "{}{bit}{}",
                before.iter().collect::<String>(),
                after.iter().collect::<String>()
            )
        }
    }
}

/// Whether the apiserver takes it, and what it says else.
async fn apiserver(client: &kube::Client, namespace: &str, object: &Value) -> Result<(), String> {
    let plural = match object["kind"].as_str() {
        Some("OutboundDelivery") => "outbounddeliveries",
        _ => "outbounddestinations",
    };
    let url = format!(
        "/apis/outbound.dev/v1alpha1/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict"
    );
    let request = http::Request::post(url)
        .header("content-type", "application/json")
        .body(Body::from(object.to_string().into_bytes()))
        .unwrap();
    let answer = client.send(request).await.expect("an answer");
    let code = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.expect("a body");
    match code {
        201 => Ok(()),
        400 | 422 => Err(String::from_utf8_lossy(&body).into_owned()),
        other => panic!("{other}: {}", String::from_utf8_lossy(&body)),
    }
}

#[tokio::test]
async fn the_commands_take_what_the_apiserver_takes_and_nothing_else() {
    let cases = std::env::var("OUTBOUND_DIFFERENTIAL").ok();
    let cases = cases.map_or(CASES, |cases| cases.parse().expect("a number"));
    let control_plane = ControlPlane::shared();
    let namespace = control_plane.namespace("differential");
    let client = control_plane.client().await;
    let good = good();
    for object in &good {
        apiserver(&client, namespace.name(), object)
            .await
            .expect("a good manifest");
    }
    let asked = futures::stream::iter(0..cases).map(|seed| {
        let (client, good, name) = (&client, &good, namespace.name());
        async move {
            let object = spoiled(seed, good);
            let theirs = apiserver(client, name, &object).await;
            let ours = manifest::read("case", &object.to_string(), Some(name));
            (
                seed,
                object,
                theirs,
                ours.map(drop).map_err(|mistakes| mistakes.to_string()),
            )
        }
    });
    let answers: Vec<_> = asked.buffer_unordered(8).collect().await;
    let taken = answers
        .iter()
        .filter(|(_, _, theirs, _)| theirs.is_ok())
        .count();
    let least = answers.len() / 20;
    assert!(
        taken > least && answers.len() - taken > least,
        "{taken} of {cases} are taken: no test of both"
    );
    let mut wrong = Vec::new();
    for (seed, object, theirs, ours) in answers {
        if theirs.is_ok() != ours.is_ok() {
            wrong.push(format!(
                "seed {seed}: {object}\n  the apiserver: {theirs:?}\n  the commands: {ours:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {cases} disagree\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
