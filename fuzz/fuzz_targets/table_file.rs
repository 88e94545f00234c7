//! The table's file: whatever is in it, opening and every operation end, and nothing crashes.
//!
//! An input is a list of patches of 11 bytes to the words of a sound table: section, place, value.
//! So the fuzzer gets past the header's checksum, which is made anew where the first byte of the
//! input says so, and can damage one thing at a time. With another first byte the input *is* the
//! beginning of the file.
#![no_main]

#[path = "support/memory_file.rs"]
mod memory_file;
#[path = "support/sample.rs"]
mod sample;

use std::hash::{DefaultHasher, Hasher};
use std::sync::LazyLock;

use eximrbl_table::{
    Counter, Expiry, Filter, Name, Next, Policy, Purge, Report, Restored, Share, Subject, Table,
    UnixSeconds, WritableTable,
};
use libfuzzer_sys::fuzz_target;
use memory_file::MemoryFile;
use sample::{NOW, network};

/// Entries that the sample has room for: two buckets, so that everything happens in few words.
const SLOTS: u64 = 16;
/// Words of a page.
const PAGE: usize = 512;
/// Where the header's checksum lies, over all words before it.
const CHECKSUM: usize = 10;
/// Bytes of a patch: section, place (2), value (8).
const PATCH: usize = 11;

/// The event ring, 2 MiB: most of the file.
const RING: std::ops::Range<usize> = 20 * PAGE..532 * PAGE;

static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| sample::bytes(SLOTS, NOW));
static FILE: LazyLock<MemoryFile> = LazyLock::new(MemoryFile::new);

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind % 4 {
        0 | 1 => patch(rest, kind % 4 == 1),
        2 => {
            restore();
            FILE.patch(&rest[..rest.len().min(SAMPLE.len())], 0);
        }
        _ => FILE.set(rest),
    }
    use_everything(kind >> 2);
});

/// Puts the sample in place. The ring's events stay as they are, for the sake of speed, unless
/// the file was cut.
fn restore() {
    if FILE.length() == SAMPLE.len() as u64 {
        FILE.patch(&SAMPLE[..8 * RING.start], 0);
        FILE.patch(&SAMPLE[8 * RING.end..], 8 * RING.end as u64);
    } else {
        FILE.set(&SAMPLE);
    }
}

/// Puts the sample in place, with patches.
fn patch(patches: &[u8], fits: bool) {
    restore();
    let mut header: [u8; 8 * PAGE] = *SAMPLE.first_chunk().expect("a page");
    for patch in patches.as_chunks::<PATCH>().0 {
        let [section, low, high, value @ ..] = patch;
        let place = usize::from(u16::from_le_bytes([*low, *high]));
        let words = SAMPLE.len() / 8;
        // The bodies of 16 slots, of 7 words each, are in the last page; the control words lie
        // 16 pages before.
        let bodies = words - PAGE;
        let (start, length) = match section % 8 {
            0 => (0, 16),
            1 => (16, 112),
            2 => (PAGE, 2 * PAGE),
            3 => (3 * PAGE, RING.start - 3 * PAGE),
            4 => (RING.start, RING.len()),
            5 => (bodies - 16 * PAGE, SLOTS as usize),
            _ => (bodies, 7 * SLOTS as usize),
        };
        let at = 8 * (start + place % length);
        match header.get_mut(at..at + 8) {
            Some(word) => word.copy_from_slice(value),
            None => FILE.patch(value, at as u64),
        }
    }
    if fits {
        let checksum = header_checksum(&header);
        header[8 * CHECKSUM..8 * CHECKSUM + 8].copy_from_slice(&checksum.to_ne_bytes());
    }
    FILE.patch(&header, 0);
}

/// SipHash-1-3 under a key of zeros, as the header's checksum is; std's hasher is the same one.
fn header_checksum(bytes: &[u8]) -> u64 {
    bytes[..8 * CHECKSUM].chunks(8).fold(0_u64, |sum, word| {
        let mut hasher = DefaultHasher::new();
        hasher.write(&sum.to_le_bytes());
        hasher.write(word);
        hasher.write(&[0; 8]);
        hasher.finish()
    })
}

/// Opens the file in both ways, and does all that can be done.
fn use_everything(extra: u8) {
    match Table::open(FILE.path()) {
        Ok(table) => read_all(&table, NOW),
        Err(error) => assert!(error.to_string().contains("/proc/self/fd"), "{error}"),
    }
    let Ok(table) = WritableTable::open(FILE.path()) else { return };
    // Any reason, reporter and weight; a clock that is right, fast, before the epoch or at its end.
    let now = [NOW, NOW + 700, 0, UnixSeconds::MAX][usize::from(extra % 4)];
    change_all(&table, extra.wrapping_mul(5), now);
    read_all(&table, now);
    let _ = table.sweep(NOW, Expiry::Held);
    let _ = table.sweep(NOW + 700, Expiry::Due);
    let _ = table.set_policy(&Policy::default());
    assert!(table.verify().iter().all(|finding| !finding.text.contains("policy")));
}

fn change_all(table: &WritableTable, i: u8, now: UnixSeconds) {
    for text in ["192.0.2.1", "2001:db8::1", "203.0.113.0/24", "192.0.2.77", "198.51.100.1"] {
        let network = network(text);
        let report = Report { network, reason: i, reporter: i, weight: Some(i.into()), seconds: None };
        if let Ok(recorded) = table.record(&report, now) {
            assert!(recorded.count > 0);
        }
        let _ = table.record_endless(&report, now);
        let _ = table.forgive(network, i % 2, now);
        let _ = table.record(&Report { weight: None, ..report }, now);
        let _ = table.white(network, Some(u32::from(i)), i, now);
        let _ = table.white(network, None, i % 2, now);
        let _ = table.forgive(network, 1, now);
        let _ = table.white(network, Some(0), 1, now);
        let (first, last, remaining) = (now, now.wrapping_sub(i.into()), u32::from(i) << 8);
        let (reasons, reporters) = (u64::from(i) << 47, u64::from(i) << 44);
        let (white, count) = (i % 3 == 0, i.into());
        let _ = table.restore(
            &Restored { network, white, count, remaining, first, last, reasons, reporters },
            now,
        );
    }
    // More than there are places, so that some are evicted.
    for i in 0..18 {
        let network = network(&format!("192.0.2.{}", 100 + i));
        let _ = table.record(&Report { network, reason: i, reporter: i, weight: None, seconds: None }, now);
    }
    let name = |text: String| Name::new(text.as_bytes()).unwrap();
    assert!(table.reason(name(format!("r{i}")), true) < 64);
    assert!(table.reporter(name(format!("r{i}"))).is_none_or(|bit| bit < 64));
    assert!(table.folded_reason(b"No such_thing").is_none_or(|bit| bit < 64));
    table.count(Counter::Records);
    let subject = Subject::Share(if i % 2 == 0 { Share::Reporter(i) } else { Share::Reason(i) });
    let purge = Purge { subject, within: (i % 4 == 0).then(|| network("192.0.2.0/24")) };
    let announced = table.would_purge(&purge, now);
    let purged = table.purge(&purge, now).unwrap_or_default();
    assert!(purged.total() <= announced.total());
}

fn read_all(table: &Table, now: UnixSeconds) {
    let (reasons, reporters) = (table.reasons(), table.reporters());
    let slots = table.info(now).slots;
    let mut entries = 0;
    for entry in table.entries(now) {
        entries += 1;
        assert!(entry.remaining > 0, "what is listed is alive: {entry:?}");
        assert!(reasons.of(entry.reasons).chain(reporters.of(entry.reporters)).all(is_name));
        let _ = (table.is_counted(&entry), table.entry(entry.network, now));
        assert!(entry.network.mapped_length() <= 128);
    }
    assert!(entries <= slots);
    assert!(table.entries_by_reporter(now).iter().all(|entries| u64::from(*entries) <= slots));
    for client in ["192.0.2.1", "203.0.113.9", "2001:db8::1", "2001:db8:1::", "127.0.0.2"] {
        let client = client.parse().unwrap();
        let _ = table.decide(client, &Filter::default(), now);
        let _ = table.decide(client, &Filter { white: true, reasons: 2, quorum: 2 }, now);
        let _ = table.client_network(client);
    }
    table.policy().never.iter().for_each(|never| assert!(never.mapped_length() <= 128));
    let _ = (table.policy_sequence(), table.counters(), table.is_current(FILE.path()));
    let _ = table.verify();
    for from in [Some(0), Some(u64::MAX), Some(table.serial().wrapping_sub(3)), None] {
        let mut reader = table.events(from);
        for _ in 0..8 {
            if table.next_event(&mut reader, now) == Next::Nothing {
                break;
            }
        }
    }
}

/// Names come out of the file as they may go into a line of text, whatever was in it.
fn is_name(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}
