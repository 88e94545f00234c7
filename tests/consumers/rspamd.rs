//! rspamd with its module `rbl` and the document's files.

use std::os::unix::fs::chown;
use std::process::Command;

use serde_json::Value;

use crate::document;
use crate::harness::{Process, Scratch, listens, run, set_mode};
use crate::site::{CLIENTS, Client, Site};

/// The files of the document, in its order.
pub const FILES: [&str; 2] = ["/etc/rspamd/local.d/rbl.conf", "/etc/rspamd/local.d/rbl_group.conf"];

/// rspamd's configuration around them: of Debian's modules `rbl` alone, with Debian's defaults for
/// it. With all its modules rspamd takes half a minute to start.
const CONFIGURATION: &str = r#"
options {
  url_tld = "FOLDER/tld";
  filters = "";
  disable_hyperscan = true;
  explicit_modules = ["rbl"];
  control_socket = "FOLDER/state/socket mode=0600";
  cache_file = "FOLDER/state/cache";
  hs_cache_dir = "FOLDER/state/";
  tempdir = "FOLDER/state";
  task_timeout = 60s;
  dns { timeout = 5s; retransmits = 3; sockets = 2; }
}
logging { type = "console"; level = "info"; }
worker "normal" { bind_socket = "127.0.0.1:11333"; count = 1; }
modules { path = "/usr/share/rspamd/plugins/rbl.lua"; }
actions { reject = 15; add_header = 6; greylist = 4; }
rbl {
  default_exclude_users = true;
  default_unknown = true;
  .include(duplicate=merge) "FOLDER/rbl.conf"
}
group "rbl" {
  .include(duplicate=merge) "FOLDER/rbl_group.conf"
}
"#;

/// The document's symbols that a client gets, with their scores.
fn expected(client: Client) -> Vec<(&'static str, f64)> {
    let all = [
        // 127.0.0.8 has no name of its own.
        ("RBL_EXAMPLE", 1.0, client.has(8)),
        ("RBL_EXAMPLE_AUTH", 2.0, client.has(4)),
        ("RBL_EXAMPLE_REJECTED", 3.0, client.has(2)),
        ("WL_EXAMPLE", -4.0, client.is_white()),
    ];
    all.into_iter().filter(|(.., holds)| *holds).map(|(name, score, _)| (name, score)).collect()
}

/// Caught: nibbles in the wrong order; NXDOMAIN for the beginnings of addresses; a white zone with
/// the black; white that lifts nothing; a code left out beside another.
#[test]
fn the_documents_files() {
    let site = Site::new();
    let scratch = Scratch::new("rspamd");
    for path in FILES {
        let name = path.rsplit('/').next().unwrap();
        scratch.write(name, document::file("rspamd", path));
    }
    scratch.write("tld", "org\nexample\n");
    let user: u32 = run(Command::new("id").args(["-u", "_rspamd"])).trim().parse().unwrap();
    std::fs::create_dir(scratch.join("state")).unwrap();
    set_mode(&scratch.join("state"), 0o755);
    chown(scratch.join("state"), Some(user), None).unwrap();
    let text = CONFIGURATION.replace("FOLDER", &scratch.path().display().to_string());
    let configuration = scratch.write("rspamd.conf", text);
    let mut command = site.host.command("rspamd");
    command.args(["-f", "-u", "_rspamd", "-g", "_rspamd", "-c"]).arg(configuration);
    let mut process = Process::start("rspamd", command, scratch.join("output"));
    process.wait_until_ready(|_| listens(&site.host, 11_333));
    let message = scratch.write(
        "message",
        "From: sender@client.example\nTo: good@example.org\nSubject: test\n\nA message.\n",
    );
    for client in CLIENTS {
        let mut command = site.host.command("rspamc");
        command.args(["-h", "127.0.0.1:11333", "--json", "-t", "60", "-i"]);
        command.arg(client.address().to_string()).arg(&message);
        let result: Value = serde_json::from_str(&run(&mut command)).unwrap();
        let symbols = result["symbols"].as_object().unwrap();
        let mut found: Vec<(&str, f64)> = symbols
            .iter()
            .map(|(name, symbol)| (name.as_str(), symbol["score"].as_f64().unwrap()))
            .collect();
        found.sort_by_key(|symbol| symbol.0);
        assert_eq!(found, expected(client), "{client:?}: {result}");
    }
}
