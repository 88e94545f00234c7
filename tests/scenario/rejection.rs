//! From a rejection at the primary to a refusal at the backup.

use std::net::IpAddr;
use std::time::Instant;

use crate::harness::{ZONE, dig, wait_until};
use crate::mail_site::{Plan, Site, TEXT};

#[test]
fn backup_refuses_at_connect_whom_the_primary_rejected() {
    let site = Site::start(&Plan::default());
    let client = site.client(7);
    assert!(!site.is_listed(client));
    site.reject(client, 1);
    // No waiting: once the client has its 550, DNS has the listing.
    assert!(site.is_listed(client));
    let text = format!("{TEXT} 1 times");
    assert_eq!(site.ask(client, "TXT").data("TXT"), [format!("\"{text}\"")]);

    let refusal = site.backup_greets(client);
    assert_eq!(refusal.code, 550);
    assert_eq!(refusal.text(), format!("blacklisted at {ZONE}: {text}"));
    let line = site.backup.wait_for_log("rejected connection");
    let expected =
        format!("H=[{client}] rejected connection in \"connect\" ACL: blacklisted at {ZONE}");
    assert!(line.ends_with(&expected), "{line}");
    // Exim writes it there after the main log.
    wait_until("the reject log has it", || site.backup.reject_log().contains(&expected));
    assert_eq!(site.primary.panic_log() + &site.backup.panic_log(), "");
}

#[test]
fn one_rejection_lists_for_base_ttl_and_ten_for_ten_times_that() {
    let site = Site::start(&Plan::default());
    let (once, ten_times) = (site.client(1), site.client(10));
    site.reject(once, 1);
    site.reject(ten_times, 10);
    // The edges are 60 s (the floor) before 600 s and 6000 s; 90 s are left to a slow machine.
    for (ahead, listed) in [
        (0, (true, true)),
        (450, (true, true)),
        (541, (false, true)),
        (5_850, (false, true)),
        (5_941, (false, false)),
    ] {
        site.clock.set_ahead(ahead);
        assert_eq!((site.is_listed(once), site.is_listed(ten_times)), listed, "after {ahead} s");
    }
}

#[test]
fn positive_answers_live_no_longer_than_the_listing() {
    let site = Site::start(&Plan::default());
    let client = site.client(1);
    let begun = Instant::now();
    site.reject(client, 1);
    let ttl = |ahead| {
        site.clock.set_ahead(ahead);
        site.ask(client, "A").answer[0].0
    };
    assert_eq!(ttl(0), 300);
    let late = ttl(400);
    let passed = begun.elapsed().as_secs() as u32 + 1;
    let left = 200_u32.saturating_sub(passed)..=200;
    assert!(left.contains(&late), "{late} s for a listing with {left:?} s left");
}

#[test]
fn backup_accepts_whom_nobody_rejected_and_remembers_it_for_a_minute() {
    let site = Site::start(&Plan::default());
    let (stranger, spammer) = (site.client(1), site.client(2));
    site.reject(spammer, 1);
    for answer in [site.ask(stranger, "A"), site.ask_resolver(stranger, "A")] {
        assert_eq!(answer.status, "NXDOMAIN", "{}", answer.text);
        let [(ttl, kind, data)] = answer.authority.as_slice() else { panic!("{}", answer.text) };
        assert_eq!((*ttl, kind.as_str()), (60, "SOA"), "{}", answer.text);
        assert!(data.ends_with(" 60"), "the SOA's MINIMUM: {}", answer.text);
    }
    let replies = site.backup.mail(&site.lan, stranger, &["good@example.org"]);
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [250, 250]);
    site.primary.wait_for_mail("good", &format!("[{stranger}]"));
    // The resolver asks again, so that the minute begins here.
    site.clock.set_ahead(61);
    assert_eq!(site.ask_resolver(stranger, "A").status, "NXDOMAIN");
    // The stranger turns bad. The resolver may say "not listed" for a minute more, then no longer.
    site.reject(stranger, 1);
    assert_eq!(site.backup_greets_at(stranger, 61).code, 220);
    assert_eq!(site.backup_greets_at(stranger, 61 + 61).code, 550);
}

#[test]
fn an_ipv6_client_is_refused_from_its_whole_64() {
    let site = Site::start(&Plan::default());
    let (client, neighbour, stranger) =
        (site.lan.client_v6(1, 7), site.lan.client_v6(1, 8), site.lan.client_v6(2, 7));
    site.reject(client, 1);
    for (address, code) in [(client, 550), (neighbour, 550), (stranger, 220)] {
        assert_eq!(site.backup_greets(address).code, code, "{address}");
    }
}

#[test]
fn names_above_a_listed_address_hide_nothing_from_a_strict_resolver() {
    let site = Site::start(&Plan::default());
    let resolver = std::net::SocketAddr::from(([127, 0, 0, 1], 53));
    for part in ["203", "0.203", "113.0.203"] {
        let answer = dig(&site.backup_host, resolver, &format!("{part}.{ZONE}"), "A");
        assert_eq!(
            (answer.status.as_str(), answer.answer.len()),
            ("NOERROR", 0),
            "{}",
            answer.text
        );
    }
    site.reject(site.client(7), 1);
    assert_eq!(site.ask_resolver(site.client(7), "A").data("A"), ["127.0.0.2"]);
}

#[test]
fn test_points_of_rfc_5782_are_answered_through_the_resolver() {
    let site = Site::start(&Plan::default());
    let ask = |address: &str| site.ask_resolver(address.parse::<IpAddr>().unwrap(), "A");
    for (address, status) in [
        ("127.0.0.2", "NOERROR"),
        ("::ffff:127.0.0.2", "NOERROR"),
        ("127.0.0.1", "NXDOMAIN"),
        ("::ffff:127.0.0.1", "NXDOMAIN"),
    ] {
        let answer = ask(address);
        assert_eq!(answer.status, status, "{address}: {}", answer.text);
        assert_eq!(answer.data("A").len(), usize::from(status == "NOERROR"), "{address}");
    }
}

#[test]
fn rejections_in_many_sessions_at_once_all_count() {
    let site = Site::start(&Plan::default());
    let client = site.client(7);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| site.reject(client, 5));
        }
    });
    assert_eq!(site.ask(client, "TXT").data("TXT"), [format!("\"{TEXT} 60 times\"")]);
    assert_eq!(site.primary.main_log().matches("rejected RCPT").count(), 60);
}

#[test]
fn a_reloaded_policy_rules_the_next_rejection() {
    let site = Site::start(&Plan::default());
    let (before, after) = (site.client(1), site.client(2));
    site.reject(before, 1);
    site.reload_policy("base_ttl = 1200");
    site.reject(after, 1);
    for (ahead, listed) in [(450, (true, true)), (541, (false, true)), (1_141, (false, false))] {
        site.clock.set_ahead(ahead);
        assert_eq!((site.is_listed(before), site.is_listed(after)), listed, "after {ahead} s");
    }
}
