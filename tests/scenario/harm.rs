//! How a list of one's own rejections could do harm, and what prevents it.

use crate::harness::wait_until;
use crate::mail_site::{Plan, Site};

/// Lets a stranger send mail for an unknown user through the backup; waits for the rejection.
fn relay_unknown_user(site: &Site) {
    let replies = site.backup.mail(&site.lan, site.client(1), &["unknown@example.org"]);
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [250, 250]);
    let line = site.primary.wait_for_log("rejected RCPT <unknown@example.org>");
    assert!(line.contains(&format!("[{}]", site.backup_host.v4)), "{line}");
}

#[test]
fn a_backup_on_the_never_list_is_not_listed_for_what_it_relays() {
    let site = Site::start(&Plan::default());
    relay_unknown_user(&site);
    let backup = site.backup_host.v4.into();
    assert!(!site.is_listed(backup));
    // Nor by hand, nor its sender, whom the primary never met.
    assert!(!site.is_listed(site.client(1)));
    assert!(!site.tool("list --all").contains(&backup.to_string()));
}

/// The test above would prove nothing if relaying never listed anybody.
#[test]
fn a_backup_missing_from_the_never_list_is_listed_for_what_it_relays() {
    let site = Site::start(&Plan { policy: "", ..Plan::default() });
    relay_unknown_user(&site);
    assert!(site.is_listed(site.backup_host.v4.into()));
}

/// A sender who mistypes one address, and then writes to a good one by way of the backup.
#[test]
fn a_single_wrong_recipient_shuts_a_sender_out_without_a_threshold() {
    let site = Site::start(&Plan::default());
    site.reject(site.client(1), 1);
    assert_eq!(site.backup_greets(site.client(1)).code, 550);
}

#[test]
fn a_threshold_forgives_a_single_wrong_recipient() {
    let site = Site::start(&Plan { policy: "threshold = 2", ..Plan::default() });
    let (sender, spammer) = (site.client(1), site.client(2));
    site.reject(sender, 1);
    site.reject(spammer, 2);
    let replies = site.backup.mail(&site.lan, sender, &["good@example.org"]);
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [250, 250]);
    site.primary.wait_for_mail("good", &format!("[{sender}]"));
    assert_eq!(site.backup_greets(spammer).code, 550);
}

#[test]
fn warn_mode_marks_the_mail_of_listed_senders_and_passes_it_on() {
    let site = Site::start(&Plan {
        backup_connect: "  accept\n",
        // First the copies of the header that a sender may have put there.
        backup_data: "\
  warn remove_header = X-RBL
  warn dnslists = rbl.example.org
       add_header = X-RBL: $sender_host_address listed at $dnslist_domain ($dnslist_value)
  accept
",
        ..Plan::default()
    });
    let (listed, stranger) = (site.client(1), site.client(2));
    site.reject(listed, 1);
    for (client, subject) in [(listed, "from-listed"), (stranger, "from-stranger")] {
        let mut smtp = site.backup.dial(&site.lan, client);
        smtp.hello();
        smtp.command("MAIL FROM:<sender@client.example>");
        smtp.command("RCPT TO:<good@example.org>");
        let forged = format!("X-RBL: forged by the sender\nSubject: {subject}\n\nText.\n");
        assert_eq!(smtp.data(&forged).code, 250, "{}", smtp.transcript());
        smtp.quit();
        site.primary.wait_for_mail("good", subject);
    }
    let mailbox = || site.primary.mailbox("good");
    wait_until("both messages are whole", || mailbox().matches("\nText.\n").count() == 2);
    let mailbox = mailbox();
    let marks: Vec<_> = mailbox.lines().filter(|line| line.starts_with("X-RBL:")).collect();
    assert_eq!(marks, [format!("X-RBL: {listed} listed at rbl.example.org (127.0.0.2)")]);
}
