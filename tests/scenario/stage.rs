//! The stage itself, without anything of ours on it: if these fail, look here first.

use std::net::SocketAddr;

use crate::harness::{Clock, Exim, EximConfiguration, Lan, Unbound, dig, query_name};

/// A list as unbound itself can serve it, with one client on it.
const STATIC_LIST: &str = "server:\n  \
    local-zone: \"rbl.example.org.\" static\n  \
    local-data: \"7.113.0.203.rbl.example.org. 60 IN A 127.0.0.2\"\n  \
    local-data: '7.113.0.203.rbl.example.org. 60 IN TXT \"listed by hand\"'\n";

#[test]
fn exim_delivers_mail_from_chosen_clients() {
    let lan = Lan::new();
    let host = lan.host("primary", 10);
    let configuration = EximConfiguration::new(&["good"])
        .acl("rcpt", "  accept local_parts = +users\n  deny message = no such user\n");
    let exim = Exim::start(&host, &configuration);
    for client in [lan.client(7), lan.client_v6(1, 2)] {
        let replies = exim.mail(&lan, client, &["good@example.org", "bad@example.org"]);
        let codes: Vec<_> = replies.iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [250, 550, 250]);
        assert!(replies[1].says("no such user"), "{replies:?}");
        exim.wait_for_mail("good", &format!("[{client}]"));
        let line =
            exim.wait_for_log(&format!("[{client}] F=<sender@client.example> rejected RCPT"));
        assert!(line.ends_with("<bad@example.org>: no such user"), "{line}");
    }
    assert_eq!(exim.panic_log(), "");
    assert_eq!(exim.expand("${primary_hostname}"), "primary.example.org");
}

#[test]
fn exim_asks_its_own_resolver_for_a_list() {
    let lan = Lan::new();
    let host = lan.host("backup", 20);
    let _unbound = Unbound::start_with(&host, STATIC_LIST, None);
    let configuration = EximConfiguration::new(&["good"])
        .acl(
            "connect",
            "  deny dnslists = rbl.example.org\n       message = refused: $dnslist_text\n  accept\n",
        )
        .acl("rcpt", "  accept\n");
    let exim = Exim::start(&host, &configuration);
    let refused = exim.dial(&lan, lan.client(7)).reply();
    assert_eq!((refused.code, refused.text().as_str()), (550, "refused: listed by hand"));
    assert_eq!(exim.dial(&lan, lan.client(8)).hello().code, 220);

    let resolver = SocketAddr::from(([127, 0, 0, 1], 53));
    let answer = dig(&host, resolver, &query_name(lan.client(7), "rbl.example.org"), "A");
    assert_eq!(answer.status, "NOERROR", "{}", answer.text);
    assert_eq!(answer.data("A"), ["127.0.0.2"], "{}", answer.text);
}

/// An Exim whose host's name is not in `/etc/hosts` looks for it in the DNS before it starts.
#[test]
fn names_of_the_rest_of_the_world_fail_at_once() {
    let lan = Lan::new();
    let host = lan.host("backup", 20);
    let _unbound = Unbound::start_with(&host, "", None);
    let start = std::time::Instant::now();
    let answer = dig(&host, SocketAddr::from(([127, 0, 0, 1], 53)), "elsewhere.example.net", "A");
    assert_eq!(answer.status, "SERVFAIL", "{}", answer.text);
    // Where packets are lost, unbound tries for more than a minute.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn a_clock_is_set_while_exim_runs() {
    let lan = Lan::new();
    let host = lan.host("primary", 10);
    let clock = Clock::new();
    let configuration = EximConfiguration::new(&[]).acl("connect", "  deny message = $tod_epoch\n");
    let exim = Exim::start_at(&host, &configuration, &clock);
    let time = || exim.dial(&lan, lan.client(7)).reply().text().parse::<u64>().unwrap();
    let before = time();
    clock.set_ahead(3600);
    assert!((before + 3600..before + 3660).contains(&time()));
}
