//! `run`: the controllers, in the foreground, until SIGTERM.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::controllers;
use crate::runtime::{Lease, LeaseSettings, cluster, on_termination, start_logging};

/// Bad input, as opposed to work that failed.
const BAD_INPUT: u8 = 2;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the controllers with the configuration in `file`.
pub(super) fn main(file: &Path) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("outbound-operator run: {error}");
            return ExitCode::from(BAD_INPUT);
        }
    };
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("outbound-operator run: the runtime can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(serve(config));
    // A thread that hangs in a read must not hold up the process's end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> Result<(), Failure> {
    let shutdown = CancellationToken::new();
    on_termination(shutdown.clone())?;
    let client = cluster().await.map_err(|error| {
        format!("no cluster: {error}; set KUBECONFIG or run in a pod with a ServiceAccount")
    })?;
    if !config.leader_election.enabled {
        tracing::info!("started without leader election");
        return Ok(controllers::run(config, client, shutdown).await?);
    }
    lead(config, client, shutdown).await
}

/// Works while the Lease is ours. A Lease that is lost ends the process at once: whoever took it goes on.
async fn lead(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Failure> {
    let mut lease = Lease::new(client.clone(), settings(&config));
    tokio::select! {
        () = lease.acquire() => {}
        () = shutdown.cancelled() => {
            // It may have become ours at this very moment.
            lease.release().await;
            return Ok(());
        }
    }
    let ended: Result<(), Failure> = tokio::select! {
        biased;
        lost = lease.keep() => return Err(lost.into()),
        ended = controllers::run(config, client, shutdown) => ended.map_err(Into::into),
    };
    lease.release().await;
    ended
}

fn settings(config: &Config) -> LeaseSettings {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "outbound-operator".to_owned());
    LeaseSettings {
        name: config.leader_election.lease_name.clone(),
        namespace: config.leader_election.namespace.clone(),
        // Two processes on one host are two holders.
        holder: format!("{host}_{:016x}", fastrand::u64(..)),
    }
}
