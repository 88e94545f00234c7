//! What docs/architecture.md says about files and crates.

use std::collections::BTreeSet;
use std::process::Command;

use crate::harness::{checkout_text, root, run};
use crate::readme::code_spans;
use crate::root::without_cargos_variables;

/// The document that starts the reading of the code.
const DOCUMENT: &str = "docs/architecture.md";

#[test]
fn every_file_that_is_named_is_there() {
    let text = checkout_text(DOCUMENT);
    // A file of the table may be named without its folder, where the folder was named before.
    let folders = [root().to_owned(), root().join("crates/table/src")];
    let mut named = 0;
    for path in code_spans(&text).filter(|span| is_path(span)) {
        named += 1;
        let is_there = folders.iter().any(|folder| folder.join(path).exists());
        assert!(is_there, "{DOCUMENT} names {path}, which is not there");
    }
    assert!(named > 15, "only {named} paths found");
}

#[test]
fn the_crates_stand_on_each_other_as_the_table_says() {
    let text = checkout_text(DOCUMENT);
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| {
            line.starts_with("| `") && line.contains("/` | `eximrbl")
                || line.contains("| `eximrbl` | the library")
        })
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let crates: Vec<&str> = rows.iter().map(|row| row[2].trim_matches('`')).collect();
    assert_eq!(
        crates,
        [
            "eximrbl",
            "eximrbl-table",
            "eximrbl-zone",
            "eximrbl-report",
            "eximrbl-dns",
            "eximrbl-datagrams",
            "eximrbl-rejectlog",
            "eximrbl-daemon",
            "eximrbl-exchange",
            "eximrbl-tool"
        ]
    );
    for (row, name) in rows.iter().zip(&crates) {
        let uses: BTreeSet<&str> = row[4].split(", ").collect();
        let real = dependencies(name);
        let real: BTreeSet<&str> = real.iter().map(String::as_str).collect();
        assert_eq!(uses, real, "{DOCUMENT} and the manifest of {name} differ");
    }
}

/// The names of what a crate uses when it runs, itself left out.
fn dependencies(name: &str) -> BTreeSet<String> {
    let mut command = Command::new("cargo");
    command.args(["tree", "--offline", "--locked", "--edges", "normal", "--depth", "1"]);
    command.args(["--prefix", "none", "--format", "{p}", "--package", name]);
    without_cargos_variables(&mut command);
    let text = run(command.current_dir(root()));
    let names = text.lines().skip(1).filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// True for what is written as a path of the checkout: with a folder, or a known ending.
fn is_path(span: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    span.bytes().all(plain)
        && (span.contains('/')
            || [".rs", ".toml", ".md", ".sh"].iter().any(|end| span.ends_with(end)))
}
