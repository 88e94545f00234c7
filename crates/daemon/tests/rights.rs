//! Who may do what with the table that the daemon has made; and that docs/threat-model.md points
//! to tests that are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Daemon, Place, is_root, record};
use nix::unistd::{Group, User};

const A: u16 = 1;

/// Runs a shell's commands as a user with his own group alone; whether they succeeded.
fn succeeds_as(user: &str, commands: &str, table: &Path) -> bool {
    let user = User::from_name(user).unwrap().unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user.uid.to_string(), "--regid", &user.gid.to_string()]);
    command.args(["--clear-groups", "sh", "-ec", commands, "sh"]).arg(table);
    command.output().unwrap().status.success()
}

/// Caught: a table of mode 0666, a folder of mode 0777, a folder that belongs to Exim's group.
#[test]
fn exim_writes_the_table_and_replaces_nothing_and_others_do_not_even_read() {
    if !is_root() || Group::from_name("Debian-exim").unwrap().is_none() {
        eprintln!("not run: needs root, and the group Debian-exim");
        return;
    }
    let place = Place::new();
    let table = place.path("made/for/it/table");
    let arguments = ["--zone", "rbl.example", "--listen", "127.0.0.1:0", "--user", "nobody"];
    let daemon = Daemon::run(&[&arguments[..], &["--table", table.to_str().unwrap()]].concat());
    record(&table, "192.0.2.1", "rcpt");

    let (exim, other) = ("Debian-exim", "games");
    for (commands, may_exim) in [
        ("head -c 8 \"$1\" >/dev/null", true),
        // Opened to write, and nothing written.
        ("exec 9<>\"$1\"", true),
        ("mv \"$1\" \"$1.gone\"", false),
        ("rm -f \"$1\"", false),
        ("ln -s /etc/passwd \"$1.new\"", false),
        ("mkfifo \"$1.new\"", false),
        ("echo >\"$1.new\"", false),
        ("chmod 666 \"$1\"", false),
        ("chgrp games \"$1\"", false),
    ] {
        assert_eq!(succeeds_as(exim, commands, &table), may_exim, "{exim}: {commands}");
        assert!(!succeeds_as(other, commands, &table), "{other}: {commands}");
    }
    // The trials themselves can succeed.
    assert!(succeeds_as("nobody", "echo >\"$1.new\"; rm \"$1.new\"", &table));
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

/// Caught: a name in the document that no file has.
#[test]
fn the_threat_model_points_to_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let files = spans.filter(|span| span.ends_with(".rs"));
    let mut named = 0;
    for file in files {
        let content = std::fs::read_to_string(root.join(file));
        let content =
            content.unwrap_or_else(|error| panic!("docs/threat-model.md: {file}: {error}"));
        let tests =
            ["#[test]", "proptest!", "fuzz_target!"].iter().any(|mark| content.contains(mark));
        assert!(tests, "docs/threat-model.md: {file} has no test");
        named += 1;
    }
    assert!(named > 30, "only {named}");
}
