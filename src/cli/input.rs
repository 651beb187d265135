//! What `verify` and `grant` are given: manifests, a configuration, names.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::api::{OutboundDestination, PermissionMode};
use crate::config::Config;
use crate::manifest::{self, Manifests};

/// Bad input, as opposed to work that failed.
const BAD_INPUT: u8 = 2;

/// Which manifests, and with which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Input {
    /// A file of manifests, or a folder of *.yaml, *.yml and *.json (not the folders in it), Secrets included; - is standard input. May be repeated.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The operator's configuration file. Needed where our own identity signs. Without it an AccessKey destination is taken as its manifest is: nothing is known of allowed endpoints, so the one that it names is allowed.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of objects that name none [default: default].
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The destinations, by name; all of the manifests when none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// What a command works on.
pub(super) struct Chosen {
    pub(super) config: Config,
    pub(super) manifests: Manifests,
    pub(super) destinations: Vec<OutboundDestination>,
}

/// Input that can't be worked on; prints what to correct.
#[derive(Debug)]
pub(super) struct BadInput(String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for BadInput {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl BadInput {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Tells what is wrong, and ends.
    pub(super) fn exit(&self) -> ExitCode {
        eprintln!("{self}");
        ExitCode::from(BAD_INPUT)
    }
}

impl Input {
    /// Reads everything, and tells on standard error what was left aside.
    pub(super) fn choose(&self) -> Result<Chosen, BadInput> {
        let mut manifests = manifest::load(&self.paths, self.namespace.as_deref())?;
        for note in &manifests.notes {
            eprintln!("{note}");
        }
        let all = std::mem::take(&mut manifests.destinations);
        let name = |destination: &OutboundDestination| destination.metadata.name.clone();
        for named in &self.names {
            if !all.iter().any(|known| name(known).as_ref() == Some(named)) {
                let message = format!("the manifests hold no OutboundDestination {named:?}");
                return Err(BadInput::new(message));
            }
        }
        let named = |destination: &OutboundDestination| {
            self.names.is_empty()
                || name(destination).is_some_and(|name| self.names.contains(&name))
        };
        let destinations: Vec<_> = all.into_iter().filter(named).collect();
        if destinations.is_empty() {
            return Err(BadInput::new("the manifests hold no OutboundDestination"));
        }
        let config = self.config(&destinations)?;
        Ok(Chosen {
            config,
            manifests,
            destinations,
        })
    }

    fn config(&self, destinations: &[OutboundDestination]) -> Result<Config, BadInput> {
        if let Some(file) = &self.config {
            return Ok(Config::load(file)?);
        }
        let ours = destinations
            .iter()
            .find(|destination| destination.spec.permission_mode != PermissionMode::AccessKey);
        if let Some(destination) = ours {
            return Err(BadInput::new(format!(
                "{}: permissionMode {:?} needs --config, the operator's configuration: its identity is who we are to the customer",
                label(destination),
                destination.spec.permission_mode,
            )));
        }
        let endpoints = destinations
            .iter()
            .filter_map(|destination| destination.spec.endpoint.clone());
        Ok(Config::without_a_file(endpoints))
    }
}

/// A destination as a person reads it.
pub(super) fn label(destination: &OutboundDestination) -> String {
    let metadata = &destination.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    format!("{namespace}/{name}")
}
