//! SpamAssassin with Debian's rules and the document's.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;

use crate::document;
use crate::harness::{Scratch, run};
use crate::site::{CLIENTS, Client, Site};

/// The resolver here knows our lists alone, so others are not asked; and it may be slow.
const TEST_RULES: &str = "\
dns_query_restriction deny com net
dns_query_restriction allow example.org
rbl_timeout 60 60
";

/// A message that `client` delivered, to the primary itself or to the backup.
fn message(client: Client, through_backup: bool) -> String {
    let received = |name: &str, address: IpAddr, by: &str| {
        format!(
            "Received: from {name} ({name} [{address}])\n\
             \tby {by} (Exim 4.96) with esmtp id 1vMb3X-000000-00\n\
             \tfor <good@example.org>; Sun, 22 Nov 2026 10:00:00 +0000\n"
        )
    };
    let address = client.address();
    let way = match through_backup {
        false => received("client.example", address, "mx1.example.org"),
        true => {
            received("mx2.example.org", IpAddr::from([198, 51, 100, 20]), "mx1.example.org")
                + &received("client.example", address, "mx2.example.org")
        }
    };
    format!(
        "{way}From: sender@client.example\nTo: good@example.org\nSubject: {client:?}\n\
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
    let rules = document::text("spamassassin") + &document::text("spamassassin-relays");
    scratch.write("etc/eximrbl.cf", rules);
    scratch.write("etc/test.cf", TEST_RULES);
    let mut command = site.host.command("spamassassin");
    command.args(["-t", "-x"]).arg("--siteconfigpath").arg(&configuration);
    command.env("HOME", scratch.path());
    let ways = [false, true];
    for (client, way) in CLIENTS.into_iter().flat_map(|client| ways.map(|way| (client, way))) {
        command.arg(scratch.write(&format!("{client:?}-{way}"), message(client, way)));
    }
    let text = run(&mut command).replace("\n\t", " ");
    let statuses: Vec<&str> =
        text.lines().filter(|line| line.starts_with("X-Spam-Status: ")).collect();
    assert_eq!(statuses.len(), CLIENTS.len() * ways.len(), "{text}");
    let clients = CLIENTS.into_iter().flat_map(|client| [client; 2]);
    for (client, status) in clients.zip(statuses) {
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
