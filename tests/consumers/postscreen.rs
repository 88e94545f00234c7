//! Postfix's postscreen, which weighs lists.

use crate::document;
use crate::postfix::{Postfix, reply_to_recipient};
use crate::site::{CLIENTS, Client, Site};

/// The service on port 25.
const SERVICE: &str = "smtp      inet  n       -       n       -       1       postscreen\n";

/// A client's rank by the document's weights.
fn rank(client: Client) -> i32 {
    let listed = if client.has(2) || client.has(4) { 2 } else { 0 };
    listed + i32::from(client.has(4)) - if client.is_white() { 4 } else { 0 }
}

/// The document's weights, and perhaps those of another list, against every client.
fn weigh(more: &str, rank: fn(Client) -> i32) {
    let site = Site::new();
    let text = document::text("postscreen");
    let first = "    wl.example.org=127.0.0.2*-4\n";
    assert!(text.contains(first));
    let text = text.replace(first, &format!("{first}{more}"));
    let postfix = Postfix::start(&site, SERVICE, &text);
    for (client, mut smtp) in postfix.dial(&site, &CLIENTS) {
        let address = client.address();
        let reply = reply_to_recipient(&mut smtp);
        let rank = rank(client);
        if rank >= 2 {
            let refusal =
                format!("550 5.7.1 Service unavailable; client [{address}] blocked using ");
            assert!(reply.starts_with(&refusal), "{client:?}: {reply}");
            postfix.wait_for_log(&[&format!("DNSBL rank {rank} for [{address}]:")]);
        } else {
            assert!(reply.starts_with("250 2.1.5 Ok"), "{client:?}: {reply}");
            postfix.wait_for_log(&[&format!("PASS NEW [{address}]:")]);
            assert!(!postfix.log().contains(&format!("for [{address}]:")), "{}", postfix.log());
        }
        smtp.quit();
    }
}

#[test]
fn the_documents_weights() {
    weigh("", rank);
}

#[test]
fn the_whitelist_outweighs_another_list() {
    // All IPv4 clients are on the other list: the unlisted are refused for it, the white are not.
    weigh("    other.example.net*3\n", |client| {
        rank(client) + if client.address().is_ipv4() { 3 } else { 0 }
    });
}
