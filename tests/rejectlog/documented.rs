//! What docs/rejectlog.md says.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::{Mark, Scratch, artifact, checkout_text, parse, root, run, tool, tool_text};

const DOCUMENT: &str = "docs/rejectlog.md";

/// The block with this mark.
fn commands(id: &str) -> String {
    let blocks = parse(&checkout_text(DOCUMENT));
    let is_it = |mark: &Option<Mark>| *mark == Some(Mark::Run(id.to_owned()));
    blocks.into_iter().find(|block| is_it(&block.mark)).expect(id).text
}

/// A day's rejection, written just now.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut command = Command::new("date");
    run(command.args(["-u", "+%F %T", "-d"]).arg(format!("@{seconds}"))).trim().to_owned()
}

/// Caught: a rule of the document that is none; one that does not see what the document shows.
#[test]
fn the_rules_and_the_lines_of_the_document() {
    let blocks = parse(&checkout_text(DOCUMENT));
    let mut texts = blocks.iter().filter(|block| block.language == "text");
    let (rules, lines) = (texts.next().unwrap(), texts.next().unwrap());
    let (line, seen) = lines.text.split_once('\n').unwrap();
    let scratch = Scratch::new("documented");
    let table = scratch.join("table");
    tool_text(&table, "create --slots 64");
    let written = line.replacen("2026-11-22 05:43:10", &now(), 1);
    let log = scratch.write("log", format!("{written}\n"));
    let import = |rules: &str| -> Value {
        let rules = scratch.write("rules", rules);
        let mut command = tool(&table);
        command.env("TZ", "UTC").args(["--json", "import", "--rejectlog"]).arg(&log);
        serde_json::from_str(&run(command.arg("--rules").arg(rules))).unwrap()
    };
    assert_eq!(import(&rules.text)["reasons"], serde_json::json!({"relay": 1}));
    // A rule sees exactly what the second line is.
    let exact = seen.trim_end().replace('.', "\\.");
    assert_eq!(import(&format!("exact - ^{exact}$\n"))["reasons"], serde_json::json!({"exact": 1}));
    let listed = tool_text(&table, "list -n");
    assert!(listed.starts_with("203.0.113.9 ") && listed.lines().count() == 1, "{listed}");
}

/// Caught: an option of the document that is not there; a default rule whose reason is not named.
#[test]
fn the_commands_of_the_document() {
    let scratch = Scratch::new("documented");
    let table = scratch.join("table");
    tool_text(&table, "create --slots 64");
    let line = format!("{} H=(x) [203.0.113.9] F=<a@b> rejected RCPT <c@d>: no\n", now());
    scratch.write("rejectlog", line);
    let folder = scratch.path().display().to_string();
    let script = commands("once");
    let script = script.replace("/var/log/exim4", &folder).replace("/var/lib/eximrbl", &folder);
    let tool = artifact("eximrbl");
    let path = format!("{}:{}", tool.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-ec", &script]).env("PATH", path).env("EXIMRBL_TABLE", &table).env("TZ", "UTC");
    assert_eq!(run(&mut bash).matches("1 line read, 1 rejection recorded").count(), 2);
    assert!(scratch.join("rejectlog.position").exists());

    let unit = "packaging/eximrbl-rejectlog.service";
    assert!(commands("service").contains(unit) && root().join(unit).exists());
    let rules = tool_text(&table, "import --print-rules");
    let rules = rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let reasons: BTreeSet<_> = rules.map(|line| line.split_whitespace().next().unwrap()).collect();
    let text = checkout_text(DOCUMENT);
    for reason in &reasons {
        assert!(text.contains(&format!("`{reason}`")), "{reason} is not named");
    }
    assert!(reasons.len() > 10, "{reasons:?}");
}
