//! No command of the README escapes the tests.

use std::collections::BTreeSet;

use crate::harness::Mark;
use crate::readme::blocks;
use crate::{demonstration, installation};

#[test]
fn every_command_block_is_run_and_every_test_has_its_block() {
    let tested: BTreeSet<_> =
        installation::BLOCKS.into_iter().chain(demonstration::BLOCKS).map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    for block in blocks() {
        let line = block.line;
        match (block.language.as_str(), block.mark) {
            // A drawing.
            ("", None) => {}
            ("sh", Some(Mark::Run(id))) => {
                assert!(tested.contains(&id), "README.md:{line}: no test runs {id}");
                assert!(seen.insert(id.clone()), "README.md:{line}: {id} is there twice");
            }
            ("sh", _) => panic!("README.md:{line}: commands without a mark <!-- run: … -->"),
            (other, _) => panic!("README.md:{line}: {other:?} is no language that a test knows"),
        }
    }
    assert_eq!(seen, tested);
}
