//! The MD5s that receipts name: computed behind the bytes, several objects' at once.
//!
//! An MD5 takes longer than all else that is done with a byte, and one object's can't be divided. So a part goes on
//! its way while it is hashed, and objects that are under way together are hashed together, in the [`lanes`] of one
//! core.

mod crew;
mod lanes;
mod stream;

pub(super) use crew::{AHEAD, Behind, Crew};
pub(super) use lanes::LANES;
