//! What the commands without a cluster are given: manifests, a configuration, names.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use kube::Resource;

use crate::api::{OutboundDelivery, OutboundDestination, PermissionMode};
use crate::config::Config;
use crate::controllers::Tenancy;
use crate::manifest::{self, Manifests};
use crate::store::{Endpoint, PlainHttp};

/// The exit code of bad input, as opposed to work that failed.
pub(super) const BAD_INPUT: u8 = 2;

/// The manifests and the configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// A file of manifests, or a folder of *.yaml, *.yml and *.json (not the folders in it), Secrets included; - is standard input. May be repeated.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The operator's configuration file. Needed where our own identity signs. Without it an AccessKey destination is taken as its manifest is: nothing is known of allowed endpoints, so the one that it names is allowed.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The namespace of objects that name none [default: default].
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// Which destinations, and with which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Input {
    #[command(flatten)]
    files: Files,
    /// The destinations, by name; all of the manifests when none is named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Which deliveries, and with which configuration.
#[derive(Debug, clap::Args)]
pub(super) struct DeliveryInput {
    #[command(flatten)]
    files: Files,
    /// The folder that holds one folder for each namespace, in place of the configuration's volume.root. Needed without --config.
    #[arg(long, value_name = "FOLDER")]
    volume_root: Option<PathBuf>,
    /// The deliveries, by name; all of the manifests when none is named.
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

impl Files {
    /// Reads the manifests, and tells on standard error what was left aside.
    fn load(&self) -> Result<Manifests, BadInput> {
        let manifests = manifest::load(&self.paths, self.namespace.as_deref())?;
        for note in &manifests.notes {
            eprintln!("{note}");
        }
        Ok(manifests)
    }

    /// The configuration to sign with for these destinations.
    fn config<'a>(
        &self,
        destinations: impl Iterator<Item = &'a OutboundDestination> + Clone,
    ) -> Result<Config, BadInput> {
        if let Some(file) = &self.config {
            return Ok(Config::load(file)?);
        }
        let ours = destinations
            .clone()
            .find(|destination| destination.spec.permission_mode != PermissionMode::AccessKey);
        if let Some(destination) = ours {
            return Err(BadInput::new(format!(
                "{}: permissionMode {:?} needs --config, the operator's configuration: its identity is who we are to the customer",
                label(destination),
                destination.spec.permission_mode,
            )));
        }
        Ok(assumed(destinations))
    }
}

/// What applies without a configuration. An endpoint that can't be allows nothing: its destination is refused by it.
fn assumed<'a>(destinations: impl Iterator<Item = &'a OutboundDestination>) -> Config {
    Config::without_a_file(destinations.filter_map(|destination| {
        Endpoint::parse(destination.spec.endpoint.as_deref()?, PlainHttp::Allowed).ok()
    }))
}

/// Takes the objects of those names, all where there are none, out of the manifests.
fn named<K: Resource<DynamicType = ()>>(all: Vec<K>, names: &[String]) -> Result<Vec<K>, BadInput> {
    let kind = K::kind(&());
    let name = |object: &K| object.meta().name.clone();
    for named in names {
        if !all.iter().any(|known| name(known).as_ref() == Some(named)) {
            let message = format!("the manifests hold no {kind} {named:?}");
            return Err(BadInput::new(message));
        }
    }
    let named =
        |object: &K| names.is_empty() || name(object).is_some_and(|name| names.contains(&name));
    let chosen: Vec<_> = all.into_iter().filter(named).collect();
    if chosen.is_empty() {
        return Err(BadInput::new(format!("the manifests hold no {kind}")));
    }
    Ok(chosen)
}

impl Input {
    /// Reads everything.
    pub(super) fn choose(&self) -> Result<Chosen, BadInput> {
        let mut manifests = self.files.load()?;
        let destinations = named(std::mem::take(&mut manifests.destinations), &self.names)?;
        let config = self.files.config(destinations.iter())?;
        Ok(Chosen {
            config,
            manifests,
            destinations,
        })
    }
}

/// Deliveries to work on; the destinations stay in the manifests.
pub(super) struct ChosenDeliveries {
    pub(super) config: Config,
    pub(super) tenancy: Tenancy,
    pub(super) manifests: Manifests,
    pub(super) deliveries: Vec<OutboundDelivery>,
}

impl DeliveryInput {
    /// Reads what planning needs: neither credentials nor an identity.
    pub(super) fn choose_to_plan(&self) -> Result<ChosenDeliveries, BadInput> {
        let (manifests, deliveries) = self.read()?;
        let (config, tenancy) = match &self.files.config {
            Some(file) => (Config::load(file)?, Tenancy::Checked),
            None => (assumed(manifests.destinations.iter()), Tenancy::Unknown),
        };
        Ok(ChosenDeliveries {
            config: self.with_root(config, &deliveries)?,
            tenancy,
            manifests,
            deliveries,
        })
    }

    /// Reads what delivering needs.
    pub(super) fn choose_to_deliver(&self) -> Result<ChosenDeliveries, BadInput> {
        let (manifests, deliveries) = self.read()?;
        for delivery in &deliveries {
            if destination_of(&manifests, delivery).is_none() {
                return Err(BadInput::new(format!(
                    "{}: the manifests hold no OutboundDestination {:?} in its namespace, which its destinationRef names",
                    label(delivery),
                    delivery.spec.destination_ref.name,
                )));
            }
        }
        let used = deliveries
            .iter()
            .filter_map(|delivery| destination_of(&manifests, delivery));
        let config = self.files.config(used)?;
        Ok(ChosenDeliveries {
            config: self.with_root(config, &deliveries)?,
            tenancy: Tenancy::Checked,
            manifests,
            deliveries,
        })
    }

    fn read(&self) -> Result<(Manifests, Vec<OutboundDelivery>), BadInput> {
        let mut manifests = self.files.load()?;
        let deliveries = named(std::mem::take(&mut manifests.deliveries), &self.names)?;
        Ok((manifests, deliveries))
    }

    /// The configuration, with what is known of where these deliveries' sources are.
    fn with_root(
        &self,
        mut config: Config,
        deliveries: &[OutboundDelivery],
    ) -> Result<Config, BadInput> {
        if let Some(root) = &self.volume_root {
            config.volume.root.clone_from(root);
        }
        if self.files.config.is_some() {
            return Ok(config);
        }
        let ours = deliveries
            .iter()
            .find(|delivery| delivery.spec.source.s3.is_some());
        if let Some(delivery) = ours {
            return Err(BadInput::new(format!(
                "{}: source.s3 needs --config, the operator's configuration: its identity reads the bucket, and its tenancy says which namespace may",
                label(delivery)
            )));
        }
        if self.volume_root.is_none() {
            return Err(BadInput::new(
                "nothing is known of the volume: name the folder that holds one folder for each namespace with --volume-root, or give --config",
            ));
        }
        Ok(config)
    }
}

/// The destination that the delivery names.
fn destination_of<'a>(
    manifests: &'a Manifests,
    delivery: &OutboundDelivery,
) -> Option<&'a OutboundDestination> {
    manifests.destinations.iter().find(|destination| {
        destination.metadata.namespace == delivery.metadata.namespace
            && destination.metadata.name.as_deref() == Some(&delivery.spec.destination_ref.name)
    })
}

/// An object as a person reads it: `namespace/name`.
pub(super) fn label<K: Resource>(object: &K) -> String {
    let metadata = object.meta();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    format!("{namespace}/{name}")
}
