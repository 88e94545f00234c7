//! The rest of a mail server around a configuration that ACL.md shows only in part.

use crate::document;

/// A complete configuration, section by section.
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// What stands before the first `begin`.
    pub main: String,
    /// What stands after `begin acl`.
    pub acl: String,
    /// What stands after `begin authenticators`.
    pub authenticators: String,
}

impl Sections {
    /// The functions of ACL.md and, after them, the blocks of these names.
    #[track_caller]
    pub fn of_blocks(ids: &[&str]) -> Self {
        let mut sections = Self::default();
        sections.add(&document::block("functions").text);
        for id in ids {
            sections.add(&document::block(id).text);
        }
        sections
    }

    /// Adds a text: `begin` lines in it say where its parts belong, as ACL.md explains.
    #[track_caller]
    pub fn add(&mut self, text: &str) {
        let mut section = &mut self.main;
        for line in text.lines() {
            match line.strip_prefix("begin ").map(str::trim) {
                None => {
                    section.push_str(line);
                    section.push('\n');
                }
                Some("acl") => section = &mut self.acl,
                Some("authenticators") => section = &mut self.authenticators,
                Some(other) => panic!("the tests know no section {other:?}"),
            }
        }
    }

    /// The whole file.
    pub fn text(&self) -> String {
        let mut main = MAIN.to_owned();
        for option in DEFAULTS {
            let name = option.split('=').next().unwrap_or(option);
            if !sets(&self.main, name.trim()) {
                main.push_str(option);
                main.push('\n');
            }
        }
        let mut acl = self.acl.clone();
        for text in ACLS.split("\n\n") {
            let name = text.trim_start().lines().next().unwrap_or("");
            if !self.acl.lines().any(|line| line == name) {
                acl.push_str(text);
                acl.push('\n');
            }
        }
        let authenticators =
            if self.authenticators.is_empty() { AUTHENTICATORS } else { &self.authenticators };
        format!(
            "{main}\n{}\nbegin acl\n{acl}\n{DELIVERY}\nbegin authenticators\n{authenticators}",
            self.main
        )
    }
}

/// Whether a main section has this option.
fn sets(main: &str, option: &str) -> bool {
    main.lines().any(|line| line.split('=').next().is_some_and(|name| name.trim() == option))
}

/// Early pipelining is off because Exim looks for broken synchronization hardly at all with it.
const MAIN: &str = "\
primary_hostname = mx.example.org
host_lookup =
rfc1413_hosts =
smtp_accept_max = 200
pipelining_connect_advertise_hosts =
domainlist local_domains = example.org
domainlist relay_to_domains = example.org
hostlist relay_from_hosts = 198.51.100.99
";

/// Set unless the block does it.
const DEFAULTS: [&str; 3] =
    ["keep_environment =", "tls_advertise_hosts =", "acl_smtp_rcpt = acl_check_rcpt"];

/// ACLs that a block may call without showing them: \"your ACL\". Each refuses something.
const ACLS: &str = "
acl_check_connect:
  deny
    hosts   = 203.0.113.66
    message = not at connect
  accept

acl_check_helo:
  deny
    condition = ${if eq{$sender_helo_name}{badhelo}}
    message   = not at helo
  accept

acl_check_starttls:
  deny
    message = not at starttls

acl_check_auth:
  deny
    condition = ${if eq{$smtp_command_argument}{CRAM-MD5}}
    message   = not at auth
  accept

acl_check_mail:
  deny
    senders = bad@client.example
    message = not at mail
  accept

acl_check_rcpt:
  drop
    local_parts = drop
    message     = go away
  deny
    local_parts = multi
    message     = first line\\nsecond line
    log_message = two lines
  deny
    local_parts = code
    message     = 553 5.1.3 a code of its own
  defer
    local_parts = later
    message     = try later
  discard
    local_parts = discard
  deny
    local_parts = verify
    !verify     = recipient
  require
    message     = unknown here
    verify      = recipient
  accept
    !local_parts = implicit

acl_check_predata:
  deny
    senders = predata@client.example
    message = not at predata
  accept

acl_check_mime:
  deny
    condition = ${if eq{$mime_content_type}{application/x-bad}}
    message   = not at mime
  accept

acl_check_data:
  deny
    condition = ${if match{$message_body}{virus}}
    message   = a virus
    log_message = virus in the body
  accept

acl_check_etrn:
  deny
    message = not at etrn
";

const AUTHENTICATORS: &str = "\
plain_frame:
  driver           = plaintext
  public_name      = PLAIN
  server_prompts   = :
  server_set_id    = $auth2
  server_condition = ${if eq{$auth2/$auth3}{user/pass}}
cram_frame:
  driver           = cram_md5
  public_name      = CRAM-MD5
  server_secret    = ${if eq{$auth1}{user}{pass}fail}
  server_set_id    = $auth1
";

/// Mail to these names is appended to one file; there are no others.
const DELIVERY: &str = "\
begin routers
mailbox:
  driver      = accept
  domains     = +local_domains
  local_parts = good : full : postmaster : implicit
  transport   = mailbox

begin transports
mailbox:
  driver = appendfile
  file   = /var/spool/exim4/mailbox
  user   = Debian-exim

begin retry
* * F,2h,1m
";
