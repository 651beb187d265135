//! What notes, for as long as it goes on, that it does: the pulse of an executor, and whether the apiserver answers.

use std::time::Duration;

use kube::{Client, Error};

use crate::health::{Health, Pulse};

/// Between two beats.
const BEAT: Duration = Duration::from_secs(1);

/// Between two questions to the apiserver.
const ASK: Duration = Duration::from_secs(5);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Beats once a second, for as long as it is polled.
pub async fn beat(pulse: Pulse, health: Health) {
    loop {
        health.beats(pulse);
        tokio::time::sleep(BEAT).await;
    }
}

/// Asks the apiserver for its version again and again: every authenticated client may. A change is logged once.
pub async fn ask_apiserver(client: Client, health: Health) {
    let mut reached = true;
    loop {
        let answer = tokio::time::timeout(ANSWER, client.apiserver_version()).await;
        let why = match answer {
            Ok(Ok(_)) => None,
            // It answered, and knows who we are, in a cluster that lets few ask.
            Ok(Err(Error::Api(status))) if status.code == 403 => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {ANSWER:?}")),
        };
        if why.is_none() {
            health.apiserver_answered();
        }
        match (&why, reached) {
            (Some(why), true) => tracing::warn!(why, "the apiserver can't be reached"),
            (None, false) => tracing::info!("the apiserver is reached again"),
            _ => {}
        }
        reached = why.is_none();
        tokio::time::sleep(ASK).await;
    }
}
