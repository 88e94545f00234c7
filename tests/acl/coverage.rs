//! Nothing in ACL.md and examples/exim escapes the tests.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cases::CASES;
use crate::document::{Mark, blocks, examples, parse};
use crate::{backup, debian, gathering, loading, login_event, shell};

/// All names that a test runs. `functions` is part of every configuration.
fn tested() -> BTreeSet<&'static str> {
    let mut ids = BTreeSet::from(["functions"]);
    ids.extend(CASES.iter().map(|case| case.id));
    ids.extend(backup::BLOCKS);
    ids.extend(debian::BLOCKS);
    ids.extend(loading::BLOCKS);
    ids.extend(login_event::BLOCKS);
    ids.extend(shell::BLOCKS);
    ids.extend(gathering::REPORTING.map(|(id, _)| id));
    ids.extend(gathering::COMMANDS);
    ids
}

#[test]
fn every_block_is_run_and_every_test_has_its_block() {
    let tested = tested();
    let mut seen = BTreeSet::new();
    for block in blocks() {
        let line = block.line;
        assert!(matches!(block.language.as_str(), "exim" | "sh"), "ACL.md:{line}: say exim or sh");
        match block.mark {
            Some(Mark::Run(id)) => {
                assert!(tested.contains(id.as_str()), "ACL.md:{line}: no test runs {id}");
                assert!(seen.insert(id.clone()), "ACL.md:{line}: {id} is there twice");
            }
            Some(Mark::File(id, _)) => {
                assert!(seen.contains(&id), "ACL.md:{line}: there is no block {id} before");
            }
            None => panic!("ACL.md:{line}: a block without a mark <!-- run: … -->"),
        }
    }
    let known: BTreeSet<String> = tested.into_iter().map(str::to_owned).collect();
    assert_eq!(seen, known);
}

#[test]
fn a_mark_counts_only_directly_before_its_block() {
    let run = |id: &str| Some(Mark::Run(id.to_owned()));
    let found = parse("<!-- run: a -->\n\n```exim\nx\n```\n<!-- run: b -->\ntext\n```sh\ny\n```\n");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].mark.clone(), found[0].text.as_str()), (run("a"), "x\n"));
    assert_eq!((found[1].mark.clone(), found[1].line), (None, 8));
}

#[test]
fn every_example_is_installed_by_a_command_of_the_document_or_taken_in() {
    let commands: String = blocks()
        .into_iter()
        .filter(|block| block.language == "sh")
        .map(|block| block.text)
        .collect();
    let mut files = Vec::new();
    list(&examples(), &mut files);
    assert!(files.len() >= 9, "{files:?}");
    for file in files {
        // A command names a file from examples/exim or from its own folder in it.
        let own = file.split_once('/').map_or(file.as_str(), |parts| parts.1);
        let words = || commands.split_whitespace();
        assert!(
            words().any(|word| word == file || word == own),
            "no command of ACL.md uses {file}"
        );
    }
}

/// All files under a folder of the examples, as paths from examples/exim.
fn list(folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else {
            let name = path.strip_prefix(examples()).unwrap();
            files.push(name.to_str().unwrap().to_owned());
        }
    }
}
