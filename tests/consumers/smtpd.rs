//! Postfix without postscreen.

use crate::document;
use crate::postfix::{Postfix, reply_to_recipient};
use crate::site::{CLIENTS, Site};

/// The service on port 25.
const SERVICE: &str = "smtp      inet  n       -       n       -       -       smtpd\n";

#[test]
fn the_documents_restrictions() {
    let site = Site::new();
    // The other list has all IPv4 clients: who is permitted as white does not come so far.
    let main = document::text("smtpd") + "    reject_rbl_client other.example.net\n";
    let postfix = Postfix::start(&site, SERVICE, &main);
    for (client, mut smtp) in postfix.dial(&site, &CLIENTS) {
        let address = client.address();
        let reply = reply_to_recipient(&mut smtp);
        let list = match client {
            _ if client.is_white() => None,
            _ if client.has(2) || client.has(4) => Some("rbl.example.org"),
            _ if address.is_ipv4() => Some("other.example.net"),
            _ => None,
        };
        match list {
            Some(list) => {
                let refusal = format!(
                    "554 5.7.1 Service unavailable; Client host [{address}] blocked using {list}; \
                     {address} is listed in {list}: rejections "
                );
                assert!(reply.starts_with(&refusal), "{client:?}: {reply}");
            }
            None => assert!(reply.starts_with("250 2.1.5 Ok"), "{client:?}: {reply}"),
        }
        smtp.quit();
    }
}
