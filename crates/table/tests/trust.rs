//! Who may undo what: random calls of several reporters and the administrator, compared step by step with
//! a plain model of the rules in `docs/architecture.md`.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use eximrbl_table::dictionary::{ADMIN, LOCAL};
use eximrbl_table::{
    Decision, Filter, Name, Network, Policy, Purge, Refusal, Report, Share, Subject, WritableTable,
};
use proptest::prelude::*;

const START: u32 = 1_795_000_000;
const FLOOR: u32 = 60;
const BASE: u32 = 600;
const MOST: u32 = 604_800;
const THRESHOLD: u32 = 3;
/// Two reporters, one of them in the bitmap's upper part.
const A: u8 = 2;
const B: u8 = 63;
/// Two addresses of one network, and the network.
const KEYS: [&str; 3] = ["192.0.2.1", "192.0.2.2", "192.0.2.0/24"];

#[derive(Clone, Copy, Debug)]
enum Act {
    Black {
        weight: u32,
    },
    Endless,
    White {
        seconds: Option<u32>,
    },
    Forgive,
    /// The administrator undoes the reporter's work.
    Purge,
    Pass {
        seconds: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct Step {
    act: Act,
    key: usize,
    reporter: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let act = prop_oneof![
        6 => (1_u32..4).prop_map(|weight| Act::Black { weight }),
        1 => Just(Act::Endless),
        2 => prop_oneof![Just(None), (0_u32..900).prop_map(Some), Just(Some(0))]
            .prop_map(|seconds| Act::White { seconds }),
        2 => Just(Act::Forgive),
        1 => Just(Act::Purge),
        2 => (0_u32..500).prop_map(|seconds| Act::Pass { seconds }),
    ];
    let reporter = prop_oneof![Just(LOCAL), Just(ADMIN), Just(A), Just(B)];
    (act, 0..KEYS.len(), reporter).prop_map(|(act, key, reporter)| Step { act, key, reporter })
}

/// A report that an entry was made of.
#[derive(Clone, Copy, Debug)]
struct Told {
    time: u32,
    reporter: u8,
    weight: u32,
    endless: bool,
}

/// What the model knows of an entry.
#[derive(Clone, Debug)]
struct Plain {
    white: bool,
    /// `u32::MAX` without end.
    end: u32,
    count: u32,
    reporters: u64,
    told: Vec<Told>,
}

impl Plain {
    fn is_alive(&self, now: u32) -> bool {
        let left = self.end.saturating_sub(now);
        if self.white { left > 0 } else { left >= FLOOR }
    }

    fn is_by_hand(&self) -> bool {
        self.reporters >> ADMIN & 1 == 1 || self.end == u32::MAX && !self.white
    }

    fn is_of(&self, reporter: u8) -> bool {
        self.reporters >> reporter & 1 == 1
    }

    /// What these reports make.
    fn of(reports: &[Told]) -> Option<Self> {
        let mut made: Option<Self> = None;
        for told in reports {
            let mut plain = made.take().filter(|plain| plain.is_alive(told.time)).unwrap_or(Self {
                white: false,
                end: told.time,
                count: 0,
                reporters: 0,
                told: Vec::new(),
            });
            let left = plain.end - told.time;
            if plain.end != u32::MAX {
                let added = told.time + (left + BASE * told.weight).min(MOST);
                plain.end = if told.endless { u32::MAX } else { added };
            }
            plain.count += told.weight;
            plain.reporters |= 1 << told.reporter;
            plain.told.push(*told);
            made = Some(plain);
        }
        made
    }
}

/// The three keys' entries.
#[derive(Default)]
struct Model(HashMap<usize, Plain>);

impl Model {
    fn live(&self, key: usize, now: u32) -> Option<&Plain> {
        self.0.get(&key).filter(|plain| plain.is_alive(now))
    }

    /// A live entry of the network around an address.
    fn around(&self, key: usize, now: u32) -> Option<&Plain> {
        (key != 2).then(|| self.live(2, now)).flatten()
    }

    fn black(&mut self, step: &Step, weight: u32, now: u32) -> Result<(), Refusal> {
        let around = self.around(step.key, now).is_some_and(|plain| plain.white);
        let old = self.live(step.key, now);
        if around || old.is_some_and(|plain| plain.white) {
            return Err(Refusal::White);
        }
        let mut told = old.map(|plain| plain.told.clone()).unwrap_or_default();
        let endless = matches!(step.act, Act::Endless);
        told.push(Told { time: now, reporter: step.reporter, weight, endless });
        self.0.insert(step.key, Plain::of(&told).unwrap());
        Ok(())
    }

    fn white(&mut self, step: &Step, seconds: Option<u32>, now: u32) -> Result<(), Refusal> {
        let (is_his, is_local) = (step.reporter == ADMIN, step.reporter == LOCAL);
        let old = self.live(step.key, now);
        if seconds == Some(0) {
            let ends =
                |old: &Plain| old.white && (is_his || old.end != u32::MAX && !old.is_of(ADMIN));
            if old.is_some_and(ends) {
                self.0.remove(&step.key);
            }
            return Ok(());
        }
        let around = self.around(step.key, now);
        let is_under_his = around.is_some_and(|plain| !plain.white && plain.is_by_hand());
        let spares = |old: &Plain| match is_local {
            true => old.end == u32::MAX,
            false => old.is_by_hand(),
        };
        let black = old.filter(|plain| !plain.white);
        if !is_his && (is_under_his && !is_local || black.is_some_and(spares)) {
            return Err(Refusal::Endless);
        }
        let same = old.filter(|plain| plain.white);
        let kept = same.filter(|_| !is_his).map_or(0, |plain| plain.end);
        let end = seconds.map_or(u32::MAX, |seconds| (now + seconds).max(kept));
        let reporters = same.map_or(0, |plain| plain.reporters) | 1 << step.reporter;
        let plain = Plain { white: true, end, count: 0, reporters, told: Vec::new() };
        self.0.insert(step.key, plain);
        Ok(())
    }

    fn forgive(&mut self, step: &Step, now: u32) -> bool {
        let may_end = |plain: &&Plain| {
            !plain.white
                && match step.reporter {
                    ADMIN => true,
                    LOCAL => plain.end != u32::MAX,
                    _ => !plain.is_by_hand(),
                }
        };
        let ends = self.live(step.key, now).filter(may_end).is_some();
        if ends {
            self.0.remove(&step.key);
        }
        ends
    }

    fn purge(&mut self, reporter: u8, now: u32) {
        for key in 0..KEYS.len() {
            let Some(plain) = self.live(key, now).filter(|plain| plain.is_of(reporter)) else {
                continue;
            };
            let mut plain = plain.clone();
            plain.reporters &= !(1 << reporter);
            let left = if plain.white {
                Some(plain).filter(|plain| plain.reporters != 0)
            } else {
                plain.told.retain(|told| told.reporter != reporter);
                Plain::of(&plain.told).filter(|plain| plain.is_alive(now))
            };
            match left {
                Some(left) => _ = self.0.insert(key, left),
                None => _ = self.0.remove(&key),
            }
        }
    }

    /// Whether an address is listed in a zone with this quorum; `None` if it is white.
    fn is_listed(&self, key: usize, quorum: u32, now: u32) -> Option<bool> {
        let entries = [self.live(key, now), self.around(key, now)].into_iter().flatten();
        let mut listed = false;
        for plain in entries {
            if plain.white {
                // The more specific one lists or lifts first; a white one around it lifts all.
                return None;
            }
            let is_enough = plain.count >= THRESHOLD && plain.reporters.count_ones() >= quorum;
            listed |= is_enough || plain.is_by_hand();
        }
        Some(listed)
    }
}

fn network(key: usize) -> Network {
    KEYS[key].parse().unwrap()
}

fn cases() -> u32 {
    let is_torture = std::env::var_os("EXIMRBL_TORTURE").is_some_and(|value| value == "1");
    if is_torture { 4000 } else { 150 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Caught: a reporter's white in the place of the administrator's listing, at its own place and within
    /// his network; a reporter's forgive that ends his listing; a white that he set shortened, or ended by
    /// others; a quorum that he does not satisfy alone; a purge that leaves a share, ends another's, or
    /// forgets the white ones.
    #[test]
    fn each_undoes_only_what_he_may(steps in prop::collection::vec(step(), 1..60)) {
        let table = WritableTable::on_heap(256).unwrap();
        table.set_policy(&Policy { threshold: THRESHOLD, ..Policy::default() }).unwrap();
        for bit in 2..64 {
            let name = Name::new(format!("n{bit}").as_bytes()).unwrap();
            prop_assert_eq!(table.reporter(name), Some(bit));
        }
        let mut model = Model::default();
        let mut now = START;
        for step in steps {
            let Step { act, key, reporter } = step;
            let report = |weight| {
                let (reason, weight) = (1, Some(weight));
                Report { network: network(key), reason, reporter, weight, seconds: None }
            };
            match act {
                Act::Black { weight } => {
                    let done = table.record(&report(weight), now).map(|_| ());
                    prop_assert_eq!(done, model.black(&step, weight, now), "{:?}", step);
                }
                Act::Endless => {
                    let done = table.record_endless(&report(1), now).map(|_| ());
                    prop_assert_eq!(done, model.black(&step, 1, now), "{:?}", step);
                }
                Act::White { seconds } => {
                    let done = table.white(network(key), seconds, reporter, now);
                    prop_assert_eq!(done, model.white(&step, seconds, now), "{:?}", step);
                }
                Act::Forgive => {
                    let done = table.forgive(network(key), reporter, now).unwrap();
                    prop_assert_eq!(done, model.forgive(&step, now), "{:?}", step);
                }
                Act::Purge => {
                    let purge = Purge { subject: Subject::Share(Share::Reporter(reporter)), within: None };
                    prop_assert_eq!(table.purge(&purge, now).unwrap().left, 0);
                    model.purge(reporter, now);
                }
                Act::Pass { seconds } => now += seconds,
            }
            for (key, name) in KEYS.iter().enumerate() {
                let wanted = model.live(key, now).map(|plain| {
                    let left = if plain.end == u32::MAX { u32::MAX } else { plain.end - now };
                    (plain.white, plain.count, left, plain.reporters)
                });
                let entry = table.entry(network(key), now);
                let seen = entry.map(|e| (e.white, e.count, e.remaining, e.reporters));
                prop_assert_eq!(seen, wanted, "{} after {:?}", name, step);
            }
            for (key, quorum) in [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)] {
                let filter = Filter { quorum, ..Filter::default() };
                let decision = table.decide(network(key).address(), &filter, now);
                let is_white = matches!(decision, Decision::White(_));
                let seen = (!is_white).then(|| decision.is_listed());
                prop_assert_eq!(seen, model.is_listed(key, quorum, now), "{} {}", key, quorum);
            }
        }
        prop_assert_eq!(table.verify(), []);
    }
}
