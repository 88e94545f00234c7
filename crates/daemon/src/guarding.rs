//! The guard against forged senders: made at the start, and anew when the configuration is reloaded.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eximrbl_dns::cookie::SecretsError;
use eximrbl_dns::{Guard, Secret};
use eximrbl_zone::{CookieUse, DnsSettings};
use nix::fcntl::OFlag;

/// Longest file of secrets that is read.
const FILE_MAX: u64 = 4096;
/// The mode bits of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Why there are no secrets to make cookies with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    #[error(
        "{path}: cannot read the cookie secrets: {error}{advice}",
        path = path.display(),
        advice = advice(error)
    )]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "{path}: others may read or change it (mode {mode:04o}), and forge cookies by it; run: \
         chmod o= {path}",
        path = path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}:{error}", path = path.display())]
    Content { path: PathBuf, error: SecretsError },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; eximrbld reads them as its own user: give the file to its group, with mode 0640"
        }
        _ => "",
    }
}

/// What is drawn by lot, once for a run of the program.
pub(crate) struct Guarding {
    /// Makes cookies where no file of secrets is configured.
    secret: Secret,
    /// Where networks are counted, nobody can guess by it.
    key: [u8; 16],
}

impl Guarding {
    /// Draws the lots.
    pub(crate) fn draw() -> io::Result<Self> {
        Ok(Self { secret: Secret::new(random()?), key: random()? })
    }

    /// The guard that the settings ask for. `before` is the one that it replaces.
    pub(crate) fn guard(
        &self,
        settings: &DnsSettings,
        before: Option<&Guard>,
    ) -> Result<Arc<Guard>, SecretFileError> {
        let secrets = secrets(settings)?.unwrap_or_else(|| vec![self.secret]);
        Ok(Arc::new(Guard::new(settings, &secrets, self.key, before)))
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// The secrets of the configured file; `None` when none is configured or needed.
pub(crate) fn secrets(settings: &DnsSettings) -> Result<Option<Vec<Secret>>, SecretFileError> {
    match &settings.cookie_secret_file {
        Some(path) if settings.cookies != CookieUse::Off => read(path).map(Some),
        _ => Ok(None),
    }
}

fn read(path: &Path) -> Result<Vec<Secret>, SecretFileError> {
    let failed = |error| SecretFileError::Read { path: path.to_owned(), error };
    // A FIFO in its place is not waited for.
    let nonblock = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        let problem = format!("no file of at most {FILE_MAX} bytes");
        return Err(failed(io::Error::other(problem)));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(SecretFileError::Open { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut text).map_err(failed)?;
    Secret::read_all(&text)
        .map_err(|error| SecretFileError::Content { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    const SECRET: &str = "445536bcd2513298075a5d379663c962\n";

    fn settings(path: &Path) -> DnsSettings {
        DnsSettings { cookie_secret_file: Some(path.to_owned()), ..DnsSettings::default() }
    }

    /// Caught: a mode that is not looked at; a file that is opened without looking what it is.
    #[test]
    fn a_file_that_will_not_do_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets");
        let refused = |expected: &str| {
            let error = secrets(&settings(&path)).unwrap_err().to_string();
            let shown = path.display();
            assert!(error.starts_with(&format!("{shown}:{expected}")), "{error}");
            assert!(!error.contains("445536"), "{error}");
        };
        refused(" cannot read the cookie secrets: No such file");
        for mode in [0o604, 0o602, 0o644] {
            fs::write(&path, SECRET).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            refused(&format!(" others may read or change it (mode {mode:04o})"));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(secrets(&settings(&path)).unwrap().unwrap().len(), 1);
        fs::write(&path, format!("{SECRET}445536\n")).unwrap();
        refused("2: not a secret");
        fs::write(&path, SECRET.repeat(200)).unwrap();
        refused(" cannot read the cookie secrets: no file of at most 4096 bytes");
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        refused(" cannot read the cookie secrets: no file of at most");
        let off = DnsSettings { cookies: CookieUse::Off, ..settings(&path) };
        assert_eq!(secrets(&off).unwrap(), None);
    }

    /// Caught: a secret that is the same at every start.
    #[test]
    fn lots_differ() {
        assert!(Guarding::draw().unwrap().secret != Guarding::draw().unwrap().secret);
    }
}
