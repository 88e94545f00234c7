//! Encrypted: whose certificates are taken, on both sides.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, crypto};
use socket2::{Domain, Socket, Type};

use crate::common::{Daemon, PLAIN, Place, control_section};
use crate::double::{Gatherer, SECRET, free, write_secret};
use crate::{line, record_clients, wait_for_standing};

/// An authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("an authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a name or address, and its key.
    pub(crate) fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// Writes its certificate for the forwarder.
    pub(crate) fn write(&self, place: &Place) -> PathBuf {
        write_secret(&place.path("ca"), &self.0.pem())
    }

    /// What a server of this name shows; with `clients`, only theirs may connect.
    fn server(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (certificate, key) = self.sign(name);
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

/// A daemon that passes reports on by TLS.
fn forwarder(place: &Place, to: &str, more: &str) -> Daemon {
    let control = control_section(place);
    Daemon::start(place, &format!("{control}[forward]\nto = [\"{to}\"]\n{more}\n{PLAIN}"))
}

/// The settings of one that has a secret.
fn secret(place: &Place) -> String {
    let file = write_secret(&place.path("secret"), SECRET);
    format!("name = \"mx1\"\nsecret_file = {file:?}\nca = {:?}", place.path("ca"))
}

/// A gatherer that is reached by the name `localhost`. Its port of the other family is kept free of
/// others, where the name leads as well.
fn at_localhost(tls: Arc<ServerConfig>) -> (Gatherer, Socket) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let other = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        let taken = SocketAddr::from((Ipv6Addr::LOCALHOST, address.port()));
        if other.bind(&taken.into()).is_ok() {
            return (Gatherer::serve(listener, SECRET, Some(tls)), other);
        }
    }
}

/// By name, and by address. Caught: a name that is not sent to be compared.
#[test]
fn reports_arrive_encrypted() {
    let (place, authority) = (Place::new(), Authority::new());
    authority.write(&place);
    let (gatherer, _other) = at_localhost(authority.server("localhost", None));
    let to = format!("localhost:{}", gatherer.address.port());
    let daemon = forwarder(&place, &to, &secret(&place));
    daemon.wait_for(&format!("INFO reports are passed on to {to} (127.0.0.1:"));
    record_clients(&place.table(), 0..2000);
    assert_eq!(gatherer.wait_for(2000), (0..2000).map(line).collect::<Vec<_>>());
    wait_for_standing(&place, "behind", 0);
    drop(daemon);

    let address = free();
    let tls = authority.server(&address.ip().to_string(), None);
    let gatherer = Gatherer::at(address, SECRET, Some(tls));
    let place = Place::new();
    authority.write(&place);
    let _daemon = forwarder(&place, &address.to_string(), &secret(&place));
    record_clients(&place.table(), 0..1);
    gatherer.wait_for(1);
}

/// Caught: any certificate taken; a name that is not looked at; errors without what to do.
#[test]
fn a_gatherer_that_is_not_who_it_should_be_gets_nothing_and_is_told() {
    let (place, authority) = (Place::new(), Authority::new());
    let ca = authority.write(&place);
    let refused = |tls, expected: &str| {
        let (gatherer, _other) = at_localhost(tls);
        let to = format!("localhost:{}", gatherer.address.port());
        let daemon = forwarder(&place, &to, &secret(&place));
        daemon.wait_for(&format!("WARN reports are not passed on to {to}: "));
        daemon.wait_for(expected);
        assert!(gatherer.taken().is_empty());
    };
    for other in [Authority::named("another authority"), Authority::new()] {
        refused(
            other.server("localhost", None),
            &format!(
                "its certificate is signed by no authority in {}; name its authority's certificate \
                 by `ca` in [forward]",
                ca.display()
            ),
        );
    }
    refused(
        authority.server("gatherer.example", None),
        "`to` in [forward] must name it as its certificate does",
    );
}

/// Caught: a certificate that is not shown; one that is told as if it were the gatherer's.
#[test]
fn a_client_certificate_does_instead_of_a_secret() {
    let (place, authority, clients) = (Place::new(), Authority::new(), Authority::new());
    let ca = authority.write(&place);
    let files = |signed: (rcgen::Certificate, KeyPair)| {
        let (certificate, key) = signed;
        let certificate = write_secret(&place.path("certificate"), &certificate.pem());
        let key = write_secret(&place.path("key"), &key.serialize_pem());
        format!("certificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}")
    };
    let (gatherer, _other) = at_localhost(authority.server("localhost", Some(&clients)));
    let to = format!("localhost:{}", gatherer.address.port());
    // Signed by one that the gatherer does not know.
    let settings = files(authority.sign("mx1.example"));
    let daemon = forwarder(&place, &to, &settings);
    daemon.wait_for("the gatherer refuses this host's certificate (");
    record_clients(&place.table(), 0..3);
    // Renewed, without a reload.
    files(clients.sign("mx1.example"));
    assert_eq!(gatherer.wait_for(3), (0..3).map(line).collect::<Vec<_>>());
}

/// Caught: an end without a word on either side.
#[test]
fn a_gatherer_without_tls_is_told_so() {
    let (place, authority) = (Place::new(), Authority::new());
    authority.write(&place);
    let gatherer = Gatherer::new();
    let daemon = forwarder(&place, &gatherer.address.to_string(), &secret(&place));
    daemon.wait_for(&format!("WARN reports are not passed on to {}: ", gatherer.address));
    assert!(gatherer.taken().is_empty());
}
