//! Configuration files through the real program: the sample, and a folder of bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{PLAIN, Place, command, fails};

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

/// The file may be meant for another host, so it is good; but root would not start with it.
#[test]
fn a_user_that_does_not_exist_is_a_warning() {
    let place = Place::new();
    let path = place.configure(PLAIN);
    let text = fs::read_to_string(&path).unwrap();
    for (user, expected) in [
        (
            "no-such-user",
            "warning: user \"no-such-user\" does not exist on this host; as root the daemon will \
             not start; make it: adduser --system --group --no-create-home --home /nonexistent \
             no-such-user\n",
        ),
        ("nobody", ""),
    ] {
        fs::write(&path, text.replace("\"nobody\"", &format!("\"{user}\""))).unwrap();
        let output = command(&["--check-config", "--config", path.to_str().unwrap()]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "OK: 1 zone\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
    }
}

/// systemd runs the unit's ExecReload= lines in order, and stops at the first that fails.
#[test]
fn the_units_reload_fails_for_a_bad_file() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/eximrbld.service");
    let unit = fs::read_to_string(unit).unwrap();
    let reload: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
    let [check, signal] = reload[..] else { panic!("{reload:?}") };
    assert_eq!(signal, "/bin/kill -HUP $MAINPID");
    let place = Place::new();
    for (zones, ok) in [(PLAIN, true), ("[[zone]]\nname = \"rbl..example\"\n", false)] {
        let path = place.configure(zones);
        let words: Vec<_> = check
            .split(' ')
            .map(|word| if word.starts_with("/etc/") { path.to_str().unwrap() } else { word })
            .collect();
        assert_eq!(words[0], "/usr/sbin/eximrbld");
        assert!(words.contains(&path.to_str().unwrap()), "{check}");
        assert_eq!(command(&words[1..]).output().unwrap().status.success(), ok, "{zones}");
    }
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
