//! The place of the measurements: a network namespace and folders that `benches/*.sh` have made.
//!
//! The scripts start this program with `unshare`, in namespaces of its own for network, processes
//! and mounts: nothing leaves the machine, ports are free, and whatever it has started ends with
//! it. The folder of the data is mounted at [`FOLDER`], which every user may enter.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Data, results, and the built programs.
pub(crate) const FOLDER: &str = "/mnt";

/// The servers' address, in the network that is reserved for benchmarks (RFC 2544, appendix C.2.2).
pub(crate) const SERVER: [u8; 4] = [198, 18, 0, 53];

/// An address for a server.
pub(crate) fn server(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from(SERVER), port)
}

/// Makes the namespace's network: the benchmark network, and all the entries' addresses, are here.
pub(crate) fn set() -> Result<()> {
    ensure!(
        std::env::var_os("EXIMRBL_BENCH_STAGE").is_some(),
        "start it with benches/dns.sh or benches/exim.sh: they make the network that it needs"
    );
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    for network in ["198.18.0.0/15", "64.0.0.0/3"] {
        run(Command::new("ip").args(["route", "add", "local", network, "dev", "lo"]))?;
    }
    Ok(())
}

/// One of the built programs, or the library.
pub(crate) fn artifact(name: &str) -> PathBuf {
    Path::new(FOLDER).join("artifacts").join(name)
}

/// A file of the checkout, where every user can read it: the scripts copy what is needed.
pub(crate) fn checkout(path: &str) -> Result<String> {
    let copy = Path::new(FOLDER).join("checkout").join(path);
    ensure!(copy.exists(), "{} is not there", copy.display());
    Ok(copy.display().to_string())
}

/// Runs a command to its end, and gives what it wrote to its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("{program} cannot be started"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", errors.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
