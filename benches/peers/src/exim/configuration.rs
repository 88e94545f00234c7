//! Exim's configuration: the least that refuses recipients, the same for all but the call.

use std::net::SocketAddr;
use std::path::Path;

/// What a variant adds.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Lines of the main section.
    pub(crate) main: String,
    /// What stands in `log_message`, after its text.
    pub(crate) call: String,
    /// Lines of the ACL section.
    pub(crate) acls: String,
}

/// The whole file.
pub(crate) fn text(folder: &Path, address: SocketAddr, extra: &Extra) -> String {
    let Extra { main, call, acls } = extra;
    let folder = folder.display();
    let (host, port) = (address.ip(), address.port());
    format!(
        "primary_hostname = mx.example.org\n\
         spool_directory = {folder}/spool\n\
         log_file_path = {folder}/log/%slog\n\
         pid_file_path = {folder}/spool/exim.pid\n\
         local_interfaces = {host}\n\
         daemon_smtp_ports = {port}\n\
         host_lookup =\n\
         rfc1413_hosts =\n\
         tls_advertise_hosts =\n\
         smtp_accept_max = 100\n\
         keep_environment =\n\
         acl_smtp_rcpt = acl_check_rcpt\n\
         {main}\n\
         begin acl\n\
         {acls}\n\
         acl_check_rcpt:\n  \
           deny message     = no such user\n       \
                log_message = unknown user{call}\n"
    )
}
