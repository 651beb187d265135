//! What the engine asks of the place that the bytes come from. All of it may block, so all of it is
//! called on threads of its own.

use bytes::Bytes;

/// Why bytes could not be read. The text names the file, what was tried and what came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    /// The file is no longer what was planned.
    #[error("{0}")]
    Changed(String),
    /// Reading is refused, or the file is gone; trying again won't help.
    #[error("{0}")]
    Unreadable(String),
    /// The same read may succeed later.
    #[error("{0}")]
    Transient(String),
}

/// The files of a plan.
pub trait Source: Send + Sync + 'static {
    /// Opens the file `index` (into the plan's sources), and makes sure that it is as planned.
    ///
    /// # Errors
    /// When it can't be opened, or isn't the file that was planned.
    fn open(&self, index: usize) -> Result<Box<dyn Readable>, SourceFault>;

    /// Makes sure that every file still is as planned: asked once, after the last read.
    ///
    /// # Errors
    /// When one isn't, or can't be looked at.
    fn recheck(&self) -> Result<(), SourceFault>;
}

/// An open file.
pub trait Readable: Send {
    /// Fills `buffer` with the bytes from `offset`.
    ///
    /// # Errors
    /// When they can't be read, or the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceFault>;

    /// Makes sure that the file still is as planned.
    ///
    /// # Errors
    /// When it isn't.
    fn check(&self) -> Result<(), SourceFault>;

    /// Where in a file the bytes from `offset` lie: how their memory should lie, for speed alone.
    fn position(&self, offset: u64) -> u64 {
        offset
    }
}

/// Bytes that we made ourselves: the receipt.
impl Readable for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceFault> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.get(start..).and_then(|rest| rest.get(..buffer.len()));
        let bytes = bytes.ok_or_else(|| SourceFault::Unreadable(past_end(offset)))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn check(&self) -> Result<(), SourceFault> {
        Ok(())
    }
}

fn past_end(offset: u64) -> String {
    format!("bytes from {offset} on lie behind the end")
}
