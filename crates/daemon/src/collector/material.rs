//! What is read from files: secrets, certificates, keys.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eximrbl_report::{Enrolled, Secret, SecretsError, Terms, Verb};
use eximrbl_zone::{Config, ReporterSettings};
use nix::fcntl::OFlag;
use rustls::ServerConfig;

use super::tls::{self, TlsError};

/// Longest file that is read.
const FILE_MAX: u64 = 1 << 20;
/// The mode bits of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Everything that is read.
pub(crate) struct Material {
    pub(super) reporters: Vec<Enrolled>,
    /// `None` where nothing is served by TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Why something cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    #[error("{path}: cannot read {what}: {error}{advice}", path = path.display(), advice = advice(error))]
    Read { path: PathBuf, what: &'static str, error: io::Error },
    #[error("{path}:{error}", path = path.display())]
    Secret { path: PathBuf, error: SecretsError },
    #[error("{path}: {error}", path = path.display())]
    Tls { path: PathBuf, error: TlsError },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; eximrbld reads it as its own user: give the file to its group, with mode 0640"
        }
        _ => "",
    }
}

impl Material {
    /// Reads all that the configuration names.
    pub(crate) fn read(config: &Config) -> Result<Self, MaterialError> {
        Ok(Self { reporters: Self::reporters(config)?, tls: Self::tls(config)? })
    }

    /// What an administrator should know of these files, though they can be used.
    pub(crate) fn warnings(config: &Config) -> Vec<String> {
        let secrets = config.reporters.iter().filter_map(|reporter| {
            open_to_all(reporter.secret_file.as_deref()?, "whoever reads it can report")
        });
        let identity = config.collector.as_ref().and_then(|collector| collector.identity.as_ref());
        let key = identity.and_then(|identity| {
            open_to_all(&identity.key, "whoever reads it can pose as this collector")
        });
        secrets.chain(key).collect()
    }

    /// Reads the secrets.
    pub(super) fn reporters(config: &Config) -> Result<Vec<Enrolled>, MaterialError> {
        config.reporters.iter().map(enrolled).collect()
    }

    /// Reads certificates and key.
    pub(super) fn tls(config: &Config) -> Result<Option<Arc<ServerConfig>>, MaterialError> {
        let Some(collector) = &config.collector else { return Ok(None) };
        if collector.tls.is_empty() {
            return Ok(None);
        }
        let Some(identity) = &collector.identity else { return Ok(None) };
        let wrong = |path: &Path, error| MaterialError::Tls { path: path.to_owned(), error };
        let chain = read(&identity.certificate, "the certificate")?;
        let chain =
            tls::certificates(&chain).map_err(|error| wrong(&identity.certificate, error))?;
        let key = read(&identity.key, "the key")?;
        let key = tls::key(&key).map_err(|error| wrong(&identity.key, error))?;
        let roots = match &collector.client_ca {
            None => None,
            Some(path) => {
                let roots = read(path, "the CA of client certificates")?;
                Some((path, tls::certificates(&roots).map_err(|error| wrong(path, error))?))
            }
        };
        let verifier = match roots {
            None => None,
            Some((path, roots)) => Some(tls::verifier(roots).map_err(|error| wrong(path, error))?),
        };
        let config = tls::config(chain, key, verifier);
        config.map(Some).map_err(|error| wrong(&identity.key, error))
    }
}

fn enrolled(settings: &ReporterSettings) -> Result<Enrolled, MaterialError> {
    let secrets = match &settings.secret_file {
        None => Vec::new(),
        Some(path) => {
            let text = read(path, "the reporter's secret")?;
            Secret::read_all(&text)
                .map_err(|error| MaterialError::Secret { path: path.clone(), error })?
        }
    };
    let terms = Terms {
        name: settings.name,
        networks: settings.networks.clone(),
        verbs: settings.verbs.iter().filter_map(|verb| Verb::named(verb)).collect(),
        weight: settings.weight,
        weight_max: settings.weight_max,
        seconds_max: settings.seconds_max,
        rate: settings.rate,
        entries: settings.entries,
    };
    Ok(Enrolled { terms, secrets, certificate: settings.certificate.clone() })
}

/// Reads a file; a FIFO in its place is not waited for.
fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, MaterialError> {
    let failed = |error| MaterialError::Read { path: path.to_owned(), what, error };
    let nonblock = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() || metadata.len() > FILE_MAX {
        let problem = format!("no file of at most {FILE_MAX} bytes");
        return Err(failed(io::Error::other(problem)));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// A warning of a file that anybody may read.
fn open_to_all(path: &Path, what: &str) -> Option<String> {
    let mode = path.metadata().ok()?.mode() & 0o7777;
    let path = path.display();
    (mode & OTHERS != 0).then(|| {
        format!(
            "{path}: others may read or change it (mode {mode:04o}): {what}; run: chmod o= {path}"
        )
    })
}
