//! Waiting for what must come true, with a deadline.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How long a test waits for something that takes well under a second on an idle machine. Generous,
/// as all tests share a machine with a build and with each other; only a failure ever waits it out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The first and the longest pause between two observations. One by kubectl costs 45 ms of a core, which
/// the operator under test wants too.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));

/// Repeats `probe` until it returns `Ok`, and returns what it found.
///
/// `Err` says what was seen instead. After `deadline` the test fails with `what` and the last `Err`.
pub(crate) async fn eventually<T, E: Display>(
    deadline: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let start = Instant::now();
    let mut pause = PAUSE.0;
    loop {
        match probe().await {
            Ok(found) => return found,
            Err(seen) if start.elapsed() >= deadline => {
                panic!("not within {deadline:?}: {what}; last seen: {seen}")
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 3 / 2).min(PAUSE.1);
            }
        }
    }
}

/// [`eventually`] for a plain condition, with [`PATIENCE`].
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(PATIENCE, what, async || {
        if holds() { Ok(()) } else { Err("not yet") }
    })
    .await;
}
