//! A store that doesn't answer.

use std::time::Instant;

use super::{access_key, needs_somebody, verified};
use crate::support::world::find_condition;
use crate::support::{S3Server, World};

#[tokio::test]
async fn a_fresh_destination_waits_for_three_answers_before_it_needs_somebody() {
    let s3 = S3Server::start();
    let world = World::start_with("down", &s3, |config| config).await;
    world.secret("acme", &s3.user("writer"));
    s3.stop();
    let start = Instant::now();
    world.apply(&access_key(&world, "acme", &world.bucket, ""));
    world
        .reason("obdest", "acme", "Ready", "EndpointUnreachable")
        .await;
    let object = world.get("obdest", "acme");
    if let Some(ready) =
        find_condition(&object, "Ready").filter(|ready| ready["status"] == "Unknown")
    {
        let reconciling = find_condition(&object, "Reconciling").expect("work goes on");
        assert_eq!(reconciling["status"], "True");
        assert_eq!(find_condition(&object, "Stalled"), None);
        let message = ready["message"].as_str().unwrap();
        assert!(
            message.contains("got no answer") && message.contains(s3.url()),
            "{message}"
        );
    } else {
        panic!("not Unknown first: {object:#}");
    }
    let words = ["got no answer", s3.url(), "This is tried again"];
    needs_somebody(&world, "acme", "EndpointUnreachable", &words).await;
    // Two pauses of 5 s and 10 s, less a tenth: it isn't tried in a loop.
    assert!(start.elapsed().as_secs() >= 13, "{:?}", start.elapsed());
    let object = world.get("obdest", "acme");
    assert_eq!(
        find_condition(&object, "AccessVerified").unwrap()["status"],
        "Unknown"
    );
    // Not known yet, then given up: one Event, said twice.
    let events = world.events("acme");
    assert_eq!(events.len(), 1, "{events:?}");
    let (type_, reason, _, count) = &events[0];
    assert_eq!(
        (type_.as_str(), reason.as_str(), *count),
        ("Warning", "EndpointUnreachable", 2)
    );
}

#[tokio::test]
async fn a_verified_destination_is_not_flipped_by_fewer_than_three_lost_answers() {
    let s3 = S3Server::start();
    let world = World::start_with("lost", &s3, |config| config).await;
    world.access_key_destination("acme", "").await;
    let before = verified(&world, "acme").await;
    s3.stop();
    for request in ["first", "second"] {
        let object = world.request("obdest", "acme", request).await;
        assert_eq!(
            object["status"]["conditions"],
            before["status"]["conditions"]
        );
    }
    world.request("obdest", "acme", "third").await;
    needs_somebody(&world, "acme", "EndpointUnreachable", &["got no answer"]).await;
    let status = &world.get("obdest", "acme")["status"];
    assert_eq!(
        status["lastVerifiedTime"],
        before["status"]["lastVerifiedTime"]
    );
}
