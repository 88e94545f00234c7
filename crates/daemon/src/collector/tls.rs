//! Connections by TLS (rustls).
//!
//! Client certificates are asked for, and those of the configured CA are taken; whoever has none can still
//! sign his lines. A reload replaces certificates for the connections that come after it.

use std::cell::RefCell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

use super::conversation::{self, Waiting};
use super::counts::Event;
use super::desk::Talk;
use super::places::Place;
use super::{Hall, RESPITE};

/// How long a handshake may take: two round trips over any path, and a slow processor.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("no certificate in it; it has to be in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    #[error("not in PEM form: {0}")]
    Pem(String),
    #[error("no private key in it: {0}")]
    NoKey(String),
    #[error("cannot be used as the CA of client certificates: {0}")]
    Roots(String),
    #[error("certificate and key do not do: {0}")]
    Pair(rustls::Error),
}

/// Reads all certificates of a file.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| TlsError::Pem(error.to_string()))?;
    if certificates.is_empty() { Err(TlsError::NoCertificate) } else { Ok(certificates) }
}

/// Reads the first private key of a file.
pub(super) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| TlsError::NoKey(error.to_string()))
}

/// Takes client certificates of these CAs, and clients without one.
pub(super) fn verifier(
    roots: Vec<CertificateDer<'static>>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root).map_err(|error| TlsError::Roots(error.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
    builder
        .allow_unauthenticated()
        .build()
        .map_err(|error: VerifierBuilderError| TlsError::Roots(error.to_string()))
}

/// What connections are made with.
pub(super) fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    builder.with_single_cert(chain, key).map(Arc::new).map_err(TlsError::Pair)
}

/// What new connections are made with; replaced by a reload.
#[derive(Clone)]
pub(super) struct Tls(Rc<RefCell<Option<Arc<ServerConfig>>>>);

impl Tls {
    pub(super) fn new(config: Option<Arc<ServerConfig>>) -> Self {
        Self(Rc::new(RefCell::new(config)))
    }

    pub(super) fn renew(&self, config: Option<Arc<ServerConfig>>) {
        // Where nothing was configured any more, those who still connect get the old one.
        if config.is_some() {
            *self.0.borrow_mut() = config;
        }
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.borrow().clone().map(TlsAcceptor::from)
    }
}

/// Serves one listening socket until something is wrong with it.
pub(super) async fn serve(listener: TcpListener, hall: Hall) -> std::io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if super::quick::is_fatal(&error) => return error,
            Err(error) => {
                tracing::debug!("report connection not accepted: {error}");
                sleep(RESPITE).await;
                continue;
            }
        };
        hall.places.counts().note(Event::Accepted);
        hall.places.counts().note(Event::Tls);
        let talk = Talk::with_host(client.ip());
        if !hall.desk.borrow_mut().may_shake_hands(&talk) {
            continue;
        }
        let Some(acceptor) = hall.tls.acceptor() else { continue };
        let Some(place) = hall.places.take(talk.client()) else { continue };
        let number = place.number;
        let of_task = hall.clone();
        let task = tokio::task::spawn_local(shake_hands(stream, acceptor, talk, place, of_task));
        hall.places.can_be_ended_by(number, task.abort_handle());
    }
}

/// Makes the TLS connection, and then talks.
async fn shake_hands(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    mut talk: Talk,
    place: Place,
    hall: Hall,
) {
    let _ = stream.set_nodelay(true);
    let mut stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            hall.places.counts().note(Event::TlsFailed);
            hall.desk.borrow_mut().tell_tls_failed(&talk, &error.to_string());
            return;
        }
        Err(_) => {
            hall.places.counts().note(Event::TlsFailed);
            return;
        }
    };
    if let Some(names) = client_names(&stream) {
        hall.desk.borrow_mut().open_by_certificate(&mut talk, &names);
    }
    let waiting = Waiting { talk, place, rest: Vec::new(), answers: Vec::new() };
    conversation::hold(&mut stream, waiting, &hall).await;
}

/// The names in the client's certificate, which the CA vouches for; `None` if it showed none.
fn client_names(stream: &TlsStream<TcpStream>) -> Option<Vec<String>> {
    let (_, connection) = stream.get_ref();
    let leaf = connection.peer_certificates().and_then(<[_]>::first)?;
    let Ok(leaf) = EndEntityCert::try_from(leaf) else { return Some(Vec::new()) };
    Some(leaf.valid_dns_names().map(str::to_ascii_lowercase).collect())
}
