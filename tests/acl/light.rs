//! Debian's exim4-daemon-light: an Exim without dlfunc.
//!
//! It can't be installed beside exim4-daemon-heavy, so the package is fetched and unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::run;

/// The binary, kept for later test runs.
pub fn light_exim() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exim4-daemon-light");
        let binary = folder.join("usr/sbin/exim4");
        if !binary.exists() {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            let mut fetch = Command::new("apt-get");
            fetch.args(["-qq", "-o", "APT::Sandbox::User=root", "download", "exim4-daemon-light"]);
            run(fetch.current_dir(&folder));
            let package = std::fs::read_dir(&folder).unwrap().flatten().next().unwrap().path();
            run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&folder));
        }
        let version = run(Command::new(&binary).args(["-C", "/dev/null", "-bP", "macros"]));
        assert!(!version.contains("_HAVE_DLFUNC"), "this Exim has dlfunc");
        binary
    })
}
