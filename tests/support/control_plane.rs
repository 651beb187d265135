//! A real Kubernetes control plane, one for each test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

use super::process::{Leashed, Output, program, unique};

/// What etcd writes ahead (64 MiB) and then some, in bytes; Docker gives a container as much in all.
const SHARED_MEMORY_NEEDED: u64 = 1 << 30;

/// etcd, kube-apiserver and kube-controller-manager, with our CRDs.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    _server: Leashed,
    folder: PathBuf,
}

impl ControlPlane {
    /// The one of this process, started by the first caller.
    pub(crate) fn shared() -> &'static ControlPlane {
        // A failed start is kept: tests that need it fail at once instead of trying again in turn.
        static SHARED: OnceLock<Option<ControlPlane>> = OnceLock::new();
        SHARED
            .get_or_init(|| std::panic::catch_unwind(ControlPlane::start).ok())
            .as_ref()
            .expect("the control plane did not start, see above")
    }

    /// One of the test's own, for what others must not see: a changed CRD, a stop.
    pub(crate) fn start() -> ControlPlane {
        let control_plane = ControlPlane::bare();
        control_plane.install_crds();
        control_plane
    }

    /// One with a node whose pods run, and without our CRDs: a chart brings them. Minutes of building the
    /// first time; the machine must allow it (`tests/tools/node --check`).
    pub(crate) fn with_node() -> ControlPlane {
        // On disk: it holds images.
        let folder = std::env::temp_dir().join(unique("outbound-node"));
        let (server, _) = Leashed::script("node", &[], &folder);
        ControlPlane {
            _server: server,
            folder,
        }
    }

    /// One without our CRDs: the chart brings them.
    pub(crate) fn bare() -> ControlPlane {
        let folder = fast_folder().join(unique("outbound-control-plane"));
        let (server, _) = Leashed::script("control-plane", &[], &folder);
        ControlPlane {
            _server: server,
            folder,
        }
    }

    /// What the script that runs it keeps there: logs, the node's own commands.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn install_crds(&self) {
        let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        if !crds.is_dir() {
            return;
        }
        let crds = crds.to_str().expect("a path in UTF-8");
        self.kubectl(&["apply", "--server-side", "-f", crds]).ok();
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "-f",
            crds,
        ])
        .ok();
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A new client as administrator. Not shared: its connections belong to the runtime of one test.
    pub(crate) async fn client(&self) -> kube::Client {
        let config = kube::config::Kubeconfig::read_from(self.kubeconfig()).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &Default::default())
            .await
            .expect("a usable kubeconfig");
        kube::Client::try_from(config).expect("a client")
    }

    /// kubectl as administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        Output::of(&mut self.command(arguments), None)
    }

    /// kubectl with a manifest on its standard input (`-f -`).
    pub(crate) fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> Output {
        Output::of(&mut self.command(arguments), Some(manifest))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--cache-dir")
            .arg(self.folder.join("kubectl-cache"))
            .args(arguments);
        command
    }

    /// A new namespace with its default ServiceAccount's controller at work. Deleted with the value.
    pub(crate) fn namespace(&self, prefix: &str) -> Namespace<'_> {
        let name = unique(prefix);
        self.kubectl(&["create", "namespace", &name]).ok();
        Namespace {
            control_plane: self,
            name,
        }
    }
}

/// tmpfs where there is room: etcd writes a lot of little.
fn fast_folder() -> PathBuf {
    let shared_memory = Path::new("/dev/shm");
    match rustix::fs::statvfs(shared_memory) {
        Ok(room) if room.f_bavail * room.f_frsize >= SHARED_MEMORY_NEEDED => shared_memory.into(),
        _ => std::env::temp_dir(),
    }
}

/// A namespace of one test.
#[derive(Debug)]
pub(crate) struct Namespace<'a> {
    control_plane: &'a ControlPlane,
    name: String,
}

/// A kind of ours for a client that knows it by its name alone.
pub(crate) fn resource(kind: &str, plural: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk("outbound.dev", "v1alpha1", kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

impl Namespace<'_> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// kubectl in this namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["--namespace", &self.name];
        all.extend(arguments);
        self.control_plane.kubectl(&all)
    }

    /// `kubectl apply` of manifests, as a user does.
    pub(crate) fn apply(&self, manifests: &str) -> Output {
        self.control_plane
            .kubectl_with(&["--namespace", &self.name, "apply", "-f", "-"], manifests)
    }

    /// The object as the apiserver has it now, or none.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self
            .kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"])
            .ok();
        (!text.trim().is_empty()).then(|| serde_json::from_str(&text).expect("JSON from kubectl"))
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Best effort: the whole control plane goes with the process.
        self.control_plane
            .kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}
