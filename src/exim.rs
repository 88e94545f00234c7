//! Exim, as far as the library calls it. The C side is `exim-headers/`.

use std::ffi::CStr;

use crate::line::Line;

/// What bindgen made of `exim-headers/shim.h`.
#[allow(missing_docs, non_camel_case_types, dead_code, unreachable_pub, clippy::all)]
pub(crate) mod declared {
    include!(concat!(env!("OUT_DIR"), "/exim.rs"));
}

/// Writes one line to the main log.
pub(crate) fn log_main<const SIZE: usize>(line: &mut Line<SIZE>) {
    // SAFETY: the line is NUL-terminated and outlives the call; Exim only reads it.
    unsafe { declared::eximrbl_log_main(line.terminated().as_ptr()) }
}

/// Writes one line to the debugging output.
pub(crate) fn debug<const SIZE: usize>(line: &mut Line<SIZE>) {
    // SAFETY: the line is NUL-terminated and outlives the call; Exim only reads it.
    unsafe { declared::eximrbl_debug(line.terminated().as_ptr()) }
}

/// Whether Exim runs with debugging output (`exim -d`).
pub(crate) fn is_debugging() -> bool {
    // SAFETY: reads one word that Exim's main program owns; it is there as long as we are.
    unsafe { declared::eximrbl_is_debugging() != 0 }
}

/// Whether Exim plays a session for a test (`exim -bh`), of which nothing may stay.
pub(crate) fn is_host_checking() -> bool {
    // SAFETY: reads one word that Exim's main program owns; it is there as long as we are.
    unsafe { declared::eximrbl_is_host_checking() != 0 }
}

/// The value of an environment variable, unless it is empty, or comes from a user with fewer
/// rights than this process has (Exim is setuid root).
pub(crate) fn environment(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: the name is NUL-terminated. The answer is null or a NUL-terminated string in the
    // environment, which Exim changes at its start alone, before any ACL can run; it has no other
    // thread that could.
    let value = unsafe {
        let value = declared::eximrbl_environment(name.as_ptr());
        if value.is_null() { None } else { Some(CStr::from_ptr(value)) }
    };
    value.map(CStr::to_bytes).filter(|value| !value.is_empty())
}
