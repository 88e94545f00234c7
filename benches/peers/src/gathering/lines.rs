//! Lines of the protocol, about clients that nobody has reported before.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use eximrbl_report::{Algorithm, Secret};
use eximrbl_table::Name;

use crate::entries::ipv4;

/// The reporter.
pub(super) const NAME: &str = "mx2";
/// His secret.
pub(super) const SECRET: &str = "a-secret-of-the-benchmarks-alone";

/// The first client's number, above those of all other measurements.
const FIRST: u32 = 450_000_000;

/// A client that was not reported before.
pub(super) fn client() -> (u32, Ipv4Addr) {
    static NEXT: AtomicU32 = AtomicU32::new(FIRST);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (number, ipv4(number))
}

/// What is told of a client.
pub(super) fn unsigned(client: Ipv4Addr) -> String {
    format!("black {client} rcpt\n")
}

/// Signs as the reporter does.
pub(super) struct Signer {
    secret: Secret,
    name: Name,
}

impl Signer {
    pub(super) fn new() -> Result<Self> {
        let secrets = Secret::read_all(SECRET.as_bytes())?;
        let secret = secrets.into_iter().next().context("no secret")?;
        Ok(Self { secret, name: Name::new(NAME.as_bytes()).context("no name")? })
    }

    /// The same as [`unsigned`], signed.
    pub(super) fn line(&self, client: Ipv4Addr) -> String {
        let order = format!("black {client} rcpt");
        eximrbl_report::signed(&self.secret, Algorithm::Sha3, self.name, stamp(), order) + "\n"
    }

    /// What makes a connection the reporter's.
    pub(super) fn auth(&self) -> String {
        eximrbl_report::auth(&self.secret, Algorithm::Sha3, self.name, stamp()) + "\n"
    }
}

/// Microseconds, no two the same.
fn stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    if last < now { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 }
}
