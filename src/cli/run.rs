//! `run`: the controllers, in the foreground, until SIGTERM.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::input::BAD_INPUT;
use crate::config::Config;
use crate::controllers::{self, Observers};
use crate::health::{Health, Pulse, Role};
use crate::runtime::{
    HttpServer, Lease, LeaseSettings, ask_apiserver, beat, cluster, on_termination, start_logging,
};

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
    start_logging(config.log.format);
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
    let observers = Observers::default();
    // It answers to the very end, so that whoever asks sees the process ending.
    let _server = listen(&config, &observers)?;
    let shutdown = CancellationToken::new();
    on_termination(shutdown.clone())?;
    let client = cluster().await.map_err(|error| {
        format!("no cluster: {error}; set KUBECONFIG, have a ~/.kube/config, or run in a pod with a ServiceAccount")
    })?;
    let health = &observers.health;
    let mut watchdogs = JoinSet::new();
    watchdogs.spawn(beat(Pulse::Executor, health.clone()));
    watchdogs.spawn(ask_apiserver(client.clone(), health.clone()));
    watchdogs.spawn(note_the_end(shutdown.clone(), health.clone()));
    let work = async {
        if config.leader_election.enabled {
            lead(config, client, observers.clone(), shutdown).await
        } else {
            tracing::info!("started without leader election");
            work(config, client, observers.clone(), shutdown).await;
            Ok(())
        }
    };
    tokio::select! {
        ended = work => ended,
        // None of them ends but by a panic.
        _ = watchdogs.join_next() => Err("a watchdog of the process ended".into()),
    }
}

/// The server of health and metrics, where the configuration asks for one.
fn listen(config: &Config, observers: &Observers) -> Result<Option<HttpServer>, Failure> {
    let Some(http) = config.http else {
        return Ok(None);
    };
    let (health, metrics) = (observers.health.clone(), observers.metrics.clone());
    let server = HttpServer::start(http.listen, health, metrics).map_err(|error| {
        let listen = http.listen;
        format!("the configuration's http.listen, {listen}, can't be listened on: {error}")
    })?;
    tracing::info!(address = %server.address(), "serving /livez, /readyz and /metrics");
    Ok(Some(server))
}

async fn note_the_end(shutdown: CancellationToken, health: Health) {
    shutdown.cancelled().await;
    health.becomes(Role::Ending);
    std::future::pending().await
}

async fn work(config: Config, client: Client, observers: Observers, shutdown: CancellationToken) {
    observers.health.becomes(Role::Working);
    observers.metrics.leads();
    let pulse = beat(Pulse::Controllers, observers.health.clone());
    // Polled beside the controllers, by the same task: it beats while they are polled.
    tokio::select! {
        () = controllers::run(config, client, observers, shutdown) => {}
        () = pulse => {}
    }
}

/// Works while the Lease is ours. A Lease that is lost ends the process at once: whoever took it goes on.
async fn lead(
    config: Config,
    client: Client,
    observers: Observers,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let health = observers.health.clone();
    health.becomes(Role::StandBy);
    let mut lease = Lease::new(client.clone(), settings(&config), health);
    tokio::select! {
        () = lease.acquire() => {}
        () = shutdown.cancelled() => {
            // It may have become ours at this very moment.
            lease.release().await;
            return Ok(());
        }
    }
    tokio::select! {
        biased;
        lost = lease.keep() => return Err(lost.into()),
        () = work(config, client, observers, shutdown) => {}
    }
    lease.release().await;
    Ok(())
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
