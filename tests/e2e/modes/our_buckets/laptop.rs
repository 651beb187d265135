//! The same from a laptop: planned, then delivered, without a cluster and without a volume.

use serde_json::{Value, json};

use super::{Exports, lines};
use crate::commands::Laptop;
use crate::support::world::PREFIX;

// The wire goes on while a command is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_bucket_is_planned_and_delivered_without_a_volume() {
    let exports = Exports::start("bucket-laptop").await;
    let table = lines(6, 12_000);
    exports.put("marketing/day/a.csv", &table).await;
    exports.put("marketing/day/_SUCCESS", "").await;
    let laptop = Laptop::new();
    let config = exports.world().operator.config().clone();
    let config = config.with("volume.root", "/nothing/is/here");
    laptop.write("operator.yaml", config.render());
    let companies = &exports.companies;
    let (bucket, owner) = (companies.bucket.name(), &companies.customer.id);
    laptop.write(
        "acme.yaml",
        format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\n\
             metadata: {{name: acme, namespace: marketing}}\n\
             spec: {{bucket: {bucket}, prefix: {PREFIX}, region: us-east-1, bucketOwner: \"{owner}\", \
             permissionMode: CrossAccount}}\n"
        ),
    );
    laptop.write(
        "delivery.yaml",
        format!(
            "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\n\
             metadata: {{name: day, namespace: marketing}}\n\
             spec: {{destinationRef: {{name: acme}}, source: {{s3: {{bucket: {}, prefix: marketing/day/}}}}, \
             waitFor: {{path: _SUCCESS}}, split: {{size: 5k}}}}\n",
            exports.ours.name()
        ),
    );
    let session = companies.aws.session(&companies.role, "laptop");
    let session = session.environment();
    let environment: Vec<_> = session
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let line =
        |command: &str| format!("{command} -f acme.yaml -f delivery.yaml --config operator.yaml");

    let sent = companies.asked().len();
    let planned = laptop.run_with(&line("plan -o json"), &environment);
    assert_eq!(planned.code, 0, "{}{}", planned.stdout, planned.stderr);
    let planned: Value = serde_json::from_str(&planned.stdout).unwrap();
    let plan = &planned["deliveries"][0]["plan"];
    assert_eq!(plan["bytes"], table.len());
    let objects = plan["objects"].as_array().unwrap();
    let keys: Vec<_> = objects.iter().map(|object| &object["key"]).collect();
    let key = |number: u32| json!(format!("{PREFIX}a-{number:03}.csv"));
    assert_eq!(keys, [&key(1), &key(2), &key(3)]);
    assert_eq!(objects[0]["source"]["path"], "marketing/day/a.csv");
    assert_eq!(companies.asked().len(), sent, "planning sends nothing");

    let nobody = laptop.run_with(&line("plan -o json"), &[]);
    let refused: Value = serde_json::from_str(&nobody.stdout).unwrap();
    let refused = &refused["deliveries"][0]["refused"];
    assert_eq!((nobody.code, &refused["reason"]), (1, &json!("Planning")));
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("NoCredentials") && message.contains("our own identity"),
        "{message}"
    );

    let delivered = laptop.run_with(&line("deliver"), &environment);
    assert_eq!(
        delivered.code, 0,
        "{}{}",
        delivered.stdout, delivered.stderr
    );
    let found = exports.delivered("");
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["a-001.csv", "a-002.csv", "a-003.csv"]);
    let joined: Vec<u8> = found.into_values().flatten().collect();
    assert!(joined == table, "other bytes than the source's");
}
