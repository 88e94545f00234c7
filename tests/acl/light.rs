//! Debian's exim4-daemon-light: an Exim without dlfunc.
//!
//! It can't be installed beside exim4-daemon-heavy, so the package is fetched and unpacked.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::run;

/// The binary, kept for later test runs. Of several test programs that want it at the same time, one
/// fetches it.
pub fn light_exim() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(place).unwrap();
        let folder = place.join("exim4-daemon-light");
        let binary = folder.join("usr/sbin/exim4");
        let lock = File::create(folder.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        if !binary.exists() {
            // In its place it is there whole, or not at all.
            let aside = folder.with_extension("new");
            for left in [&folder, &aside] {
                let _ = fs::remove_dir_all(left);
            }
            fs::create_dir_all(&aside).unwrap();
            let mut fetch = Command::new("apt-get");
            fetch.args(["-qq", "-o", "APT::Sandbox::User=root", "download", "exim4-daemon-light"]);
            run(fetch.current_dir(&aside));
            let package = fs::read_dir(&aside).unwrap().flatten().next().unwrap().path();
            run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&aside));
            fs::rename(aside, &folder).unwrap();
        }
        drop(lock);
        let version = run(Command::new(&binary).args(["-C", "/dev/null", "-bP", "macros"]));
        assert!(!version.contains("_HAVE_DLFUNC"), "this Exim has dlfunc");
        binary
    })
}
