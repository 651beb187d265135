//! The client of the cluster: one that gives up on an apiserver that doesn't answer.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config, Error};
use tower::timeout::TimeoutLayer;

/// How long an answer may take to begin: a little over the minute that an apiserver gives a request by default
/// (`--request-timeout`). A watch's answer begins at once.
const ANSWER: Duration = Duration::from_secs(65);

/// How long a connection may be silent, watches too: longer than the five minutes less ten seconds after which kube
/// asks for a watch anew.
const SILENCE: Duration = Duration::from_secs(295);

/// The cluster of `KUBECONFIG`, else of `~/.kube/config`, else the one around this pod.
///
/// # Errors
/// When there is neither, or it can't be used.
pub async fn cluster() -> Result<Client, Error> {
    let mut config = Config::infer().await.map_err(Error::InferConfig)?;
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&TimeoutLayer::new(ANSWER)).build())
}
