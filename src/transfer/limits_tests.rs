//! What one destination may have under way.

use futures::FutureExt as _;

use super::*;

#[test]
fn one_round_trip_halves_once_down_to_one() {
    let mut aimd = Aimd::new(8);
    let sent = aimd.cuts;
    for _ in 0..8 {
        aimd.throttled(sent);
    }
    assert_eq!(aimd.limit, 4);
    for expected in [2, 1, 1, 1] {
        aimd.throttled(aimd.cuts);
        assert_eq!(aimd.limit, expected);
    }
}

#[test]
fn confirmed_parts_raise_it_one_by_one_to_the_ceiling() {
    let mut aimd = Aimd::new(4);
    aimd.throttled(aimd.cuts);
    aimd.throttled(aimd.cuts);
    assert_eq!(aimd.limit, 1);
    let mut limits = Vec::new();
    for _ in 0..8 {
        aimd.confirmed();
        limits.push(aimd.limit);
    }
    // 1, then two more, then three more.
    assert_eq!(limits, [2, 2, 3, 3, 3, 4, 4, 4]);
}

proptest::proptest! {
    #[test]
    fn it_stays_between_one_and_the_ceiling(ceiling in 0_u32..20, steps in proptest::collection::vec(0_u8..3, 0..200)) {
        let mut aimd = Aimd::new(ceiling);
        let mut old = aimd.cuts;
        for step in steps {
            let before = aimd.limit;
            match step {
                0 => aimd.confirmed(),
                1 => { old = aimd.cuts; aimd.throttled(old); }
                _ => {
                    let late = old != aimd.cuts;
                    aimd.throttled(old);
                    proptest::prop_assert!(!late || aimd.limit == before);
                }
            }
            proptest::prop_assert!((1..=ceiling.max(1)).contains(&aimd.limit));
            proptest::prop_assert!(aimd.limit <= before + 1 && aimd.limit >= before / 2);
        }
    }
}

/// Leave for a part of `bytes` bytes, if it can be had now.
fn leave(limit: &DestinationLimit, bytes: u64) -> Option<Leave> {
    let room = limit.room(bytes).now_or_never()?;
    limit.leave(room).now_or_never()
}

fn all_leaves(limit: &DestinationLimit, bytes: u64) -> Vec<Leave> {
    std::iter::from_fn(|| leave(limit, bytes)).collect()
}

fn parts(parts: u32) -> Limits {
    Limits {
        parts: NonZeroU32::new(parts),
        bandwidth: None,
    }
}

#[tokio::test]
async fn leave_is_given_up_to_the_limit_and_given_back() {
    let limit = DestinationLimit::new(2);
    let mut both = all_leaves(&limit, 1);
    assert_eq!(both.len(), 2);
    limit.throttled(limit.cuts());
    both.pop();
    assert!(leave(&limit, 1).is_none(), "one is allowed, and under way");
    let third = tokio::spawn({
        let limit = limit.clone();
        async move { limit.leave(limit.room(1).await).await }
    });
    both.pop();
    drop(third.await.unwrap());
    assert!(leave(&limit, 1).is_some());
}

#[test]
fn there_is_no_room_for_a_part_that_would_wait_behind_another() {
    let limit = DestinationLimit::new(1);
    let first = leave(&limit, 1).unwrap();
    let ahead = limit.room(1).now_or_never().unwrap();
    assert!(
        limit.room(1).now_or_never().is_none(),
        "however many deliveries ask before it has leave"
    );
    drop(ahead);
    assert!(
        limit.room(1).now_or_never().is_some(),
        "who stops waiting is not counted"
    );
    drop(first);
}

#[test]
fn a_part_that_holds_memory_waits_for_nobodys_room() {
    let limit = DestinationLimit::new(1);
    let ahead: Vec<_> = std::iter::from_fn(|| limit.room(1).now_or_never()).collect();
    assert_eq!(ahead.len(), 2);
    // They may wait for its memory, so it goes before them.
    let again = limit.room_at_hand(1);
    assert!(limit.leave(again).now_or_never().is_some());
    drop(ahead);
}

#[test]
fn a_limit_of_its_own_counts_at_once_in_both_directions() {
    let limit = DestinationLimit::new(7);
    assert_eq!(all_leaves(&limit, 1).len(), 7);
    limit.limit(parts(2));
    assert_eq!(all_leaves(&limit, 1).len(), 2);
    let two = all_leaves(&limit, 1);
    limit.limit(parts(5));
    assert_eq!(all_leaves(&limit, 1).len(), 3, "beside the two under way");
    limit.limit(parts(1));
    assert!(leave(&limit, 1).is_none(), "what is under way may land");
    drop(two);
    assert_eq!(all_leaves(&limit, 1).len(), 1);
    limit.limit(parts(1000));
    assert_eq!(all_leaves(&limit, 1).len(), 7, "the process's own bound");
    limit.limit(Limits::default());
    assert_eq!(all_leaves(&limit, 1).len(), 7);
}

#[test]
fn a_limit_that_is_raised_is_no_leave_for_a_store_that_throttles() {
    let limit = DestinationLimit::new(8);
    limit.limit(parts(4));
    limit.throttled(limit.cuts());
    limit.limit(parts(8));
    assert_eq!(all_leaves(&limit, 1).len(), 2);
}

#[test]
fn no_more_is_under_way_than_the_bandwidth_sends_in_time() {
    const MIB: u64 = 1 << 20;
    let limit = DestinationLimit::new(7);
    let bandwidth = |bytes| Limits {
        parts: None,
        bandwidth: Some(Bandwidth::new(bytes).unwrap()),
    };
    for (rate, part, at_once) in [
        (200_000_000, 8 * MIB, 7),
        (5_000_000, 8 * MIB, 2),
        (1_000_000, 8 * MIB, 1),
        (128_000, 100_000_000, 1),
        (128_000, 100_000, 5),
    ] {
        limit.limit(bandwidth(rate));
        let under_way = all_leaves(&limit, part);
        assert_eq!(under_way.len(), at_once, "{rate} {part}");
        if at_once < 7 {
            let ahead = limit.room(part).now_or_never();
            assert!(
                ahead.is_some(),
                "one is ahead, so that nothing stands still"
            );
            assert!(limit.room(part).now_or_never().is_none(), "{rate} {part}");
        }
    }
}

#[test]
fn what_stands_still_is_given_up_but_for_the_last() {
    let limit = DestinationLimit::new(7);
    let mut under_way = all_leaves(&limit, 1);
    let mut last = under_way.pop().unwrap();
    for mut leave in under_way {
        assert_eq!(leave.give_up(), Ok(()));
    }
    assert_eq!(last.give_up(), Err(LastOne));
    assert!(leave(&limit, 1).is_none(), "one at a time from now on");
    limit.confirmed();
    drop(last);
    assert_eq!(all_leaves(&limit, 1).len(), 2, "and more as it answers");
}

#[tokio::test]
async fn destinations_have_limits_of_their_own() {
    let limits = DestinationLimits::default();
    let (acme, other) = (limits.of("acme", 8), limits.of("other", 8));
    acme.throttled(acme.cuts());
    let again = limits.of("acme", 8);
    assert_eq!(again.cuts(), Cuts(1));
    assert_eq!(other.cuts(), Cuts(0));
    drop((acme, again));
    assert_eq!(
        limits.of("acme", 8).cuts(),
        Cuts(0),
        "nobody used it any more"
    );
}
