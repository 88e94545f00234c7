//! A table without room. With 16 slots, the fewest that there are, all clients share one pair of
//! buckets, so what goes and what stays can be said exactly.

use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use eximrbl_table::{Counter, Policy, Report, dictionary, now};

use crate::caller::Caller;
use crate::stage::{Stage, next_second};

/// Slots of the smallest table.
const SLOTS: u32 = 16;

fn stage() -> Stage {
    let stage = Stage::bare();
    stage.make_table(SLOTS.into());
    stage
}

/// The i-th client.
fn client(i: u32) -> String {
    format!("198.51.{}.{}", 100 + i / 250, 1 + i % 250)
}

fn count(stage: &Stage, counter: Counter) -> u64 {
    stage.table().counters().get(counter)
}

/// Lists a client without end, as the administrator does.
fn list_endlessly(stage: &Stage, client: &str) {
    let report = Report {
        network: client.parse().unwrap(),
        reason: dictionary::REJECT_BIT,
        reporter: dictionary::ADMIN,
        weight: None,
        seconds: None,
    };
    stage.table().record_endless(&report, now()).unwrap();
}

/// Records with a weight of its own, on which the length of life depends.
fn record(caller: &mut Caller, client: &str, weight: u32) {
    caller.call("rbl_record", &[client, "rcpt", &weight.to_string()]);
}

/// Full of live entries: each newcomer takes the place of the one with the least life left, one
/// after the other, and each is counted. Nothing is told: this is what a full table does.
///
/// Caught: any victim taken instead of the one with the least life; the count left out.
#[test]
fn the_entry_with_the_least_life_goes_first() {
    let stage = stage();
    let mut caller = stage.start();
    // In an order that is neither up nor down: 7 and 16 have no common divisor.
    let order: Vec<u32> = (0..SLOTS).map(|i| i * 7 % SLOTS).collect();
    for &i in &order {
        record(&mut caller, &client(i), 2 + i);
    }
    assert_eq!(count(&stage, Counter::Evicted), 0);
    for gone in 0..SLOTS {
        record(&mut caller, &client(100 + gone), 500 + gone);
        for i in 0..SLOTS {
            let expected = if i > gone { "yes" } else { "no" };
            assert_eq!(caller.call("rbl_listed", &[&client(i)]), expected, "{i}, {gone} gone");
        }
        assert_eq!(count(&stage, Counter::Evicted), u64::from(gone) + 1);
    }
    assert_eq!(stage.table().entries(now()).count(), 16);
    assert!(stage.table().verify().is_empty());
    assert_eq!(caller.end(), [""; 0]);
}

/// What has expired is no loss: it goes before any live entry, and is not counted.
///
/// Caught: expired entries counted as evicted; any victim taken.
#[test]
fn expired_entries_go_before_live_ones() {
    let stage = stage();
    // With less than a minute left an entry counts as gone: these last two seconds.
    stage.table().set_policy(&Policy { base_ttl: 61, ..Policy::default() }).unwrap();
    let mut caller = stage.start();
    for i in 0..SLOTS {
        match i {
            3 | 11 => record(&mut caller, &client(i), 1),
            7 => drop(caller.call("rbl_allow", &[&client(i), "1"])),
            _ => record(&mut caller, &client(i), 10 + i),
        }
    }
    for _ in 0..3 {
        next_second();
    }
    for newcomer in 100..103 {
        record(&mut caller, &client(newcomer), 500);
        let live = (0..SLOTS).filter(|i| ![3, 7, 11].contains(i));
        for i in live {
            assert_eq!(caller.call("rbl_listed", &[&client(i)]), "yes", "{i}, {newcomer}");
        }
        assert_eq!(count(&stage, Counter::Evicted), 0);
    }
    record(&mut caller, &client(103), 500);
    assert_eq!(count(&stage, Counter::Evicted), 1);
    assert_eq!(caller.call("rbl_listed", &[&client(0)]), "no", "the least life left");
    assert_eq!(caller.end(), [""; 0]);
}

/// White entries, and those that the administrator made without end, never go; when there are no
/// others, the newcomer is refused. That is counted each time and told once, with what to do; the
/// answers stay right; and when a place becomes free all is well.
///
/// Caught: white entries among the victims; endless ones among them; the refusal not told, or
/// told each time; not counted.
#[test]
fn white_and_endless_entries_stay_and_the_refusal_is_told_once() {
    let stage = stage();
    let mut caller = stage.start();
    let is_white = |i: u32| i.is_multiple_of(2);
    for i in 0..SLOTS - 1 {
        if is_white(i) {
            // The shortest life of all.
            caller.call("rbl_allow", &[&client(i), "3600"]);
        } else {
            list_endlessly(&stage, &client(i));
        }
    }
    let all_stay = |caller: &mut Caller| {
        for i in 0..SLOTS - 1 {
            let (start, listed) =
                if is_white(i) { ("listed=no white=yes ", "no") } else { ("listed=yes ", "yes") };
            assert!(caller.call("rbl_lookup", &[&client(i)]).starts_with(start), "{i}");
            assert_eq!(caller.call("rbl_listed", &[&client(i)]), listed, "{i}");
        }
    };
    // One place is left, and every newcomer gets it in turn.
    for newcomer in 100..120 {
        record(&mut caller, &client(newcomer), 1000);
        assert_eq!(caller.call("rbl_listed", &[&client(newcomer)]), "yes");
    }
    all_stay(&mut caller);
    assert_eq!(count(&stage, Counter::Evicted), 19);
    assert_eq!(caller.logged, [""; 0]);

    list_endlessly(&stage, &client(119));
    for again in 1..=3 {
        record(&mut caller, &client(200), 1000);
        assert_eq!(caller.call("rbl_listed", &[&client(200)]), "no");
        caller.call("rbl_allow", &[&client(201), "3600"]);
        assert_eq!(caller.call("rbl_lookup", &[&client(201)]), "");
        assert_eq!(count(&stage, Counter::RefusedFull), 2 * again);
    }
    all_stay(&mut caller);
    // Known clients are none of this: they have their place.
    record(&mut caller, &client(119), 1);
    assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
    assert_eq!(
        caller.logged[0],
        "eximrbl: rbl_record: no room: white and endless entries fill this address's places; make \
         a larger table"
    );

    caller.call("rbl_allow", &[&client(0), "0"]);
    record(&mut caller, &client(200), 1000);
    assert_eq!(caller.call("rbl_listed", &[&client(200)]), "yes");
    assert_eq!(caller.end().len(), 1);
}

/// A larger table, filled three times over: nobody is refused, what is not there was evicted and
/// counted, the white ones are there to the last.
///
/// Caught: evictions that are not counted.
#[test]
fn nothing_goes_uncounted_in_an_overfilled_table() {
    let stage = Stage::new();
    let mut caller = stage.start();
    for i in 0..100 {
        caller.call("rbl_allow", &[&client(5000 + i), "3600"]);
    }
    for i in 0..3000 {
        record(&mut caller, &client(i), 1 + i % 50);
        assert_eq!(caller.call("rbl_listed", &[&client(i)]), "yes");
    }
    let table = stage.table();
    let (white, black): (Vec<_>, Vec<_>) = table.entries(now()).partition(|entry| entry.white);
    assert_eq!(white.len(), 100);
    assert_eq!(black.len() as u64 + count(&stage, Counter::Evicted), 3000);
    assert!(black.len() > 900, "most of the 924 places are in use: {}", black.len());
    assert_eq!(count(&stage, Counter::RefusedFull), 0);
    assert!(table.verify().is_empty());
    assert_eq!(caller.end(), [""; 0]);
}

/// Words that a resize freezes, in a table that none has replaced: damage. Frozen lives in free slots
/// are overwritten; frozen control words keep their keys out, which is told once, and nothing else
/// happens. Caught: a line for each call; a free slot with a frozen life that took a million steps.
#[test]
fn frozen_words_are_told_once() {
    // The bit that freezes a life, or a control word, before a resize carries it over.
    type Words = fn(u64) -> Range<u64>;
    let damages: [(Words, u64, &str); 2] = [
        (|length| bodies(length)..length, 1 << 14, ""),
        (
            |length| controls(length)..controls(length) + 128,
            1 << 60,
            "eximrbl: rbl_record: the table has been replaced by a new one; open it again",
        ),
    ];
    for (place, word, line) in damages {
        let stage = stage();
        let file = OpenOptions::new().read(true).write(true).open(stage.table_path()).unwrap();
        let length = file.metadata().unwrap().len();
        for offset in place(length).step_by(8).take(SLOTS as usize * 7) {
            file.write_all_at(&word.to_ne_bytes(), offset).unwrap();
        }
        let mut caller = stage.start();
        for _ in 0..3 {
            record(&mut caller, &client(0), 1);
            let is_recorded = caller.call("rbl_listed", &[&client(0)]) == "yes";
            assert_eq!(is_recorded, line.is_empty(), "{:?}", caller.logged);
        }
        assert_eq!(count(&stage, Counter::RefusedContention), 0);
        assert_eq!(caller.end().concat(), line);
    }
}

/// A full table whose lives are all frozen, though none has replaced it: damage again. Nobody can be
/// evicted there, however often that is tried, so a new client is refused as if others had always been
/// faster, and it is told once. Caught: tries without end; a refusal that is not told, or not counted.
#[test]
fn a_place_where_nobody_gets_on_is_told_once() {
    let stage = stage();
    let mut caller = stage.start();
    for i in 0..SLOTS {
        record(&mut caller, &client(i), 1);
    }
    let file = OpenOptions::new().read(true).write(true).open(stage.table_path()).unwrap();
    let length = file.metadata().unwrap().len();
    let lives = (bodies(length)..length).step_by(8 * 7).take(SLOTS as usize);
    for offset in lives {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, offset).unwrap();
        let frozen = u64::from_ne_bytes(word) | 1 << 14;
        file.write_all_at(&frozen.to_ne_bytes(), offset).unwrap();
    }
    for n in 1..=3 {
        record(&mut caller, &client(100), 1);
        assert_eq!(caller.call("rbl_listed", &[&client(100)]), "no");
        assert_eq!(count(&stage, Counter::RefusedContention), n);
    }
    for i in 0..SLOTS {
        assert_eq!(caller.call("rbl_listed", &[&client(i)]), "yes", "who is there stays");
    }
    let line = "eximrbl: rbl_record: too many writers at one place at once; try again";
    assert_eq!(caller.end(), [line]);
}

/// Where the bodies of a table of 16 slots begin: they take the last page.
fn bodies(length: u64) -> u64 {
    assert_eq!((length - 4096) % 65_536, 0, "the layout has changed");
    length - 4096
}

/// Where its control words begin: the section before, which begins where 64 KiB do.
fn controls(length: u64) -> u64 {
    bodies(length) - 65_536
}
