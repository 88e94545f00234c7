//! Checking a live table's invariants, without stopping anyone.

use crate::dictionary::Flaw;
use crate::slots::SlotUse;
use crate::table::Table;

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it does harm; otherwise it is a slot that comes back by itself.
    pub harmful: bool,
    /// What was found, and where.
    pub text: String,
}

impl Table {
    /// Checks all invariants; an empty answer means a sound table. What looks wrong is looked at
    /// again before it is reported, since writers go on meanwhile.
    pub fn verify(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |harmful, text| findings.push(Finding { harmful, text });
        if self.is_retired() {
            find(true, "the table is retired: a newer file has taken its place".to_owned());
        }
        if !self.policy_block().is_sound() {
            let remedy = "restart eximrbld, or write it again: eximrbl policy --config FILE";
            find(true, format!("the policy's checksum is wrong; {remedy}"));
        }
        for (what, dictionary) in
            [("reason", self.reason_dictionary()), ("reporter", self.reporter_dictionary())]
        {
            for (place, state) in dictionary.flaws() {
                match state {
                    Flaw::Unfinished => {
                        find(
                            false,
                            format!("{what} {place}: unfinished name; its next use completes it"),
                        );
                    }
                    Flaw::Damaged => {
                        let remedy =
                            "entries show it as unknown, and zones miss it; make a new table";
                        find(true, format!("{what} {place}: damaged name; {remedy}"));
                    }
                }
            }
        }
        let slots = self.slots();
        for slot in 0..slots.len() {
            match slots.use_of(slot, self.liveness()) {
                SlotUse::Empty | SlotUse::Claimed | SlotUse::Ending => {}
                SlotUse::Abandoned => {
                    find(
                        false,
                        format!("slot {slot}: left by a process that died; will be reused"),
                    );
                }
                SlotUse::Quarantined => {
                    find(false, format!("slot {slot}: at rest until its former owner is gone"));
                }
                SlotUse::Damaged => {
                    // Only a second look tells damage from a change of hands.
                    if slots.use_of(slot, self.liveness()) == SlotUse::Damaged {
                        find(true, format!("slot {slot}: holds what no writer writes"));
                    }
                }
                SlotUse::Entry => {
                    let Some(view) = slots.entry_at(slot) else {
                        continue;
                    };
                    let network = view.network;
                    if slots.has_two(network) && slots.has_two(network) {
                        find(true, format!("slot {slot}: a second entry for {network}"));
                    }
                    if !self.lengths().has(network) {
                        find(true, format!("slot {slot}: {network} is hidden by its length"));
                    }
                }
            }
        }
        findings
    }
}
