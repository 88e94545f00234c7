//! The site of the scenario: a primary MX with the list beside it, and a backup MX.

use std::net::{IpAddr, SocketAddr};

use crate::harness::{
    Clock, Daemon, Dig, Exim, EximConfiguration, Host, Lan, Reply, Unbound, ZONE, dig, library,
    query_name, tool_text, wait_until,
};

/// What the list's TXT answers start with; the backup shows it to whom it refuses.
pub(crate) const TEXT: &str = "rejected by mx1.example.org";

/// The backup's ACL that refuses listed clients before they say a word.
pub(crate) const REFUSE_AT_CONNECT: &str = "\
  deny message = blacklisted at $dnslist_domain: $dnslist_text
       log_message = blacklisted at $dnslist_domain
       dnslists = rbl.example.org=127.0.0.2
  accept
";

/// The primary's ACL that records whom it rejects.
const RECORD_AT_RCPT: &str = "\
  accept local_parts = +users
         domains = +local_domains
  deny message = no such user
       log_message = unknown user${if exists{LIB}{\
         ${dlfunc{LIB}{rbl_record}{$sender_host_address}{rcpt}}}}
";

/// The daemon's only zone.
fn zone() -> String {
    format!("[[zone]]\nname = \"{ZONE}\"\ntxt = \"{TEXT} {{count}} times\"\n")
}

/// What differs from test to test.
pub(crate) struct Plan<'a> {
    /// Lines of the daemon's `[policy]` section.
    pub(crate) policy: &'a str,
    /// The backup's connect ACL.
    pub(crate) backup_connect: &'a str,
    /// The backup's DATA ACL.
    pub(crate) backup_data: &'a str,
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            policy: "never = [\"198.51.100.20\", \"2001:db8:51::14\"]",
            backup_connect: REFUSE_AT_CONNECT,
            backup_data: "  accept\n",
        }
    }
}

/// Everything that runs; the fields' order is the order in which it is taken down.
pub(crate) struct Site {
    pub(crate) backup: Exim,
    pub(crate) primary: Exim,
    pub(crate) _resolver: Unbound,
    pub(crate) daemon: Daemon,
    pub(crate) backup_host: Host,
    pub(crate) primary_host: Host,
    pub(crate) lan: Lan,
    pub(crate) clock: Clock,
}

impl Site {
    /// Starts the site; all its programs share one settable clock.
    #[track_caller]
    pub(crate) fn start(plan: &Plan<'_>) -> Self {
        let clock = Clock::new();
        let lan = Lan::new();
        let primary_host = lan.host("mx1", 10);
        let backup_host = lan.host("mx2", 20);
        let daemon = Daemon::start_with(&primary_host, plan.policy, &zone(), Some(&clock));
        let resolver = Unbound::start(&backup_host, daemon.address(), Some(&clock));
        let primary = EximConfiguration::new(&["good"])
            .macros(&format!("LIB = {}", library().display()))
            .table(&daemon.table())
            .acl("rcpt", RECORD_AT_RCPT);
        let primary = Exim::start_at(&primary_host, &primary, &clock);
        let backup = EximConfiguration::relay_to(primary_host.v4)
            .acl("connect", plan.backup_connect)
            .acl("rcpt", "  accept domains = +local_domains\n")
            .acl("data", plan.backup_data);
        let backup = Exim::start_at(&backup_host, &backup, &clock);
        Self { backup, primary, _resolver: resolver, daemon, backup_host, primary_host, lan, clock }
    }

    /// The client 203.0.113.`number`.
    pub(crate) fn client(&self, number: u8) -> IpAddr {
        self.lan.client(number)
    }

    /// Lets `client` try so many unknown recipients at the primary, in one session.
    #[track_caller]
    pub(crate) fn reject(&self, client: IpAddr, times: usize) {
        let recipients: Vec<_> = (0..times).map(|n| format!("no{n}@example.org")).collect();
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        let replies = self.primary.mail(&self.lan, client, &recipients);
        assert_eq!(replies.len(), times);
        for reply in replies {
            assert_eq!((reply.code, reply.text().as_str()), (550, "no such user"));
        }
    }

    /// What the backup says to `client` when it connects.
    #[track_caller]
    pub(crate) fn backup_greets(&self, client: IpAddr) -> Reply {
        let mut smtp = self.backup.dial(&self.lan, client);
        let greeting = smtp.reply();
        smtp.quit();
        greeting
    }

    /// What the backup says when there is no cached answer any more that is older than its TTL
    /// allows; `ahead` is where the clock stands afterwards.
    #[track_caller]
    pub(crate) fn backup_greets_at(&self, client: IpAddr, ahead: u32) -> Reply {
        self.clock.set_ahead(ahead);
        self.backup_greets(client)
    }

    /// Asks the daemon itself.
    #[track_caller]
    pub(crate) fn ask(&self, client: IpAddr, kind: &str) -> Dig {
        dig(&self.primary_host, self.daemon.address(), &query_name(client, ZONE), kind)
    }

    /// Asks by way of the backup's resolver.
    #[track_caller]
    pub(crate) fn ask_resolver(&self, client: IpAddr, kind: &str) -> Dig {
        let resolver = SocketAddr::from(([127, 0, 0, 1], 53));
        dig(&self.backup_host, resolver, &query_name(client, ZONE), kind)
    }

    /// True when the daemon lists the client now.
    #[track_caller]
    pub(crate) fn is_listed(&self, client: IpAddr) -> bool {
        let answer = self.ask(client, "A");
        match answer.status.as_str() {
            "NOERROR" if answer.data("A") == ["127.0.0.2"] => true,
            "NXDOMAIN" | "NOERROR" if answer.answer.is_empty() => false,
            _ => panic!("neither listed nor not:\n{}", answer.text),
        }
    }

    /// Gives the daemon a policy of this one line and waits until it is in force.
    #[track_caller]
    pub(crate) fn reload_policy(&self, line: &str) {
        self.daemon.reload(line, &zone());
        wait_until("the new policy is in force", || self.tool("policy").contains(line));
    }

    /// Runs the tool on the table, under the machine's own time.
    #[track_caller]
    pub(crate) fn tool(&self, arguments: &str) -> String {
        tool_text(&self.daemon.table(), arguments)
    }
}
