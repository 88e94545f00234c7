//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG`, when set, decides instead of `level`.
pub(crate) fn start(level: tracing::Level) {
    // hickory logs every query at level info, and at warn what anybody can provoke by a packet.
    // async-nats logs what is logged here in words of our own.
    let libraries = "hickory_server=off,hickory_net=off,hickory_proto=off,async_nats=off";
    let directives = format!("{level},{libraries}");
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        Err(_) => EnvFilter::new(directives),
    };
    let terminal = std::io::stderr().is_terminal();
    // The journal adds times itself, and shows colours as bytes. A terminal's reader sees the
    // time pass.
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false)
        .without_time()
        // Who reads the log may have gone away; complaining of that on standard error would panic.
        .log_internal_errors(false)
        .init();
}
