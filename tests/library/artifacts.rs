//! Where the built library is.

use std::env;
use std::path::{Path, PathBuf};

/// Where cargo builds: `CARGO_TARGET_DIR`, else `target`.
pub(crate) fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// The release build of the library; the folder may be named by `EXIMRBL_ARTIFACTS`.
pub(crate) fn library() -> PathBuf {
    let folder =
        env::var_os("EXIMRBL_ARTIFACTS").map_or_else(|| target().join("release"), PathBuf::from);
    let library = folder.join("libeximrbl.so");
    assert!(
        library.is_file(),
        "{}: no such file; run `cargo build --release` first, or name its folder by \
         EXIMRBL_ARTIFACTS",
        library.display()
    );
    library
}
