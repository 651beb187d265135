//! `deliver`: deliveries without a cluster, by the operator's own controllers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use tokio_util::sync::CancellationToken;

use super::input::{BadInput, ChosenDeliveries, DeliveryInput};
use super::progress::{Progress, Show};
use super::{objects, outcome};
use crate::controllers::{Deliveries, End, Ended, Errand, Folder, OfflineError};
use crate::runtime::{on_termination, start_logging};

/// How a delivery is made and shown.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The folder that keeps how far the deliveries are, so that the same command goes on after an interruption [default: outbound-operator in $XDG_STATE_HOME, else in ~/.local/state].
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Aborts what earlier runs of these deliveries left open, and forgets them. What was delivered stays.
    #[arg(long)]
    give_up: bool,
    /// How progress is shown, on standard error.
    #[arg(long, value_enum, default_value_t = Show::Auto)]
    progress: Show,
    /// How the result is printed; json and yaml are the objects with the status that the operator would write.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Table,
    /// The objects with their status.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Delivers. 0: all is delivered; 1: not so, be it that it was interrupted; 2: bad input.
pub(super) fn main(input: &DeliveryInput, options: &Options) -> ExitCode {
    let prepared = input
        .choose_to_deliver()
        .and_then(|chosen| Ok((chosen, options.folder()?)));
    let (chosen, folder) = match prepared {
        Ok(prepared) => prepared,
        Err(bad) => return bad.exit(),
    };
    // The operator's log would stand between the lines of progress: only for who asks for it.
    if std::env::var_os("RUST_LOG").is_some() {
        start_logging(None);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("outbound-operator deliver: the runtime can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(work(chosen, folder, options));
    // A thread that hangs in a read must not hold up the process's end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    match ended {
        Ok(ended) => finish(&ended, options.output),
        Err(bad) => bad.exit(),
    }
}

impl Options {
    fn folder(&self) -> Result<Folder, BadInput> {
        let path = match &self.state {
            Some(path) => path.clone(),
            None => default_state().ok_or_else(|| {
                BadInput::new("there is no home folder for the state: name one with --state")
            })?,
        };
        Ok(Folder::open(&path)?)
    }

    const fn errand(&self) -> Errand {
        if self.give_up {
            Errand::GiveUp
        } else {
            Errand::Deliver
        }
    }
}

/// By the XDG base directory specification.
fn default_state() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("outbound-operator"))
}

async fn work(
    chosen: ChosenDeliveries,
    folder: Folder,
    options: &Options,
) -> Result<Vec<Ended>, BadInput> {
    let stop = CancellationToken::new();
    on_termination(stop.clone())?;
    let progress = Progress::new(options.progress);
    let deliveries = Deliveries::prepare(
        chosen.config,
        &chosen.manifests,
        &chosen.deliveries,
        folder,
        options.errand(),
    )
    .await?;
    let working = deliveries.work(
        stop.clone(),
        |standings| progress.look(standings),
        |told| progress.hear(&told),
    );
    let asked = async {
        stop.cancelled().await;
        progress.say(
            "stopping: no part begins any more, those under way may land for 20 s; once more ends at once",
        );
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = working => ended,
        never = asked => never,
    };
    progress.end();
    ended.map_err(|error: OfflineError| error.into())
}

fn finish(ended: &[Ended], output: Output) -> ExitCode {
    let deliveries: Vec<_> = ended.iter().map(|ended| &ended.delivery).collect();
    let printed = match output {
        Output::Table => Ok(outcome::table(ended)),
        Output::Json => objects::json(&deliveries),
        Output::Yaml => objects::yaml(&deliveries),
    };
    match printed {
        Ok(text) => print!("{text}"),
        Err(error) => {
            eprintln!("outbound-operator deliver: {error}");
            return ExitCode::FAILURE;
        }
    }
    let is = |end: End| ended.iter().any(|ended| ended.end == end);
    let left = |ended: &Ended| ended.end == End::GivenUp && !ended.message.is_empty();
    let unfinished = is(End::Failed) || is(End::Held) || is(End::Interrupted);
    if unfinished || ended.iter().any(left) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
