//! Threads that do everything to one table, under a sanitizer.
//!
//! What ThreadSanitizer shows: processes and threads share nothing of a table but atomics; a word that is read or
//! written plainly, or a hint that is no atomic, would be reported. What it does not show: that the
//! orderings of those atomics suffice. ThreadSanitizer knows no weaker memory than the processor
//! that it runs on has, and no fences; that is loom's part.
//!
//! The threads are bare ones of libc. Rust's std comes without instrumentation, so ThreadSanitizer
//! does not see how std::thread, channels and locks order things, and reports them.
//!
//! `stress race` makes a data race on purpose, and `stress overflow` reads behind an allocation: who
//! runs this sees that he would be told.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr;
use std::sync::LazyLock;

use eximrbl_table::{
    Expiry, Filter, Name, Network, Next, Policy, Report, UnixSeconds, WritableTable,
};

const THREADS: usize = 4;
/// Changes that each thread makes to entries of its own, and to those of all.
const TURNS: u32 = 4000;
const NOW: UnixSeconds = 1_795_000_000;

static TABLE: LazyLock<WritableTable> = LazyLock::new(|| WritableTable::on_heap(256).unwrap());

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("race") => return race(),
        Some("overflow") => return overflow(),
        _ => {}
    }
    let reason = TABLE.reason(Name::new(b"begun").unwrap(), true);
    assert_ne!(reason, 0);
    for thread in 0..THREADS {
        // Without end: whoever has only just begun would be the first to go when the others have
        // filled the table before he is let run.
        TABLE.record_endless(&report(own(thread), reason), NOW).unwrap();
    }
    run(work);
    assert_eq!(TABLE.verify(), []);
    for thread in 0..THREADS {
        let entry = TABLE.entry(own(thread), NOW).expect("an entry that nobody ends");
        assert_eq!(entry.count, 1 + TURNS, "each report is counted once");
    }
    println!("{} changes by {THREADS} threads", TABLE.serial());
}

/// What one thread does.
fn work(thread: usize) {
    let table = &*TABLE;
    let mut events = table.events(None);
    for turn in 0..TURNS {
        table.record(&report(own(thread), 1), NOW).unwrap();
        // The same few addresses as the others, so that they meet in every step.
        let shared = host(10 + turn % 24);
        match (turn as usize + thread) % 8 {
            0 => drop(table.forgive(shared, 1, NOW)),
            1 => drop(table.white(shared, Some(60), 1, NOW)),
            2 => drop(table.white(shared, Some(0), 1, NOW)),
            3 => {
                let name = format!("r{}", turn % 70);
                let reason = table.folded_reason(name.as_bytes()).unwrap();
                let _ = table.record(&report(shared, reason), NOW);
            }
            // More than there is room for: somebody has to go.
            4 => drop(table.record(&report(host(1000 + turn), 2), NOW)),
            5 if turn % 64 == 0 => drop(table.sweep(NOW, Expiry::Due)),
            6 if turn % 64 == 0 && thread == 0 => {
                // Administrators exclude each other by a lock on the file; this table has none.
                let policy = Policy { ipv6_prefix: 48 + (turn % 2) as u8, ..Policy::default() };
                table.set_policy(&policy).unwrap();
            }
            _ => drop(table.decide(shared.address(), &Filter::default(), NOW)),
        }
        let decision = table.decide(own(thread).address(), &Filter::default(), NOW);
        assert!(decision.is_listed(), "who is listed is never missed");
        if turn % 500 == 0 {
            let _ = (table.info(NOW), table.entries(NOW).count(), table.policy(), table.reasons());
            let _ = (table.reporters(), table.counters(), table.verify());
        }
        while let Next::Event(_) = table.next_event(&mut events, NOW) {}
    }
}

fn report(network: Network, reason: u8) -> Report {
    Report { network, reason, reporter: 0, weight: Some(1), seconds: None }
}

/// An address that one thread alone reports. It is never evicted.
fn own(thread: usize) -> Network {
    host(thread as u32)
}

fn host(number: u32) -> Network {
    let [_, a, b, c] = number.to_be_bytes();
    Network::host(std::net::Ipv4Addr::new(45, a, b, c).into())
}

/// A word that two threads write plainly.
struct Plain(UnsafeCell<u64>);

// SAFETY: it is not; the one use of it is the race that is to be seen.
unsafe impl Sync for Plain {}

static PLAIN: Plain = Plain(UnsafeCell::new(0));

fn race() {
    run(|thread| {
        for _ in 0..10_000 {
            // SAFETY: none: this is the data race. The word is there, and nothing depends on it.
            unsafe { PLAIN.0.get().write_volatile(thread as u64) };
        }
    });
}

fn overflow() {
    let bytes = std::hint::black_box(vec![7_u8; 10]);
    // SAFETY: none: this is the read behind the allocation that is to be seen.
    std::hint::black_box(unsafe { bytes.as_ptr().wrapping_add(10).read_volatile() });
}

/// Runs a function in so many threads, and waits for them all.
fn run(function: fn(usize)) {
    static FUNCTION: std::sync::OnceLock<fn(usize)> = std::sync::OnceLock::new();
    let _ = FUNCTION.set(function);
    extern "C" fn start(thread: *mut c_void) -> *mut c_void {
        if let Some(function) = FUNCTION.get() {
            function(thread.addr());
        }
        ptr::null_mut()
    }
    let threads: Vec<libc::pthread_t> = (0..THREADS)
        .map(|thread| {
            let mut id = 0;
            let argument = ptr::without_provenance_mut(thread);
            // SAFETY: `start` takes a number in the place of a pointer, and reads nothing there.
            let status = unsafe { libc::pthread_create(&mut id, ptr::null(), start, argument) };
            assert_eq!(status, 0, "a thread");
            id
        })
        .collect();
    for id in threads {
        // SAFETY: made above, and waited for once.
        assert_eq!(unsafe { libc::pthread_join(id, ptr::null_mut()) }, 0);
    }
}
