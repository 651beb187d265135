//! How many cores there are to work with.

use std::sync::OnceLock;

/// Cores that this process may use. Asked once: the answer takes files of the cgroup.
pub(crate) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
