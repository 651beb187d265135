//! The operator as its users run it: the built binary, in a process of its own.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::process::{Leashed, Resident, Scratch, memory_kib};
use super::s3::{Credentials, S3Server};

/// How long a shutdown may take; an operator that needs longer is killed. A pod has as much by default.
const GRACE: Duration = Duration::from_secs(30);

/// The operator's configuration file and its environment.
#[derive(Clone)]
pub(crate) struct OperatorConfig {
    document: Value,
    environment: BTreeMap<String, String>,
}

impl OperatorConfig {
    /// Watches one namespace, reads below `volume`, may talk to `s3` in both modes, has our identity
    /// there, and gives the namespace no bucket yet.
    pub(crate) fn new(namespace: &str, volume: &Path, s3: &S3Server) -> OperatorConfig {
        OperatorConfig::at(namespace, volume, s3.url()).identity(&s3.us())
    }

    /// The same for any store at that URL, without credentials of our own.
    pub(crate) fn at(namespace: &str, volume: &Path, url: &str) -> OperatorConfig {
        let document = json!({
            "clusterId": "test",
            "identity": {
                "accountId": "222222222222",
                "principalArn": "arn:aws:iam::222222222222:root",
                "region": "us-east-1",
            },
            "volume": {"root": volume},
            "tenancy": [],
            "endpoints": {"allow": [url], "allowPlainHttp": true, "s3": url},
            "leaderElection": {"enabled": false},
            "watch": {"namespaces": [namespace]},
        });
        OperatorConfig {
            document,
            environment: BTreeMap::new(),
        }
    }

    /// Replaces one value; the path's members are separated by dots: `transfer.partSize`.
    pub(crate) fn with(mut self, path: &str, value: impl Into<Value>) -> OperatorConfig {
        let mut place = &mut self.document;
        for member in path.split('.') {
            place = &mut place[member];
        }
        *place = value.into();
        self
    }

    /// Watches another namespace too.
    pub(crate) fn also_watch(mut self, namespace: &str) -> OperatorConfig {
        let watched = self.document["watch"]["namespaces"].as_array_mut();
        watched.expect("a list of names").push(namespace.into());
        self
    }

    /// Lets a namespace deliver into a bucket by CrossAccount, below these prefixes.
    pub(crate) fn allow_bucket(
        mut self,
        namespace: &str,
        bucket: &str,
        owner: &str,
        prefixes: &[&str],
    ) -> OperatorConfig {
        self.document["tenancy"]
            .as_array_mut()
            .expect("a list of rules")
            .push(json!({
                "namespaces": [namespace],
                "crossAccountBuckets": [{"bucket": bucket, "owners": [owner], "prefixes": prefixes}],
            }));
        self
    }

    /// The credentials that the SDK's default chain finds.
    pub(crate) fn identity(self, who: &Credentials) -> OperatorConfig {
        self.environment("AWS_ACCESS_KEY_ID", &who.access_key)
            .environment("AWS_SECRET_ACCESS_KEY", &who.secret_key)
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> OperatorConfig {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The configuration file. JSON is YAML, and needs no writer of its own.
    pub(crate) fn render(&self) -> String {
        serde_json::to_string_pretty(&self.document).expect("a JSON document")
    }
}

/// A running operator (or one that was stopped and may be started again).
pub(crate) struct Operator {
    process: Option<Leashed>,
    config: OperatorConfig,
    folder: Scratch,
    /// How long the log was when the present process began.
    log_before: usize,
}

impl Operator {
    pub(crate) fn start(config: OperatorConfig) -> Operator {
        let mut operator = Operator {
            process: None,
            config,
            folder: Scratch::new("operator"),
            log_before: 0,
        };
        operator.restart();
        operator
    }

    /// Starts it again with the same configuration; kills it first where it still runs.
    pub(crate) fn restart(&mut self) {
        self.kill9();
        self.log_before = self.log().len();
        let file = self.folder.path().join("config.yaml");
        std::fs::write(&file, self.config.render()).expect("write the configuration");
        // Another build of it, where one is named: what is measured is built for release.
        let built = env!("CARGO_BIN_EXE_outbound-operator").into();
        let mut command = Command::new(std::env::var_os("OUTBOUND_OPERATOR").unwrap_or(built));
        command.arg("run").arg("--config").arg(file);
        // The developer's own AWS settings must not leak into a test, nor a search for a role on EC2.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        let nowhere = self.folder.path().join("no-aws-files");
        let log = std::env::var("RUST_LOG").unwrap_or("info,outbound_operator=debug".to_owned());
        command
            .env("AWS_CONFIG_FILE", &nowhere)
            .env("AWS_SHARED_CREDENTIALS_FILE", &nowhere)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("KUBECONFIG", ControlPlane::shared().kubeconfig())
            .env("RUST_LOG", log)
            .envs(&self.config.environment);
        self.process = Some(Leashed::program(&mut command, &self.log_file()));
    }

    /// [`Operator::restart`] with another configuration.
    pub(crate) fn restart_with(&mut self, config: OperatorConfig) {
        self.config = config;
        self.restart();
    }

    /// SIGKILL, as a lost node does it.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM, as the kubelet does it; returns how the operator ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a running operator");
        process.terminate(GRACE)
    }

    /// Sends it a signal by name (`STOP`, `CONT`, `TERM`), and waits for nothing.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid().expect("a running operator").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("run kill").success());
    }

    /// Its exit status, when it ended by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(Leashed::ended)
    }

    /// The process's id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Leashed::pid)
    }

    /// Bytes of memory that it has, or had at most.
    pub(crate) fn memory(&self, what: Resident) -> u64 {
        let pid = self.pid().expect("a running operator");
        memory_kib(pid, what).expect("its memory") * 1024
    }

    pub(crate) fn config(&self) -> &OperatorConfig {
        &self.config
    }

    /// Asks its HTTP server, where the configuration gives it one: status and body; `None` when nobody answers.
    pub(crate) fn ask(&self, path: &str) -> Option<(u16, String)> {
        let log = self.log();
        let line = log
            .get(self.log_before..)?
            .lines()
            .find(|line| line.contains("serving /livez"))?;
        let address = line
            .split(['"', ' ', '='])
            .find(|word| word.starts_with("127.0.0.1:"))?;
        let mut stream = TcpStream::connect(address).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: operator\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of one series of its metrics; `None` when there is no such series.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.ask("/metrics")?;
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("operator.log")
    }

    /// All that it ever wrote to standard output and standard error, over all its starts.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of [`Operator::log`], for the message of a failed test.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}
