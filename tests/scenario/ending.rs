//! How a listing ends: by hand, or when its life runs down. And what outlives what.

use crate::mail_site::{Plan, Site};

/// The longest time for which a resolver keeps a positive answer (`positive_ttl_max`).
const CACHED: u32 = 301;

#[test]
fn a_listing_ends_when_the_administrator_forgives() {
    let site = Site::start(&Plan::default());
    let (forgiven, other) = (site.client(1), site.client(2));
    for client in [forgiven, other] {
        site.reject(client, 10);
        assert_eq!(site.backup_greets(client).code, 550);
    }
    site.tool(&format!("forgive {forgiven}"));
    assert!(!site.is_listed(forgiven));
    assert!(site.is_listed(other));
    // The backup follows as soon as its resolver forgets.
    assert_eq!(site.backup_greets_at(forgiven, CACHED).code, 220);
    assert_eq!(site.backup_greets(other).code, 550);
    // Forgiven is not whitelisted: the next rejection lists again.
    site.reject(forgiven, 1);
    assert!(site.is_listed(forgiven));
}

#[test]
fn a_listing_ends_when_the_administrator_whitelists() {
    let site = Site::start(&Plan::default());
    let (whitelisted, other) = (site.client(1), site.client(2));
    for client in [whitelisted, other] {
        site.reject(client, 10);
        assert_eq!(site.backup_greets(client).code, 550);
    }
    site.tool(&format!("white {whitelisted} 86400"));
    assert!(!site.is_listed(whitelisted));
    assert_eq!(site.backup_greets_at(whitelisted, CACHED).code, 220);
    assert_eq!(site.backup_greets(other).code, 550);
    // White beats black: rejections do not list it any more.
    site.reject(whitelisted, 10);
    assert!(!site.is_listed(whitelisted));
}

#[test]
fn a_listing_ends_when_less_than_a_minute_is_left_and_later_starts_afresh() {
    let site = Site::start(&Plan::default());
    let client = site.client(1);
    site.reject(client, 1);
    // 540 s, less what a slow machine may need.
    site.clock.set_ahead(450);
    assert!(site.is_listed(client));
    site.clock.set_ahead(541);
    assert!(!site.is_listed(client));
    assert_eq!(site.backup_greets(client).code, 220);
    // Not 59 s and 600 s more, but 600 s: gone is gone.
    site.reject(client, 1);
    site.clock.set_ahead(541 + 450);
    assert!(site.is_listed(client));
    site.clock.set_ahead(541 + 541);
    assert!(!site.is_listed(client));
}

/// The floor ends a listing up to a minute before the TTL that was given out with it does.
#[test]
fn a_resolver_that_asked_late_forgets_when_the_life_would_have_run_out() {
    let site = Site::start(&Plan::default());
    let client = site.client(1);
    site.reject(client, 1);
    assert_eq!(site.backup_greets_at(client, 450).code, 550);
    assert_eq!(site.backup_greets_at(client, 602).code, 220);
}

#[test]
fn mail_flows_while_the_daemon_is_down_and_nothing_recorded_is_lost() {
    let mut site = Site::start(&Plan::default());
    let (before, during) = (site.client(1), site.client(2));
    site.reject(before, 1);
    let status = site.daemon.process().stop();
    assert!(status.success(), "SIGTERM is a clean stop: {status}");
    site.reject(during, 1);
    let replies = site.primary.mail(&site.lan, site.client(3), &["good@example.org"]);
    assert_eq!(replies.last().unwrap().code, 250);
    // The backup has no answer, and so lets everybody in.
    assert_eq!(site.backup_greets(before).code, 220);
    site.daemon.start_again(&site.primary_host, Some(&site.clock));
    assert!(site.is_listed(before) && site.is_listed(during));
}
