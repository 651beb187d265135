//! The chart on a real node, as an administrator installs it and tenants use it: `make e2e`.
//!
//! One test, as a node and an image are dear, and as the audit log of all that happened is held against the chart's
//! RBAC at its end. The node enforces no network policies, so those are rendered and applied here, and not proved.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the way a test fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod cluster;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cluster::{Cluster, HOME, RELEASE};
use serde_json::{Value, json};
use support::Bucket;
use support::proxy::parameter;
use support::world::WRITE_ACTIONS;

const TENANT: &str = "quickstart";

/// Eight parts.
const LARGE: usize = 40 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a whole node: make e2e"]
async fn helm_installs_it_and_deliveries_outlive_kills_upgrades_and_the_operator_itself() {
    let cluster = Cluster::start().await;
    let mut told = std::time::Instant::now();
    let mut tell = |what: &str| {
        println!("{what}: {:.1} s", told.elapsed().as_secs_f64());
        told = std::time::Instant::now();
    };
    a_plain_pod_reaches_what_it_needs(&cluster);
    tell("a plain pod");
    cluster.install(2);
    two_replicas_and_one_leads(&cluster).await;
    tell("helm install");
    the_quickstart_completes(&cluster).await;
    tell("quickstart");
    what_else_tenants_do(&cluster).await;
    tell("more of what tenants do");
    a_killed_leader_is_followed(&cluster).await;
    tell("kill");
    an_upgrade_goes_on_with_what_runs(&cluster).await;
    tell("helm upgrade");
    a_tenant_leaves_in_mid_delivery(&cluster).await;
    tell("a namespace deleted");
    // Before the end, when Helm takes the Roles away while the last pod still gives up its Lease.
    rbac_gives_what_is_used(&cluster);
    uninstalled_it_leaves_what_is_the_customers(&cluster).await;
    tell("helm uninstall");
}

/// The node itself, without anything of ours: a failure here isn't the chart's.
fn a_plain_pod_reaches_what_it_needs(cluster: &Cluster) {
    let store = cluster.url().replace("http://", "");
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "dial", "namespace": "default"},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{
            "name": "dial", "image": "outbound.dev/test/pod:1", "imagePullPolicy": "Never",
            "args": ["dial", "10.96.0.1:443", store],
        }]}}},
    });
    cluster.apply(&job.to_string());
    cluster.wait("default", "job/dial", "condition=Complete");
    let log = cluster.kubectl(&["logs", "job/dial"]);
    assert_eq!(log, format!("reached 10.96.0.1:443\nreached {store}\n"));
}

async fn two_replicas_and_one_leads(cluster: &Cluster) {
    let pods = cluster.pods();
    assert_eq!(pods.len(), 2, "{pods:?}");
    assert!(pods.iter().all(|(_, ready)| *ready), "{pods:?}");
    let leader = cluster
        .eventually("one leads", async || {
            let leader = cluster.leader();
            if leader.is_empty() {
                Err("nobody".to_owned())
            } else {
                Ok(leader)
            }
        })
        .await;
    assert!(
        pods.iter().any(|(pod, _)| *pod == leader),
        "{leader} {pods:?}"
    );
}

/// The manifests of examples/quickstart with this server's address, and what its README says to do.
async fn the_quickstart_completes(cluster: &Cluster) {
    let tables = ["airports.csv", "planes.csv", "weather.csv"];
    for table in tables {
        cluster.file(
            TENANT,
            &format!("tables/{table}"),
            &quickstart(&format!("data/{table}")),
        );
    }
    let manifest = |name: &str| {
        let text = String::from_utf8(quickstart(name)).unwrap();
        text.replace("http://127.0.0.1:9000", &cluster.url())
    };
    cluster.apply(&manifest("1-namespace.yaml"));
    secret(cluster, TENANT, "globex-s3", &cluster.s3.customer());
    cluster.apply(&manifest("2-destinations.yaml"));
    cluster.wait(TENANT, "obdest/globex", "condition=Ready");
    cluster.wait(TENANT, "obdest/acme", "condition=Stalled");
    let destination = cluster.get(TENANT, "obdest", "acme");
    let policy = destination["status"]["grant"]["bucketPolicy"]
        .as_str()
        .expect("a policy to paste");
    cluster
        .acme
        .set_policy(&serde_json::from_str(policy).unwrap())
        .await;
    cluster.kubectl(&[
        "-n",
        TENANT,
        "annotate",
        "obdest/acme",
        "outbound.dev/requestedAt=now",
    ]);
    cluster.wait(TENANT, "obdest/acme", "condition=Ready");
    cluster.apply(&manifest("3-deliveries.yaml"));
    for (customer, bucket) in [("acme", &cluster.acme), ("globex", &cluster.globex)] {
        cluster.wait(
            TENANT,
            &format!("obdel/tables-to-{customer}"),
            "condition=Complete",
        );
        let files = bucket.files();
        assert!(files.contains_key(&format!("flights/tables-to-{customer}.info")));
        for table in tables {
            let sent = quickstart(&format!("data/{table}"));
            assert!(
                joined(&files, table) == sent,
                "{table} to {customer}: {:?}",
                files.keys()
            );
        }
    }
}

/// A file of the quickstart.
fn quickstart(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    std::fs::read(folder.join(name)).expect("a file of the quickstart")
}

/// A table's splits in their order, or the table itself.
fn joined(files: &BTreeMap<String, Vec<u8>>, table: &str) -> Vec<u8> {
    let stem = table.trim_end_matches(".csv");
    let of_it = |key: &str| {
        key == format!("flights/{table}") || key.starts_with(&format!("flights/{stem}-"))
    };
    let splits = files.iter().filter(|(key, _)| of_it(key));
    splits.flat_map(|(_, bytes)| bytes.clone()).collect()
}

fn secret(cluster: &Cluster, namespace: &str, name: &str, who: &support::Credentials) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
        "stringData": {"accessKeyId": who.access_key, "secretAccessKey": who.secret_key},
    });
    cluster.apply(&secret.to_string());
}

/// A store with an authority of its own, a time to live, and the same Event once more: what else takes rights.
async fn what_else_tenants_do(cluster: &Cluster) {
    let authority = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "store-ca", "namespace": TENANT},
        "data": {"ca.crt": cluster.s3.ca()},
    });
    cluster.apply(&authority.to_string());
    let destination = json!({
        "apiVersion": "outbound.dev/v1alpha1", "kind": "OutboundDestination",
        "metadata": {"name": "globex-tls", "namespace": TENANT},
        "spec": {
            "permissionMode": "AccessKey", "accessKey": {"secretRef": {"name": "globex-s3"}},
            "bucket": "globex-inbound", "prefix": "tls/", "endpoint": cluster.tls_url(),
            "caBundleRef": {"name": "store-ca"},
        },
    });
    cluster.apply(&destination.to_string());
    cluster.wait(TENANT, "obdest/globex-tls", "condition=Ready");
    deliver(
        cluster,
        TENANT,
        "brief",
        "globex-tls",
        "tables/planes.csv",
        json!({"ttlSecondsAfterFinished": 0}),
    );
    cluster.wait(TENANT, "obdel/brief", "delete");
    assert!(cluster.globex.keys().contains(&"tls/brief.info".to_owned()));
    for suspend in [true, false] {
        let patch = json!({"spec": {"suspend": suspend}}).to_string();
        cluster.kubectl(&[
            "-n",
            TENANT,
            "patch",
            "obdest",
            "globex-tls",
            "--type=merge",
            "-p",
            &patch,
        ]);
        let ready = if suspend {
            "condition=Ready=Unknown"
        } else {
            "condition=Ready"
        };
        cluster.wait(TENANT, "obdest/globex-tls", ready);
    }
}

fn deliver(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    destination: &str,
    path: &str,
    more: Value,
) {
    let mut delivery = json!({
        "apiVersion": "outbound.dev/v1alpha1", "kind": "OutboundDelivery",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"destinationRef": {"name": destination}, "source": {"volume": {"path": path}}},
    });
    let spec = delivery["spec"].as_object_mut().unwrap();
    spec.extend(more.as_object().cloned().unwrap_or_default());
    cluster.apply(&delivery.to_string());
}

/// A delivery whose parts behind the second are held, once some have landed; returns the numbers of those.
async fn half_done(
    cluster: &Cluster,
    namespace: &str,
    name: &'static str,
    destination: &str,
    bucket: &Bucket,
) -> BTreeSet<u32> {
    cluster.file(namespace, &format!("{name}.bin"), &bytes(LARGE));
    cluster
        .proxy
        .hold(move |asked| asked.subject.contains(name) && asked.part.is_some_and(|part| part > 2));
    deliver(
        cluster,
        namespace,
        name,
        destination,
        &format!("{name}.bin"),
        json!({"split": {"size": "1G", "boundary": "Byte"}}),
    );
    cluster
        .eventually("two parts have landed", async || {
            let landed: BTreeSet<u32> = parts(bucket, name).into_keys().collect();
            let seen = cluster.get(namespace, "obdel", name)["status"].to_string();
            if landed.len() == 2 {
                Ok(landed)
            } else {
                Err(seen)
            }
        })
        .await
}

fn bytes(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// How often each part of a delivery's object (its receipt is another one) was taken by the store, by its number.
fn parts(bucket: &Bucket, name: &str) -> BTreeMap<u32, u32> {
    let mut parts = BTreeMap::new();
    let object = format!("/{name}.bin");
    for request in bucket.requests() {
        if request.operation == "UploadPart"
            && request.key.ends_with(&object)
            && request.status == 200
        {
            let query = request.uri.split_once('?').unwrap_or_default().1;
            let number = parameter(query, "partNumber").and_then(|number| number.parse().ok());
            *parts.entry(number.expect("a part's number")).or_default() += 1;
        }
    }
    parts
}

/// It completes, whole, and nothing that had landed was sent again.
fn completes(cluster: &Cluster, name: &str, landed: &BTreeSet<u32>) {
    cluster.proxy.hold(|_| false);
    cluster.wait(TENANT, &format!("obdel/{name}"), "condition=Complete");
    assert!(cluster.acme.files()[&format!("flights/{name}.bin")] == bytes(LARGE));
    let parts = parts(&cluster.acme, name);
    assert_eq!(parts.len(), 8, "{parts:?}");
    for number in landed {
        assert_eq!(parts[number], 1, "part {number} was there: {parts:?}");
    }
}

async fn a_killed_leader_is_followed(cluster: &Cluster) {
    let landed = half_done(cluster, TENANT, "killed", "acme", &cluster.acme).await;
    let leader = cluster.leader();
    cluster.kill(&leader);
    cluster
        .eventually("another leads", async || match cluster.leader() {
            other if other.is_empty() || other == leader => Err(other),
            _ => Ok(()),
        })
        .await;
    completes(cluster, "killed", &landed);
    let receipts = cluster
        .acme
        .keys()
        .iter()
        .filter(|key| key.contains("killed.info"))
        .count();
    assert_eq!(receipts, 1);
}

async fn an_upgrade_goes_on_with_what_runs(cluster: &Cluster) {
    let landed = half_done(cluster, TENANT, "upgraded", "acme", &cluster.acme).await;
    let before: BTreeSet<String> = cluster.pods().into_iter().map(|(pod, _)| pod).collect();
    cluster.upgrade(3);
    let after: BTreeSet<String> = cluster.pods().into_iter().map(|(pod, _)| pod).collect();
    assert!(
        after.is_disjoint(&before),
        "a changed configuration starts new pods: {before:?} {after:?}"
    );
    completes(cluster, "upgraded", &landed);
}

/// Its delivery is in mid-upload, and its Secret may go first.
async fn a_tenant_leaves_in_mid_delivery(cluster: &Cluster) {
    let namespace = "leaving";
    cluster.kubectl(&["create", "namespace", namespace]);
    let user = cluster.s3.user("writer");
    cluster
        .globex
        .grant(&user, "leaving/", &WRITE_ACTIONS)
        .await;
    secret(cluster, namespace, "key", &user);
    let destination = json!({
        "apiVersion": "outbound.dev/v1alpha1", "kind": "OutboundDestination",
        "metadata": {"name": "globex", "namespace": namespace},
        "spec": {
            "permissionMode": "AccessKey", "accessKey": {"secretRef": {"name": "key"}},
            "bucket": "globex-inbound", "prefix": "leaving/", "endpoint": cluster.url(),
        },
    });
    cluster.apply(&destination.to_string());
    half_done(cluster, namespace, "left", "globex", &cluster.globex).await;
    assert_eq!(cluster.globex.uploads().await.len(), 1);
    cluster.kubectl(&["delete", "namespace", namespace, "--timeout=120s"]);
    assert_eq!(cluster.globex.uploads().await, [], "nothing is left behind");
    cluster.proxy.hold(|_| false);
}

async fn uninstalled_it_leaves_what_is_the_customers(cluster: &Cluster) {
    let delivered = [&cluster.acme, &cluster.globex].map(Bucket::files);
    cluster.uninstall();
    assert_eq!(cluster.pods(), [], "no pod is left");
    assert!([&cluster.acme, &cluster.globex].map(Bucket::files) == delivered);
    let ours = format!("--selector=app.kubernetes.io/instance={RELEASE}");
    let kinds = "deployments,services,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,roles,rolebindings,clusterroles,clusterrolebindings";
    let left = cluster.kubectl(&["get", kinds, "--all-namespaces", &ours, "-o", "name"]);
    assert_eq!(left, "", "of the release nothing is left");
    let kept = cluster.kubectl(&["get", "crd,obdest,obdel", "--all-namespaces", "-o", "name"]);
    for name in [
        "customresourcedefinition.apiextensions.k8s.io/outboundledgers.outbound.dev",
        "outbounddestination.outbound.dev/acme",
        "outbounddelivery.outbound.dev/tables-to-acme",
    ] {
        assert!(kept.contains(name), "{name} is kept: {kept}");
    }
    // Without the operator nobody would take a finalizer away.
    for namespace in [TENANT, HOME] {
        cluster.kubectl(&["delete", "namespace", namespace, "--timeout=120s"]);
    }
}

/// All that the operator did so far against all that it may.
fn rbac_gives_what_is_used(cluster: &Cluster) {
    let account = format!("system:serviceaccount:{HOME}:{RELEASE}");
    let granted = audit::granted(&cluster.kubernetes, HOME, RELEASE);
    let requests = audit::requests(&audit::log(&cluster.kubernetes), &account);
    assert!(!granted.is_empty() && !requests.is_empty());
    let texts = |rights: Vec<&audit::Right>| -> Vec<String> {
        rights.iter().map(|right| right.to_string()).collect()
    };
    let (refused, unused) = (
        audit::refused(&requests),
        texts(audit::unused(&granted, &requests)),
    );
    assert!(
        refused.is_empty() && unused.is_empty(),
        "refused: {refused:#?}\ngranted, and nobody used it: {unused:#?}"
    );
}
