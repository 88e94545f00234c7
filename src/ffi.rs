//! The functions as Exim finds them: the C side of [`crate::functions`].
//!
//! They are called with what `${dlfunc}` of Exim 4.92 to 4.99 passes (`exim_dlfunc` in
//! `exim-headers/dlfunc.h`). Exim has one thread, and copies what is yielded at once, so constant
//! texts and one static buffer serve.

use std::ffi::{CStr, c_char, c_int};
use std::slice;
use std::sync::Mutex;

use crate::contain::{contained, unpoisoned};
use crate::exim::declared::{EXIM_DLFUNC_ARGUMENTS_MAX, EXIM_OK, exim_uschar};
use crate::functions::{self, LOOKUP_SIZE};
use crate::line::Line;
use crate::tell::{self, Cause};

/// Most arguments that the contract knows.
const ARGUMENTS_MAX: usize = EXIM_DLFUNC_ARGUMENTS_MAX as usize;

/// Bytes of an argument that are looked at. It is enough for any path (PATH_MAX is 4096), and
/// keeps a huge argument from costing time.
const ARGUMENT_SIZE_MAX: usize = 4097;

/// Defines a function for Exim. `$fallback` is yielded if it panics.
macro_rules! export {
    ($(#[$doc:meta])* $name:ident, $fallback:expr, $function:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As `exim_dlfunc` wants it: `yields` is null or can be written, and `argv` holds `argc`
        /// strings if `argc` is from 1 to 7.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(
            yields: *mut *mut exim_uschar,
            argc: c_int,
            argv: *mut *mut exim_uschar,
        ) -> c_int {
            // SAFETY: the caller's promise, handed on.
            unsafe { call(yields, argc, argv, $fallback, $function) }
        }
    };
}

export! {
    /// `rbl_record {ip}{reason}{weight}` records rejections; yields nothing.
    rbl_record, c"", |arguments| { functions::record(arguments); c"".as_ptr() }
}

export! {
    /// `rbl_listed {ip}` yields `yes` or `no`.
    rbl_listed, c"no", |arguments| {
        if functions::is_listed(arguments) { c"yes" } else { c"no" }.as_ptr()
    }
}

export! {
    /// `rbl_lookup {ip}` yields what is known.
    rbl_lookup, c"", |arguments| {
        // On the heap, from the first call on: 2.5 kB more of static data would be one more page
        // to map in every process, and most never look anything up.
        static TEXT: Mutex<Vec<Line<LOOKUP_SIZE>>> = Mutex::new(Vec::new());
        // Taken only when a signal's handler or another thread calls in: never within Exim.
        let Some(mut text) = unpoisoned(TEXT.try_lock()) else { return c"".as_ptr() };
        if text.is_empty() && text.try_reserve_exact(1).is_ok() {
            text.push(Line::new());
        }
        // Without memory nothing is known.
        let Some(text) = text.first_mut() else { return c"".as_ptr() };
        text.clear();
        functions::lookup(arguments, text);
        text.terminated().as_ptr()
    }
}

export! {
    /// `rbl_forgive {ip}` ends a listing; yields nothing.
    rbl_forgive, c"", |arguments| { functions::forgive(arguments); c"".as_ptr() }
}

export! {
    /// `rbl_allow {ip}{seconds}` whitelists; yields nothing.
    rbl_allow, c"", |arguments| { functions::allow(arguments); c"".as_ptr() }
}

export! {
    /// `rbl_preload {path}` opens the table early; yields nothing.
    rbl_preload, c"", |arguments| { functions::preload(arguments); c"".as_ptr() }
}

export! {
    /// `rbl_version` yields the library's name and version.
    rbl_version, c"", |arguments| { functions::version(arguments); VERSION.as_ptr() }
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(
    concat!("eximrbl ", env!("CARGO_PKG_VERSION"), "\0").as_bytes(),
) {
    Ok(text) => text,
    Err(_) => c"eximrbl",
};

#[cfg(not(miri))]
use libc::strnlen;

/// Miri has no strnlen(3).
///
/// # Safety
/// As strnlen(3): bytes can be read up to a NUL or the bound.
#[cfg(miri)]
unsafe fn strnlen(text: *const c_char, most: usize) -> usize {
    // SAFETY: the caller's promise.
    (0..most).take_while(|&i| unsafe { *text.add(i) } != 0).count()
}

/// Calls `function` with the arguments, hands out what it yields, and returns `OK`.
///
/// # Safety
/// As for the exported functions. What `function` yields is NUL-terminated and static.
unsafe fn call(
    yields: *mut *mut exim_uschar,
    argc: c_int,
    argv: *mut *mut exim_uschar,
    fallback: &'static CStr,
    function: fn(&[&[u8]]) -> *const c_char,
) -> c_int {
    let text = contained(|| {
        let mut room: [&[u8]; ARGUMENTS_MAX] = [&[]; ARGUMENTS_MAX];
        // SAFETY: the caller's promise on argc and argv. Exim does not touch the strings before
        // this call returns, and `room` does not outlive it.
        function(unsafe { arguments(argc, argv, &mut room) })
    });
    if !yields.is_null() {
        // SAFETY: the caller lets us write there. Exim takes a pointer to what it may change, but
        // copies from it only.
        unsafe { *yields = text.unwrap_or(fallback.as_ptr()).cast_mut().cast() };
    }
    EXIM_OK
}

/// The arguments as slices. With eight arguments Exim 4.96 passes garbage as their count; then,
/// and if the array is missing, there are none. A missing string is an empty one.
///
/// # Safety
/// `argv` is null or holds `argc` pointers if `argc` is from 1 to 7; each is null or
/// NUL-terminated, and unchanged for `'a`.
unsafe fn arguments<'r, 'a>(
    argc: c_int,
    argv: *mut *mut exim_uschar,
    room: &'r mut [&'a [u8]; ARGUMENTS_MAX],
) -> &'r [&'a [u8]] {
    let count = usize::try_from(argc).unwrap_or(usize::MAX);
    let Some(room) = room.get_mut(..count) else {
        tell::once(
            Cause::ArgumentCount,
            format_args!("a call came with {argc} arguments; Exim passes at most {ARGUMENTS_MAX}"),
        );
        return &[];
    };
    if argv.is_null() {
        return &[];
    }
    for (i, argument) in room.iter_mut().enumerate() {
        // SAFETY: `i` is under argc, so the pointer is there; it is null or NUL-terminated, and
        // strnlen stops at the NUL, so that many bytes can be read.
        *argument = unsafe {
            let text = *argv.add(i);
            if text.is_null() {
                &[]
            } else {
                slice::from_raw_parts(text, strnlen(text.cast(), ARGUMENT_SIZE_MAX))
            }
        };
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What C would pass, as slices.
    fn read(argc: c_int, strings: Option<&mut [*mut exim_uschar]>) -> Vec<Vec<u8>> {
        let mut room: [&[u8]; ARGUMENTS_MAX] = [&[]; ARGUMENTS_MAX];
        let argv = strings.map_or(std::ptr::null_mut(), <[_]>::as_mut_ptr);
        // SAFETY: the tests pass null, or `argc` pointers that are null or to strings with a NUL
        // (or of the longest length that is read), which outlive the call.
        let read = unsafe { arguments(argc, argv, &mut room) };
        read.iter().map(|text| text.to_vec()).collect()
    }

    /// Each string is read to its NUL and no further, or up to the bound; null is an empty one; what is
    /// behind the last one is not looked at. Caught, by Miri alone: a read of one byte more; by
    /// anybody: a bound left out, null not looked for.
    #[test]
    fn strings_are_read_to_their_ends_and_no_further() {
        let (mut ip, mut odd) = (*b"192.0.2.1\0", *b"\xff\x80 \n\0behind");
        // Without a NUL, and nothing behind it.
        let mut long = vec![b'x'; ARGUMENT_SIZE_MAX];
        let mut empty = [0_u8];
        for argc in 0..=5 {
            let strings = [
                ip.as_mut_ptr(),
                odd.as_mut_ptr(),
                std::ptr::null_mut(),
                long.as_mut_ptr(),
                empty.as_mut_ptr(),
            ];
            // Exactly as many pointers as are announced.
            let mut strings = strings[..argc].to_vec();
            let expected: [&[u8]; 5] = [b"192.0.2.1", b"\xff\x80 \n", b"", &long, b""];
            assert_eq!(read(argc as c_int, Some(&mut strings)), expected[..argc], "{argc}");
        }
    }

    /// Caught: a missing array that is looked into; a negative count that wraps.
    #[test]
    fn what_is_missing_is_not_looked_for() {
        for argc in [0, 1, 7] {
            let texts = read(argc, None);
            assert!(texts.iter().all(Vec::is_empty), "{argc}: {texts:?}");
        }
        // They are told in Exim's log, which is C's.
        if !cfg!(miri) {
            for argc in [-1, 8, c_int::MAX, c_int::MIN] {
                assert!(read(argc, None).is_empty(), "{argc}");
            }
        }
    }
}
