//! Values that would install something that can't work, or less safe than it looks, are refused with what to do.

use crate::support::helm::{REQUIRED, template};

/// Values beside the required ones, and what the refusal says.
const CASES: &[(&str, &str)] = &[
    ("replica: 3", "additional properties 'replica' not allowed"),
    (
        "image: {repositry: a}",
        "additional properties 'repositry' not allowed",
    ),
    (
        "config: {clusterid: a}",
        "additional properties 'clusterid' not allowed",
    ),
    (
        "config: {transfer: {memroy: 1Gi}}",
        "additional properties 'memroy' not allowed",
    ),
    (
        "config: {clusterId: null}",
        "at '/config/clusterId': got null, want string",
    ),
    (
        "config: {identity: {accountId: 999988887777}}",
        "got number, want string",
    ),
    (
        "config: {secrets: Look}",
        "at '/config/secrets': value must be 'Watch'",
    ),
    (
        "config: {http: {listen: '0.0.0.0:1'}}",
        "config.http: the chart sets it; http.port is the port",
    ),
    (
        "image: {repository: ''}",
        "push the image that `make image` makes to your registry",
    ),
    ("image: {digest: latest}", "does not match pattern"),
    ("replicas: two", "got string, want integer"),
    ("http: {port: 80}", "minimum: got 80, want 1,024"),
    (
        "volume: {existingClaim: a}",
        "volume.accessMode: name the access mode of the claim",
    ),
    (
        "volume: {existingClaim: a, accessMode: RWX}",
        "value must be one of",
    ),
    (
        "volume: {existingClaim: a, accessMode: ReadWriteOnce}",
        "a ReadWriteOnce volume can't be mounted by 2 pods",
    ),
    (
        "volume: {existingClaim: a, accessMode: ReadWriteOncePod}",
        "a ReadWriteOncePod volume can't be mounted by 2 pods",
    ),
    (
        "config: {leaderElection: {enabled: false}}",
        "more than one needs the Lease",
    ),
    (
        "config: {transfer: {memory: 1Gi}}",
        "256Mi doesn't hold config.transfer.memory (1Gi) and 128Mi on top; raise it to 1152Mi or more",
    ),
    (
        "config: {transfer: {memory: 134217729}}",
        "256Mi doesn't hold config.transfer.memory",
    ),
    (
        "resources: {limits: {memory: 191Mi}}",
        "191Mi doesn't hold config.transfer.memory (64Mi)",
    ),
    (
        "resources: {limits: {memory: 200000000}}",
        "doesn't hold config.transfer.memory (64Mi)",
    ),
    (
        "resources: {limits: {memory: plenty}}",
        "resources.limits.memory: \"plenty\" is no quantity of bytes",
    ),
    (
        "resources: {limits: {memroy: 1Gi}}",
        "additional properties 'memroy' not allowed",
    ),
    ("aws: {irsa: {roleArn: outbound}}", "does not match pattern"),
    (
        "aws: {irsa: {roleArn: 'arn:aws:iam::999988887777:role/a'}, podIdentity: {enabled: true}}",
        "two ways to one identity",
    ),
    (
        "serviceMonitor: {enabled: true}",
        "name Prometheus's pods in networkPolicy.metricsFrom",
    ),
    (
        "networkPolicy: {stores: {cidrs: [169.254.169.254/32]}}",
        "is where nodes' metadata services are",
    ),
    (
        "networkPolicy: {apiServer: {cidrs: ['fd00:ec2::254/128']}}",
        "is where nodes' metadata services are",
    ),
    (
        "networkPolicy: {stores: {cidrs: []}}",
        "minItems: got 0, want 1",
    ),
    (
        "extraEnv: [{name: A, value: b, valueFrom: {}}]",
        "minProperties",
    ),
    (
        "tolerations: [{effekt: NoSchedule}]",
        "additional properties 'effekt' not allowed",
    ),
];

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    let required = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(required.path(), REQUIRED).unwrap();
    let required = required.path().to_str().unwrap();
    template("{}", &["-f", required]).ok();
    for (values, expected) in CASES {
        // The later file counts where both say something.
        let values = format!("{values}\n");
        let both = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(both.path(), values.as_bytes()).unwrap();
        let refusal =
            template("{}", &["-f", required, "-f", both.path().to_str().unwrap()]).refusal();
        assert!(refusal.contains(expected), "{values}: {refusal}");
    }
}

#[test]
fn just_enough_memory_is_enough() {
    for values in [
        "resources: {limits: {memory: 192Mi}}",
        "resources: {limits: {memory: 201326592}}",
        "resources: {limits: {memory: 0.1875Gi}}",
        "resources: {limits: null}",
        "resources: {limits: {memory: 1152Mi}}\nconfig: {clusterId: test, transfer: {memory: 1Gi}}",
    ] {
        let text = REQUIRED.replace("config: {clusterId: test}\n", "");
        let config = if values.contains("config:") {
            ""
        } else {
            "config: {clusterId: test}\n"
        };
        template(&format!("{text}{config}{values}\n"), &[]).ok();
    }
}
