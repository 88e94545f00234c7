//! The library's functions as Exim calls them: any arguments, in any number, missing or not.
//!
//! Each argument lies in memory of its own, which ends behind its NUL: AddressSanitizer sees
//! whoever reads further. A contained panic ends in `exim.c`, which aborts.
//!
//! An input is: function, number of arguments, which of them are null pointers (a bit each), flags;
//! then the arguments, with NULs between them.
#![no_main]

#[path = "support/memory_file.rs"]
mod memory_file;
#[path = "support/sample.rs"]
mod sample;

use std::ffi::{CStr, CString, c_char, c_int, c_uchar};
use std::ptr;
use std::sync::LazyLock;

// For its functions, which are called as C calls them.
use eximrbl_library as _;
use libfuzzer_sys::fuzz_target;
use memory_file::MemoryFile;

type Function = unsafe extern "C" fn(*mut *mut c_uchar, c_int, *mut *mut c_uchar) -> c_int;

// SAFETY: as src/ffi.rs defines them.
unsafe extern "C" {
    fn rbl_record(_: *mut *mut c_uchar, _: c_int, _: *mut *mut c_uchar) -> c_int;
    fn rbl_listed(_: *mut *mut c_uchar, _: c_int, _: *mut *mut c_uchar) -> c_int;
    fn rbl_lookup(_: *mut *mut c_uchar, _: c_int, _: *mut *mut c_uchar) -> c_int;
    fn rbl_forgive(_: *mut *mut c_uchar, _: c_int, _: *mut *mut c_uchar) -> c_int;
    fn rbl_allow(_: *mut *mut c_uchar, _: c_int, _: *mut *mut c_uchar) -> c_int;
    fn rbl_preload(_: *mut *mut c_uchar, _: c_int, _: *mut *mut c_uchar) -> c_int;
    fn rbl_version(_: *mut *mut c_uchar, _: c_int, _: *mut *mut c_uchar) -> c_int;
}

const FUNCTIONS: [Function; 7] =
    [rbl_record, rbl_listed, rbl_lookup, rbl_forgive, rbl_allow, rbl_preload, rbl_version];
/// Numbers of arguments that Exim passes by mistake, or never.
const WRONG_COUNTS: [c_int; 6] = [c_int::MIN, -1, 8, 14, 1_000_000, c_int::MAX];

/// The sample's bytes, and the file that the library has open.
static TABLE: LazyLock<(Vec<u8>, MemoryFile)> = LazyLock::new(|| {
    let bytes = sample::bytes(16, eximrbl_table::now());
    let file = MemoryFile::new();
    file.set(&bytes);
    // SAFETY: libFuzzer runs inputs in this thread alone, and nobody has read the environment yet.
    unsafe { std::env::set_var("EXIMRBL_TABLE", file.path()) };
    (bytes, file)
});

fuzz_target!(|data: &[u8]| {
    let Some((&[function, count, nulls, flags], rest)) = data.split_first_chunk() else { return };
    restore();
    let function = usize::from(function) % FUNCTIONS.len();
    let texts: Vec<CString> = rest
        .split(|&byte| byte == 0)
        .take(8)
        .map(|text| CString::new(text).expect("split at every NUL"))
        .collect();
    let pointer = |(i, text): (usize, &CString)| match nulls >> i & 1 {
        1 => ptr::null_mut(),
        _ => text.as_ptr().cast_mut().cast(),
    };
    let mut pointers: Vec<*mut c_uchar> = texts.iter().enumerate().map(pointer).collect();
    let argc = match WRONG_COUNTS.get(usize::from(count)) {
        Some(&wrong) => wrong,
        // Exim passes at most 7.
        None => pointers.len().min(7) as c_int,
    };
    let argv = if flags & 1 == 1 { ptr::null_mut() } else { pointers.as_mut_ptr() };
    let mut yielded: *mut c_uchar = ptr::null_mut();
    let place = if flags & 2 == 2 { ptr::null_mut() } else { &raw mut yielded };
    // SAFETY: `argv` holds `argc` strings if that is from 1 to 7; `place` is null or a place.
    let status = unsafe { FUNCTIONS[function](place, argc, argv) };
    assert_eq!(status, 0, "anything but OK would defer or reject mail");
    if !place.is_null() {
        assert!(!yielded.is_null());
        // SAFETY: the library yields NUL-terminated text that stays until the next call.
        let text = unsafe { CStr::from_ptr(yielded.cast::<c_char>()) }.to_bytes();
        check(function, text);
    }
});

/// Puts the sample back, all but the event ring, which is most of the file: one input must not
/// depend on another.
fn restore() {
    let (bytes, file) = &*TABLE;
    let ring = 2 << 20;
    let rest = bytes.len() - 17 * 4096;
    file.patch(&bytes[..rest - ring], 0);
    file.patch(&bytes[rest..], rest as u64);
}

/// What a function yields can stand in any expansion.
fn check(function: usize, text: &[u8]) {
    assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
    match function {
        1 => assert!([&b"yes"[..], b"no"].contains(&text), "{text:?}"),
        2 => assert!(text.is_empty() || text.starts_with(b"listed="), "{text:?}"),
        6 => assert!(text.starts_with(b"eximrbl ")),
        _ => assert!(text.is_empty(), "{text:?}"),
    }
}
