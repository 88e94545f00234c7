//! Each kind of damage, made on purpose in a table of its own.

use eximrbl_table::{Finding, now};

use crate::home::*;

/// One kind of damage.
struct Case {
    name: &'static str,
    harmful: bool,
    /// Part of what `verify` says.
    found: &'static str,
    /// Part of what `repair` says; empty where it mends nothing.
    mended: &'static str,
    /// Whether the slot rests until nobody else has the table open.
    rests: bool,
    damage: fn(&Home),
}

const SOUND: Case =
    Case { name: "", harmful: true, found: "", mended: "", rests: false, damage: |_| {} };

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "a state that does not exist, in a free slot",
            found: "holds what no writer writes",
            mended: "put to rest",
            rests: true,
            damage: |home| home.change(CONTROLS + home.free_slot(true), |word| word | 5 << 61),
            ..SOUND
        },
        Case {
            name: "a state that does not exist, over an entry",
            found: "holds what no writer writes",
            mended: "put to rest",
            rests: true,
            damage: |home| home.change(CONTROLS + home.slot_of(VICTIM), |word| word | 7 << 61),
            ..SOUND
        },
        Case {
            name: "MOVED, but not frozen",
            found: "holds what no writer writes",
            mended: "put to rest",
            rests: true,
            damage: |home| home.poke(CONTROLS + home.free_slot(true), MOVED << 61 | 7 << 32 | 9),
            ..SOUND
        },
        Case {
            name: "EMPTY, with the rest of a claim",
            found: "holds what no writer writes",
            mended: "put to rest",
            rests: true,
            damage: |home| home.poke(CONTROLS + home.free_slot(true), EMPTY << 61 | 7 << 32 | 9),
            ..SOUND
        },
        Case {
            name: "another tag",
            found: "not where its key belongs",
            mended: "put to rest",
            rests: true,
            damage: |home| home.change(CONTROLS + home.slot_of(VICTIM), |word| word ^ 1 << 20),
            ..SOUND
        },
        Case {
            name: "another prefix length",
            found: "not where its key belongs",
            mended: "put to rest",
            rests: true,
            damage: |home| home.change(CONTROLS + home.slot_of(VICTIM), |word| word ^ 1),
            ..SOUND
        },
        Case {
            name: "another key",
            found: "not where its key belongs",
            mended: "put to rest",
            rests: true,
            damage: |home| {
                home.change(home.body(home.slot_of(VICTIM), KEY_LOW), |word| word ^ 1 << 12);
            },
            ..SOUND
        },
        Case {
            name: "an entry in a slot that is none of its places",
            found: "not where its key belongs",
            mended: "put to rest",
            rests: true,
            damage: |home| {
                // So many buckets away that it is neither of the two.
                let place = |slot: u64| home.word(home.body(slot, KEY_LOW));
                let victim = home.slot_of(VICTIM);
                let low = place(victim);
                for slot in (0..home.slots).filter(|slot| home.state(*slot) == EMPTY).step_by(40) {
                    if slot / 8 == victim / 8 {
                        continue;
                    }
                    let before = home.table.verify().len();
                    home.copy_victim(slot);
                    assert_eq!(place(slot), low);
                    let found = home.table.verify();
                    if found.len() > before && found.iter().any(|f| f.text.contains("belongs")) {
                        return;
                    }
                    home.poke(CONTROLS + slot, 0);
                }
                panic!("no such slot");
            },
            ..SOUND
        },
        Case {
            name: "a life of another generation",
            found: "a life of another use of the slot",
            mended: "emptied of 192.0.2.200",
            damage: |home| {
                home.change(home.body(home.slot_of(VICTIM), LIFE), |life| life ^ 1 << 7);
            },
            ..SOUND
        },
        Case {
            name: "black without a count",
            found: "192.0.2.200 is black without any rejection",
            mended: "the entry for 192.0.2.200 is ended",
            damage: |home| {
                home.change(home.body(home.slot_of(VICTIM), LIFE), |life| life & !(3 << 16));
            },
            ..SOUND
        },
        Case {
            name: "white with a count",
            found: "192.0.2.200 is white, but with rejections counted",
            mended: "the entry for 192.0.2.200 is ended",
            damage: |home| {
                home.change(home.body(home.slot_of(VICTIM), LIFE), |life| life | 1 << 15);
            },
            ..SOUND
        },
        Case {
            name: "an eviction that was begun",
            harmful: false,
            found: "its eviction was begun",
            mended: "is finished",
            damage: |home| {
                let slot = home.slot_of(VICTIM);
                home.poke(home.body(slot, LIFE), home.generation(slot) + 1);
            },
            ..SOUND
        },
        Case {
            name: "a second entry",
            found: "a second entry for 192.0.2.200; look-ups find the one in slot",
            mended: "the second entry for 192.0.2.200 is ended",
            damage: |home| home.copy_victim(home.free_slot(true)),
            ..SOUND
        },
        Case {
            name: "a length that nobody knows of",
            found: "2001:db8:1::/48 is hidden by its length",
            mended: "2001:db8:1::/48 is found again",
            damage: |home| home.change(LENGTHS, |bits| bits & !(1 << 48)),
            ..SOUND
        },
        Case {
            name: "reasons without a name",
            harmful: false,
            found: "192.0.2.200 has reasons or reporters without a name",
            mended: "192.0.2.200 has no more reasons",
            damage: |home| {
                let slot = home.slot_of(VICTIM);
                home.change(home.body(slot, MARK_REASONS), |mark| mark | 1 << 56);
                home.change(home.body(slot, FIRST), |mark| mark | 1 << 31);
            },
            ..SOUND
        },
        Case {
            name: "reporters without a name",
            harmful: false,
            found: "192.0.2.200 has reasons or reporters without a name",
            mended: "192.0.2.200 has no more reasons",
            damage: |home| {
                home.change(home.body(home.slot_of(VICTIM), MARK_REPORTERS), |mark| mark | 1 << 60);
            },
            ..SOUND
        },
        Case {
            name: "marks of another generation",
            harmful: false,
            found: "reasons, reporters or times of 192.0.2.200 are lost",
            damage: |home| {
                home.change(home.body(home.slot_of(VICTIM), MARK_REASONS), |mark| mark ^ 4);
            },
            ..SOUND
        },
        Case {
            name: "seen first after it was seen last",
            harmful: false,
            found: "reasons, reporters or times of 192.0.2.200 are lost",
            damage: |home| {
                home.change(home.body(home.slot_of(VICTIM), FIRST), |mark| mark + (100 << 32));
            },
            ..SOUND
        },
        Case {
            name: "an end that no policy allows",
            harmful: false,
            found: "192.0.2.200 ends in more than a year",
            damage: |home| {
                let year = 31_536_000 << 34;
                home.change(home.body(home.slot_of(VICTIM), LIFE), |life| life + year);
            },
            ..SOUND
        },
        Case {
            name: "frozen, though nobody resizes",
            found: "frozen, though no resize is under way",
            damage: |home| home.change(CONTROLS + home.slot_of(VICTIM), |word| word | 1 << 60),
            ..SOUND
        },
        Case {
            name: "a policy that was overwritten",
            found: "the policy's checksum is wrong",
            damage: |home| {
                home.change(POLICY + 4168 + 3, |word| word ^ 1);
            },
            ..SOUND
        },
        Case {
            name: "a header that was overwritten",
            found: "the header was overwritten",
            damage: |home| home.change(7, |word| word ^ 1),
            ..SOUND
        },
        Case {
            name: "a usual name that was not finished",
            harmful: false,
            found: "reason 4: unfinished name",
            mended: "reason 4: completed as \"rcpt\"",
            damage: |home| home.poke(REASONS + 4 * 5 + 1, 0),
            ..SOUND
        },
        Case {
            name: "another name that was not finished",
            harmful: false,
            found: "reason 3: unfinished name",
            damage: |home| home.poke(REASONS + 3 * 5 + 1, 0),
            ..SOUND
        },
        Case {
            name: "a name under another's hash",
            found: "reason 3: \"a-reason-that-nobody-can-guess\" is not found",
            mended: "reason 3: put right as \"a-reason-that-nobody-can-guess\"",
            damage: |home| home.change(REASONS + 3 * 5, |hash| hash ^ 1),
            ..SOUND
        },
        Case {
            name: "a lost name",
            found: "reason 2: lost name",
            mended: "reason 2: given up",
            damage: |home| (0..5).for_each(|word| home.poke(REASONS + 2 * 5 + word, 0)),
            ..SOUND
        },
        Case {
            name: "a fixed name that was overwritten",
            found: "reason 1: does not have its name, \"reject\"",
            mended: "reason 1: is \"reject\" again",
            damage: |home| {
                home.poke(REASONS + 5, 4711);
                home.poke(REASONS + 5 + 1, !0);
            },
            ..SOUND
        },
        Case {
            name: "another name in the place of a fixed one",
            found: "reason 1: does not have its name, \"reject\"",
            damage: |home| {
                let word = |i| home.word(REASONS + 4 * 5 + i);
                (0..5).for_each(|i| home.poke(REASONS + 5 + i, word(i)));
            },
            ..SOUND
        },
        Case {
            name: "one name in two places",
            found: "reason 5: has the name of 4 once more",
            damage: |home| {
                let word = |i| home.word(REASONS + 4 * 5 + i);
                (0..5).for_each(|i| home.poke(REASONS + 5 * 5 + i, word(i)));
            },
            ..SOUND
        },
        Case {
            name: "a head that lost events",
            found: "events: there are some past the newest number",
            mended: "events: the newest number was set to",
            damage: |home| home.change(RING_HEAD, |head| head - 5),
            ..SOUND
        },
        Case {
            name: "events that were never finished",
            harmful: false,
            found: "events: 1 never finished",
            damage: |home| {
                let last = (home.word(RING_HEAD) - 1) % 65_536;
                home.poke(RING + last * 5, 0);
            },
            ..SOUND
        },
        Case {
            name: "events that were written into",
            harmful: false,
            found: "events: 1 spoilt",
            damage: |home| {
                let last = (home.word(RING_HEAD) - 1) % 65_536;
                home.change(RING + last * 5 + 3, |word| word ^ 1);
            },
            ..SOUND
        },
        Case {
            name: "a claim of a process that died",
            harmful: false,
            found: "which died",
            mended: "taken back: process ",
            damage: |home| {
                home.poke(CONTROLS + home.free_slot(true), CLAIMED << 61 | 9 << 32 | dead_pid());
            },
            ..SOUND
        },
        Case {
            name: "a slot at rest of a process that died",
            harmful: false,
            found: "which died",
            mended: "taken back: process ",
            damage: |home| {
                let word = QUARANTINED << 61 | 9 << 32 | dead_pid();
                home.poke(CONTROLS + home.free_slot(true), word);
            },
            ..SOUND
        },
    ]
}

/// Caught: a damaged slot freed at once instead of put to rest; the same slot taken back without a
/// proof that nobody else has the table open; an entry's length not compared; the head not moved
/// far enough; an end in more than a year taken for damage; one look at the table less than it takes;
/// `restore` over another name.
#[test]
fn every_kind_of_damage_is_found_and_mended_and_the_neighbours_stay() {
    std::thread::scope(|scope| {
        for case in cases() {
            scope.spawn(move || try_case(&case));
        }
    });
}

fn try_case(case: &Case) {
    let Case { name, harmful, found, mended, rests, damage } = *case;
    let home = Home::furnished(1048);
    let before = home.entries(VICTIM);
    damage(&home);
    let findings = home.table.verify_at(now());
    let fits = |finding: &&Finding| finding.harmful == harmful && finding.text.contains(found);
    let named = findings.iter().find(fits);
    let named = named.unwrap_or_else(|| panic!("{name}: {findings:#?}"));
    assert_eq!(named.repairable, !mended.is_empty(), "{name}: {named:?}");
    assert!(findings.iter().all(|finding| harmful || !finding.harmful), "{name}: {findings:#?}");

    let repair = home.repair();
    if mended.is_empty() {
        assert_eq!(repair.mended, [""; 0], "{name}");
        assert_eq!(repair.left, findings, "{name}: and is as it was");
    } else {
        assert!(repair.mended.iter().any(|text| text.contains(mended)), "{name}: {repair:#?}");
        let at_rest = |finding: &Finding| !finding.harmful && finding.text.contains("at rest");
        if rests && !sees_everybody() {
            assert!(
                repair.left.iter().all(at_rest) && repair.left.len() == 1,
                "{name}: {repair:#?}"
            );
        } else {
            assert_eq!(repair.left, [], "{name}");
        }
        assert_eq!(home.table.verify_at(now()).len(), repair.left.len(), "{name}");
    }
    let mut after = home.entries(VICTIM);
    // What a length hid is one of these.
    after.retain(|network, _| before.contains_key(network));
    assert_eq!(after, before, "{name}: the neighbours");
    if harmful && mended.is_empty() {
        return;
    }
    // Whatever became of the victim, it can be reported.
    let count = home.table.entry(network(VICTIM), now()).map_or(0, |entry| entry.count);
    let recorded = home.table.record(&report(VICTIM), now());
    assert_eq!(recorded.map(|recorded| recorded.count), Ok(count + 1), "{name}");
}
