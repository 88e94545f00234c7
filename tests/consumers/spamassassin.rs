//! SpamAssassin with Debian's rules and the document's.

use std::collections::BTreeSet;
use std::process::Command;

use crate::document;
use crate::harness::{Scratch, run};
use crate::site::{CLIENTS, Client, Site};

/// A message that `client` delivered.
fn message(client: Client) -> String {
    let address = client.address();
    format!(
        "Received: from client.example (client.example [{address}])\n\
         \tby mx2.example.org (Exim 4.96) with esmtp id 1vMb3X-000000-00\n\
         \tfor <good@example.org>; Sun, 22 Nov 2026 10:00:00 +0000\n\
         From: sender@client.example\nTo: good@example.org\nSubject: {client:?}\n\
         Message-ID: <1234567890.1234567890@client.example>\n\
         Date: Sun, 22 Nov 2026 10:00:00 +0000\n\nA message.\n"
    )
}

/// The rules of the document that hit, from the header `X-Spam-Status`.
fn hits(status: &str) -> BTreeSet<String> {
    let tests = status.split_once("tests=").expect("tests= in X-Spam-Status").1;
    let tests = tests.split(" autolearn").next().unwrap_or("");
    let names = tests.split([',', ' ']).filter(|name| name.contains("_EXAMPLE"));
    names.map(str::to_owned).collect()
}

#[test]
fn the_documents_rules() {
    let site = Site::new();
    let scratch = Scratch::new("spamassassin");
    let configuration = scratch.join("etc");
    run(Command::new("cp").arg("-a").arg("/etc/spamassassin/.").arg(&configuration));
    scratch.write("etc/eximrbl.cf", document::text("spamassassin"));
    // The resolver here knows our lists alone. SpamAssassin is not to wait for what others it asks.
    scratch.write("etc/test.cf", "dns_query_restriction deny *\ndns_query_restriction allow org\n");
    let mut command = site.host.command("spamassassin");
    command.args(["-t", "-x"]).arg("--siteconfigpath").arg(&configuration);
    command.env("HOME", scratch.path());
    for client in CLIENTS {
        command.arg(scratch.write(&format!("{client:?}"), message(client)));
    }
    let text = run(&mut command).replace("\n\t", " ");
    let statuses: Vec<&str> =
        text.lines().filter(|line| line.starts_with("X-Spam-Status: ")).collect();
    assert_eq!(statuses.len(), CLIENTS.len(), "{text}");
    for (client, status) in CLIENTS.into_iter().zip(statuses) {
        let mut expected = BTreeSet::new();
        for (rule, holds) in [
            ("RBL_EXAMPLE", client.has(2)),
            ("RBL_EXAMPLE_AUTH", client.has(4)),
            ("WL_EXAMPLE", client.is_white()),
        ] {
            expected.extend(holds.then(|| rule.to_owned()));
        }
        assert_eq!(hits(status), expected, "{client:?}: {status}");
    }
    // The report says who is listed where.
    assert!(text.contains("[203.0.113.7 listed in rbl.example.org]"), "{text}");
}
