//! What docs/conformance.md says is tested, is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Caught: a test that was renamed; a row without one.
#[test]
fn every_test_that_is_named_is_there() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/conformance.md")).unwrap();
    let mut named = BTreeSet::new();
    for line in document.lines() {
        let spans = line.split('`').skip(1).step_by(2).filter(|span| span.contains("::"));
        let before = named.len();
        for span in spans {
            let (file, function) = span.split_once("::").unwrap();
            let code = fs::read_to_string(Path::new(ROOT).join(file))
                .unwrap_or_else(|error| panic!("{file}: {error}"));
            // Properties take arguments, and stand further in.
            let mut tests = code.split("#[test]\n").skip(1).map(str::trim_start);
            let is_there = tests.any(|test| test.starts_with(&format!("fn {function}(")));
            assert!(is_there, "{file} has no test {function}");
            named.insert(span.to_owned());
        }
        let is_row = line.starts_with("| ") && !line.starts_with("| standard ");
        assert!(!is_row || named.len() > before, "no test of its own: {line}");
    }
    assert!(named.len() > 20, "{named:?}");
}
