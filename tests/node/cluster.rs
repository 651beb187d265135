//! A node, the S3 server within its pods' reach, and the operator as Helm installs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::process::{Leashed, Output, Scratch, program};
use crate::support::proxy::Proxy;
use crate::support::wait::{PATIENCE, eventually};
use crate::support::{Bucket, ControlPlane, S3Server};

/// The operator's namespace.
pub(crate) const HOME: &str = "outbound-system";

/// The Helm release, and so the name of all its objects.
pub(crate) const RELEASE: &str = "outbound-operator";

/// Where pods find this machine (tests/tools/node).
const GATEWAY: &str = "10.88.0.1";

/// A pod's start, a lost Lease's 15 s, a shutdown's 20 s: each takes its time, and two cores may be busy.
const LONG: Duration = Duration::from_secs(180);

/// Dropped in this order: pods first, so that they can't see the rest vanish.
pub(crate) struct Cluster {
    _forwards: Vec<Leashed>,
    pub(crate) kubernetes: ControlPlane,
    /// Before the S3 server's plain port: holds what it is told to.
    pub(crate) proxy: Proxy,
    pub(crate) s3: S3Server,
    pub(crate) acme: Bucket,
    pub(crate) globex: Bucket,
    folder: Scratch,
    volume: Scratch,
}

impl Cluster {
    /// With the image on the node, and all that an administrator prepares before the operator is installed: its
    /// namespace, which enforces *restricted*, a claim for the volume, and our AWS identity in a Secret.
    pub(crate) async fn start() -> Cluster {
        let s3 = S3Server::start_with_tls();
        let customer = s3.customer();
        let proxy = Proxy::before(s3.url()).await;
        let kubernetes = ControlPlane::with_node();
        let mut cluster = Cluster {
            _forwards: Vec::new(),
            acme: s3.bucket_named(&customer, "acme-inbound").await,
            globex: s3.bucket_named(&customer, "globex-inbound").await,
            kubernetes,
            proxy,
            s3,
            folder: Scratch::new("node"),
            volume: Scratch::new("node-volume"),
        };
        for url in [cluster.proxy.url(), cluster.s3.tls_url().to_owned()] {
            cluster.forward(&url).await;
        }
        cluster.load_image();
        cluster.prepare();
        cluster
    }

    /// Lets pods reach a port of this machine.
    async fn forward(&mut self, url: &str) {
        let log = self.folder.path().join(format!("relay-{}.log", port(url)));
        let forward = self.kubernetes.folder().join("forward");
        let relay = Leashed::program(Command::new(forward).arg(port(url)), &log);
        self._forwards.push(relay);
        eventually(PATIENCE, "the relay listens", async || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains("ready") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await;
    }

    /// The image as `hack/image` makes it, of the binary that all tests share.
    fn load_image(&self) {
        // Without what only a debugger reads, which is most of it.
        let binary = self.folder.path().join("outbound-operator");
        Output::of(
            Command::new("strip")
                .arg("-o")
                .arg(&binary)
                .arg(env!("CARGO_BIN_EXE_outbound-operator")),
            None,
        )
        .ok();
        let output = self.folder.path().join("image");
        Output::of(
            Command::new(root().join("hack/image"))
                .arg("--binary")
                .arg(&binary)
                .arg("--output")
                .arg(&output),
            None,
        )
        .ok();
        let archive = output.join("outbound-operator.tar");
        let load = self.kubernetes.folder().join("load");
        Output::of(Command::new(load).arg(archive), None).ok();
    }

    fn prepare(&self) {
        let us = self.s3.us();
        let manifests = json!({"apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": HOME, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
            },
            {
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "exports"},
                "spec": {
                    "capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany"], "storageClassName": "",
                    "hostPath": {"path": self.volume.path(), "type": "Directory"},
                    "claimRef": {"name": "exports", "namespace": HOME},
                },
            },
            {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": "exports", "namespace": HOME},
                "spec": {
                    "accessModes": ["ReadOnlyMany"], "storageClassName": "", "volumeName": "exports",
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            },
            {
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "identity", "namespace": HOME},
                "stringData": {"accessKeyId": us.access_key, "secretAccessKey": us.secret_key},
            },
        ]});
        self.apply(&manifests.to_string());
    }

    /// The S3 server behind the proxy, as pods reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{GATEWAY}:{}", port(&self.proxy.url()))
    }

    /// The S3 server itself over TLS, as pods reach it.
    pub(crate) fn tls_url(&self) -> String {
        format!("https://{GATEWAY}:{}", port(self.s3.tls_url()))
    }

    /// What an administrator writes into a values file; `parts` is `transfer.maxConcurrentParts`.
    fn values(&self, parts: u32) -> PathBuf {
        let from_secret = |variable: &str, key: &str| {
            json!({
                "name": variable, "valueFrom": {"secretKeyRef": {"name": "identity", "key": key}},
            })
        };
        let values = json!({
            "image": {"repository": "localhost/outbound-operator", "pullPolicy": "Never"},
            "volume": {"existingClaim": "exports", "accessMode": "ReadOnlyMany"},
            "logFilter": "info,outbound_operator=debug",
            "extraEnv": [
                from_secret("AWS_ACCESS_KEY_ID", "accessKeyId"),
                from_secret("AWS_SECRET_ACCESS_KEY", "secretAccessKey"),
            ],
            "config": {
                "clusterId": "node",
                "identity": {
                    "accountId": "222222222222", "principalArn": self.s3.us().access_key, "region": "us-east-1",
                },
                "tenancy": [{
                    "namespaces": ["quickstart"],
                    "crossAccountBuckets": [{
                        "bucket": self.acme.name(), "owners": [self.s3.customer().access_key],
                        "prefixes": ["flights/"],
                    }],
                }],
                "endpoints": {
                    "allow": [self.url(), self.tls_url()], "allowPlainHttp": true, "s3": self.url(),
                },
                "transfer": {"partSize": "5Mi", "maxConcurrentParts": parts},
            },
        });
        let file = self.folder.path().join("values.yaml");
        std::fs::write(&file, values.to_string()).expect("write the values");
        file
    }

    /// `helm install`, until all is ready.
    pub(crate) fn install(&self, parts: u32) {
        self.roll_out("install", parts);
    }

    /// `helm upgrade` with another value, until all is ready.
    pub(crate) fn upgrade(&self, parts: u32) {
        self.roll_out("upgrade", parts);
    }

    fn roll_out(&self, verb: &str, parts: u32) {
        let values = self.values(parts);
        self.helm(&[
            verb,
            RELEASE,
            &chart(),
            "--values",
            text(&values),
            "--wait",
            "--timeout",
            "3m",
        ]);
    }

    pub(crate) fn uninstall(&self) {
        self.helm(&["uninstall", RELEASE, "--wait", "--timeout", "3m"]);
    }

    fn helm(&self, arguments: &[&str]) {
        let home = self.folder.path().join("helm");
        let output = Output::of(
            Command::new(program("helm"))
                .env("KUBECONFIG", self.kubernetes.kubeconfig())
                .env("HELM_CACHE_HOME", home.join("cache"))
                .env("HELM_CONFIG_HOME", home.join("config"))
                .env("HELM_DATA_HOME", home.join("data"))
                .args(["--namespace", HOME])
                .args(arguments),
            None,
        );
        assert!(
            output.success,
            "helm {arguments:?}: {}{}\n{}",
            output.stdout,
            output.stderr,
            self.state()
        );
    }

    #[track_caller]
    pub(crate) fn apply(&self, manifests: &str) {
        self.kubernetes
            .kubectl_with(&["apply", "-f", "-"], manifests)
            .ok();
    }

    #[track_caller]
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubernetes.kubectl(arguments).ok()
    }

    /// The object as it is now; null when it isn't there.
    pub(crate) fn get(&self, namespace: &str, kind: &str, name: &str) -> Value {
        let get = [
            "-n",
            namespace,
            "get",
            kind,
            name,
            "--ignore-not-found",
            "-o",
            "json",
        ];
        let text = self.kubectl(&get);
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// `kubectl wait`; a failure shows the object and the operator.
    pub(crate) fn wait(&self, namespace: &str, what: &str, condition: &str) {
        let (what_for, timeout) = (
            format!("--for={condition}"),
            format!("--timeout={}s", LONG.as_secs()),
        );
        let waited = self
            .kubernetes
            .kubectl(&["-n", namespace, "wait", what, &what_for, &timeout]);
        if !waited.success {
            let object = self
                .kubernetes
                .kubectl(&["-n", namespace, "get", what, "-o", "yaml"]);
            panic!("{}{}\n{}", waited.stderr, object.stdout, self.state());
        }
    }

    /// Repeats `probe` until it finds what it looks for.
    pub(crate) async fn eventually<T>(
        &self,
        what: &str,
        mut probe: impl AsyncFnMut() -> Result<T, String>,
    ) -> T {
        eventually(LONG, what, async || {
            probe()
                .await
                .map_err(|seen| format!("{seen}\n{}", self.state()))
        })
        .await
    }

    /// The pod that holds the Lease; empty when none does.
    pub(crate) fn leader(&self) -> String {
        let lease = self.get(HOME, "lease", RELEASE);
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        holder.split('_').next().unwrap_or_default().to_owned()
    }

    /// The operator's pods that aren't being deleted, by name, and whether each is ready.
    pub(crate) fn pods(&self) -> Vec<(String, bool)> {
        let list = self.kubectl(&["-n", HOME, "get", "pods", "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("JSON from kubectl");
        let pods = list["items"].as_array().cloned().unwrap_or_default();
        let staying = pods
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        staying
            .map(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
                let ready = conditions.any(|it| it["type"] == "Ready" && it["status"] == "True");
                (name.to_owned(), ready)
            })
            .collect()
    }

    /// SIGKILL to the pod's process, and the pod is gone for good: as if its machine had lost power.
    pub(crate) fn kill(&self, pod: &str) {
        let found = self.get(HOME, "pod", pod);
        let id = found["status"]["containerStatuses"][0]["containerID"].as_str();
        let id = id
            .and_then(|id| id.strip_prefix("containerd://"))
            .expect("a container");
        let enter = self.kubernetes.folder().join("enter");
        let kill = [
            "ctr",
            "--namespace",
            "k8s.io",
            "tasks",
            "kill",
            "--signal",
            "SIGKILL",
            id,
        ];
        Output::of(Command::new(enter).args(kill), None).ok();
        self.kubectl(&[
            "-n",
            HOME,
            "delete",
            "pod",
            pod,
            "--force",
            "--grace-period=0",
        ]);
    }

    /// Writes a source file of that namespace's, readable by everybody.
    pub(crate) fn file(&self, namespace: &str, path: &str, bytes: &[u8]) {
        let path = self.volume.path().join(namespace).join(path);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("make folders");
        std::fs::write(path, bytes).expect("write a source file");
    }

    /// What a failed test wants to see: pods, Events, logs.
    pub(crate) fn state(&self) -> String {
        let see = |arguments: &[&str]| {
            let seen = self.kubernetes.kubectl(arguments);
            format!(
                "$ kubectl {}\n{}{}",
                arguments.join(" "),
                seen.stdout,
                seen.stderr
            )
        };
        [
            see(&["get", "pods,obdest,obdel", "--all-namespaces", "-o", "wide"]),
            see(&["-n", HOME, "get", "events", "--sort-by=.lastTimestamp"]),
            see(&[
                "-n",
                HOME,
                "logs",
                "--selector=app.kubernetes.io/name=outbound-operator",
                "--prefix",
                "--tail=30",
            ]),
        ]
        .join("\n")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chart() -> String {
    text(&root().join("charts/outbound-operator")).to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Of a URL without a path.
fn port(url: &str) -> &str {
    url.rsplit(':').next().expect("a port")
}
