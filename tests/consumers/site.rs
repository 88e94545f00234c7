//! A list, a host that asks it, and the clients that the host sees.

use std::net::IpAddr;

use crate::document;
use crate::harness::{Daemon, Host, Lan, Unbound, query_name, run, tool_text, wait_until};

/// A client by what the list says about it. The address's last part shows it: 7 is listed without a
/// code of its own, 4 and 8 are the codes, 99 is white.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// Not listed.
    Unlisted,
    /// For `rcpt`: 127.0.0.2.
    Listed,
    /// For `auth`: 127.0.0.4.
    Auth,
    /// For both: 127.0.0.2 and 127.0.0.4.
    Both,
    /// For `virus`: 127.0.0.8.
    Virus,
    /// Recorded for `auth`, in a white network.
    White,
    /// IPv6, in a /64 in which another address was recorded for `rcpt`.
    ListedV6,
    /// IPv6, likewise for `auth`.
    AuthV6,
    /// IPv6, in the next /64.
    UnlistedV6,
    /// IPv6, recorded for `rcpt`, in a white network.
    WhiteV6,
}

use Client::{Auth, AuthV6, Both, Listed, ListedV6, Unlisted, UnlistedV6, Virus, White, WhiteV6};

/// All of them.
pub const CLIENTS: [Client; 10] =
    [Unlisted, Listed, Auth, Both, Virus, White, ListedV6, AuthV6, UnlistedV6, WhiteV6];

impl Client {
    /// The address.
    pub fn address(self) -> IpAddr {
        let text = match self {
            Unlisted => "203.0.113.1",
            Listed => "203.0.113.7",
            Auth => "203.0.113.4",
            Both => "203.0.113.74",
            Virus => "203.0.113.8",
            White => "203.0.113.99",
            ListedV6 => "2001:db8:c:7::1",
            AuthV6 => "2001:db8:c:4::1",
            UnlistedV6 => "2001:db8:c:5::1",
            WhiteV6 => "2001:db8:c:99::1",
        };
        text.parse().unwrap()
    }

    /// The list's answers, ascending; none for who is not listed.
    pub fn codes(self) -> &'static [&'static str] {
        match self {
            Unlisted | UnlistedV6 | White | WhiteV6 => &[],
            Listed | ListedV6 => &["127.0.0.2"],
            Auth | AuthV6 => &["127.0.0.4"],
            Both => &["127.0.0.2", "127.0.0.4"],
            Virus => &["127.0.0.8"],
        }
    }

    /// Whether it is white.
    pub fn is_white(self) -> bool {
        matches!(self, White | WhiteV6)
    }

    /// Whether it has this answer.
    pub fn has(self, code: u8) -> bool {
        self.codes().contains(&format!("127.0.0.{code}").as_str())
    }
}

/// What was done to the table.
const CHANGES: [&str; 11] = [
    "black 203.0.113.7 rcpt",
    "black 203.0.113.4 auth",
    "black 203.0.113.74 rcpt",
    "black 203.0.113.74 auth",
    "black 203.0.113.8 virus",
    // White networks, and listings in them.
    "black 203.0.113.99 auth",
    "white 203.0.113.96/28",
    "black 2001:db8:c:99::1 rcpt",
    "white 2001:db8:c:90::/60",
    // Other addresses of the same /64 each.
    "black 2001:db8:c:7:ffff::1 rcpt",
    "black 2001:db8:c:4::2 auth",
];

/// The stage; the fields' order is the order in which it is taken down.
#[derive(Debug)]
pub struct Site {
    _resolver: Unbound,
    _daemon: Daemon,
    _other: Daemon,
    /// Where the consumer runs.
    pub host: Host,
    _list_host: Host,
    _other_host: Host,
    /// Where the clients are.
    pub lan: Lan,
}

impl Site {
    /// A list as in the document; and another one, `other.example.net`, that has all IPv4 clients.
    /// What is asked about `away.example.net` is refused, which the resolver tells as SERVFAIL.
    pub fn new() -> Self {
        let lan = Lan::new();
        let list_host = lan.host("list", 53);
        let other_host = lan.host("other", 54);
        let host = lan.host("mx2", 20);
        let daemon = Daemon::start_with(&list_host, "", &document::text("zones"), None);
        for change in CHANGES {
            tool_text(&daemon.table(), change);
        }
        let zone = "[[zone]]\nname = \"other.example.net\"\n";
        let other = Daemon::start_with(&other_host, "", zone, None);
        tool_text(&other.table(), "black 203.0.113.0/24");
        let stub = |zone: &str, address: IpAddr| {
            format!("stub-zone:\n name: \"{zone}\"\n stub-addr: {address}\n")
        };
        let stubs = [
            stub("rbl.example.org", list_host.v4.into()),
            stub("wl.example.org", list_host.v4.into()),
            stub("other.example.net", other_host.v4.into()),
            stub("away.example.net", list_host.v4.into()),
        ];
        let resolver = Unbound::start_with(&host, &stubs.concat(), None);
        let site = Self {
            _resolver: resolver,
            _daemon: daemon,
            _other: other,
            host,
            _list_host: list_host,
            _other_host: other_host,
            lan,
        };
        site.fill_cache();
        site
    }

    /// Asks the resolver about every client. From now on it has the answers, and no consumer
    /// decides before they come.
    fn fill_cache(&self) {
        let zones = ["rbl.example.org", "wl.example.org", "other.example.net"];
        let names = CLIENTS.map(|client| zones.map(|zone| query_name(client.address(), zone)));
        // On a busy machine an answer can be too late for the resolver.
        wait_until("the resolver can answer everything", || {
            let mut command = self.host.command("dig");
            command.args(["@127.0.0.1", "+timeout=20"]);
            !run(command.args(names.as_flattened())).contains("SERVFAIL")
        });
    }
}
