//! The story of an address: written by eximrbld while a real Exim reports and the administrator
//! lifts, told by `eximrbl show --history`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

use std::process::Command;

use serde_json::Value;

use harness::{Process, Scratch, artifact, finished, library, run, set_mode, wait_until};

/// A daemon with an audit trail.
struct Site {
    scratch: Scratch,
    process: Process,
}

impl Site {
    fn new() -> Self {
        let scratch = Scratch::new("trail");
        set_mode(scratch.path(), 0o777);
        let (table, trail) = (scratch.join("table"), scratch.join("log/audit.jsonl"));
        scratch.write(
            "eximrbl.toml",
            format!(
                "version = 1\n[table]\npath = {table:?}\nslots = 4096\n[policy]\nweights = {{ auth = 3 }}\n\
                 [control]\nsocket = \"\"\n[audit]\nfile = {trail:?}\nsize = \"4K\"\nkeep = 1000\n\
                 [dns]\nlisten = [\"127.0.0.1:0\"]\nuser = \"nobody\"\n\
                 [[zone]]\nname = \"rbl.example\"\n"
            ),
        );
        let process = start(&scratch);
        Self { scratch, process }
    }

    /// Expands these in a real Exim, as its ACLs would.
    fn exim(&self, calls: &[&str]) {
        let configuration = self.scratch.write(
            "exim.conf",
            format!(
                "keep_environment =\nadd_environment = EXIMRBL_TABLE={}\nspool_directory = {}\n",
                self.scratch.join("table").display(),
                self.scratch.join("spool").display()
            ),
        );
        let library = library();
        let library = library.to_str().unwrap();
        let mut command = Command::new("/usr/sbin/exim4");
        command.arg("-C").arg(configuration).arg("-be");
        command.args(calls.iter().map(|call| format!("${{dlfunc{{{library}}}{call}}}")));
        assert_eq!(run(&mut command).trim(), "", "{calls:?}");
    }

    fn tool(&self, arguments: &str) -> String {
        let mut command = Command::new(artifact("eximrbl"));
        command.arg("--table").arg(self.scratch.join("table")).args(arguments.split(' '));
        let output = finished(command.env("TZ", "UTC"));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks for the history of an address, once it has so many lines about it.
    fn history(&self, address: &str, changes: usize) -> Vec<Value> {
        let config = self.scratch.join("eximrbl.toml");
        let show = format!("--json show {address} --history --config {}", config.display());
        let mut found = Vec::new();
        wait_until(&format!("{changes} changes of {address} are told"), || {
            let shown: Value = serde_json::from_str(&self.tool(&show)).unwrap();
            let all = shown["history"]["changes"].as_array().unwrap().clone();
            found = all.into_iter().filter(|change| !change["network"].is_null()).collect();
            found.len() >= changes && shown["history"]["source"] == "audit"
        });
        found
    }
}

fn start(scratch: &Scratch) -> Process {
    let mut command = Command::new(artifact("eximrbld"));
    command.arg("--config").arg(scratch.join("eximrbl.toml"));
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let mut process = Process::start("eximrbld", command, scratch.join("eximrbld.out"));
    process.wait_until_ready(|process| process.output().contains("INFO ready"));
    process
}

/// RFC 6471 section 2.1.2: a list keeps an audit trail. Who, why, when first, when last, how often, and
/// who lifted it, are each answered for an address that the table has forgotten: across files and a
/// restart of the daemon. Caught: a trail that begins anew at a restart; one that is not read
/// beyond its youngest file.
#[test]
fn who_why_first_last_how_often_and_who_lifted_it() {
    let mut site = Site::new();
    let begun = eximrbl_table::now();
    site.exim(&["{rbl_record}{198.51.100.7}{rcpt}"]);
    // Others, so that the trail has several files by then.
    for last in 0..30 {
        site.exim(&[&format!("{{rbl_record}}{{203.0.113.{last}}}{{helo}}")]);
    }
    site.history("203.0.113.29", 1);
    assert!(site.process.stop().success());
    site.exim(&["{rbl_record}{198.51.100.7}{auth}"]);
    site.process = start(&site.scratch);
    site.tool("black 198.51.100.7 spamtrap 10");
    site.tool("forgive 198.51.100.7");

    let changes = site.history("198.51.100.7", 4);
    let told = |key: &str| changes.iter().map(|change| change[key].clone()).collect::<Vec<_>>();
    assert_eq!(told("kind"), ["added", "extended", "extended", "forgiven"]);
    // Who reported it, and who lifted it.
    assert_eq!(told("who"), ["local", "local", "admin", "admin"]);
    // Why.
    assert_eq!(told("reason")[..3], ["rcpt", "auth", "spamtrap"]);
    // How often.
    let weights: Vec<_> = changes[..3].iter().map(|it| it["weight"].as_u64().unwrap()).collect();
    assert_eq!(weights, [1, 3, 10]);
    // When first, and last.
    let times: Vec<_> = changes.iter().map(|it| it["time_unix"].as_u64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0] >= begun.into() && times[3] <= eximrbl_table::now().into());
    // The table has forgotten all of it.
    assert!(site.tool("show 198.51.100.7").contains("nothing is known about it"));
    assert!(site.scratch.join("log/audit.jsonl.2").exists());
}
