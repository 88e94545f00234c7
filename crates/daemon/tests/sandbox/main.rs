//! The daemon under packaging/eximrbld.service, started by a real systemd: it can do all that it
//! has to, and nothing else.
//!
//! systemd runs as process 1 in namespaces of its own (`machine`), and applies the unit as it is.
//! What the unit forbids is tried by `probe`, in a service with the same unit but for the program;
//! and in one without any restriction, where all of it must succeed, or refusals would prove
//! nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod machine;
mod probe;
mod service;

use machine::Machine;

/// The unit that ships.
const UNIT: &str = include_str!("../../../../packaging/eximrbld.service");

/// Whether the tests can run: `tests/run.sh` sees to it that they can.
fn can_run() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("not run: needs root, to start a systemd in namespaces of its own");
    }
    is_root
}

/// The unit, with its settings in `[Service]` that begin with one of these names left out.
fn unit_without(names: &[&str]) -> String {
    let is_left_out = |line: &str| names.iter().any(|name| line.starts_with(name));
    UNIT.lines().filter(|line| !is_left_out(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Makes the daemon's user as packages do.
fn make_user(machine: &Machine) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/eximrbl.sysusers");
    machine.install(file.as_ref(), "/usr/lib/sysusers.d/eximrbl.conf", 0o644);
    machine.succeed("systemd-sysusers eximrbl.conf");
}
