//! Configuration files through the real program: the sample, and a folder of bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{command, fails};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");

#[test]
fn the_sample_configuration_is_good() {
    let sample = format!("{EXAMPLES}/eximrbl.toml");
    let output =
        command(&["--check-config", "--config", &sample]).stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"OK: 3 zones\n");
}

/// Every file of the folder says in its first line what is wrong with it: `# expect: LINE: KEY: …`.
#[test]
fn every_bad_configuration_is_refused_with_file_line_and_key() {
    let mut files = 0;
    for entry in fs::read_dir(format!("{EXAMPLES}/config-bad")).unwrap() {
        let path = entry.unwrap().path();
        let path = path.to_str().unwrap();
        let text = fs::read_to_string(path).unwrap();
        let first = text.lines().next().unwrap();
        let expected = first.strip_prefix("# expect: ").expect("the first line says what is wrong");
        let (status, error) = fails(&["--check-config", "--config", path]);
        assert_eq!(status, Some(1), "{path}");
        assert!(error.starts_with(&format!("{path}:{expected}")), "{path}: {error}");
        // The daemon itself does not start with it either.
        let (status, error) = fails(&["--config", path]);
        assert_eq!(status, Some(1), "{path}");
        assert!(error.contains(&format!("{path}:{expected}")), "{path}: {error}");
        files += 1;
    }
    assert!(files > 40, "{files} files only");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (status, error) = fails(&["--check-config", "--config", "/nonexistent.toml"]);
    assert_eq!(status, Some(1));
    assert!(error.starts_with("/nonexistent.toml: cannot read the configuration: "), "{error}");
    assert!(!Path::new("/nonexistent.toml").exists());
}

#[test]
fn a_wrong_command_line_has_status_2() {
    assert_eq!(fails(&[]).0, Some(2));
    assert_eq!(fails(&["--zone", "rbl.example"]).0, Some(2));
    assert_eq!(fails(&["--config", "a", "--table", "b"]).0, Some(2));
}
