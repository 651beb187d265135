//! One request with a body on its way: at the destination's pace, and given up where it stands still and others
//! wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gate::Grant;
use super::limits::{DestinationLimit, Leave};
use super::resources::Resources;
use crate::store::Pace;

/// How long a request may stand still while another destination waits for its place. What the kernel holds of a body
/// (4 MiB at most, by Linux' default) goes out unseen; 10 s of that is a line of 3 Mbit/s. On a slower one parts are
/// given up until a single one is under way, which is never given up.
const STILL: Duration = Duration::from_secs(10);

/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Leave to have one request with a body under way, for as long as it lives.
pub(super) struct BodySlot {
    watched: Arc<Watched>,
    leave: Leave,
    _process: Grant,
}

/// What the store sees of it.
#[derive(Debug)]
struct Watched {
    destination: DestinationLimit,
    moved: Mutex<Instant>,
}

impl Pace for Watched {
    fn turn(&self, wanted: usize) -> (usize, Option<Instant>) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.destination.pacer().turn(wanted)
    }
}

impl BodySlot {
    pub(super) fn new(destination: DestinationLimit, leave: Leave, process: Grant) -> Self {
        let moved = Mutex::new(Instant::now());
        Self {
            watched: Arc::new(Watched { destination, moved }),
            leave,
            _process: process,
        }
    }

    /// Who paces the body.
    pub(super) fn pace(&self) -> Arc<dyn Pace> {
        Arc::clone(&self.watched) as Arc<dyn Pace>
    }

    /// Waits until the request has stood still while another destination waits, and this one has another request
    /// under way: then this one's place is free already, and its memory must follow.
    pub(super) async fn given_up(&mut self, resources: &Resources) {
        loop {
            tokio::time::sleep(LOOK).await;
            let moved = *self
                .watched
                .moved
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let stands_still = moved.elapsed() >= STILL;
            if stands_still && resources.others_wait() && self.leave.give_up().is_ok() {
                return;
            }
        }
    }
}
