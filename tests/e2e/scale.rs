//! What holds at any size, so that ten thousand objects cost little (`make scale` measures that): nothing that didn't
//! change is written or proved again, nothing is listed but at the start, and then in pages.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::process::Scratch;
use crate::support::proxy::{Kind, Proxy, Record, parameter};
use crate::support::wait::until;
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{ControlPlane, S3Server, World};

const DESTINATIONS: usize = 60;

const DELIVERIES: usize = 6;

/// A world whose operator reaches the apiserver through a proxy, and many destinations, of which no proof comes due:
/// each has its own time in a year.
async fn world(topic: &str, secrets: &str) -> (World, Proxy, Scratch) {
    let proxy = Proxy::before_apiserver(ControlPlane::shared()).await;
    let folder = Scratch::new(topic);
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, proxy.kubeconfig()).unwrap();
    let path = path.to_str().unwrap();
    let world = World::start_with(topic, &S3Server::shared(), |config| {
        config
            .environment("KUBECONFIG", path)
            .with("http", json!({"listen": "127.0.0.1:0"}))
            .with("secrets", secrets)
    })
    .await;
    let user = world.s3.user("writer");
    world.bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    world.secret("writer", &user);
    let (bucket, url) = (world.bucket.name(), world.s3.url());
    let mut manifests = String::new();
    for number in 0..DESTINATIONS {
        writeln!(
            manifests,
            "---\napiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\n\
             metadata: {{name: acme-{number}, labels: {{team: marketing}}}}\n\
             spec:\n  bucket: {bucket}\n  prefix: {PREFIX}{number}/\n  endpoint: {url}\n  \
             permissionMode: AccessKey\n  accessKey: {{secretRef: {{name: writer}}}}\n  \
             verification: {{interval: 8760h}}"
        )
        .unwrap();
    }
    world.apply(&manifests);
    let verified = "outbound_destinations{ready=\"True\",reason=\"Verified\"}";
    reaches(&world, verified, DESTINATIONS).await;
    (world, proxy, folder)
}

async fn reaches(world: &World, series: &str, least: usize) {
    until(&format!("{series} is {least}"), || {
        world.operator.metric(series) >= Some(least as f64)
    })
    .await;
}

fn deliver(world: &World, name: &str) {
    world.file(&format!("{name}.csv"), "a,b\n1,2\n");
    world.apply(&format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\n\
         spec:\n  destinationRef: {{name: acme-1}}\n  source: {{volume: {{path: {name}.csv}}}}\n"
    ));
}

/// Waits until `name` is complete and tidied up after.
async fn is_complete(world: &World, name: &str) -> Value {
    let complete = |object: &Value| {
        let done = object["status"]["phase"] == "Complete";
        (done && object["metadata"]["finalizers"].is_null()).then(|| object.clone())
    };
    let patience = crate::support::wait::PATIENCE;
    world
        .eventually(patience, "it is complete", "obdel", name, complete)
        .await
}

/// Starts the operator again and waits until it has looked at everything; returns what it asked the apiserver for.
async fn restarted(world: &mut World, proxy: &Proxy) -> Vec<Record> {
    world.operator.terminate();
    let before = proxy.records().len();
    world.operator.restart();
    for (kind, objects) in [
        ("OutboundDestination", DESTINATIONS),
        ("OutboundDelivery", DELIVERIES),
    ] {
        let series = format!("outbound_reconcile_duration_seconds_count{{kind=\"{kind}\"}}");
        reaches(world, &series, objects).await;
    }
    proxy.records().split_off(before)
}

fn lists(records: &[Record]) -> Vec<&Record> {
    let is_list = |record: &&Record| {
        let name = record.subject.rsplit('/').next().unwrap_or_default();
        let listed = [
            "outbounddestinations",
            "outbounddeliveries",
            "outboundledgers",
            "secrets",
        ];
        record.method == "GET"
            && listed.contains(&name)
            && parameter(&record.query, "watch") != Some("true")
    };
    records.iter().filter(is_list).collect()
}

fn names(records: &[&Record]) -> Vec<String> {
    let name = |record: &&Record| record.subject.rsplit('/').next().unwrap().to_owned();
    let mut names: Vec<String> = records.iter().map(name).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_writes_nothing_that_did_not_change_and_proves_nothing_again() {
    for secrets in ["Get", "Watch"] {
        let (mut world, proxy, _folder) = world("scale-restart", secrets).await;
        for number in 0..DELIVERIES {
            deliver(&world, &format!("done-{number}"));
        }
        for number in 0..DELIVERIES {
            is_complete(&world, &format!("done-{number}")).await;
        }
        let requests = world.bucket.requests().len();
        let records = restarted(&mut world, &proxy).await;
        let writes: Vec<_> = records
            .iter()
            .filter(|record| record.writes() || record.kind == Kind::GetSecret)
            .map(|record| (&record.method, &record.subject, &record.text))
            .collect();
        assert!(writes.is_empty(), "{writes:?}");
        assert_eq!(world.bucket.requests().len(), requests, "{secrets}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_listed_but_at_the_start_and_then_in_pages() {
    let (world, proxy, _folder) = world("scale-lists", "Get").await;
    let before = proxy.records();
    let first = lists(&before);
    let all = [
        "outbounddeliveries",
        "outbounddestinations",
        "outboundledgers",
    ];
    assert_eq!(names(&first), all);
    for list in first {
        let limit = parameter(&list.query, "limit").map(str::parse::<u32>);
        assert!(matches!(limit, Some(Ok(1..=500))), "{list:?}");
    }
    for number in 0..DELIVERIES {
        deliver(&world, &format!("more-{number}"));
    }
    for number in 0..DELIVERIES {
        is_complete(&world, &format!("more-{number}")).await;
    }
    world.request("obdest", "acme-7", "now").await;
    world.namespace.kubectl(&["delete", "obdel", "more-1"]).ok();
    let after = proxy.records().split_off(before.len());
    let more = lists(&after);
    assert!(more.is_empty(), "{more:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_destinations_are_written_twice_each_and_ask_for_their_secret_once() {
    let (_world, proxy, _folder) = world("scale-new", "Get").await;
    let records = proxy.records();
    let count = |kind| records.iter().filter(|record| record.kind == kind).count();
    // That it is being proved, and what came of it.
    // On a machine with too much to do a proof may be cut short, and is made again.
    let few = DESTINATIONS / 10;
    let (written, asked) = (count(Kind::DestinationStatus), count(Kind::GetSecret));
    let twice = 2 * DESTINATIONS;
    assert!((twice..=twice + few).contains(&written), "{written}");
    assert!(
        (DESTINATIONS..=DESTINATIONS + few).contains(&asked),
        "{asked}"
    );
}

/// What the operator keeps of a finished delivery is less than its status, and must never be written for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_delivery_that_is_edited_keeps_all_of_its_status() {
    let (mut world, proxy, _folder) = world("scale-edited", "Get").await;
    for number in 0..DELIVERIES {
        deliver(&world, &format!("done-{number}"));
    }
    for number in 0..DELIVERIES {
        is_complete(&world, &format!("done-{number}")).await;
    }
    let before = is_complete(&world, "done-0").await;
    restarted(&mut world, &proxy).await;
    let ttl = [
        "patch",
        "obdel",
        "done-0",
        "--type=merge",
        "-p",
        "{\"spec\":{\"ttlSecondsAfterFinished\":3000}}",
    ];
    world.namespace.kubectl(&ttl).ok();
    let after = world.request("obdel", "done-0", "again").await;
    let status = |object: &Value| {
        let mut status = object["status"].clone();
        let members = status.as_object_mut().unwrap();
        for member in ["observedGeneration", "lastHandledRequest"] {
            members.remove(member);
        }
        for condition in status["conditions"].as_array_mut().unwrap() {
            condition
                .as_object_mut()
                .unwrap()
                .remove("observedGeneration");
        }
        status
    };
    assert_eq!(status(&after), status(&before));
    assert_eq!(after["status"]["observedGeneration"], 2);
    assert!(!after["status"]["objects"].as_array().unwrap().is_empty());
}
