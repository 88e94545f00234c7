//! Directories that vanish with their owner.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::is_dead;

/// All names start so, followed by the number of the process that made the directory.
const PREFIX: &str = "eximrbl-test-";

/// A directory of one's own under the system's temporary one; removed when dropped.
///
/// Everybody may enter it, since servers that have dropped their privileges work inside.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty directory whose name starts with `eximrbl-test-`.
    pub fn new(what: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static LEFTOVERS: Once = Once::new();
        LEFTOVERS.call_once(remove_leftovers);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{what}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A leftover of a killed run whose process number was the same.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        set_mode(&path, 0o755);
        Self { path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it that everybody may read, and gives its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).unwrap();
        set_mode(&path, 0o644);
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::env::var_os("EXIMRBL_KEEP").is_some() {
            eprintln!("kept because EXIMRBL_KEEP is set: {}", self.path.display());
            return;
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes what test runs that were killed have left: directories whose maker is dead.
fn remove_leftovers() {
    if std::env::var_os("EXIMRBL_KEEP").is_some() {
        return;
    }
    let Ok(folder) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in folder.flatten() {
        if entry.file_name().to_str().is_some_and(|name| is_dead(name, PREFIX)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Sets permission bits, whatever the umask is.
pub fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The text of a file, empty when there is none (a log that nothing was written to).
pub fn text_of(path: &Path) -> String {
    std::fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
