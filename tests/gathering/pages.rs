//! docs/gathering.md: its configurations are good ones, and its table of errors has every one.
//!
//! Caught: a code taken out of the table, and one that is not the collector's put in; `networks` written
//! `network`.

use std::collections::BTreeSet;
use std::process::Command;

use eximrbl_report::Code;

use crate::document::checkout_text;
use crate::gatherer::{SECRET, certificate};
use crate::harness::{Mark, Scratch, artifact, finished, parse, run, set_mode};

/// A block of docs/gathering.md.
#[track_caller]
fn block(id: &str) -> String {
    let mark = Some(Mark::Run(id.to_owned()));
    let mut blocks = parse(&checkout_text("docs/gathering.md")).into_iter();
    blocks.find(|block| block.mark == mark).unwrap_or_else(|| panic!("no block {id}")).text
}

#[test]
fn the_configurations_are_good() {
    for id in ["gatherer", "gatherer-tls"] {
        let scratch = Scratch::new("gathering");
        let folder = scratch.path().display().to_string();
        let (certificate, key) = certificate();
        scratch.write("collector.crt", &certificate);
        scratch.write("reporters.ca", &certificate);
        scratch.write("collector.key", key);
        scratch.write("mx2.secret", SECRET);
        for name in ["collector.key", "mx2.secret"] {
            set_mode(&scratch.join(name), 0o600);
        }
        let text = block(id).replace("/etc/eximrbl", &folder);
        let zone = "version = 1\n[[zone]]\nname = \"rbl.example.org\"\n";
        let file = scratch.write("eximrbl.toml", format!("{zone}{text}"));
        let mut command = Command::new(artifact("eximrbld"));
        let checked = finished(command.arg("--check-config").arg("--config").arg(file));
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{id}: {said}");
    }
}

/// The command that writes a secret into its file, as a user reads it from the keyboard.
#[test]
fn the_secrets_file_is_for_eximrbld_alone() {
    let scratch = Scratch::new("gathering");
    // The group of the installed daemon is not on this machine.
    let text = block("secret-file").replace("-g eximrbl", "-g nogroup");
    let text = text.replace("/etc/eximrbl", &scratch.path().display().to_string());
    run(Command::new("bash").args(["-ec", &format!("echo some-secret | {text}")]));
    let file = scratch.join("mx2.secret");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "some-secret\n");
    let stat = run(Command::new("stat").args(["-c", "%a %U:%G"]).arg(&file));
    assert_eq!(stat.trim(), "640 root:nogroup");
}

#[test]
fn every_error_is_explained() {
    let text = checkout_text("docs/gathering.md");
    let table = text.split("\n## Errors\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let code = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let explained: BTreeSet<String> = table.lines().filter_map(code).collect();
    let all = Code::ALL.iter().map(|code| code.name().to_owned()).collect();
    assert_eq!(explained, all);
}
