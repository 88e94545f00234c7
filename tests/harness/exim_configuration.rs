//! Complete Exim configurations around the part that a test is about.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

/// The parts of a configuration file, in the order in which Exim wants them.
///
/// What is not said takes a value that keeps Exim to itself: no DNS for the peer's name, no TLS,
/// no ident, mail delivered into files.
#[derive(Clone, Debug, Default)]
pub struct EximConfiguration {
    macros: String,
    main: String,
    acls: String,
    routers: String,
    transports: String,
    authenticators: String,
    users: Vec<String>,
}

impl EximConfiguration {
    /// A server for the domain `example.org` with a mailbox for each of `users`, no ACLs yet.
    ///
    /// Without ACLs Exim refuses every recipient; see [`Self::acl`].
    pub fn new(users: &[&str]) -> Self {
        Self { users: users.iter().map(|user| (*user).to_owned()).collect(), ..Self::default() }
    }

    /// A server without mailboxes that sends everything to the server at `target`, port 25.
    pub fn relay_to(target: Ipv4Addr) -> Self {
        let mut configuration = Self::default();
        let _ = write!(
            configuration.routers,
            "relay:\n  driver = manualroute\n  domains = example.org\n  transport = onward\n  \
             route_list = * {target} byname\n  self = send\n  no_more\n"
        );
        configuration
    }

    /// Adds lines before everything else, such as macro definitions.
    pub fn macros(mut self, lines: &str) -> Self {
        add(&mut self.macros, lines);
        self
    }

    /// Adds main options.
    pub fn main(mut self, lines: &str) -> Self {
        add(&mut self.main, lines);
        self
    }

    /// Gives Exim the environment variable that names the table.
    pub fn table(self, path: &Path) -> Self {
        self.main(&format!("add_environment = EXIMRBL_TABLE={}", path.display()))
    }

    /// Sets `acl_smtp_STAGE` (`connect`, `rcpt` …) to an ACL with these statements.
    pub fn acl(self, stage: &str, statements: &str) -> Self {
        self.main(&format!("acl_smtp_{stage} = acl_check_{stage}"))
            .acl_text(&format!("acl_check_{stage}:\n{statements}"))
    }

    /// Adds text to the section of ACLs, names of ACLs included.
    pub fn acl_text(mut self, text: &str) -> Self {
        add(&mut self.acls, text);
        self
    }

    /// Adds routers before the standard ones.
    pub fn routers(mut self, text: &str) -> Self {
        add(&mut self.routers, text);
        self
    }

    /// Adds transports.
    pub fn transports(mut self, text: &str) -> Self {
        add(&mut self.transports, text);
        self
    }

    /// Adds authenticators.
    pub fn authenticators(mut self, text: &str) -> Self {
        add(&mut self.authenticators, text);
        self
    }

    /// The whole file for an Exim whose spool, logs and mailboxes are in `folder`.
    ///
    /// Mailboxes: mail to `good@example.org` is appended to `folder/mail/good`. Bounces and mail
    /// to any other domain are thrown away.
    pub fn text(&self, folder: &Path, hostname: &str) -> String {
        let Self { macros, main, acls, routers, transports, authenticators, .. } = self;
        let folder = folder.display();
        // With no user at all the list must still be a list that nobody is in.
        let users =
            if self.users.is_empty() { "nobody-at-all".to_owned() } else { self.users.join(" : ") };
        format!(
            "{macros}
primary_hostname = {hostname}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/exim.pid
log_selector = +all_parents +subject -host_lookup_failed
write_rejectlog = true
# Exim is not started from its trusted configuration file, so deliveries run without root.
deliver_drop_privilege = true
never_users =
host_lookup =
helo_lookup_domains =
rfc1413_hosts =
tls_advertise_hosts =
# What libfaketime reads at every look at the clock (see clock.rs).
keep_environment = ^FAKETIME
smtp_receive_timeout = 30s
# A test is the only peer: the pause after a reply to QUIT would only cost time.
smtp_accept_max = 200
smtp_accept_queue_per_connection = 0
queue_run_in_order = true
domainlist local_domains = example.org
localpartlist users = {users}
{main}

begin acl
{acls}

begin routers
{routers}
mailbox:
  driver = accept
  domains = +local_domains
  local_parts = +users
  transport = mailbox
elsewhere:
  driver = accept
  domains = ! +local_domains
  transport = nowhere

begin transports
{transports}
mailbox:
  driver = appendfile
  file = {folder}/mail/${{lookup{{$local_part}}dsearch{{{folder}/mail}}}}
  envelope_to_add
  user = Debian-exim
  group = Debian-exim
nowhere:
  driver = appendfile
  file = /dev/null
  user = Debian-exim
  group = Debian-exim
onward:
  driver = smtp
  hosts_try_fastopen =
  hosts_avoid_tls = *
  hosts_try_prdr =
  connect_timeout = 5s

begin retry
* * F,2h,1m

begin authenticators
{authenticators}
"
        )
    }

    /// The names that have a mailbox.
    pub fn users(&self) -> &[String] {
        &self.users
    }
}

/// Appends lines and ends them.
fn add(text: &mut String, lines: &str) {
    text.push_str(lines);
    if !lines.ends_with('\n') {
        text.push('\n');
    }
}
