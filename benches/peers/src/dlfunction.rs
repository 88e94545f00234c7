//! Calls the library as Exim does: loaded by its path, with C strings for arguments.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Exim's type of such functions.
type Function = unsafe extern "C" fn(*mut *mut u8, c_int, *mut *mut u8) -> c_int;

/// The library's `rbl_record`.
pub(crate) struct Record(Function);

impl Record {
    /// Loads the library, for the rest of this process.
    pub(crate) fn load(library: &Path) -> Result<Self> {
        let path = CString::new(library.as_os_str().as_bytes()).context("path of the library")?;
        // SAFETY: the path is NUL-terminated; the library runs no code when it is loaded.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_LAZY) };
        ensure!(!handle.is_null(), "{} cannot be loaded", library.display());
        // SAFETY: the handle is good, the name is NUL-terminated.
        let symbol = unsafe { libc::dlsym(handle, c"rbl_record".as_ptr()) };
        ensure!(!symbol.is_null(), "{} has no rbl_record", library.display());
        // SAFETY: in a library of eximrbl this symbol is a function of this type, as Exim's
        // dlfunc demands; the handle is never closed.
        Ok(Self(unsafe { std::mem::transmute::<*mut c_void, Function>(symbol) }))
    }

    /// Records a rejection of this address.
    pub(crate) fn call(&self, address: &CStr) -> Result<()> {
        let mut arguments =
            [address.as_ptr().cast_mut().cast(), c"rcpt".as_ptr().cast_mut().cast()];
        let mut yields = std::ptr::null_mut();
        // SAFETY: two NUL-terminated arguments, which the library only reads, and room for the
        // yield, which is not looked at.
        let status = unsafe { (self.0)(&mut yields, 2, arguments.as_mut_ptr()) };
        ensure!(status == 0, "rbl_record gave {status}, not OK");
        Ok(())
    }
}
