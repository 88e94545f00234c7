//! Why there is no connection to a gatherer, and what is to be done about it.

use std::io;
use std::net::SocketAddr;

use eximrbl_report::Code;
use rustls::{AlertDescription, CertificateError};

use super::credentials::CredentialError;

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("its name cannot be looked up: {0}")]
    LookUp(io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("{address}: {error}{}", advice(error))]
    Connect { address: SocketAddr, error: io::Error },
    #[error("{address}: no connection within {seconds} s; is there a firewall in the way?")]
    Unreachable { address: SocketAddr, seconds: u64 },
    #[error("no answer for {seconds} s; does eximrbld work there?")]
    Silent { seconds: u64 },
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the gatherer closed the connection before all lines were answered")]
    Closed,
    #[error("{}", denied(*.code, .text, .by))]
    Denied { code: Code, text: String, by: Proof },
    #[error("\"{0}\" is no answer of a collector; is its address and port right, and `tls`?")]
    Strange(String),
    #[error("{}", tls(.error, .ca))]
    Tls { error: rustls::Error, ca: String },
}

/// What this host showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A secret, as this reporter.
    Secret { name: String, file: String },
    /// A client certificate.
    Certificate { file: String },
}

impl Trouble {
    /// What kind of trouble it is, to be told seldom of each.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Credentials(_) => "credentials",
            Self::LookUp(_) | Self::NoAddress => "name",
            Self::Connect { .. } | Self::Unreachable { .. } => "connect",
            Self::Silent { .. } => "silent",
            Self::Broken(_) | Self::Closed => "broken",
            Self::Denied { code, .. } => code.name(),
            Self::Strange(_) => "strange",
            Self::Tls { .. } => "tls",
        }
    }

    /// An error while connected or connecting, by TLS or without.
    pub(super) fn io(error: io::Error, ca: &str) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            // Without the end that TLS has: a gatherer that was killed.
            return Self::Closed;
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => Self::Tls { error: inner.clone(), ca: ca.to_owned() },
            None => Self::Broken(error),
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "; does eximrbld run there, with this port in its [collector]?"
        }
        io::ErrorKind::PermissionDenied => {
            "; a firewall, or a sandbox around this eximrbld, forbids it"
        }
        _ => "",
    }
}

fn denied(code: Code, text: &str, by: &Proof) -> String {
    let remedy = match (code, by) {
        (Code::Secret, Proof::Secret { name, file }) => {
            format!("{file} must hold the same as the secret_file of its [[reporter]] {name}")
        }
        (Code::Clock, _) => "set both clocks right (NTP)".to_owned(),
        (Code::UnknownReporter, Proof::Secret { name, .. }) => {
            format!("it needs a [[reporter]] with name = \"{name}\" and a secret_file")
        }
        (Code::UnknownReporter, Proof::Certificate { file }) => format!(
            "it needs client_ca, and a [[reporter]] whose certificate = is a name in {file}"
        ),
        (Code::NotAllowed, Proof::Secret { name, .. }) => {
            format!("the networks of its [[reporter]] {name} must hold this host's address")
        }
        (Code::NotAllowed, Proof::Certificate { .. }) => {
            "the networks of its [[reporter]] must hold this host's address".to_owned()
        }
        _ => "tried again later".to_owned(),
    };
    format!("the gatherer refuses this host ({}: {text}); {remedy}", code.name())
}

/// What TLS complains of, with the remedy.
fn tls(error: &rustls::Error, ca: &str) -> String {
    match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            // The latter from an authority that was made anew under its old name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "its certificate is signed by no authority in {ca}; name its authority's \
                 certificate by `ca` in [forward]"
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("{error}; `to` in [forward] must name it as its certificate does")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                format!("{error}; renew it there, or set this host's clock right")
            }
            _ => error.to_string(),
        },
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError),
        ) => format!(
            "the gatherer refuses this host's certificate ({alert:?}); it must be signed by an \
             authority in the collector's client_ca, and be in force"
        ),
        rustls::Error::InvalidMessage(_) => {
            format!("{error}; is that port one of `tls` in its [collector]?")
        }
        _ => error.to_string(),
    }
}
