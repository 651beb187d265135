//! Who gets what, in which order.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use proptest::prelude::*;

use super::*;

/// A request that waits.
fn waits(gate: &Gate, party: &Party, units: usize) -> BoxFuture<'static, Grant> {
    let (gate, party) = (gate.clone(), party.clone());
    let mut wait = async move { gate.acquire(&party, units).await }.boxed();
    assert!((&mut wait).now_or_never().is_none(), "nothing to wait for");
    wait
}

fn taken(gate: &Gate, party: &Party, units: usize) -> Grant {
    let grant = gate.acquire(party, units).now_or_never();
    grant.expect("there is room")
}

fn free(gate: &Gate) -> usize {
    gate.state().free
}

#[test]
fn who_holds_least_goes_first_however_many_ask() {
    let gate = Gate::new(8, 1);
    let (many, one) = (Party::new(), Party::new());
    let mut held: Vec<_> = (0..7).map(|_| taken(&gate, &many, 1)).collect();
    let _newcomer = taken(&gate, &one, 1);
    let mut crowd: Vec<_> = (0..50).map(|_| waits(&gate, &many, 1)).collect();
    let mut later = waits(&gate, &one, 1);
    held.pop();
    assert!(
        (&mut later).now_or_never().is_none(),
        "the last one is kept for who has none"
    );
    held.pop();
    let second = (&mut later).now_or_never();
    let _second = second.expect("it came last and holds least");
    held.truncate(3);
    let served = crowd.iter_mut().filter_map(|wait| wait.now_or_never());
    assert_eq!(
        served.collect::<Vec<_>>().len(),
        2,
        "all that was given back"
    );
}

#[test]
fn a_newcomer_starts_at_once_beside_one_that_hangs() {
    let gate = Gate::new(8, 1);
    let hangs = Party::new();
    let _held: Vec<_> = (0..7).map(|_| taken(&gate, &hangs, 1)).collect();
    let _hung = waits(&gate, &hangs, 1);
    for _ in 0..20 {
        // Each is another destination, and all of them come through by the one place.
        drop(taken(&gate, &Party::new(), 1));
    }
}

#[test]
fn equals_take_turns() {
    let gate = Gate::new(1, 0);
    let parties = [Party::new(), Party::new(), Party::new()];
    let held = taken(&gate, &Party::new(), 1);
    let mut queue: Vec<_> = (0..9)
        .map(|n| (n / 3, waits(&gate, &parties[n / 3], 1)))
        .collect();
    drop(held);
    let mut order = Vec::new();
    while !queue.is_empty() {
        let ready = queue.iter_mut().position(|(_, wait)| {
            wait.now_or_never().is_some_and(|grant| {
                // Given back at once, or it would be the only one.
                drop(grant);
                true
            })
        });
        let (party, _) = queue.remove(ready.expect("somebody is served"));
        order.push(party);
    }
    for round in order.chunks(3) {
        let mut round = round.to_vec();
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2], "{order:?}");
    }
}

#[test]
fn a_large_request_is_overtaken_by_some_newcomers_and_by_nobody_else() {
    let gate = Gate::new(16, 2);
    let (hog, large, other) = (Party::new(), Party::new(), Party::new());
    let held = taken(&gate, &hog, 8);
    let _others = taken(&gate, &other, 1);
    let mut waiting = waits(&gate, &large, 12);
    let mut again = waits(&gate, &other, 1);
    assert!(gate.acquire(&hog, 1).now_or_never().is_none());
    for _ in 0..OVERTAKES {
        drop(taken(&gate, &Party::new(), 2));
    }
    assert!(
        gate.acquire(&Party::new(), 2).now_or_never().is_none(),
        "it has waited for enough of them"
    );
    assert!(
        gate.acquire(&Party::new(), 3).now_or_never().is_none(),
        "that is more than is kept for newcomers"
    );
    drop(held);
    let large = (&mut waiting).now_or_never().expect("its turn has come");
    assert!((&mut again).now_or_never().is_some());
    drop(large);
}

#[test]
fn the_silent_have_half_of_all_together() {
    let gate = Gate::new(8, 1);
    let silent: Vec<_> = (0..6).map(|_| Party::new()).collect();
    silent.iter().for_each(|party| party.is(Standing::Silent));
    let _held: Vec<_> = silent[..4].iter().map(|it| taken(&gate, it, 1)).collect();
    let mut fifth = waits(&gate, &silent[4], 1);
    let answers = Party::new();
    let _more: Vec<_> = (0..3).map(|_| taken(&gate, &answers, 1)).collect();
    assert!(gate.others_wait(&answers));
    assert!(!gate.others_wait(&silent[4]));
    silent[4].is(Standing::Answers);
    gate.look_again();
    assert!((&mut fifth).now_or_never().is_some());
}

#[test]
fn who_stops_waiting_leaves_no_trace() {
    let gate = Gate::new(4, 0);
    let (first, second) = (Party::new(), Party::new());
    let held = taken(&gate, &first, 3);
    let large = waits(&gate, &second, 4);
    let mut small = waits(&gate, &first, 1);
    drop(large);
    let small = (&mut small).now_or_never().expect("nobody is before it");
    // Granted, and dropped before it was looked at.
    let wait = waits(&gate, &second, 4);
    drop((held, small));
    assert_eq!(free(&gate), 0);
    drop(wait);
    assert_eq!(free(&gate), 4);
    assert!(gate.state().entries.is_empty());
    drop(taken(&gate, &first, 0));
    assert!(gate.state().entries.is_empty());
}

#[derive(Clone, Debug)]
enum Move {
    Ask { party: usize, units: usize },
    GiveBack(usize),
    StopWaiting(usize),
    Silent(usize),
    Answers(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..5_usize, 0..20_usize).prop_map(|(party, units)| Move::Ask { party, units }),
        3 => any::<usize>().prop_map(Move::GiveBack),
        1 => any::<usize>().prop_map(Move::StopWaiting),
        1 => (0..5_usize).prop_map(Move::Silent),
        1 => (0..5_usize).prop_map(Move::Answers),
    ];
    proptest::collection::vec(one, 1..200)
}

proptest! {
    #[test]
    fn never_more_than_there_is_and_nobody_waits_for_ever(moves in moves(), kept in 0..4_usize) {
        const TOTAL: usize = 16;
        let gate = Gate::new(TOTAL, kept);
        let parties: Vec<_> = (0..5).map(|_| Party::new()).collect();
        let (mut held, mut waiting): (Vec<Grant>, Vec<BoxFuture<'static, Grant>>) = (Vec::new(), Vec::new());
        for step in moves {
            match step {
                Move::Ask { party, units } => {
                    let (gate, party) = (gate.clone(), parties[party].clone());
                    let units = units.min(TOTAL);
                    waiting.push(async move { gate.acquire(&party, units).await }.boxed());
                }
                Move::GiveBack(n) if !held.is_empty() => drop(held.swap_remove(n % held.len())),
                Move::StopWaiting(n) if !waiting.is_empty() => {
                    drop(waiting.swap_remove(n % waiting.len()));
                }
                Move::Silent(party) => parties[party].is(Standing::Silent),
                Move::Answers(party) => {
                    parties[party].is(Standing::Answers);
                    gate.look_again();
                }
                _ => {}
            }
            take(&mut waiting, &mut held);
            let lent: usize = held.iter().map(|grant| grant.units).sum();
            prop_assert!(lent <= TOTAL);
            prop_assert_eq!(free(&gate), TOTAL - lent);
        }
        // Whatever waits is served once others give back, silent or not.
        while !waiting.is_empty() {
            prop_assert!(!held.is_empty(), "{} wait for nobody", waiting.len());
            drop(held.swap_remove(0));
            take(&mut waiting, &mut held);
        }
        drop(held);
        prop_assert_eq!(free(&gate), TOTAL);
        prop_assert!(gate.state().entries.is_empty());
    }
}

/// Takes all that was granted. A request's first look may serve others that were looked at before.
fn take(waiting: &mut Vec<BoxFuture<'static, Grant>>, held: &mut Vec<Grant>) {
    for _ in 0..2 {
        waiting.retain_mut(|wait| match wait.now_or_never() {
            Some(grant) => {
                held.push(grant);
                false
            }
            None => true,
        });
    }
}
