//! From the previous CRDs to these and away again: customers' objects stay as they are.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::ControlPlane;
use crate::support::helm::{NAMESPACE, RELEASE, REQUIRED, chart, helm};
use crate::support::process::{Output, Scratch};

const OBJECTS: &str = r#"
apiVersion: outbound.dev/v1alpha1
kind: OutboundDestination
metadata: {name: acme}
spec:
  permissionMode: CrossAccount
  bucket: acme-inbound
  bucketOwner: "111122223333"
  prefix: audience/
---
apiVersion: outbound.dev/v1alpha1
kind: OutboundDelivery
metadata: {name: tables, finalizers: [FINALIZER]}
spec:
  destinationRef: {name: acme}
  source: {volume: {path: "exports/*.csv"}}
  split: {size: 500G}
"#;

/// The chart as it was: with the CRDs of `tests/previous`.
fn previous(folder: &Scratch) -> String {
    let copy = folder.path().join("previous");
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/previous/crds/.");
    Output::of(Command::new("cp").arg("-R").arg(chart()).arg(&copy), None).ok();
    Output::of(
        Command::new("cp")
            .arg("-R")
            .arg(crds)
            .arg(copy.join("files/crds")),
        None,
    )
    .ok();
    copy.to_str().unwrap().to_owned()
}

/// What of an object an upgrade must not touch.
fn kept(cluster: &ControlPlane, kind: &str, name: &str) -> Value {
    let text = cluster
        .kubectl(&["-n", "marketing", "get", kind, name, "-o", "json"])
        .ok();
    let object: Value = serde_json::from_str(&text).unwrap();
    let metadata = &object["metadata"];
    json!({
        "uid": metadata["uid"], "generation": metadata["generation"], "finalizers": metadata["finalizers"],
        "spec": object["spec"], "status": object["status"],
    })
}

fn served(cluster: &ControlPlane, crd: &str) -> Value {
    let name = format!("{crd}.outbound.dev");
    let text = cluster.kubectl(&["get", "crd", &name, "-o", "json"]).ok();
    serde_json::from_str::<Value>(&text).unwrap()["spec"]["versions"].clone()
}

#[test]
fn objects_stay_through_upgrade_uninstall_and_a_second_install() {
    let cluster = ControlPlane::bare();
    let folder = Scratch::new("upgrade");
    let chart = chart();
    let now = chart.to_str().unwrap();
    let release = |verb: &str, chart: &str, more: &[&str]| {
        let arguments = [
            &[verb, RELEASE, chart, "--namespace", NAMESPACE, "-f", "-"],
            more,
        ]
        .concat();
        helm(Some(&cluster), &arguments, REQUIRED).ok()
    };
    release("install", &previous(&folder), &["--create-namespace"]);
    let wait = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd",
        "--all",
    ];
    cluster.kubectl(&wait).ok();
    cluster.kubectl(&["create", "namespace", "marketing"]).ok();
    let objects = OBJECTS.replace("FINALIZER", outbound_operator::api::FINALIZER);
    cluster
        .kubectl_with(&["-n", "marketing", "apply", "-f", "-"], &objects)
        .ok();
    // As the operator leaves it while an upload is open.
    let status = json!({"status": {
        "observedGeneration": 1, "phase": "Uploading",
        "progress": {"bytesTotal": 100, "bytesDone": 40, "percent": 40, "filesTotal": 1, "objectsTotal": 1, "objectsDone": 0},
    }});
    let patch = [
        "-n",
        "marketing",
        "patch",
        "obdel",
        "tables",
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    cluster
        .kubectl(&[&patch[..], &[&status.to_string()]].concat())
        .ok();
    let all = || {
        [
            kept(&cluster, "obdest", "acme"),
            kept(&cluster, "obdel", "tables"),
        ]
    };
    let before = all();
    assert_eq!(before[1]["status"]["phase"], "Uploading");

    release("upgrade", now, &[]);
    assert_eq!(all(), before);
    for crd in outbound_operator::api::crds() {
        let plural = crd.spec.names.plural.as_str();
        let columns = |versions: &Value| versions[0]["additionalPrinterColumns"].clone();
        let types = serde_json::to_value(&crd.spec.versions).unwrap();
        assert_eq!(
            columns(&served(&cluster, plural)),
            columns(&types),
            "{plural}"
        );
    }
    // The new schema still takes the old objects.
    let again = [
        "-n",
        "marketing",
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
    ];
    cluster.kubectl_with(&again, &objects).ok();
    assert_eq!(all(), before);

    helm(
        Some(&cluster),
        &["uninstall", RELEASE, "--namespace", NAMESPACE],
        "",
    )
    .ok();
    assert_eq!(all(), before);
    let left = [
        "-n",
        NAMESPACE,
        "get",
        "deployment,configmap,serviceaccount,networkpolicy",
        "-l",
        "app.kubernetes.io/name=outbound-operator",
        "-o",
        "name",
    ];
    assert_eq!(cluster.kubectl(&left).ok(), "");

    // The CRDs that stayed are taken over again by a release of the same name.
    release("install", now, &[]);
    assert_eq!(all(), before);
}
