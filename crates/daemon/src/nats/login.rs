//! Who this site is to the server, and which servers it takes for the right ones: what the files say
//! at the time of a connection.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use async_nats::ConnectOptions;
use eximrbl_zone::{NatsLogin, NatsSettings};

/// Longest file that is read; a system's authorities take some 200 kB.
const FILE_MAX: u64 = 1 << 20;
/// The mode bits of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// A file that will not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("{path}: cannot be read: {error}{advice}", path = path.display(), advice = advice(error))]
    Read { path: PathBuf, error: io::Error },
    #[error(
        "{path}: others may read or change it (mode {mode:04o}), and pass for this site; run: \
         chmod o= {path}",
        path = path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}: {problem}", path = path.display())]
    Content { path: PathBuf, problem: String },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; eximrbld reads it as its own user: give the file to its group, with mode 0640"
        }
        _ => "",
    }
}

/// How to connect.
pub(super) fn options(settings: &NatsSettings) -> Result<ConnectOptions, LoginError> {
    let mut options = ConnectOptions::new();
    if let Some(ca) = &settings.ca {
        pem(ca, "CERTIFICATE", read(ca)?)?;
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &settings.identity {
        pem(certificate, "CERTIFICATE", read(certificate)?)?;
        pem(key, "PRIVATE KEY", secret(key)?)?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(match &settings.login {
        NatsLogin::Nobody => options,
        NatsLogin::Credentials(path) => options
            .credentials(&secret(path)?)
            .map_err(|error| wrong(path, format!("no credentials, as nsc makes them: {error}")))?,
        NatsLogin::Password { user, file } => {
            options.user_and_password(user.clone(), first_line(file)?)
        }
        NatsLogin::Nkey(path) => {
            let seed = first_line(path)?;
            if !seed.starts_with("SU") {
                return Err(wrong(path, "no seed of a user's NKey, which begins with SU".into()));
            }
            options.nkey(seed)
        }
    })
}

fn wrong(path: &Path, problem: String) -> LoginError {
    LoginError::Content { path: path.to_owned(), problem }
}

/// A file's text.
fn read(path: &Path) -> Result<String, LoginError> {
    let failed = |error| LoginError::Read { path: path.to_owned(), error };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        return Err(wrong(path, format!("no file of at most {FILE_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// The text of a file that others may not read.
fn secret(path: &Path) -> Result<String, LoginError> {
    let text = read(path)?;
    let failed = |error| LoginError::Read { path: path.to_owned(), error };
    let mode = std::fs::metadata(path).map_err(failed)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(LoginError::Open { path: path.to_owned(), mode });
    }
    Ok(text)
}

fn first_line(path: &Path) -> Result<String, LoginError> {
    let text = secret(path)?;
    let line = text.lines().next().map(str::trim).unwrap_or_default();
    if line.is_empty() {
        return Err(wrong(path, "its first line is empty".into()));
    }
    Ok(line.to_owned())
}

/// Whether a text has a block of this kind, as PEM has it (RFC 7468).
fn pem(path: &Path, kind: &str, text: String) -> Result<(), LoginError> {
    let is_block = |line: &str| line.starts_with("-----BEGIN ") && line.contains(kind);
    if text.lines().any(is_block) {
        return Ok(());
    }
    Err(wrong(path, format!("no {kind} in it, in the form of PEM")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn settings(login: NatsLogin) -> NatsSettings {
        NatsSettings {
            servers: vec!["nats://n:4222".to_owned()],
            login,
            ca: None,
            identity: None,
            site: eximrbl_table::Name::new(b"paris").unwrap(),
            stream: "EXIMRBL".to_owned(),
            subject: "eximrbl.reports".to_owned(),
            replicas: 1,
            max_age: None,
            reporters: None,
        }
    }

    /// Caught: a mode that is not looked at.
    #[test]
    fn a_file_that_will_not_do_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let user = "paris".to_owned();
        let password = settings(NatsLogin::Password { user, file: path.clone() });
        let refused = |settings: &NatsSettings, expected: &str| {
            let error = options(settings).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: {expected}", path.display())), "{error}");
            assert!(!error.contains("hush"), "{error}");
        };
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        refused(&password, "cannot be read: No such file");
        for mode in [0o604, 0o602, 0o644] {
            write("hush\n", mode);
            refused(&password, &format!("others may read or change it (mode {mode:04o})"));
        }
        write("hush\n", 0o640);
        options(&password).unwrap();
        write("\nhush\n", 0o640);
        refused(&password, "its first line is empty");
        refused(&settings(NatsLogin::Nkey(path.clone())), "its first line is empty");
        write("hush\n", 0o640);
        refused(&settings(NatsLogin::Nkey(path.clone())), "no seed of a user's NKey");
        refused(&settings(NatsLogin::Credentials(path.clone())), "no credentials, as nsc");
        let ca = NatsSettings { ca: Some(path.clone()), ..settings(NatsLogin::Nobody) };
        refused(&ca, "no CERTIFICATE in it");
        let folder = NatsSettings { ca: Some(folder.path().to_owned()), ..ca };
        assert!(options(&folder).unwrap_err().to_string().contains(": no file of at most"));
    }
}
