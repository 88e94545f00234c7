//! Nothing in docs/consumers.md escapes the tests.

use std::collections::BTreeSet;

use crate::dnslists::{FORMS, UNKNOWN};
use crate::document::{blocks, dnslists};
use crate::harness::Mark;
use crate::rspamd::FILES;

/// The blocks that tests run.
const RUN: [&str; 5] = ["zones", "postscreen", "smtpd", "spamassassin", "spamassassin-relays"];

#[test]
fn every_block_and_every_row_is_run() {
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for block in blocks() {
        let line = block.line;
        match block.mark {
            Some(Mark::Run(id)) => {
                assert!(RUN.contains(&id.as_str()), "line {line}: no test runs {id}");
                assert!(seen.insert(id.clone()), "line {line}: {id} is there twice");
            }
            Some(Mark::File(id, path)) => {
                assert_eq!(id, "rspamd", "line {line}");
                files.push(path);
            }
            None => panic!("line {line}: a block without a mark"),
        }
    }
    assert_eq!(seen.len(), RUN.len(), "{seen:?}");
    assert_eq!(files, FILES);
    let known: Vec<&str> =
        FORMS.iter().map(|form| form.0).chain(UNKNOWN.iter().map(|form| form.0)).collect();
    assert_eq!(dnslists(), known);
}
