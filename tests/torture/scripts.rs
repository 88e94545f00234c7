//! What others do while a writer is stopped.

use crate::operations::neighbour_address;
use crate::stage::SLOTS;
use crate::writer::Call;

/// What the others do meanwhile.
pub struct Script {
    pub name: &'static str,
    pub calls: Vec<Call>,
    /// Whether there is room enough, so that nobody has to make room.
    pub has_room: bool,
    /// The others' clock is so much ahead; he who is stopped has read the time before.
    pub later: u32,
}

/// Weights, again, that are nobody else's.
pub fn stranger(i: usize) -> Call {
    Call::record(&format!("203.0.113.{}", 10 + i), &format!("strange-{i}"), 501 + 2 * i as u32)
}

fn strangers(count: usize) -> impl Iterator<Item = Call> {
    (0..count).map(stranger)
}

/// Everything that can get in the way of a change of `ip`'s entry.
pub fn scripts(ip: &str) -> Vec<Script> {
    let own = || Call::record(ip, "other-writer", 7);
    let script = |name, calls, has_room| Script { name, calls, has_room, later: 0 };
    // A neighbour who goes changes which bucket the same key gets.
    let after = |i| vec![Call::forgive(&neighbour_address(i)), own()];
    let everybody = (0..SLOTS - 1).map(|i| Call::forgive(&neighbour_address(i)));
    let all_go = everybody.chain([Call::forgive("192.0.2.9"), Call::forgive(ip)]);
    vec![
        script("same key", vec![own()], true),
        script("same key after neighbour 0 went", after(0), true),
        script("same key after neighbour 1 went", after(1), true),
        script("same key after neighbour 2 went", after(2), true),
        script("same key, ended, and again", vec![own(), Call::forgive(ip), own()], true),
        script(
            "white for a while",
            vec![Call::allow(ip, 900), Call::allow(ip, 0), own(), Call::forgive(ip)],
            true,
        ),
        script("slots reused", all_go.chain(strangers(5)).collect(), true),
        script("strangers fill it", strangers(SLOTS).collect(), false),
        script(
            "claim taken, slots reused",
            [own(), Call::forgive(ip)].into_iter().chain(strangers(SLOTS)).collect(),
            false,
        ),
        script(
            "forgiven, filled, same key",
            [Call::forgive(ip)].into_iter().chain(strangers(SLOTS)).chain([own()]).collect(),
            false,
        ),
        // By then all that was there has expired.
        Script { later: 1_000_000, ..script("same key, much later", vec![own()], true) },
    ]
}
