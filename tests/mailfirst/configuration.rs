//! One configuration of Exim, with eximrbl's calls and without them.
//!
//! The text has marks such as `@listed@` where a call stands. A [`Way`] puts the calls there; for
//! the comparison nothing stands in their places, which is what a postmaster without eximrbl has.

use crate::harness::checkout_text;

/// The library, as Debian installs it.
pub const LIBRARY: &str = "/usr/lib/exim4/eximrbl.so";

/// How Exim calls the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all.
    Plain,
    /// By the functions of `examples/exim/eximrbl.acls`, which let a failure pass unseen.
    Functions,
    /// Directly, in `condition`, `set` and `message`, where everything but `OK` and a good answer
    /// has consequences for the client.
    Direct,
    /// The same, with library and table opened by Exim's daemon.
    Preloaded,
}

impl Way {
    /// The configuration for sessions that are refused at every stage.
    pub fn text(self) -> String {
        self.with_calls(STAGES)
    }

    /// The configuration for many sessions.
    pub fn text_for_load(self) -> String {
        self.with_calls(LOAD)
    }

    /// Puts the calls in. The section of ACLs must be the last, for the functions are ACLs.
    fn with_calls(self, stages: &str) -> String {
        let preload = if self == Self::Preloaded { call("rbl_preload", "") } else { String::new() };
        let mut text = MAIN.replace("@preload@", &preload) + stages;
        if self == Self::Functions {
            text.insert_str(0, &format!("EXIMRBL_SO = {LIBRARY}\n"));
            text += &checkout_text("examples/exim/eximrbl.acls");
        }
        CALLS.iter().fold(text, |text, (mark, plain, function, arguments)| {
            let instead = match self {
                Self::Plain => (*plain).to_owned(),
                Self::Functions => format!("${{acl{{{function}}}{arguments}}}"),
                Self::Direct | Self::Preloaded => {
                    call(function, &format!("{{$sender_host_address}}{arguments}"))
                }
            };
            text.replace(mark, &instead)
        })
    }
}

/// A direct call.
fn call(function: &str, arguments: &str) -> String {
    format!("${{dlfunc{{{LIBRARY}}}{{{function}}}{arguments}}}")
}

/// Each mark, what is there without eximrbl, the function that is called, and its arguments
/// after the address.
const CALLS: [(&str, &str, &str, &str); 12] = [
    ("@listed@", "no", "rbl_listed", ""),
    ("@lookup@", "", "rbl_lookup", ""),
    ("@forgive@", "", "rbl_forgive", ""),
    ("@allow@", "", "rbl_allow", "{60}"),
    ("@record-connect@", "", "rbl_record", "{connect}"),
    ("@record-helo@", "", "rbl_record", "{helo}"),
    ("@record-mail@", "", "rbl_record", "{mail}{2}"),
    ("@record-rcpt@", "", "rbl_record", "{rcpt}"),
    ("@record-virus@", "", "rbl_record", "{virus}{5}"),
    ("@record-data@", "", "rbl_record", "{data}"),
    ("@record-auth@", "", "rbl_record", "{auth}"),
    ("@record-notquit@", "", "rbl_record", "{$smtp_notquit_reason}"),
];

/// Mail is taken in and stays in the queue, so that the main log has one order of lines.
const MAIN: &str = r#"primary_hostname = mx.example.org
keep_environment = ^FAKETIME
host_lookup =
helo_lookup_domains =
rfc1413_hosts =
tls_advertise_hosts =
# Not a constant name, so that no key is made at each start of the daemon; nobody is offered TLS.
tls_certificate = /nowhere/$primary_hostname
pipelining_connect_advertise_hosts =
queue_only = true
write_rejectlog = true
log_selector = +pid +smtp_connection +smtp_protocol_error
smtp_banner = $primary_hostname ESMTP $pid
smtp_accept_max = 400
smtp_accept_max_per_host = @preload@0
smtp_connect_backlog = 250
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
smtp_receive_timeout = 10m
smtp_max_unknown_commands = 1
domainlist local_domains = example.org

"#;

/// A rejection at every stage, and answers that decide.
const STAGES: &str = r#"acl_smtp_connect = acl_connect
acl_smtp_helo = wrap_helo
acl_smtp_auth = acl_auth
acl_smtp_mail = acl_mail
acl_smtp_rcpt = wrap_rcpt
acl_smtp_data = wrap_data
acl_smtp_notquit = acl_notquit

begin routers
mailbox:
  driver = accept
  domains = +local_domains
  local_parts = good : postmaster
  transport = mailbox

begin transports
mailbox:
  driver = appendfile
  file = /dev/null
  user = Debian-exim

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_set_id = $auth2
  server_condition = ${if eq{$auth2/$auth3}{user/pass}{yes}{@record-auth@no}}

begin acl
acl_connect:
  warn
    set acl_c_rbl = @lookup@
  deny
    condition = ${if eq{@listed@}{yes}}
    message = you are listed
  deny
    hosts = 203.0.113.66
    message = @record-connect@not at connect
  accept

wrap_helo:
  accept
    endpass
    message = @record-helo@
    acl = acl_helo

acl_helo:
  deny
    condition = ${if eq{$sender_helo_name}{badhelo}}
    message = not at helo
  accept

acl_auth:
  accept

acl_mail:
  warn
    authenticated = *
    set acl_c_forgiven = @forgive@
    set acl_c_allowed = @allow@
  warn
    set acl_m_rbl = @lookup@
  # What was known before this connection: its own rejections may count for any weight, if a
  # damaged policy says so.
  deny
    condition = ${if >={${extract{count}{$acl_c_rbl}{$value}{0}}}{1}}
    message = refused ${extract{count}{$acl_c_rbl}} times
  deny
    senders = bad@client.example
    message = not at mail
    log_message = @record-mail@not this sender
  accept

wrap_rcpt:
  accept
    endpass
    message = @record-rcpt@
    acl = acl_rcpt

acl_rcpt:
  drop
    local_parts = drop
    message = go away
  deny
    local_parts = multi
    message = first line\nsecond line
    log_message = two lines
  deny
    local_parts = code
    message = 553 5.1.3 a code of its own
  deny
    local_parts = direct
    set acl_m_call = @record-rcpt@
    condition = ${if eq{@record-rcpt@}{}{yes}{no}}
    message = called twice
  defer
    local_parts = later
    message = try later
  discard
    local_parts = discard
  require
    message = unknown here
    verify = recipient
  accept

wrap_data:
  accept
    endpass
    message = @record-data@
    acl = acl_data

acl_data:
  deny
    condition = ${if match{$message_body}{virus}}
    condition = ${if eq{@record-virus@}{}{yes}{no}}
    message = a virus
    log_message = virus in the body
  accept

acl_notquit:
  warn
    set acl_c_end = @record-notquit@
  accept

"#;

/// For many sessions: refusals say what the library knew of the client when it came.
const LOAD: &str = r#"acl_smtp_connect = acl_connect
acl_smtp_rcpt = acl_rcpt

begin routers
mailbox:
  driver = accept
  transport = mailbox

begin transports
mailbox:
  driver = appendfile
  file = /dev/null
  user = Debian-exim

begin acl
acl_connect:
  warn
    set acl_c_listed = @listed@
    set acl_c_count = ${extract{count}{@lookup@}{$value}{0}}
  accept

acl_rcpt:
  accept
    local_parts = good
    domains = +local_domains
  deny
    message = no such user here (listed: $acl_c_listed, count: $acl_c_count)
    log_message = @record-rcpt@no such user

"#;
