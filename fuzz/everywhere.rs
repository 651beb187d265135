//! Boundaries for targets that are about something else.

use outbound_operator::plan::{Boundaries, ByteRange};

/// A record ends at every byte.
pub struct Everywhere;

impl Boundaries for Everywhere {
    fn last_record_end(
        &mut self,
        _: usize,
        window: ByteRange,
    ) -> Result<Option<u64>, std::io::Error> {
        Ok(Some(window.end()))
    }

    fn first_record_end(&mut self, _: usize, limit: u64) -> Result<Option<u64>, std::io::Error> {
        Ok(Some(limit.min(1)))
    }

    fn is_closed(&mut self, _: usize, _: u64) -> Result<bool, std::io::Error> {
        Ok(true)
    }
}
