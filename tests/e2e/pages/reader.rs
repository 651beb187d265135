//! Somebody who reads the pages and does what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::customer::{Customer, account};
use super::{documents, is_run, page};
use crate::support::markdown::{Block, blocks};
use crate::support::process::{Output, Scratch, program, unique};
use crate::support::wait::{PATIENCE, eventually};
use crate::support::{Aws, ControlPlane, Operator, OperatorConfig};

/// Our account and role on the pages.
const OURS: &str = "999988887777";

/// Dropped in this order: the operator first.
pub(super) struct Reader {
    /// Runs as soon as the chart is installed: no pod does here.
    operator: Option<Operator>,
    config: OperatorConfig,
    cluster: ControlPlane,
    customer: Customer,
    aws: Aws,
    /// Our own role's ARN, and its policies so far.
    role: String,
    policies: Vec<String>,
    /// The folder that commands run in, with the clone's charts and examples.
    folder: Scratch,
    _volume: Scratch,
    namespace: String,
}

impl Reader {
    pub(super) fn new() -> Reader {
        let cluster = ControlPlane::bare();
        let (folder, volume) = (Scratch::new("reader"), Scratch::new("exports"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut copy = Command::new("cp");
        copy.arg("-R")
            .args([root.join("charts"), root.join("examples")]);
        Output::of(copy.arg(folder.path()), None).ok();
        let exports = volume.path().join("marketing/exports/2026-11-24");
        std::fs::create_dir_all(&exports).expect("make folders");
        std::fs::write(exports.join("audience.csv"), "id\n1\n").expect("write a source file");

        let aws = Aws::shared();
        let role = account(&aws, OURS).workload_role("outbound", &[]);
        let config = OperatorConfig::at("marketing", volume.path(), aws.url())
            .with("clusterId", "prod-eu")
            .with(
                "identity",
                json!({"accountId": OURS, "principalArn": role, "region": "eu-west-1"}),
            )
            .with("tenancy", tenancy())
            .with("endpoints.sts", aws.url())
            .with("watch.namespaces", json!([]))
            .environment("KUBECONFIG", cluster.kubeconfig().to_str().unwrap());
        let session = aws.session(&role, "operator").environment();
        let config = session.iter().fold(config, |config, (name, value)| {
            config.environment(name, value)
        });
        Reader {
            operator: None,
            config,
            customer: Customer::new(&aws, folder.path()),
            cluster,
            aws,
            role,
            policies: Vec::new(),
            folder,
            _volume: volume,
            namespace: String::new(),
        }
    }

    /// Uses that namespace from now on, as by `kubectl config set-context`, without the Secrets of pages before.
    pub(super) fn goes_to(&mut self, namespace: &str) {
        self.namespace = namespace.to_owned();
        std::fs::copy(self.cluster.kubeconfig(), self.kubeconfig()).expect("copy a kubeconfig");
        let set = "kubectl config set-context --current --namespace";
        self.run(&format!("{set} {namespace}")).ok();
        self.run("kubectl delete secrets --all").ok();
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A line in a shell, with kubectl and Helm.
    pub(super) fn run(&self, line: &str) -> Output {
        let kubectl = program("kubectl");
        let path = std::env::var("PATH").expect("a PATH");
        let path = format!("{}:{path}", kubectl.parent().unwrap().display());
        let mut command = Command::new("bash");
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.folder.path().join("helm"));
        }
        command
            .args(["-euo", "pipefail", "-c", line])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("KUBECACHEDIR", self.folder.path().join("kubectl-cache"))
            .env("KUBECONFIG", self.kubeconfig());
        Output::of(&mut command, None)
    }

    /// Does what a page says, from its beginning to its end.
    pub(super) async fn reads(&mut self, page: &str) {
        for block in blocks(page) {
            match block.language.as_str() {
                "yaml" => self.declares(&block),
                "sh" => {
                    for command in block.commands() {
                        self.does(&command).await;
                    }
                }
                _ => {}
            }
        }
    }

    /// Writes the file that a block names; what names none is applied, if it is a manifest.
    fn declares(&self, block: &Block) {
        let mut documents = documents(&block.text);
        documents.iter_mut().for_each(|it| self.adapt(it));
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        let text = text.join("\n---\n");
        let file = self
            .folder
            .path()
            .join(block.file().unwrap_or("unnamed.yaml"));
        std::fs::write(file, text).expect("write a manifest");
        match block.file() {
            Some("globex.yaml") => self.customer.lets_in(&self.needed("globex.yaml")),
            Some(_) => {}
            None if documents[0]["kind"].is_string() => {
                self.run("kubectl apply -f unnamed.yaml").ok();
            }
            None => {}
        }
    }

    /// AWS is elsewhere here: an access key's destination has to say where.
    fn adapt(&self, document: &mut Value) {
        let is_aws = document["spec"]["endpoint"].is_null();
        if document["spec"]["permissionMode"] == "AccessKey" && is_aws {
            document["spec"]["endpoint"] = json!(self.aws.url());
        }
    }

    /// The policy that a customer's user needs, as `grant` prints it.
    fn needed(&self, file: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbound-operator"));
        command
            .args(["grant", "-o", "json", "-f", file])
            .current_dir(self.folder.path());
        let printed: Value =
            serde_json::from_str(&Output::of(&mut command, None).ok()).expect("JSON");
        let policy = &printed[0]["grant"]["identityPolicy"];
        policy.as_str().map_or(policy.to_string(), str::to_owned)
    }

    async fn does(&mut self, command: &str) {
        if !is_run(command) || self.customer.does(command) {
            return;
        }
        let line = command.replace("--timeout=1h", "--timeout=2m");
        if line.contains("-o jsonpath=") {
            self.is_shown(&line).await;
        } else {
            let ran = self.run(&line);
            let log = self.operator.as_ref().map(Operator::log_tail);
            assert!(ran.success, "{line}\n{ran:?}\n{}", log.unwrap_or_default());
        }
        if line.ends_with("> ours.json") {
            self.administrator_allows("ours.json");
        }
        if line.starts_with("helm install") {
            let established = "kubectl wait --for=condition=Established --timeout=60s crd --all";
            self.run(established).ok();
            self.operator = Some(Operator::start(self.config.clone()));
        }
    }

    /// What a command prints, or writes to a file, is there once the operator has seen the object.
    async fn is_shown(&self, line: &str) {
        let file = line
            .split_once("> ")
            .map(|(_, name)| self.folder.path().join(name));
        eventually(PATIENCE, line, async || {
            let ran = self.run(line);
            let shown = match &file {
                Some(file) => std::fs::read_to_string(file).unwrap_or_default(),
                None => ran.stdout.clone(),
            };
            if ran.success && !shown.trim().is_empty() {
                Ok(())
            } else {
                Err(format!("{ran:?}"))
            }
        })
        .await;
    }

    /// Our own role gets one more policy.
    fn administrator_allows(&mut self, file: &str) {
        let policy = std::fs::read_to_string(self.folder.path().join(file)).expect("a policy");
        self.policies.push(policy);
        let policies: Vec<&str> = self.policies.iter().map(String::as_str).collect();
        self.aws.set_policies(&self.role, &policies);
    }

    /// A new proof succeeds.
    pub(super) async fn is_proved(&self, name: &str) {
        let request = unique("proof");
        let ask = format!(
            "kubectl annotate --overwrite obdest/{name} outbound.dev/requestedAt={request}"
        );
        self.run(&ask).ok();
        let look = format!(
            "kubectl get obdest {name} -o jsonpath='{{.status.lastHandledRequest}} \
             {{.status.conditions[?(@.type==\"Ready\")].status}}'"
        );
        let status = format!("kubectl get obdest {name} -o yaml");
        eventually(PATIENCE, &format!("{name} is proved"), async || {
            if self.run(&look).ok() == format!("{request} True") {
                Ok(())
            } else {
                Err(self.run(&status).stdout)
            }
        })
        .await;
    }

    /// What is in a customer's bucket.
    pub(super) async fn arrived(&self, bucket: &str) -> Vec<String> {
        self.customer.keys(bucket).await
    }
}

/// What the pages tell the administrator to give to namespaces.
fn tenancy() -> Value {
    let pages = ["docs/modes/cross-account.md", "docs/modes/assume-role.md"];
    let rules = pages
        .iter()
        .flat_map(|path| blocks(&page(path)))
        .filter(|block| block.language == "yaml")
        .flat_map(|block| documents(&block.text))
        .filter_map(|document| document["tenancy"].as_array().cloned());
    rules.flatten().collect()
}
