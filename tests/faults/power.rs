//! Power is lost, and the machine comes up again.
//!
//! The states that are assumed, and built here:
//!
//! * *While a table was made.* It is written aside, synced, then renamed. So there is no table
//!   and nothing else (1), no table and an unfinished file aside, empty or cut or whole (2), or the
//!   whole table (3). A disk that lied about the sync may have lost pages: they are zeros (4),
//!   all of them, the first one, or all but the first.
//! * *While a table was used.* It is never synced; the kernel writes a changed page when it likes.
//!   So each page is as it was at some moment, each at another one (5). A disk that loses power
//!   writes whole sectors, so even one page may be of two moments (6). A word of 64 bits never
//!   is. Never written at all since the making: zeros, as in (4) without the header.
//!
//! What must hold then: opening, looking up, recording, forgiving, verifying and listing end
//! well; a client that is recorded is listed, by its one entry that all look-ups see; one that is
//! forgiven is not listed by any other entry that the mixture may have left for it.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use eximrbl_table::{Expiry, Network, Report, WritableTable, now};

use crate::checks::{fails_open, heals, works};
use crate::programs::{Daemon, run_tool};
use crate::stage::{CLIENT, NOBODY, Stage, at_once, wait_until};

/// Bytes of a page, and of a disk's sector.
const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// Clients: twice as many as the table has places, so that entries come and go.
const CLIENTS: u32 = 512;
const SLOTS: u64 = 256;

fn client(i: u32) -> String {
    format!("198.51.{}.{}", 100 + i / 250, 1 + i % 250)
}

/// A fixed sequence (xorshift), so that a failure can be seen again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Copies of a table that is in use, each page as it was when the copy came to it, and two
/// thousand changes between one copy and the next.
fn snapshots(stage: &Stage, number: usize) -> Vec<Vec<u8>> {
    let (is_over, changes) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for writer in 0..3_u32 {
            let (is_over, changes, table) = (&is_over, &changes, stage.table());
            scope.spawn(move || {
                let mut random = Random(0x9e37_79b9 + u64::from(writer));
                while !is_over.load(Ordering::Relaxed) {
                    change_something(&table, &mut random);
                    changes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let copies = (0..number).map(|_| {
            let before = changes.load(Ordering::Relaxed);
            wait_until("the writers made their changes", || {
                changes.load(Ordering::Relaxed).wrapping_sub(before) >= 2000
            });
            fs::read(stage.table_path()).unwrap()
        });
        let copies = copies.collect();
        is_over.store(true, Ordering::Relaxed);
        copies
    })
}

/// What Exim's processes do, at random. A refusal is as good: white entries may fill the buckets.
fn change_something(table: &WritableTable, random: &mut Random) {
    let network: Network = client(random.below(CLIENTS as usize) as u32).parse().unwrap();
    let _ = match random.below(10) {
        0 => table.forgive(network, 0, now()).map(drop),
        // Most of these end a whitelisting, or soon nobody else would find room.
        1 => table.white(network, Some(if random.below(4) == 0 { 60 } else { 0 }), 0, now()),
        weight => {
            let report = Report {
                network,
                reason: weight as u8,
                reporter: 0,
                weight: Some(weight as u32),
                seconds: None,
            };
            table.record(&report, now()).map(drop)
        }
    };
}

/// A file each of whose parts comes from one of the snapshots.
fn mixture(snapshots: &[Vec<u8>], part: usize, random: &mut Random) -> Vec<u8> {
    let mut mixed = snapshots[0].clone();
    for (i, bytes) in mixed.chunks_mut(part).enumerate() {
        let from = &snapshots[random.below(snapshots.len())][i * part..];
        bytes.copy_from_slice(&from[..bytes.len()]);
    }
    mixed
}

/// Puts a file into the table's place, as the boot finds it.
fn put(stage: &Stage, bytes: &[u8]) {
    let _ = fs::remove_file(stage.table_path());
    fs::write(stage.table_path(), bytes).unwrap();
    stage.give("state/table", 0, NOBODY);
    stage.permit("state/table", 0o660);
}

/// How many clients have more than one entry.
fn doubles(table: &WritableTable) -> usize {
    let mut seen = HashSet::new();
    table.entries(now()).filter(|entry| !seen.insert(entry.network)).count()
}

/// States 5 and 6: mixtures of a table in use, under everything that opens a table.
///
/// `EXIMRBL_TORTURE=1` tries a thousand mixtures.
///
/// Caught: `forgive` that ends the first of two entries only.
#[test]
fn every_page_of_another_moment() {
    let mixtures = if std::env::var_os("EXIMRBL_TORTURE").is_some() { 1000 } else { 12 };
    let stage = Stage::bare();
    stage.make_table(SLOTS);
    let mut random = Random(0x0123_4567_89ab_cdef);
    let (mut with_doubles, mut with_findings) = (0, 0);
    for round in 0..mixtures {
        if round % 50 == 0 {
            fs::remove_file(stage.table_path()).unwrap();
            stage.make_table(SLOTS);
            let copies = snapshots(&stage, 6);
            fs::write(stage.path("copies"), copies.concat()).unwrap();
        }
        let copies = fs::read(stage.path("copies")).unwrap();
        let copies: Vec<Vec<u8>> = copies.chunks(copies.len() / 6).map(<[u8]>::to_vec).collect();
        let part = if round % 2 == 0 { PAGE } else { SECTOR };
        put(&stage, &mixture(&copies, part, &mut random));

        let verify = run_tool(&stage.table_path(), "verify");
        assert!(matches!(verify.status, Some(0..=2)), "{:?}: {}", verify.status, verify.errors);
        with_findings += u32::from(verify.status != Some(0));
        for command in ["list", "info", "--json list"] {
            let tool = run_tool(&stage.table_path(), command);
            assert_eq!(tool.status, Some(0), "{command}: {}", tool.errors);
        }
        let table = stage.table();
        with_doubles += u32::from(doubles(&table) > 0);
        let mut caller = stage.start();
        for i in 0..CLIENTS {
            let client = client(i);
            let listed = caller.call("rbl_listed", &[&client]);
            let text = caller.call("rbl_lookup", &[&client]);
            assert_eq!(listed == "yes", text.starts_with("listed=yes "), "{client}: {text}");
            caller.call("rbl_forgive", &[&client]);
            assert_eq!(caller.call("rbl_listed", &[&client]), "no", "{client}, round {round}");
            // Of two entries one may be white: it shows when the other has gone, and goes as well.
            caller.call("rbl_allow", &[&client, "0"]);
            caller.call("rbl_forgive", &[&client]);
            assert_eq!(caller.call("rbl_lookup", &[&client]), "", "{client}, round {round}");
        }
        assert_eq!(table.entries(now()).count(), 0, "round {round}: none is hidden");
        let mut recorded = 0;
        for i in 0..CLIENTS / 8 {
            let client = client(i);
            caller.call("rbl_record", &[&client, "rcpt"]);
            let text = caller.call("rbl_lookup", &[&client]);
            recorded += u32::from(text.starts_with("listed=yes code=127.0.0.2 count=1 "));
        }
        assert_eq!(recorded, CLIENTS / 8, "round {round}");
        assert_eq!(doubles(&table), 0, "round {round}");
        assert_eq!(caller.end(), [""; 0]);
    }
    eprintln!(
        "{mixtures} mixtures: {with_findings} with findings, {with_doubles} with double entries"
    );
}

/// A mixture that holds two entries for one client, which no writer ever makes: looked for until
/// there is one. All look-ups agree on one of them, `verify` reports the other, and neither comes
/// back when the client is forgiven, or when their time is over.
///
/// Caught: `forgive` that ends the first of two entries only.
#[test]
fn two_entries_for_one_client() {
    let stage = Stage::bare();
    stage.make_table(SLOTS);
    let mut random = Random(0xfedc_ba98_7654_3210);
    let copies = snapshots(&stage, 6);
    for tries in 1..2000 {
        let part = if tries % 2 == 0 { PAGE } else { SECTOR };
        put(&stage, &mixture(&copies, part, &mut random));
        let table = stage.table();
        let twice = two_black(&table);
        let Some(&network) = twice.first() else { continue };
        eprintln!("{} in mixture {tries}", twice.len());
        let client = network.address().to_string();
        let verify = run_tool(&stage.table_path(), "verify");
        assert_eq!(verify.status, Some(1));
        for network in &twice {
            let text = format!("second entry for {}", network.address());
            assert!(verify.output.contains(&text), "no {text:?} in {}", verify.output);
        }
        // What DNS and the library answer is one entry, and it is that one which counts on.
        let seen = table.entry(network, now()).unwrap();
        let mut caller = stage.start();
        caller.call("rbl_record", &[&client, "rcpt", "1000"]);
        let text = caller.call("rbl_lookup", &[&client]);
        assert!(text.contains(&format!(" count={} ", seen.count + 1000)), "{seen:?}: {text}");
        caller.call("rbl_forgive", &[&client]);
        assert_eq!(caller.call("rbl_lookup", &[&client]), "", "both have ended");
        caller.end();

        put(&stage, &mixture(&copies, PAGE, &mut random));
        let table = stage.table();
        let swept = table.sweep(now() + 700_000, Expiry::Due);
        assert!(swept.expired > 0);
        assert_eq!(table.entries(now()).count(), 0, "no life is longer than a week");
        return;
    }
    panic!("no mixture had two entries for a client");
}

/// Clients with two black entries.
fn two_black(table: &WritableTable) -> Vec<Network> {
    let mut seen = HashSet::new();
    let black = table.entries(now()).filter(|entry| !entry.white);
    black.filter(|entry| !seen.insert(entry.network)).map(|entry| entry.network).collect()
}

/// States 1 and 2: no table, and maybe what was left aside. The daemon makes one, whatever lies
/// beside it. Caught: one name for all files that are made aside.
#[test]
fn lost_before_the_rename() {
    let whole = Stage::new();
    let bytes = fs::read(whole.table_path()).unwrap();
    let cases = [None, Some(&bytes[..0]), Some(&bytes[..PAGE]), Some(&bytes[..])];
    at_once(&cases, |aside| {
        let stage = Stage::bare();
        stage.give("state", NOBODY, NOBODY);
        if let Some(aside) = aside {
            let name = "state/table.new-0123456789abcdef";
            fs::write(stage.path(name), aside).unwrap();
            stage.permit(name, 0o600);
        }
        let mut caller = stage.start();
        caller.call("rbl_record", &[CLIENT]);
        assert!(caller.logged[0].contains("no such table"), "{:?}", caller.logged);
        let _daemon = Daemon::start(&stage);
        stage.give("state/table", NOBODY, NOBODY);
        heals(&stage, &mut caller);
        caller.end();
    });
}

/// State 4 with the header lost: it is no table any more, and is told as such. Caught: no look at the
/// first word.
#[test]
fn the_header_lost() {
    let used = Stage::new();
    works(&used, &mut used.start());
    let bytes = fs::read(used.table_path()).unwrap();
    at_once(&[bytes.len(), PAGE], |&zeros| {
        let stage = Stage::bare();
        let mut bytes = bytes.clone();
        bytes[..zeros].fill(0);
        put(&stage, &bytes);
        let mut caller = stage.start();
        fails_open(&mut caller, &["not a table", "move the file away"]);
        let verify = run_tool(&stage.table_path(), "verify");
        assert!(verify.status.is_some_and(|status| status > 0) && !verify.errors.is_empty());
        fs::remove_file(stage.table_path()).unwrap();
        stage.make_table(1024);
        heals(&stage, &mut caller);
        caller.end();
    });
}

/// State 4 with any other page lost: the table goes on, with less in it. The policy may be the
/// lost part; then the defaults, or none, are in force until the daemon writes it again. Caught: a table
/// refused for a policy that is not as it was written.
#[test]
fn one_page_lost() {
    let stage = Stage::new();
    let mut caller = stage.start();
    for i in 0..CLIENTS {
        caller.call("rbl_record", &[&client(i), "rcpt"]);
    }
    let bytes = fs::read(stage.table_path()).unwrap();
    // The ring's 512 pages are all alike: some of them stand for the rest.
    let pages = bytes.len() / PAGE;
    let lost = (1..pages).filter(|page| *page < 16 || page % 61 == 0 || pages - page < 34);
    let lost: Vec<usize> = lost.chain([usize::MAX]).collect();
    for page in lost {
        let mut bytes = bytes.clone();
        let range =
            if page == usize::MAX { PAGE..bytes.len() } else { page * PAGE..page * PAGE + PAGE };
        bytes[range].fill(0);
        put(&stage, &bytes);
        let mut caller = stage.start();
        for i in 0..CLIENTS {
            caller.call("rbl_listed", &[&client(i)]);
        }
        for i in 0..20 {
            let client = client(1000 + i);
            caller.call("rbl_record", &[&client, "rcpt"]);
            caller.call("rbl_lookup", &[&client]);
            caller.call("rbl_forgive", &[&client]);
            assert_eq!(caller.call("rbl_listed", &[&client]), "no", "page {page}");
        }
        let verify = run_tool(&stage.table_path(), "verify");
        assert!(matches!(verify.status, Some(0..=2)), "page {page}: {}", verify.errors);
        assert_eq!(caller.end(), [""; 0], "page {page}: it is used, with what is left");
        // The daemon's start, or the administrator, writes the policy again.
        stage.table().set_policy(&eximrbl_table::Policy::default()).unwrap();
        works(&stage, &mut stage.start());
    }
}
