//! What a call of `rbl_record` costs.
//!
//! * Cold: in a forked child, as Exim does for every connection, the library is loaded and called
//!   once. Beside it, in turns, a bare C library that opens and maps a file and adds one to a word.
//! * Warm: each further call in the same process, the reading of the address included.
//!
//! Times are the processor's, so that other load on the machine counts little.
//!
//! Needs the release build of the library (`cargo build --release`); its folder may be named by
//! `EXIMRBL_ARTIFACTS`. Figures are printed, with the machine and the date; nothing is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use std::env;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use measure::{median, processor_time};

use eximrbl_table::{CreateOptions, WritableTable};

/// Forked children for each library.
const CHILDREN: usize = 2000;
/// Calls in one warm run.
const CALLS: u32 = 1_000_000;
/// Warm runs, of which the median is shown.
const RUNS: usize = 9;

type DlFunction = unsafe extern "C" fn(*mut *mut u8, c_int, *mut *mut u8) -> c_int;
type BareFunction = unsafe extern "C" fn(*const c_char) -> c_int;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    let plain = folder.path().join("plain");
    WritableTable::create(&table, &CreateOptions::default()).unwrap();
    WritableTable::create(&plain, &CreateOptions::default()).unwrap();
    let library = Library::new(&library());
    let bare = Library::new(&build_bare(folder.path()));
    // SAFETY: this process has one thread.
    unsafe { env::set_var("EXIMRBL_TABLE", &table) };

    println!("{}", measure::machine());
    cold(&library, &bare, &plain);
    warm(&library);
}

/// Loads and calls once, in children of their own.
///
/// The bare library always adds to the same word, so the first row, always the same client, is
/// its like. In the second row each child records another of 256 clients: other pages of the
/// table, which the processor has not at hand.
fn cold(library: &Library, bare: &Library, plain: &Path) {
    let plain = CString::new(plain.as_os_str().as_bytes()).unwrap();
    let (mut same, mut other, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..CHILDREN {
        let address = Ipv4Addr::from(0xcb00_7100 + (i as u32 % 256));
        let address = CString::new(address.to_string()).unwrap();
        same.push(in_child(|| library.record(c"203.0.113.7", c"rcpt")));
        theirs.push(in_child(|| bare.bare_record(&plain)));
        other.push(in_child(|| library.record(&address, c"rcpt")));
    }
    let (same, other, theirs) = (median(&mut same), median(&mut other), median(&mut theirs));
    println!("cold, in a forked child (medians of {CHILDREN}, in turns):");
    println!("  bare C: dlopen, open, mmap, add        {theirs:6.1} us");
    let row = |what, ours: f64| {
        println!("  dlopen, rbl_record, {what:<18} {ours:6.1} us, ratio {:.2}", ours / theirs);
    };
    row("always one client", same);
    row("one of 256 clients", other);
}

/// Calls many times in this process.
fn warm(library: &Library) {
    let record = library.function::<DlFunction>(c"rbl_record");
    let addresses: Vec<CString> = (0..4096_u32)
        .map(|i| Ipv4Addr::from(0xc633_0000 | i.wrapping_mul(2_654_435_761) >> 16))
        .map(|address| CString::new(address.to_string()).unwrap())
        .collect();
    println!("warm, {CALLS} calls (median and least of {RUNS}):");
    for (what, addresses) in [("one address", &addresses[..1]), ("4096 addresses", &addresses[..])]
    {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let start = processor_time();
            for i in 0..CALLS {
                let address = &addresses[i as usize % addresses.len()];
                call(record, address, c"rcpt");
            }
            times.push((processor_time() - start) * 1e9 / f64::from(CALLS));
        }
        let middle = median(&mut times);
        println!("  rbl_record, {what:<22}  {middle:8.1} ns, least {:.1} ns", times[0]);
    }
}

/// Microseconds that `work` takes in a forked child.
fn in_child(work: impl FnOnce()) -> f64 {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: this process has one thread, so the child may do whatever the parent may.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let start = processor_time();
            work();
            let took = (processor_time() - start) * 1e6;
            let _ = writer.write_all(&took.to_ne_bytes());
            // SAFETY: ends the child as Exim's children end, without any handler.
            unsafe { libc::_exit(0) }
        }
        child => {
            drop(writer);
            let mut bytes = [0; 8];
            reader.read_exact(&mut bytes).expect("the child ended early");
            // SAFETY: waits for our own child; a null status is allowed.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            f64::from_ne_bytes(bytes)
        }
    }
}

/// A shared library's path; it is loaded at first use in each process.
struct Library {
    path: CString,
}

impl Library {
    fn new(path: &Path) -> Self {
        Self { path: CString::new(path.as_os_str().as_bytes()).unwrap() }
    }

    /// Loads it as Exim does, and finds a function of the type `F`, a function pointer.
    fn function<F: Copy>(&self, name: &CStr) -> F {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>());
        // SAFETY: both strings are NUL-terminated; the libraries run no code at loading. The
        // symbol is a function, and the caller names its type.
        unsafe {
            let handle = libc::dlopen(self.path.as_ptr(), libc::RTLD_LAZY);
            assert!(!handle.is_null(), "{:?} cannot be loaded", self.path);
            let symbol = libc::dlsym(handle, name.as_ptr());
            assert!(!symbol.is_null(), "{name:?} is not in {:?}", self.path);
            std::mem::transmute_copy(&symbol)
        }
    }

    fn record(&self, address: &CStr, reason: &CStr) {
        call(self.function::<DlFunction>(c"rbl_record"), address, reason);
    }

    fn bare_record(&self, path: &CStr) {
        let function = self.function::<BareFunction>(c"bare_record");
        // SAFETY: the path is NUL-terminated.
        assert_eq!(unsafe { function(path.as_ptr()) }, 0);
    }
}

fn call(function: DlFunction, address: &CStr, reason: &CStr) {
    let mut arguments = [address.as_ptr().cast_mut().cast(), reason.as_ptr().cast_mut().cast()];
    let mut yields = std::ptr::null_mut();
    // SAFETY: two NUL-terminated arguments, which the library only reads, and room for the yield.
    let status = unsafe { function(&mut yields, 2, arguments.as_mut_ptr()) };
    assert_eq!(black_box(status), 0);
}

fn library() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let folder = env::var_os("EXIMRBL_ARTIFACTS").map_or(target.join("release"), PathBuf::from);
    let library = root.join(folder).join("libeximrbl.so");
    assert!(library.is_file(), "{}: run cargo build --release first", library.display());
    library
}

fn build_bare(folder: &Path) -> PathBuf {
    let library = folder.join("bare.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/bare.c");
    let status = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("cc could not be started; install gcc");
    assert!(status.success());
    library
}
