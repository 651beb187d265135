//! The chart at a real apiserver.

use serde_json::Value;

use crate::support::ControlPlane;
use crate::support::helm::{REQUIRED, chart, helm, template, value_sets};
use crate::support::process::unique;
use crate::support::wait::{PATIENCE, eventually};

/// As much of the Prometheus operator's kind as the chart uses.
const SERVICE_MONITOR: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicemonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: ServiceMonitor, plural: servicemonitors, singular: servicemonitor, listKind: ServiceMonitorList}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [endpoints, selector]
              properties:
                selector: {type: object, properties: {matchLabels: {type: object, additionalProperties: {type: string}}}}
                endpoints:
                  type: array
                  items:
                    type: object
                    properties: {port: {type: string}, path: {type: string}, interval: {type: string}}
"#;

#[test]
fn the_apiserver_takes_every_set_of_values() {
    let cluster = ControlPlane::shared();
    cluster
        .kubectl_with(&["apply", "--server-side", "-f", "-"], SERVICE_MONITOR)
        .ok();
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd/servicemonitors.monitoring.coreos.com",
    ];
    cluster.kubectl(&established).ok();
    for namespace in ["outbound-system", "leases", "marketing", "sales", "one"] {
        // Other tests may have made it.
        cluster.kubectl(&["create", "namespace", namespace]);
    }
    for (name, values) in value_sets() {
        let manifests = template(&values, &[]).ok();
        let dry = [
            "apply",
            "--server-side",
            "--dry-run=server",
            "--field-manager",
            "chart-test",
            "--force-conflicts",
        ];
        let strict = [&dry[..], &["--validate=strict", "-f", "-"]].concat();
        let answer = cluster.kubectl_with(&strict, &manifests);
        assert!(answer.success, "{name}: {}", answer.stderr);
        assert_eq!(answer.stderr, "", "{name}: the apiserver warns");
    }
}

/// A release of a test's own, uninstalled with this value.
struct Release {
    name: String,
}

impl Drop for Release {
    fn drop(&mut self) {
        let uninstall = [
            "uninstall",
            &self.name,
            "--namespace",
            &self.name,
            "--ignore-not-found",
        ];
        helm(Some(ControlPlane::shared()), &uninstall, "");
        ControlPlane::shared().kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

#[tokio::test]
async fn a_namespace_that_enforces_restricted_takes_its_pods() {
    let cluster = ControlPlane::shared();
    let release = Release {
        name: unique("restricted"),
    };
    let name = release.name.as_str();
    cluster.kubectl(&["create", "namespace", name]).ok();
    let enforce = [
        "label",
        "namespace",
        name,
        "pod-security.kubernetes.io/enforce=restricted",
    ];
    cluster.kubectl(&enforce).ok();
    let chart = chart();
    let install = [
        "install",
        name,
        chart.to_str().unwrap(),
        "--namespace",
        name,
        "--set",
        "crds.enabled=false",
        "-f",
        "-",
    ];
    helm(Some(cluster), &install, REQUIRED).ok();
    let seen = eventually(PATIENCE, "both pods are let in", async || {
        let text = cluster
            .kubectl(&["-n", name, "get", "pods", "-o", "json"])
            .ok();
        let pods: Value = serde_json::from_str(&text).unwrap();
        match pods["items"].as_array().map(Vec::len) {
            Some(2) => Ok(pods),
            _ => Err(cluster.kubectl(&["-n", name, "get", "events"]).stdout),
        }
    })
    .await;
    let pod = &seen["items"][0]["spec"];
    assert_eq!(
        pod["containers"][0]["image"],
        "localhost/outbound-operator:0.1.0"
    );
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);

    // A pod that isn't restricted is refused there: the namespace does enforce it.
    let loose = "{apiVersion: v1, kind: Pod, metadata: {name: loose}, spec: {containers: [{name: a, image: a}]}}";
    let refusal = cluster
        .kubectl_with(&["-n", name, "apply", "-f", "-"], loose)
        .refusal();
    assert!(refusal.contains("restricted"), "{refusal}");
}
