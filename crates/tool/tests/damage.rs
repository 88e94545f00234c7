//! Whatever the table's file contains, the program says something sensible and ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::Home;

/// Pseudo-random numbers (a linear congruential generator), the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A table with entries of every kind, as bytes.
fn sample(home: &Home) -> Vec<u8> {
    home.done(&["policy", "--set", "weights.auth=3", "--set", "never=203.0.113.0/24"]);
    for number in 0..2_500 {
        let address = format!("192.0.{}.{}", 2 + number / 250, number % 250);
        home.reject(&address, "rcpt", number / 10);
    }
    home.done(&["white", "198.51.100.0/24"]);
    home.done(&["black", "2001:db8::/48", "spamtrap", "--endless"]);
    std::fs::read(&home.table).unwrap()
}

/// One kind of damage.
fn damage(bytes: &mut Vec<u8>, kind: usize, numbers: &mut Numbers) {
    let length = bytes.len();
    match kind {
        // Single bits anywhere, and in the first pages, where the sizes are.
        0 => (0..64).for_each(|_| bytes[numbers.below(length)] ^= 1 << numbers.below(8)),
        1 => (0..8).for_each(|_| bytes[numbers.below(8192)] ^= 1 << numbers.below(8)),
        // Stretches of one value; of noise; of another stretch.
        2 => {
            let (start, value) = (256 + numbers.below(length - 256), numbers.below(256) as u8);
            let end = (start + numbers.below(1 << 18)).min(length);
            bytes[start..end].fill(value);
        }
        3 => {
            let start = 256 + numbers.below(length - 256);
            let end = (start + numbers.below(1 << 18)).min(length);
            bytes[start..end].iter_mut().for_each(|byte| *byte = numbers.below(256) as u8);
        }
        4 => {
            let size = 64 * (1 + numbers.below(1024));
            let from = 8 * numbers.below((length - size) / 8);
            let to = (256 + 8 * numbers.below((length - size) / 8)).min(length - size);
            bytes.copy_within(from..from + size, to);
        }
        // Cut short, or longer than it should be.
        5 => bytes.truncate(numbers.below(length)),
        _ => bytes.extend(std::iter::repeat_n(0xff, 1 + numbers.below(4096))),
    }
}

#[test]
fn no_damage_makes_it_crash_or_hang() {
    let home = Home::new();
    let sound = sample(&home);
    let mut numbers = Numbers(1);
    let mut statuses = [0; 3];
    for round in 0..84 {
        let mut bytes = sound.clone();
        damage(&mut bytes, round % 7, &mut numbers);
        for arguments in [
            &["info"][..],
            &["verify", "--json"],
            &["list", "--all"],
            &["list", "--all", "--json"],
            &["show", "192.0.2.7"],
            &["policy"],
            &["black", "192.0.2.8", "auth"],
            &["white", "192.0.2.9"],
            &["forgive", "192.0.2.10"],
            &["purge", "--reporter", "local"],
            &["purge", "--all", "--yes", "--json"],
            &["policy", "--set", "base_ttl=900"],
        ] {
            std::fs::write(&home.table, &bytes).unwrap();
            let child = home
                .command(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            match status(child) {
                // Not 101, a panic's, nor none at all, a signal's.
                Some(status @ 0..=2) => statuses[status as usize] += 1,
                status => panic!("round {round}: {arguments:?}: {status:?}"),
            }
        }
    }
    assert!(statuses.iter().all(|count| *count > 10), "all were seen: {statuses:?}");
}

/// The exit status, or a panic when it takes too long.
fn status(mut child: Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
