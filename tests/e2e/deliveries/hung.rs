//! A source whose reads hang, as those of an NFS server that is gone: only its own delivery waits.

use super::{KIND, assert_same, completes, deliver, joined, large_table, table};
use crate::support::World;
use crate::support::hung::HungFolder;
use crate::support::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_hangs_holds_up_no_other_delivery_and_no_shutdown() {
    let mut world = World::start("hung").await;
    let source = large_table(1, 3 << 20);
    let folder = world.folder().join("nfs");
    let Some(hung) = HungFolder::mount(&folder, "hung.csv", source.clone()) else {
        // FUSE takes root and a kernel that has it; the engine's own tests have a source that hangs, too.
        eprintln!("skipped: this process may not mount a FUSE file system");
        return;
    };
    world.access_key_destination("acme", "").await;
    world.file("a.csv", table(1, 10_000));
    deliver(&world, "hangs", "nfs/hung.csv", "");
    until("a read hangs", || hung.hanging() > 0).await;

    for name in ["other", "another"] {
        let key = "  key: \"{delivery}.csv\"\n";
        deliver(&world, name, "a.csv", key);
        completes(&world, name).await;
    }
    let hangs = world.get(KIND, "hangs");
    assert_eq!(hangs["status"]["progress"]["bytesDone"], 0, "{hangs:#}");

    // Within a pod's default grace, or it would be killed.
    let status = world.operator.terminate();
    assert_eq!(status.code(), Some(0), "{}", world.operator.log_tail());

    hung.free();
    world.operator.restart();
    let delivery = completes(&world, "hangs").await;
    assert_same(&joined(&world.bucket, &delivery), &source);
    // The operator first, which may have the file open.
    drop(world);
    drop(hung);
}
