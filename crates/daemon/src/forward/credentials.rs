//! What a gatherer is shown, and whom it must be signed by: files, read anew for each connection, so
//! that what is renewed counts at once.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eximrbl_report::{Secret, SecretsError};
use eximrbl_zone::ForwardSettings;
use nix::fcntl::OFlag;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, crypto};

/// Longest file of secrets that is read.
const SECRETS_MAX: u64 = 4096;
/// Longest file of certificates; that of all authorities takes a quarter of a megabyte.
const CERTIFICATES_MAX: u64 = 16 << 20;
/// The mode bits of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// What is in the files.
pub(crate) struct Credentials {
    /// The secret in use, and the one that is to follow it; none where there is no such file.
    pub(super) secrets: Vec<Secret>,
    /// `None` where TLS is not wanted.
    pub(super) tls: Option<Arc<ClientConfig>>,
}

/// Which of the files will not do, and why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("{path}: cannot read {what}: {error}{advice}", path = path.display(), advice = advice(error))]
    Read { what: &'static str, path: PathBuf, error: io::Error },
    #[error(
        "{path}: others may read or change it (mode {mode:04o}), and report in this host's name; \
         run: chmod o= {path}",
        path = path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}:{error}", path = path.display())]
    Secret { path: PathBuf, error: SecretsError },
    #[error("{path}: no {what} in PEM form in it", path = path.display())]
    Empty { what: &'static str, path: PathBuf },
    #[error("{path}: {what}: {problem}", path = path.display())]
    Content { what: &'static str, path: PathBuf, problem: String },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; eximrbld reads it as its own user: give the file to its group, with mode 0640"
        }
        _ => "",
    }
}

impl Credentials {
    /// Reads all files that the settings name.
    pub(crate) fn load(settings: &ForwardSettings) -> Result<Self, CredentialError> {
        let secrets = match &settings.secret_file {
            Some(path) => secrets(path)?,
            None => Vec::new(),
        };
        let tls = settings.tls.then(|| tls(settings)).transpose()?;
        Ok(Self { secrets, tls })
    }
}

fn secrets(path: &Path) -> Result<Vec<Secret>, CredentialError> {
    let (text, mode) = read("the secret", path, SECRETS_MAX)?;
    if mode & OTHERS != 0 {
        return Err(CredentialError::Open { path: path.to_owned(), mode });
    }
    Secret::read_all(&text)
        .map_err(|error| CredentialError::Secret { path: path.to_owned(), error })
}

fn tls(settings: &ForwardSettings) -> Result<Arc<ClientConfig>, CredentialError> {
    const CA: &str = "certificates of authorities";
    let ca = &settings.ca;
    let mut roots = RootCertStore::empty();
    // Among many there may be one that is too odd to be read; the others serve.
    let (added, _) = roots.add_parsable_certificates(certificates(CA, ca)?);
    if added == 0 {
        return Err(CredentialError::Empty { what: CA, path: ca.clone() });
    }
    let failed = |what, path: &Path, error: rustls::Error| CredentialError::Content {
        what,
        path: path.to_owned(),
        problem: error.to_string(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(CA, ca, error))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &settings.certificate else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates("certificate", certificate)?;
    let (text, mode) = read("the key", key, CERTIFICATES_MAX)?;
    if mode & OTHERS != 0 {
        return Err(CredentialError::Open { path: key.clone(), mode });
    }
    let private = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| CredentialError::Empty { what: "private key", path: key.clone() })?;
    let config = builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| failed("the certificate and its key", certificate, error))?;
    Ok(Arc::new(config))
}

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let (text, _) = read(what, path, CERTIFICATES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(CredentialError::Empty { what, path: path.to_owned() })
        }
        Ok(found) => Ok(found),
        Err(error) => Err(CredentialError::Content {
            what,
            path: path.to_owned(),
            problem: error.to_string(),
        }),
    }
}

/// Reads a file; its bytes and its mode.
fn read(what: &'static str, path: &Path, most: u64) -> Result<(Vec<u8>, u32), CredentialError> {
    let failed = |error| CredentialError::Read { what, path: path.to_owned(), error };
    // A FIFO in its place is not waited for.
    let nonblock = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > most {
        return Err(failed(io::Error::other(format!("no file of at most {most} bytes"))));
    }
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text).map_err(failed)?;
    Ok((text, metadata.mode() & 0o7777))
}
