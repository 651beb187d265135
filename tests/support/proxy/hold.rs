//! Requests that are held: they came in whole, and go no further until they may. So a test looks at (and
//! disturbs) what is half done for certain, on any machine.

use std::sync::Arc;

use tokio::sync::watch;

use super::classify::Kind;

/// A request, as far as who holds it looks at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) kind: Kind,
    /// An S3 key or a Kubernetes path.
    pub(crate) subject: &'a str,
    /// The number of the part that it sends.
    pub(crate) part: Option<u32>,
}

type Rule = Arc<dyn Fn(&Asked<'_>) -> bool + Send + Sync>;

/// What holds requests. It is asked again of each that is held whenever it changes.
pub(super) struct Gate(watch::Sender<Rule>);

impl Default for Gate {
    fn default() -> Gate {
        Gate(watch::channel::<Rule>(Arc::new(|_| false)).0)
    }
}

impl Gate {
    pub(super) fn set(&self, holds: impl Fn(&Asked<'_>) -> bool + Send + Sync + 'static) {
        self.0.send_replace(Arc::new(holds));
    }

    /// Returns once the request may pass. A client that hangs up meanwhile takes its request with it.
    pub(super) async fn pass(&self, asked: &Asked<'_>) {
        let mut rule = self.0.subscribe();
        // The gate lives as long as the proxy that asks it.
        let _ = rule.wait_for(|holds| !holds(asked)).await;
    }
}
