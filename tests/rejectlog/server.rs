//! An Exim that rejects for every reason that there is.

use std::path::{Path, PathBuf};

use crate::harness::{EximCommand, EximConfiguration, Host, Process, listens};

/// An Exim of any make, listening on port 25.
#[derive(Debug)]
pub struct Server {
    _process: Process,
    command: EximCommand,
}

impl Server {
    /// Starts `binary` with these further main options.
    #[track_caller]
    pub fn start(binary: &Path, host: &Host, more: &str) -> Self {
        let text = configuration(more).text(Path::new("FOLDER"), "mx.example.org");
        // The harness's own settings, which Exim takes once only.
        let text = text.replace("\ntls_advertise_hosts =\n", "\n");
        let own = "\nlog_selector = +all_parents +subject -host_lookup_failed\n";
        assert!(text.contains(own));
        let text = if more.contains("log_selector") { text.replace(own, "\n") } else { text };
        let command = EximCommand::with_text(&text);
        let mut line = host.command(binary);
        line.arg("-C").arg(command.configuration()).args(["-bdf", "-oX", "25"]);
        let mut process = Process::start("exim", line, command.folder().join("exim.out"));
        process.wait_until_ready(|_| listens(host, 25));
        Self { _process: process, command }
    }

    /// The log that it writes.
    pub fn log(&self) -> PathBuf {
        self.command.folder().join("log/rejectlog")
    }

    /// What is in it so far.
    pub fn log_text(&self) -> String {
        self.command.reject_log()
    }
}

/// Every ACL refuses those who ask for it, by a word in what they say or by their address.
fn configuration(more: &str) -> EximConfiguration {
    EximConfiguration::new(&["good"])
        .main(
            "host_reject_connection = 203.0.113.2\n\
             helo_verify_hosts = 203.0.113.3\n\
             tls_advertise_hosts = 203.0.113.15\n\
             message_size_limit = 10K\n\
             smtp_max_unknown_commands = 3\n\
             pipelining_connect_advertise_hosts =\n\
             smtp_accept_max_per_connection = 2",
        )
        .main(more)
        .acl("connect", "  deny hosts = 203.0.113.1\n    message = not you\n  accept\n")
        .acl("helo", "  deny condition = ${if eq{$sender_helo_name}{bad.example}}\n  accept\n")
        .acl("mail", "  deny senders = bad@example.net\n    message = not from there\n  accept\n")
        .acl(
            "rcpt",
            "  deny hosts = 203.0.113.14\n    !verify = sender\n  \
             defer local_parts = later\n  \
             deny !local_parts = good\n    message = no such user, see https://example.org/?[192.0.2.66]\n  \
             accept\n",
        )
        .acl("predata", "  deny hosts = 203.0.113.7\n  accept\n")
        .acl("data", "  deny condition = ${if match{$h_Subject:}{bad}}\n  accept\n")
        .acl("auth", "  deny hosts = 203.0.113.9\n  accept\n")
        .acl("starttls", "  deny\n")
        .acl("etrn", "  deny\n")
        .acl("expn", "  deny\n")
        .acl("vrfy", "  deny\n")
        .authenticators(
            "plain_server:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  \
             server_set_id = $auth2\n  server_condition = ${if eq{$auth3}{right}}\n",
        )
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the reject log:\n{}", self.log_text());
            eprintln!("--- the panic log:\n{}", self.command.panic_log());
        }
    }
}
