//! `examples/gitops` as its users use it: applied again and again, waited for, and run by a pipeline.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::process::{Output, Scratch, program, tool};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Bucket, ControlPlane, World};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gitops")
}

/// The objects that the repository brings to a namespace.
const OBJECTS: [(&str, &str); 4] = [
    ("obdest", "acme"),
    ("obdest", "globex"),
    ("obdel", "acme-2026-11-24"),
    ("obdel", "globex-2026-11-24"),
];

/// How often what is applied already is applied again.
const AGAIN: usize = 20;

/// Who applies.
#[derive(Clone, Copy)]
enum Applier {
    /// `kubectl apply`: what was applied stands in an annotation.
    Client,
    /// As Flux and Argo CD do it: by server-side apply, under the tool's own name.
    Server(&'static str),
}

impl Applier {
    fn flags(self) -> Vec<String> {
        match self {
            Applier::Client => Vec::new(),
            Applier::Server(manager) => vec![
                "--server-side".to_owned(),
                format!("--field-manager={manager}"),
                "--force-conflicts".to_owned(),
            ],
        }
    }
}

/// A clone of the repository with an overlay for a test's namespace, buckets and server, and an operator.
struct Clone {
    world: World,
    globex: Bucket,
    folder: Scratch,
}

impl Clone {
    async fn new(topic: &str) -> Clone {
        let world = World::start(topic).await;
        let globex = world.s3.bucket(&world.s3.customer()).await;
        let key = world.s3.user("globex");
        globex.grant(&key, PREFIX, &WRITE_ACTIONS).await;
        world.secret("globex-s3", &key);
        let rights = [&WRITE_ACTIONS[..], &["s3:PutObjectAcl"]].concat();
        world.bucket.grant(&world.s3.us(), PREFIX, &rights).await;
        for file in ["audience.csv", "segments.csv"] {
            world.file(&format!("exports/2026-11-24/{file}"), format!("{file}\n"));
        }
        let folder = Scratch::new("clone");
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(examples()).arg(folder.path());
        Output::of(&mut copy, None).ok();
        let clone = Clone {
            world,
            globex,
            folder,
        };
        clone.overlay("destinations", "destinations/production");
        clone.overlay("deliveries", "deliveries");
        clone
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("gitops")
    }

    /// `test/NAME`: what lies at `base`, for this test's surroundings.
    fn overlay(&self, name: &str, base: &str) {
        let replace =
            |path: &str, value: &str| json!({"op": "replace", "path": path, "value": value});
        let region = replace("/spec/region", "us-east-1");
        let acme = json!([
            region,
            replace("/spec/bucket", self.world.bucket.name()),
            replace("/spec/bucketOwner", &self.world.s3.customer().access_key),
        ]);
        let globex = json!([
            region,
            replace("/spec/bucket", self.globex.name()),
            json!({"op": "add", "path": "/spec/endpoint", "value": self.world.s3.url()}),
        ]);
        let patch = |name: &str, patch: &Value| {
            let target = json!({"kind": "OutboundDestination", "name": name});
            json!({"target": target, "patch": patch.to_string()})
        };
        let overlay = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.world.namespace.name(),
            "resources": [format!("../../{base}")],
            "patches": [patch("acme", &acme), patch("globex", &globex)],
        });
        let folder = self.repository().join("test").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("kustomization.yaml"), overlay.to_string()).unwrap();
    }

    /// kubectl on `test/NAME`.
    fn kubectl(&self, verb: &str, name: &str, applier: Applier) -> Output {
        let folder = self.repository().join("test").join(name);
        let flags = applier.flags();
        let mut arguments = vec![verb, "-k", folder.to_str().unwrap()];
        arguments.extend(flags.iter().map(String::as_str));
        self.world.namespace.kubectl(&arguments)
    }

    #[track_caller]
    fn apply(&self, applier: Applier) {
        for name in ["destinations", "deliveries"] {
            self.kubectl("apply", name, applier).ok();
        }
    }

    /// What a write would change, whoever makes it.
    fn metadata(&self) -> Vec<Value> {
        let of = |(kind, name): &(&str, &str)| {
            let metadata = self.world.get(kind, name)["metadata"].take();
            json!([
                metadata["uid"],
                metadata["generation"],
                metadata["resourceVersion"],
                metadata["managedFields"]
            ])
        };
        OBJECTS.iter().map(of).collect()
    }

    /// Waits until both deliveries are complete, while all is applied again and again.
    async fn complete(&self, applier: Applier) {
        eventually(PATIENCE, "all is delivered", async || {
            self.apply(applier);
            let wait = |(kind, name): &(&str, &str)| {
                let condition = match *kind {
                    "obdel" => "--for=condition=Complete",
                    _ => "--for=condition=Ready",
                };
                let arguments = ["wait", condition, "--timeout=0s", *kind, *name];
                self.world.namespace.kubectl(&arguments).success
            };
            if OBJECTS.iter().all(wait) {
                Ok(())
            } else {
                Err(self.world.operator.log_tail())
            }
        })
        .await;
    }

    /// Each object and each receipt went out once.
    fn delivered_once(&self) {
        for (bucket, customer) in [(&self.world.bucket, "acme"), (&self.globex, "globex")] {
            let mut wanted = [
                "audience/audience-2026-11-24.csv".to_owned(),
                format!("audience/{customer}-2026-11-24.info"),
                "audience/segments-2026-11-24.csv".to_owned(),
            ];
            wanted.sort();
            assert_eq!(bucket.keys(), wanted);
            let creates: Vec<String> = bucket
                .requests()
                .into_iter()
                .filter(|it| {
                    matches!(
                        it.operation.as_str(),
                        "CompleteMultipartUpload" | "PutObject"
                    )
                })
                .map(|it| it.key)
                .collect();
            for key in wanted {
                let times = creates.iter().filter(|created| **created == key).count();
                // The first receipt on a store that isn't AWS is sent once more with the condition, which must refuse it.
                let asked = if key.ends_with(".info") { 1..=3 } else { 1..=1 };
                assert!(asked.contains(&times), "{key}: {creates:?}");
            }
        }
    }
}

/// All is applied while it works and, once everything is done, twenty times more: nothing is different, nothing is sent.
async fn applied_again_and_again(topic: &str, applier: Applier) {
    let clone = Clone::new(topic).await;
    clone.complete(applier).await;
    let generations = |of: &[Value]| of.iter().map(|it| it[1].clone()).collect::<Vec<_>>();
    assert_eq!(
        generations(&clone.metadata()),
        vec![json!(1); OBJECTS.len()]
    );
    // The operator's last writes: finalizers go, and what was learned of the store is told.
    eventually(
        PATIENCE,
        "the operator has nothing more to write",
        async || {
            let ended = |(kind, name): &(&str, &str)| {
                let object = clone.world.get(kind, name);
                let free = object["metadata"]["finalizers"]
                    .as_array()
                    .is_none_or(Vec::is_empty);
                let told = &object["status"]["capabilities"]["conditionalWrite"];
                free && (*kind == "obdel" || told != "Unknown")
            };
            let ended = OBJECTS.iter().all(ended);
            if ended {
                Ok(())
            } else {
                Err(json!(clone.metadata()))
            }
        },
    )
    .await;
    clone.apply(applier);
    let before = clone.metadata();
    let sent = [&clone.world.bucket, &clone.globex].map(|bucket| bucket.requests().len());
    for round in 0..AGAIN {
        clone.apply(applier);
        // Each costs as much as all else.
        let compared = ["destinations", "deliveries"];
        for name in compared.iter().filter(|_| round % 5 == 0) {
            let diff = clone.kubectl("diff", name, applier);
            assert!(diff.success, "{}{}", diff.stdout, diff.stderr);
        }
    }
    assert_eq!(clone.metadata(), before, "something was written");
    let after = [&clone.world.bucket, &clone.globex].map(|bucket| bucket.requests().len());
    assert_eq!(after, sent, "something was sent");
    clone.delivered_once();
}

#[tokio::test]
async fn applied_by_kubectl_again_and_again_it_makes_no_diff_and_no_second_delivery() {
    applied_again_and_again("gitops-client", Applier::Client).await;
}

#[tokio::test]
async fn applied_by_a_gitops_tool_again_and_again_it_makes_no_diff_and_no_second_delivery() {
    applied_again_and_again("gitops-server", Applier::Server("kustomize-controller")).await;
}

/// `kubectl diff` would find something.
#[tokio::test]
async fn a_change_is_a_diff_or_refused_and_what_comes_back_overwrites_nothing() {
    let clone = Clone::new("gitops-diff").await;
    let applier = Applier::Server("argocd-controller");
    clone.complete(applier).await;
    let base = clone.repository().join("deliveries/acme-2026-11-24.yaml");
    let text = std::fs::read_to_string(&base).unwrap();
    std::fs::write(&base, format!("{text}  backoffLimit: 3\n")).unwrap();
    let diff = clone.kubectl("diff", "deliveries", applier);
    assert!(
        !diff.success && diff.stdout.contains("backoffLimit"),
        "{diff:?}"
    );
    std::fs::write(&base, text.replace("exports/", "others/")).unwrap();
    let refusal = clone.kubectl("apply", "deliveries", applier).refusal();
    assert!(refusal.contains("source can't be changed"), "{refusal}");

    // A file that was taken away comes back: where we may not look, it ends at what is there, and changes nothing.
    std::fs::write(&base, text).unwrap();
    let written = clone.world.bucket.files();
    let delete = ["delete", "obdel", "acme-2026-11-24", "--timeout=60s"];
    clone.world.namespace.kubectl(&delete).ok();
    clone.apply(applier);
    let name = "acme-2026-11-24";
    clone
        .world
        .reason("obdel", name, "Failed", "ObjectExists")
        .await;
    assert_eq!(clone.world.bucket.files(), written);
}

#[tokio::test]
async fn nothing_leaves_from_staging() {
    let clone = Clone::new("gitops-staging").await;
    clone.overlay("destinations", "destinations/staging");
    clone.apply(Applier::Client);
    for name in ["acme", "globex"] {
        clone
            .world
            .reason("obdest", name, "Ready", "Suspended")
            .await;
    }
    for name in ["acme-2026-11-24", "globex-2026-11-24"] {
        clone
            .world
            .reason("obdel", name, "Ready", "DestinationNotReady")
            .await;
    }
    for bucket in [&clone.world.bucket, &clone.globex] {
        assert!(bucket.keys().is_empty());
    }
}

/// A script of the repository, with kubectl as that user.
fn script(clone: &Clone, line: &str, kubeconfig: &Path) -> Output {
    let kubectl = program("kubectl");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", kubectl.parent().unwrap().display());
    let mut command = Command::new("bash");
    command
        .args(["-euc", line])
        .current_dir(clone.repository())
        .env("PATH", path)
        .env("PATIENCE", "60s")
        .env("KUBECONFIG", kubeconfig);
    Output::of(&mut command, None)
}

/// A kubeconfig of the pipeline's ServiceAccount, which has what `pipeline/rbac.yaml` gives and no more.
fn pipeline(clone: &Clone) -> PathBuf {
    let namespace = &clone.world.namespace;
    namespace
        .kubectl(&["create", "serviceaccount", "pipeline"])
        .ok();
    let rbac = clone.repository().join("pipeline/rbac.yaml");
    namespace
        .kubectl(&["apply", "-f", rbac.to_str().unwrap()])
        .ok();
    let token = namespace.kubectl(&["create", "token", "pipeline"]).ok();
    let text = std::fs::read_to_string(ControlPlane::shared().kubeconfig()).unwrap();
    let mut config: Value = outbound_operator::yaml::read(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let file = clone.folder.path().join("pipeline-kubeconfig");
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

#[tokio::test]
async fn a_pipeline_delivers_and_a_second_run_overwrites_nothing() {
    let clone = Clone::new("gitops-pipeline").await;
    clone.kubectl("apply", "destinations", Applier::Client).ok();
    let kubeconfig = pipeline(&clone);
    let line = format!(
        "pipeline/deliver {} 2026-11-24",
        clone.world.namespace.name()
    );
    let first = script(&clone, &line, &kubeconfig);
    let log = clone.world.operator.log_tail();
    assert!(
        first.success && first.stdout.contains("Delivered"),
        "{first:?}\n{log}"
    );
    let written = clone.world.bucket.files();
    assert_eq!(written.len(), 3, "{:?}", written.keys());

    let second = script(&clone, &line, &kubeconfig);
    assert!(
        !second.success && second.stdout.contains("ObjectExists"),
        "{second:?}"
    );
    assert_eq!(clone.world.bucket.files(), written);
    let names = clone
        .world
        .namespace
        .kubectl(&["get", "obdel", "-o", "name"])
        .ok();
    assert_eq!(names.lines().count(), 2, "{names}");

    for line in [
        "pipeline/deliver marketing today",
        "pipeline/deliver marketing",
    ] {
        assert!(
            script(&clone, line, &kubeconfig)
                .refusal()
                .contains("usage")
        );
    }
    let manifest = clone.repository().join("pipeline/delivery.yaml");
    let apply = ["apply", "-f", manifest.to_str().unwrap()];
    let refusal = clone.world.namespace.kubectl(&apply).refusal();
    assert!(
        refusal.contains("cannot use generate name with apply"),
        "{refusal}"
    );
}

/// The commands that the pages show, as they stand there, but for the namespace and the overlays of the test.
#[tokio::test]
async fn the_commands_in_the_pages_run() {
    let clone = Clone::new("gitops-pages").await;
    let namespace = clone.world.namespace.name();
    // A namespace for the health scripts, as Argo CD has it, with a setting of its own.
    let argocd = crate::support::process::unique("argocd");
    let control_plane = ControlPlane::shared();
    control_plane
        .kubectl(&["create", "namespace", &argocd])
        .ok();
    let own = [
        "-n",
        &argocd,
        "create",
        "configmap",
        "argocd-cm",
        "--from-literal=url=https://cd.example",
    ];
    control_plane.kubectl(&own).ok();
    let health = clone.repository().join("argocd/health/kustomization.yaml");
    let text = std::fs::read_to_string(&health).unwrap();
    std::fs::write(
        &health,
        text.replace("namespace: argocd", &format!("namespace: {argocd}")),
    )
    .unwrap();

    let pages = [
        include_str!("../../../examples/gitops/README.md"),
        include_str!("../../../docs/gitops.md"),
    ];
    let blocks = pages.iter().flat_map(|page| page.split("```sh\n").skip(1));
    let lines: Vec<&str> = blocks
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .collect();
    assert!(lines.len() >= 10, "{lines:?}");
    for line in lines {
        let line = line
            .replace("kubectl create namespace marketing", "true")
            .replace("-k destinations/production", "-k test/destinations")
            .replace("-k deliveries", "-k test/deliveries")
            .replace("-n argocd", &format!("-n {argocd}"))
            .replace(
                "deliver marketing 2026-11-24",
                &format!("deliver {namespace} 2026-11-25"),
            )
            .replace("-n marketing", &format!("-n {namespace}"));
        if line.starts_with("pipeline/") {
            clone.world.file("exports/2026-11-25/audience.csv", "1\n");
        }
        let ran = script(&clone, &line, &control_plane.kubeconfig());
        let log = clone.world.operator.log_tail();
        assert!(ran.success, "{line}\n{ran:?}\n{log}");
    }
    let map = ["-n", &argocd, "get", "configmap", "argocd-cm", "-o", "json"];
    let map: Value = serde_json::from_str(&control_plane.kubectl(&map).ok()).unwrap();
    assert_eq!(map["data"]["url"], "https://cd.example");
    for kind in [&super::DESTINATION, &super::DELIVERY] {
        let key = format!("resource.customizations.health.outbound.dev_{}", kind.name);
        let script = super::record::folder(kind).join("health.lua");
        assert_eq!(map["data"][key], std::fs::read_to_string(script).unwrap());
    }
    control_plane.kubectl(&["delete", "namespace", &argocd, "--wait=false"]);
}

/// Splits what kustomize or a file gives: HelmReleases, and all else.
fn parted(manifests: &str) -> (Vec<Value>, Vec<Value>) {
    let documents = outbound_operator::yaml::documents(manifests).map(Result::unwrap);
    let documents = documents.filter(|document| !document.is_null());
    documents.partition(|document| document["kind"] == "HelmRelease")
}

/// Our own chart takes these values.
fn renders(values: &Value) {
    let scratch = Scratch::new("values");
    let file = scratch.path().join("values.yaml");
    std::fs::write(&file, values.to_string()).unwrap();
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/outbound-operator");
    let mut command = Command::new(program("helm"));
    command
        .args(["template", "outbound-operator"])
        .arg(chart)
        .args(["--namespace", "outbound-system", "--values"])
        .arg(file);
    let manifests = Output::of(&mut command, None).ok();
    assert!(manifests.contains("kind: Deployment"), "{manifests}");
}

/// Flux's and Argo CD's own CRDs take their objects, as the apiserver checks them. Of Flux's HelmRelease there is no CRD
/// to be had as a Go module: its Go type reads that one, strictly.
#[tokio::test]
async fn what_flux_and_argo_cd_read_is_what_their_schemas_say() {
    let control_plane = ControlPlane::start();
    let crds = Output::of(&mut Command::new(tool("gitops-crds")), None).ok();
    for file in crds.lines() {
        let apply = ["apply", "--server-side", "-f", file];
        control_plane.kubectl(&apply).ok();
    }
    for file in crds.lines() {
        // Before it has conditions kubectl says that it can't read them.
        eventually(PATIENCE, "a CRD is established", async || {
            let established = "--for=condition=Established";
            let wait = control_plane.kubectl(&["wait", established, "--timeout=0s", "-f", file]);
            if wait.success {
                Ok(())
            } else {
                Err(wait.stderr)
            }
        })
        .await;
    }
    for namespace in ["flux-system", "argocd", "outbound-system", "marketing"] {
        control_plane
            .kubectl(&["create", "namespace", namespace])
            .ok();
    }
    let folder = examples();
    let kustomize = |path: &str| {
        let path = folder.join(path);
        control_plane
            .kubectl(&["kustomize", path.to_str().unwrap()])
            .ok()
    };
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    let all = [
        kustomize("flux/platform"),
        read("flux/production.yaml"),
        read("flux/staging.yaml"),
        kustomize("argocd"),
        kustomize("argocd/health"),
        kustomize("destinations/production"),
        kustomize("deliveries"),
    ];
    let (mut releases, mut checked) = (0, 0);
    let check = |document: &Value| {
        let arguments = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
        control_plane.kubectl_with(&arguments, &document.to_string())
    };
    for manifests in &all {
        let (helm, rest) = parted(manifests);
        for release in &helm {
            let scratch = Scratch::new("release");
            let file = scratch.path().join("release.yaml");
            std::fs::write(&file, release.to_string()).unwrap();
            let mut command = Command::new(program("gitops"));
            command.arg("helmreleases").arg(file);
            assert_eq!(Output::of(&mut command, None).ok(), "1 HelmReleases\n");
            renders(&release["spec"]["values"]);
            releases += 1;
        }
        for document in &rest {
            check(document).ok();
            let values = &document["spec"]["source"]["helm"]["valuesObject"];
            if !values.is_null() {
                renders(values);
                releases += 1;
            }
            checked += 1;
            let mut wrong = document.clone();
            if !wrong["spec"].is_null() {
                wrong["spec"]["unheardOf"] = json!(true);
                let refusal = check(&wrong).refusal();
                assert!(refusal.contains("unheardOf"), "{refusal}");
            }
        }
    }
    assert_eq!(releases, 2);
    assert!(checked >= 18, "{checked}");
}
