//! The calls that are stepped through, and the tables that they meet.

use crate::stage::{SLOTS, Stage};
use crate::writer::{Call, Writer};

/// The library's time when an operation begins.
pub const NOW: u32 = 1_800_000_000;
/// So early were entries made that have expired by [`NOW`].
const LONG_AGO: u32 = NOW - 100_000;

/// The address that operations are about.
pub const CLIENT: &str = "198.51.100.1";
/// The same for IPv6.
pub const CLIENT6: &str = "2001:db8:1:2::1";

/// One call upon one table.
#[derive(Clone, Debug)]
pub struct Operation {
    pub name: &'static str,
    pub call: Call,
    /// What was called before, at which time.
    before: Vec<(u32, Call)>,
}

/// The i-th neighbour. Each has its own reason and weight, so that one's count or reason in
/// another's entry is seen.
pub fn neighbour(i: usize) -> Call {
    Call::record(&neighbour_address(i), &format!("reason-{i}"), 101 + 2 * i as u32)
}

/// His address.
pub fn neighbour_address(i: usize) -> String {
    format!("192.0.2.{}", 10 + i)
}

fn neighbours(count: usize) -> Vec<(u32, Call)> {
    (0..count).map(|i| (NOW, neighbour(i))).collect()
}

/// All operations.
pub fn all() -> Vec<Operation> {
    let record = |ip| Call::record(ip, "rcpt", 3);
    let with = |count: usize, more: &[(u32, Call)]| {
        let rcpt = (NOW, Call::record("192.0.2.9", "rcpt", 99));
        more.iter().cloned().chain([rcpt]).chain(neighbours(count)).collect()
    };
    let operation = |name, call, before| Operation { name, call, before };
    vec![
        operation("insert", record(CLIENT), with(3, &[])),
        operation("record", record(CLIENT), with(3, &[(NOW - 9, record(CLIENT))])),
        operation("evict", record(CLIENT), with(SLOTS - 1, &[])),
        operation(
            "intern",
            Call::record(CLIENT, "a-name-of-four-words-in-the-file", 3),
            with(3, &[(NOW - 9, record(CLIENT))]),
        ),
        operation("restart", record(CLIENT), with(3, &[(LONG_AGO, record(CLIENT))])),
        operation("insert of an IPv6 client", record(CLIENT6), with(3, &[])),
        operation("allow", Call::allow(CLIENT, 5000), with(3, &[])),
        operation(
            "allow a listed one",
            Call::allow(CLIENT, 5000),
            with(3, &[(NOW, record(CLIENT))]),
        ),
        operation(
            "allow again",
            Call::allow(CLIENT, 5000),
            with(3, &[(NOW, Call::allow(CLIENT, 900))]),
        ),
        operation(
            "end of allowing",
            Call::allow(CLIENT, 0),
            with(3, &[(NOW, Call::allow(CLIENT, 900))]),
        ),
        operation("forgive", Call::forgive(CLIENT), with(3, &[(NOW, record(CLIENT))])),
    ]
}

/// The one of this name.
pub fn named(name: &str) -> Operation {
    all().into_iter().find(|operation| operation.name == name).unwrap()
}

impl Operation {
    /// Makes the table that the operation meets, and gives its image. `empty` is that of a new
    /// table; the clock stands at [`NOW`] afterwards.
    pub fn prepare(&self, stage: &Stage, empty: &[u8], peer: &mut Writer) -> Vec<u8> {
        stage.restore(empty);
        for (time, call) in &self.before {
            peer.open_at(*time);
            peer.call(call);
        }
        peer.open_at(NOW);
        stage.image()
    }

    /// Another call upon the same table.
    pub fn with_call(&self, call: &Call) -> Self {
        Self { call: call.clone(), ..self.clone() }
    }

    /// The weight of a recording, 0 for other calls.
    pub fn weight(&self) -> u32 {
        match self.call.function {
            "rbl_record" => self.call.arguments[2].parse().unwrap(),
            _ => 0,
        }
    }
}
