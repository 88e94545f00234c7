//! The table of eximrbl: one memory-mapped file in which every Exim process of a host records
//! the clients that it rejected, while the daemon answers DNS queries from it.
//!
//! What it must be: any number of processes write at once, none of them may ever wait for
//! another, and each may be killed, or stopped and continued much later, between any two
//! instructions. So there are no locks. Every change of an entry is one compare-and-swap of one
//! word; the protocol around it is in `slots`.
//!
//! What holds:
//! * readers are wait-free and write nothing, so the file may be mapped read-only;
//! * an entry's count is the sum of the reports that returned, until it expires, is forgiven or
//!   is evicted;
//! * no reader sees a torn entry, or two for one address;
//! * whatever the file contains, nothing outside the mapping is touched and nothing hangs.
//!
//! What is not promised: that marks (reasons, reporters, times) are complete after a writer was
//! killed, or that the event ring lists every change: it says that something changed, the
//! table says what is. And nothing protects against a truncated file: a page that is gone raises
//! SIGBUS in whoever touches it. Nobody here truncates a table.
//!
//! The way in: [`WritableTable::record`] takes reports, [`Table::decide`] is the one decision
//! that DNS, library and tool share.

#![deny(unsafe_code)]

#[cfg(not(loom))]
mod changes;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod counters;
mod decision;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
pub mod dictionary;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod event;
#[cfg(not(loom))]
mod fault;
#[cfg(not(loom))]
mod file;
mod hash;
#[cfg(not(loom))]
mod layout;
#[cfg(not(loom))]
mod lengths;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod network;
#[cfg(not(loom))]
mod owners;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod policy;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod policy_block;
#[cfg(not(loom))]
mod prefetch;
#[cfg(not(loom))]
mod process;
#[cfg(not(loom))]
mod purge;
mod refusal;
#[cfg(not(loom))]
mod repair;
#[cfg(not(loom))]
mod resize;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod ring;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod slots;
mod sync;
#[cfg(not(loom))]
mod table;
#[cfg(not(loom))]
mod verify;
#[cfg_attr(loom, allow(dead_code, unreachable_pub))]
mod word;
#[cfg(not(loom))]
mod writable;

pub use decision::{Decision, Entry, Filter, UnixSeconds};
pub use network::{Network, NetworkError, parse_address};
pub use refusal::Refusal;
#[cfg(not(loom))]
pub use {
    counters::{Counter, Counters},
    dictionary::{Name, Names},
    event::{Event, EventKind, EventReader, Next, Share},
    file::{CreateError, CreateOptions, OpenError},
    policy::{ALWAYS_NEVER, NEVER_RANGES_MAX, Policy, PolicyError, WEIGHT_MAX},
    purge::{Purge, Purged, Subject},
    repair::Repair,
    resize::{ResizeError, Resized, remove_leftovers, revive},
    table::{Glance, Info, Probe, Table},
    verify::Finding,
    writable::{Expiry, Recorded, Report, Restored, SetPolicyError, Swept, WritableTable},
};

/// The table's installed place.
pub const DEFAULT_PATH: &str = "/var/lib/eximrbl/table";

/// The time now, from the system's clock.
#[cfg(not(miri))]
pub fn now() -> UnixSeconds {
    #[allow(unsafe_code)]
    // SAFETY: time(2) with a null pointer stores nothing and returns a value.
    let seconds = unsafe { libc::time(std::ptr::null_mut()) };
    u32::try_from(seconds).unwrap_or(if seconds < 0 { 0 } else { u32::MAX })
}

/// The time now. Miri has no time(2).
#[cfg(miri)]
pub fn now() -> UnixSeconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
}
