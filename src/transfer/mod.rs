//! stub
mod checksum;
mod error;
mod ledger;
mod memory;
mod progress;
mod reader;
mod retry;
mod source;
mod token;
pub use error::TransferError;
pub use ledger::*;
pub use memory::*;
pub use progress::*;
pub use source::*;
pub use token::*;
/// x
#[derive(Clone)]
pub struct Resources;
impl Resources {
    /// x
    pub fn new(_m: u64, _p: u16) -> Self {
        Self
    }
}
/// x
pub async fn abort_open(
    _p: &crate::plan::Plan,
    _s: &std::collections::BTreeMap<Slot, ObjectState>,
    _b: &crate::store::Bucket,
) -> Vec<String> {
    vec![]
}
