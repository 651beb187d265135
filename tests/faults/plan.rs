//! A fault plan: what is delivered, how, and what goes wrong meanwhile. And all plans there are.

use serde::{Deserialize, Serialize};

use crate::support::proxy::{At, Deed, Fault, Kind};

/// What is delivered, and what somebody does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Workload {
    /// One small object.
    Small,
    /// One object of several parts.
    Large,
    /// Five files cut at records, with a receipt.
    Files,
    /// `Large`, compressed; its bytes don't shrink, so it has as many parts.
    Gzip,
    /// The same, as a Zstandard frame.
    Zstd,
    /// `Large`, deleted in flight.
    Delete,
    /// `Small`, where somebody else's object has the key already.
    Occupied,
    /// `Large`; the source grows in flight.
    Changed,
    /// `Large`; the key is replaced in flight and the old one no longer valid.
    Rotated,
    /// `Large`; the destination's prefix is edited in flight.
    Redirected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    AccessKey,
    CrossAccount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReadBack {
    WriteOnly,
    Granted,
}

/// How it has to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// Complete, with all there.
    Delivered,
    /// Gone, with nothing left.
    Deleted,
    /// Failed, or stalled, for that reason.
    Stalled,
}

/// One plan; the whole of it is in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Plan {
    /// Of the source's bytes.
    pub(crate) seed: u64,
    pub(crate) workload: Workload,
    pub(crate) mode: Mode,
    pub(crate) read_back: ReadBack,
    /// Parts of a large object.
    #[serde(default = "six")]
    pub(crate) parts: u32,
    #[serde(default)]
    pub(crate) leader_election: bool,
    pub(crate) faults: Vec<Fault>,
    /// Where the faults leave no way to know, the delivery has to fail for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

fn six() -> u32 {
    6
}

impl Plan {
    fn new(workload: Workload, read_back: ReadBack) -> Plan {
        Plan {
            seed: 1,
            workload,
            mode: Mode::AccessKey,
            read_back,
            parts: six(),
            leader_election: false,
            faults: Vec::new(),
            failed: None,
        }
    }

    fn with(mut self, kind: Kind, n: u32, deed: Deed) -> Plan {
        self.faults.push(Fault {
            at: At { kind, n, times: 1 },
            deed,
        });
        self
    }

    /// The same to all that follow of that kind.
    fn for_good(mut self) -> Plan {
        if let Some(last) = self.faults.last_mut() {
            last.at.times = u32::MAX;
        }
        self
    }

    /// Whether a client's patience decides how long it takes: minutes.
    pub(crate) fn hangs(&self) -> bool {
        self.faults.iter().any(|fault| fault.deed == Deed::Hang)
    }

    /// A name that tells it from all others.
    pub(crate) fn name(&self) -> String {
        let mut name = format!("{:?}-{:?}-{:?}", self.workload, self.mode, self.read_back);
        for Fault { at, deed } in &self.faults {
            let deed = String::from(deed.clone()).replace(' ', "-");
            let on = if at.times > 1 { "on" } else { "" };
            name += &format!("-{:?}{}{on}-{deed}", at.kind, at.n);
        }
        name
    }

    /// How it has to end, and for which reason where it isn't delivered.
    pub(crate) fn end(&self) -> (End, &str) {
        if let Some(reason) = &self.failed {
            return (End::Stalled, reason);
        }
        match self.workload {
            Workload::Small
            | Workload::Large
            | Workload::Files
            | Workload::Gzip
            | Workload::Zstd
            | Workload::Rotated => (End::Delivered, ""),
            Workload::Delete => (End::Deleted, ""),
            Workload::Occupied => (End::Stalled, "ObjectExists"),
            Workload::Changed => (End::Stalled, "SourceChanged"),
            Workload::Redirected => (End::Stalled, "DestinationChanged"),
        }
    }

    pub(crate) fn faults_of(&self, kinds: impl Fn(Kind) -> bool) -> Vec<Fault> {
        self.faults
            .iter()
            .filter(|fault| kinds(fault.at.kind))
            .cloned()
            .collect()
    }
}

const HELD: Deed = Deed::Stall(3000);

fn common() -> Vec<Deed> {
    use Deed::{Answer, Drop, KillAfter, KillBefore, LoseAnswer, ResetAnswer};
    vec![
        Drop,
        Answer(503),
        Answer(500),
        Answer(403),
        LoseAnswer,
        ResetAnswer,
        HELD,
        KillBefore,
        KillAfter,
    ]
}

/// Faults of a request with a body that the store keeps.
fn of_body() -> Vec<Deed> {
    let more = [
        Deed::ResetRequest,
        Deed::FlipByte,
        Deed::StripHeader("etag".to_owned()),
    ];
    [common(), more.to_vec()].concat()
}

fn of_complete() -> Vec<Deed> {
    let more = [
        Deed::Answer(409),
        Deed::Answer(404),
        Deed::ErrorIn200,
        Deed::AppliedErrorIn200,
    ];
    [common(), more.to_vec()].concat()
}

fn of_put() -> Vec<Deed> {
    [of_body(), vec![Deed::Answer(409)]].concat()
}

fn of_kubernetes_write() -> Vec<Deed> {
    [common(), vec![Deed::Answer(409)]].concat()
}

/// Every plan, with large objects of that many parts.
pub(crate) fn matrix(parts: u32) -> Vec<Plan> {
    let mut plans = [
        plain(),
        access(),
        uploads(),
        puts(),
        receipts(),
        files(),
        compressed(),
        cluster(),
        deletions(),
        leases(),
        hangs(),
    ]
    .concat();
    for (seed, plan) in (1..).zip(&mut plans) {
        plan.seed = seed;
        plan.parts = parts;
        // Every other plan in the other mode: nothing in it depends on that.
        if seed % 2 == 0 && plan.workload != Workload::Rotated && !touches(plan, Kind::GetSecret) {
            plan.mode = Mode::CrossAccount;
        }
    }
    plans
}

fn touches(plan: &Plan, kind: Kind) -> bool {
    plan.faults.iter().any(|fault| fault.at.kind == kind)
}

/// Without a fault, and with what people do in flight.
fn plain() -> Vec<Plan> {
    use ReadBack::{Granted, WriteOnly};
    use Workload::{Changed, Delete, Files, Large, Occupied, Redirected, Rotated, Small};
    let both = [Small, Large, Files, Occupied, Changed].into_iter();
    let both = both.flat_map(|workload| [WriteOnly, Granted].map(|read| Plan::new(workload, read)));
    both.chain([Delete, Rotated, Redirected].map(|workload| Plan::new(workload, WriteOnly)))
        .collect()
}

fn each(base: &Plan, kind: Kind, n: u32, deeds: &[Deed]) -> Vec<Plan> {
    deeds
        .iter()
        .map(|deed| base.clone().with(kind, n, deed.clone()))
        .collect()
}

fn access() -> Vec<Plan> {
    let base = Plan::new(Workload::Small, ReadBack::WriteOnly);
    [
        each(&base, Kind::ProofCreate, 1, &common()),
        each(&base, Kind::ProofPart, 1, &of_body()),
        each(&base, Kind::ProofAbort, 1, &common()),
    ]
    .concat()
}

fn uploads() -> Vec<Plan> {
    let base = Plan::new(Workload::Large, ReadBack::WriteOnly);
    let vanished = [of_body(), vec![Deed::Answer(404)]].concat();
    let killed = base.clone().with(Kind::MiddlePart, 2, Deed::KillAfter);
    let listed = [common(), vec![Deed::ErrorIn200, Deed::Answer(404)]].concat();
    let granted = Plan::new(Workload::Large, ReadBack::Granted);
    // Where the parts aren't listed, a look at the key settles what became of it.
    let completed = granted.clone().with(Kind::Complete, 1, Deed::KillAfter);
    let uncompleted = granted.clone().with(Kind::Complete, 1, Deed::KillBefore);
    let unlisted = [Deed::Answer(403)];
    [
        each(&base, Kind::Create, 1, &common()),
        each(&base, Kind::FirstPart, 1, &of_body()),
        each(&base, Kind::MiddlePart, 2, &vanished),
        each(&base, Kind::LastPart, 1, &of_body()),
        each(&killed, Kind::ListParts, 1, &listed),
        each(&base, Kind::Complete, 1, &of_complete()),
        each(&granted, Kind::Complete, 1, &of_complete()),
        each(&completed, Kind::ListParts, 1, &unlisted),
        each(&uncompleted, Kind::ListParts, 1, &unlisted),
    ]
    .concat()
}

fn puts() -> Vec<Plan> {
    let base = Plan::new(Workload::Small, ReadBack::Granted);
    let lost = base.clone().with(Kind::Put, 1, Deed::LoseAnswer);
    let lost_receipt = base.clone().with(Kind::ReceiptPut, 1, Deed::LoseAnswer);
    // The first comes before the first Put, the second after one whose answer was lost.
    let mut looks = [1, 2]
        .map(|n| {
            [
                each(&lost, Kind::Head, n, &common()),
                each(&lost_receipt, Kind::ReceiptHead, n, &common()),
            ]
            .concat()
        })
        .concat();
    // We may not look any more after a lost answer: nobody can know what became of it. (Refused once, the second look is
    // that one in one mode and comes before the Put in the other.)
    let refused = |fault: &Fault| fault.at.n == 2 && fault.deed == Deed::Answer(403);
    looks.retain(|plan| !plan.faults.iter().any(refused));
    for plan in [
        lost.with(Kind::Head, 1, Deed::Answer(403)),
        lost_receipt.with(Kind::ReceiptHead, 1, Deed::Answer(403)),
    ] {
        let mut plan = plan.for_good();
        plan.failed = Some("CompletionUnconfirmed".to_owned());
        looks.push(plan);
    }
    // A HEAD's answer has no body to reset.
    looks.retain(|plan| {
        plan.faults
            .iter()
            .all(|fault| fault.deed != Deed::ResetAnswer)
    });
    let reset = |plan: &Plan| {
        plan.faults
            .iter()
            .all(|fault| fault.deed != Deed::ResetAnswer)
    };
    let mut puts = [
        each(&base, Kind::Put, 1, &of_put()),
        each(&base, Kind::ReceiptPut, 1, &of_put()),
    ]
    .concat();
    puts.retain(reset);
    [puts, looks].concat()
}

fn receipts() -> Vec<Plan> {
    let base = Plan::new(Workload::Small, ReadBack::WriteOnly);
    [
        each(&base, Kind::ReceiptCreate, 1, &common()),
        each(&base, Kind::ReceiptPart, 1, &of_body()),
        each(&base, Kind::ReceiptComplete, 1, &of_complete()),
    ]
    .concat()
}

fn files() -> Vec<Plan> {
    let base = Plan::new(Workload::Files, ReadBack::WriteOnly);
    let granted = Plan::new(Workload::Files, ReadBack::Granted);
    [
        each(&base, Kind::Create, 7, &common()),
        each(&base, Kind::FirstPart, 7, &of_body()),
        each(&base, Kind::Complete, 7, &of_complete()),
        each(
            &base,
            Kind::ReceiptComplete,
            1,
            &[Deed::KillBefore, Deed::KillAfter],
        ),
        each(&base, Kind::ReplaceLedger, 5, &of_kubernetes_write()),
        each(
            &granted,
            Kind::Put,
            7,
            &[Deed::KillBefore, Deed::KillAfter, Deed::LoseAnswer],
        ),
    ]
    .concat()
}

/// What is made on the way is made again: the same parts, of which none is sent twice.
fn compressed() -> Vec<Plan> {
    use Deed::{Answer, FlipByte, KillAfter, KillBefore, LoseAnswer};
    let of = |workload| {
        let base = Plan::new(workload, ReadBack::WriteOnly);
        let killed = base.clone().with(Kind::MiddlePart, 3, KillAfter);
        let middle = [Answer(503), LoseAnswer, FlipByte, KillBefore, Answer(404)];
        [
            vec![
                base.clone(),
                killed.clone(),
                Plan::new(workload, ReadBack::Granted),
            ],
            each(&base, Kind::MiddlePart, 2, &middle),
            each(&base, Kind::LastPart, 1, &[KillBefore, LoseAnswer]),
            each(&killed, Kind::ListParts, 1, &[Answer(403), KillAfter]),
            each(
                &base,
                Kind::Complete,
                1,
                &[KillAfter, LoseAnswer, Answer(409)],
            ),
        ]
        .concat()
    };
    [of(Workload::Gzip), of(Workload::Zstd)].concat()
}

fn cluster() -> Vec<Plan> {
    let base = Plan::new(Workload::Small, ReadBack::WriteOnly);
    let writes = of_kubernetes_write();
    let mut plans = Vec::new();
    for kind in [
        Kind::CreateLedger,
        Kind::AddFinalizer,
        Kind::ReleaseLedger,
        Kind::RemoveFinalizer,
    ] {
        plans.extend(each(&base, kind, 1, &writes));
    }
    for kind in [Kind::GetSecret, Kind::GetLedger, Kind::DeleteLedger] {
        plans.extend(each(&base, kind, 1, &common()));
    }
    for kind in [Kind::ListDestinations, Kind::ListDeliveries] {
        plans.extend(each(
            &base,
            kind,
            1,
            &[Deed::Drop, Deed::Answer(503), Deed::ResetAnswer, HELD],
        ));
    }
    for kind in [Kind::WatchDestinations, Kind::WatchDeliveries] {
        plans.extend(each(&base, kind, 1, &[Deed::Drop, Deed::Answer(500), HELD]));
    }
    // The object's: Open, Completing, Delivered; the receipt's three.
    for n in 1..=6 {
        plans.extend(each(&base, Kind::ReplaceLedger, n, &writes));
    }
    for n in 1..=3 {
        plans.extend(each(&base, Kind::DeliveryStatus, n, &writes));
    }
    for n in 1..=2 {
        plans.extend(each(&base, Kind::DestinationStatus, n, &writes));
        plans.extend(each(
            &base,
            Kind::Event,
            n,
            &[Deed::Drop, Deed::Answer(403), Deed::KillAfter, HELD],
        ));
    }
    plans
}

fn deletions() -> Vec<Plan> {
    let base = Plan::new(Workload::Delete, ReadBack::WriteOnly);
    [
        each(&base, Kind::Abort, 1, &common()),
        each(&base, Kind::ReleaseLedger, 1, &of_kubernetes_write()),
        each(&base, Kind::RemoveFinalizer, 1, &of_kubernetes_write()),
        each(&base, Kind::GetLedger, 2, &common()),
        each(
            &base,
            Kind::MiddlePart,
            2,
            &[
                Deed::Drop,
                Deed::Answer(503),
                Deed::KillAfter,
                Deed::Stall(6000),
            ],
        ),
    ]
    .concat()
}

fn leases() -> Vec<Plan> {
    let mut base = Plan::new(Workload::Large, ReadBack::WriteOnly);
    base.leader_election = true;
    let deeds = [
        Deed::Drop,
        Deed::Answer(500),
        Deed::Answer(409),
        Deed::LoseAnswer,
        HELD,
        Deed::KillAfter,
    ];
    [Kind::GetLease, Kind::CreateLease, Kind::ReplaceLease]
        .into_iter()
        .flat_map(|kind| each(&base, kind, 1, &deeds))
        .collect()
}

/// Connections that are never answered: the operator gives up on them and goes on. Not with Complete, which may take ten
/// minutes of S3.
fn hangs() -> Vec<Plan> {
    use ReadBack::{Granted, WriteOnly};
    let small = Plan::new(Workload::Small, WriteOnly);
    let large = Plan::new(Workload::Large, WriteOnly);
    let readable = Plan::new(Workload::Small, Granted);
    let killed = large.clone().with(Kind::MiddlePart, 2, Deed::KillAfter);
    let deleted = Plan::new(Workload::Delete, WriteOnly);
    let hang = |base: &Plan, kind, n| base.clone().with(kind, n, Deed::Hang);
    vec![
        hang(&small, Kind::ProofCreate, 1),
        hang(&small, Kind::ProofPart, 1),
        hang(&small, Kind::ProofAbort, 1),
        hang(&large, Kind::Create, 1),
        hang(&large, Kind::MiddlePart, 2),
        hang(&killed, Kind::ListParts, 1),
        hang(&readable, Kind::Put, 1),
        hang(&readable, Kind::Head, 1),
        hang(&deleted, Kind::Abort, 1).for_good(),
        hang(&small, Kind::GetSecret, 1),
        hang(&small, Kind::DeliveryStatus, 1),
        hang(&small, Kind::CreateLedger, 1),
        hang(&small, Kind::AddFinalizer, 1),
        hang(&small, Kind::ReplaceLedger, 1),
    ]
}

/// `count` of `plans`, the same for the same seed: at least one of each kind of request, as far as
/// `count` goes.
pub(crate) fn sample(plans: Vec<Plan>, count: usize, seed: u64) -> Vec<Plan> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rest = plans;
    rest.retain(|plan| !plan.hangs());
    random.shuffle(&mut rest);
    let mut seen = std::collections::BTreeSet::new();
    let (mut chosen, mut others) = (Vec::new(), Vec::new());
    for plan in rest {
        let kind = plan.faults.last().map(|fault| fault.at.kind);
        if seen.insert((kind, kind.is_none().then_some(plan.workload as u8))) {
            chosen.push(plan);
        } else {
            others.push(plan);
        }
    }
    chosen.truncate(count);
    let missing = count - chosen.len();
    chosen.extend(others.into_iter().take(missing));
    chosen
}
