#![allow(clippy::unwrap_used)]
use super::*;
use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::sync::atomic::AtomicU32;

const NOW: UnixSeconds = 1_795_326_190;

fn settings(responses: u32, slip: u32) -> RateLimit {
    RateLimit { responses_per_second: responses, slip, ..RateLimit::default() }
}

fn limiter(responses: u32, slip: u32) -> Limiter {
    Limiter::new(&settings(responses, slip), *b"a key that tests")
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// How many of so many checks of a client are answered.
fn answered(limiter: &Limiter, client: IpAddr, now: UnixSeconds, checks: u32) -> u32 {
    (0..checks).map(|_| u32::from(limiter.check(client, now) == Verdict::Answer)).sum()
}

/// Caught: a limit that is off by one; a second that never ends.
#[test]
fn a_network_gets_its_responses_each_second() {
    let limiter = limiter(100, 1);
    for second in 0..70_000 {
        // Not every second, so that the sixteen bits of a word's second turn over in between.
        let now = NOW + second;
        if second % 997 == 0 || second > 65_500 {
            assert_eq!(answered(&limiter, address("192.0.2.1"), now, 150), 100, "{second}");
        }
    }
    assert_eq!(limiter.check(address("192.0.2.1"), NOW + 69_999), Verdict::Slip);
}

/// Caught: a prefix that is counted from the wrong end.
#[test]
fn neighbours_share_and_others_do_not() {
    let limiter = limiter(10, 1);
    for (one, same, other) in [
        ("192.0.2.1", "192.0.2.255", "192.0.3.1"),
        ("2001:db8:0:100::1", "2001:db8:0:1ff::1", "2001:db8:0:200::1"),
        ("198.51.100.1", "::ffff:198.51.100.9", "198.51.99.1"),
    ] {
        assert_eq!(answered(&limiter, address(one), NOW, 10), 10, "{one}");
        assert_eq!(answered(&limiter, address(same), NOW, 1), 0, "{same}");
        assert_eq!(answered(&limiter, address(other), NOW, 1), 1, "{other}");
    }
    let wide = RateLimit { ipv4_prefix: 8, ipv6_prefix: 32, ..settings(1, 1) };
    let wide = Limiter::new(&wide, [0; 16]);
    let narrow = RateLimit { ipv4_prefix: 32, ipv6_prefix: 128, ..settings(1, 1) };
    let narrow = Limiter::new(&narrow, [0; 16]);
    for (one, other) in [("10.0.0.1", "10.255.0.1"), ("2001:db8::1", "2001:db8:ffff::")] {
        assert_eq!(answered(&wide, address(one), NOW, 1), 1);
        assert_eq!(answered(&wide, address(other), NOW, 1), 0);
        assert_eq!(answered(&narrow, address(one), NOW, 1), 1);
        assert_eq!(answered(&narrow, address(other), NOW, 1), 1);
    }
}

/// Caught: a slip of 0 that divides; every response left out though slip is 2.
#[test]
fn over_the_limit_every_so_many_th_slips() {
    for (slip, expected) in [
        (0, "dddddddddddd"),
        (1, "ssssssssssss"),
        (2, "dsdsdsdsdsds"),
        (3, "ddsddsddsdds"),
        (10, "dddddddddsdd"),
    ] {
        let limiter = limiter(5, slip);
        assert_eq!(answered(&limiter, address("192.0.2.1"), NOW, 5), 5);
        let verdicts: String = (0..12)
            .map(|_| match limiter.check(address("192.0.2.1"), NOW) {
                Verdict::Answer => 'a',
                Verdict::Slip => 's',
                Verdict::Drop => 'd',
            })
            .collect();
        assert_eq!(verdicts, expected, "slip {slip}");
    }
}

#[test]
fn loopback_and_whoever_is_named_is_exempt_and_nought_is_no_limit() {
    let default = limiter(1, 1);
    for client in ["127.0.0.1", "127.255.255.255", "::1"] {
        assert_eq!(answered(&default, address(client), NOW, 50), 50, "{client}");
    }
    let exempt = vec!["192.0.2.0/25".parse().unwrap()];
    let own = Limiter::new(&RateLimit { exempt, ..settings(1, 1) }, [0; 16]);
    assert_eq!(answered(&own, address("192.0.2.127"), NOW, 50), 50);
    assert_eq!(answered(&own, address("192.0.2.128"), NOW, 50), 1);
    assert_eq!(answered(&own, address("127.0.0.1"), NOW, 50), 1, "named no more");
    let without = limiter(0, 1);
    assert_eq!(answered(&without, address("192.0.2.1"), NOW, 5000), 5000);
    assert!(without.buckets.is_empty());
}

/// A flood from hundreds of thousands of networks: a resolver below the limit is answered every time,
/// and one that is over it stays limited. Caught: a newcomer that takes the fullest word.
#[test]
fn a_flood_from_everywhere_starves_nobody_and_frees_nobody() {
    let limiter = limiter(1000, 1);
    let (good, bad) = (address("192.0.2.53"), address("198.51.100.1"));
    assert_eq!(answered(&limiter, bad, NOW, 1100), 1000);
    let mut of_good = 0;
    for network in 0..300_000_u32 {
        let stranger = Ipv4Addr::from(0x2000_0000 + (network << 8));
        assert_eq!(limiter.check(stranger.into(), NOW), Verdict::Answer, "{stranger}");
        if network % 310 == 0 {
            of_good += 1;
            assert_eq!(limiter.check(good, NOW), Verdict::Answer, "query {of_good}");
            assert_eq!(limiter.check(bad, NOW), Verdict::Slip);
        }
    }
    assert!(of_good > 900);
}

/// Whose word a newcomer takes is nothing to it. Caught: one that takes over the count with the word.
#[test]
fn a_newcomer_begins_at_nought() {
    let limiter = limiter(2, 1);
    for network in 0..200_000_u32 {
        let stranger = Ipv4Addr::from(0x2000_0000 + (network << 8));
        assert_eq!(answered(&limiter, stranger.into(), NOW, 3), 2, "{stranger}");
    }
}

/// Strangers that are all over the limit take nothing from one that is not.
#[test]
fn heavy_strangers_do_not_limit_a_light_network() {
    let limiter = limiter(20, 1);
    let good = address("192.0.2.53");
    for round in 0..20 {
        assert_eq!(limiter.check(good, NOW), Verdict::Answer, "{round}");
        for network in 0..20_000_u32 {
            let stranger = Ipv4Addr::from(0x2000_0000 + (network << 8));
            let _ = limiter.check(stranger.into(), NOW);
            let _ = limiter.check(stranger.into(), NOW);
        }
    }
}

/// Caught: counts of a future that never comes, after the clock was set back.
#[test]
fn a_clock_that_is_set_back_limits_nobody_for_long() {
    let limiter = limiter(10, 1);
    let client = address("192.0.2.1");
    assert_eq!(answered(&limiter, client, NOW, 20), 10);
    // Another thread, whose clock has not turned yet, counts on.
    assert_eq!(answered(&limiter, client, NOW - 1, 20), 0);
    assert_eq!(answered(&limiter, client, NOW - 2, 20), 10);
    for back in [60, 3600, 32_768, 65_000] {
        assert_eq!(answered(&limiter, client, NOW - back, 20), 10, "{back}");
    }
}

/// A count is exact with any number of threads. Caught: load and store in place of one addition.
#[test]
fn threads_count_together() {
    const THREADS: usize = 4;
    const CHECKS: u32 = 100_000;
    let limiter = limiter(2 * CHECKS, 1);
    let client = address("192.0.2.1");
    // The word is there before the threads are: two that come first may make two.
    assert_eq!(limiter.check(client, NOW), Verdict::Answer);
    let sum = AtomicU32::new(1);
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                sum.fetch_add(answered(&limiter, client, NOW, CHECKS), Relaxed)
            });
        }
    });
    assert_eq!(sum.into_inner(), 2 * CHECKS);
}

/// A count that is full stays so, and spills into no other part of its word.
#[test]
fn a_count_cannot_run_over() {
    let limiter = limiter(10, 1);
    let client = address("192.0.2.1");
    let _ = limiter.check(client, NOW);
    let Bucket(words) = &limiter.buckets[limiter.hash(client) as usize % BUCKETS];
    let word = words.iter().find(|word| word.load(Relaxed) != 0).unwrap();
    word.fetch_add(COUNT_FULL - 2, Relaxed);
    let owner = word.load(Relaxed) >> COUNT_BITS;
    assert_eq!(answered(&limiter, client, NOW, 100_000), 0);
    assert_eq!(word.load(Relaxed), owner << COUNT_BITS | COUNT_FULL);
}

/// What the module's head says of the memory.
#[test]
fn the_table_takes_half_a_megabyte() {
    assert_eq!(size_of::<Bucket>() * BUCKETS, 512 << 10);
    assert_eq!(align_of::<Bucket>(), 64);
}
