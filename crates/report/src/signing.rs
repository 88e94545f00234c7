//! Lines for whoever reports: signed as the collector wants them.

use std::fmt::Display;

use eximrbl_table::Name;

use crate::mac::{Algorithm, Mac};
use crate::secret::Secret;

/// A signed line, without its end. `stamp` is the time in microseconds (or seconds) since the Unix
/// epoch; the same order is taken only once with a stamp.
pub fn signed(
    secret: &Secret,
    algorithm: Algorithm,
    name: Name,
    stamp: u64,
    order: impl Display,
) -> String {
    let order = order.to_string();
    let mac = mac(secret, algorithm, name, stamp, &order);
    format!("by {name} {stamp} {mac} {order}")
}

/// The line that makes all further lines of a connection this reporter's, without its end.
pub fn auth(secret: &Secret, algorithm: Algorithm, name: Name, stamp: u64) -> String {
    format!("auth {name} {stamp} {}", mac(secret, algorithm, name, stamp, "auth"))
}

fn mac(secret: &Secret, algorithm: Algorithm, name: Name, stamp: u64, order: &str) -> Mac {
    let (name, stamp) = (name.as_str().as_bytes(), stamp.to_string());
    Mac::of(algorithm, secret.bytes(), name, stamp.as_bytes(), order.as_bytes())
}
