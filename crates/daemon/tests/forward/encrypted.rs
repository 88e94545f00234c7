//! Encrypted: whose certificates are taken, on both sides.
use std::net::SocketAddr;

use crate::common::Place;
use crate::double::free;

#[allow(dead_code)]
fn unused(_: &Place) -> SocketAddr {
    free()
}
