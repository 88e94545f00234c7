//! Random operations, compared step by step with a plain map that has no concurrency, no buckets
//! and no eviction.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Decision, Expiry, Filter, Name, Network, Refusal, Report, WritableTable};
use proptest::prelude::*;

const START: u32 = 1_795_000_000;
const FLOOR: u32 = 60;
const BASE: u32 = 600;
const MOST: u32 = 604_800;

#[derive(Clone, Debug)]
enum Step {
    Record { client: u8, weight: u32 },
    White { client: u8, seconds: u32 },
    Forgive { client: u8 },
    Pass { seconds: u32 },
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..20, 1_u32..12).prop_map(|(client, weight)| Step::Record { client, weight }),
        1 => (0_u8..20, 0_u32..400).prop_map(|(client, seconds)| Step::White { client, seconds }),
        1 => (0_u8..20).prop_map(|client| Step::Forgive { client }),
        3 => (0_u32..700).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Sweep),
    ]
}

/// What the plain map knows of a client.
#[derive(Clone, Copy, Debug)]
struct Plain {
    end: u32,
    count: u32,
    white: bool,
    first: u32,
}

impl Plain {
    fn is_alive(&self, now: u32) -> bool {
        let left = self.end.saturating_sub(now);
        if self.white { left > 0 } else { left >= FLOOR }
    }
}

fn network(client: u8) -> Network {
    // Half of them IPv6, each in a /64 of its own.
    if client.is_multiple_of(2) {
        Network::host(std::net::Ipv4Addr::new(192, 0, 2, client).into())
    } else {
        format!("2001:db8:0:{client}::1").parse().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_table_does_what_a_plain_map_does(steps in prop::collection::vec(step(), 1..200)) {
        let table = WritableTable::on_heap(1024).unwrap();
        let mut plain: HashMap<u8, Plain> = HashMap::new();
        let mut now = START;
        for step in steps {
            match step {
                Step::Record { client, weight } => {
                    let report =
                        Report { network: network(client), reason: 1, reporter: 0, weight: Some(weight), seconds: None };
                    let result = table.record(&report, now);
                    let old = plain.get(&client).copied().filter(|p| p.is_alive(now));
                    if old.is_some_and(|p| p.white) {
                        prop_assert_eq!(result, Err(Refusal::White));
                        continue;
                    }
                    let left = old.map_or(0, |p| p.end - now);
                    let new = Plain {
                        end: now + (left + BASE * weight).min(MOST),
                        count: old.map_or(0, |p| p.count) + weight,
                        white: false,
                        first: old.map_or(now, |p| p.first),
                    };
                    let recorded = result.unwrap();
                    prop_assert_eq!((recorded.count, recorded.remaining), (new.count, new.end - now));
                    plain.insert(client, new);
                }
                Step::White { client, seconds } => {
                    table.white(network(client), Some(seconds), ADMIN, now).unwrap();
                    let old = plain.get(&client).copied().filter(|p| p.is_alive(now));
                    if seconds > 0 {
                        plain.insert(client, Plain { end: now + seconds, count: 0, white: true, first: now });
                    } else if old.is_some_and(|p| p.white) {
                        plain.remove(&client);
                    }
                }
                Step::Forgive { client } => {
                    let ended = table.forgive(network(client), ADMIN, now).unwrap();
                    let old = plain.get(&client).copied().filter(|p| p.is_alive(now) && !p.white);
                    prop_assert_eq!(ended, old.is_some());
                    if ended {
                        plain.remove(&client);
                    }
                }
                Step::Pass { seconds } => now += seconds,
                Step::Sweep => {
                    table.sweep(now, Expiry::Due);
                    prop_assert_eq!(table.info(now).expired, 0);
                }
            }
            for client in 0..20 {
                let known = plain.get(&client).copied().filter(|p| p.is_alive(now));
                let decision = table.decide(network(client).address(), &Filter::default(), now);
                match (known, decision) {
                    (None, Decision::Unknown) => {}
                    (Some(p), Decision::White(e)) if p.white => {
                        prop_assert_eq!(e.remaining, p.end - now);
                    }
                    (Some(p), Decision::Listed(e)) if !p.white => {
                        prop_assert_eq!((e.count, e.remaining, e.first), (p.count, p.end - now, p.first));
                    }
                    (known, decision) => prop_assert!(false, "{client}: {known:?} but {decision:?}"),
                }
            }
        }
        prop_assert_eq!(table.verify(), []);
        let alive = plain.values().filter(|p| p.is_alive(now)).count();
        prop_assert_eq!(table.entries(now).count(), alive);
    }

    #[test]
    fn networks_round_trip_through_text_and_entries(bits: u128, length in 0_u8..=128) {
        let text = format!("{}/{length}", std::net::Ipv6Addr::from(bits));
        let cut = Network::new(std::net::Ipv6Addr::from(bits).into(), length).unwrap();
        prop_assert_eq!(cut.to_string().parse::<Network>(), Ok(cut), "{}", text);
    }

    #[test]
    fn no_text_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = eximrbl_table::parse_address(&bytes);
        let folded = Name::folded(&bytes);
        prop_assert!(folded.is_none_or(|name| Name::new(name.as_str().as_bytes()) == Some(name)));
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let _ = text.parse::<Network>();
        }
    }
}
