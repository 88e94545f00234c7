//! The collector by TLS: who it is, client certificates, and what a reload does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Daemon, PLAIN, Place, Statistics, Talk, auth, connect, control_section, fails};
use common::{reporters_of, signed, timeless, wait_until};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NAME: &str = "gatherer.example.org";
const ORDER: &str = "black 192.0.2.1\n";

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A CA and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM form.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    fn signs(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.extended_key_usages = vec![usage];
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn server(&self) -> Pair {
        self.signs(NAME, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self, name: &str) -> Pair {
        self.signs(name, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// A file that the daemon can read.
fn file(place: &Place, name: &str, text: &str) -> String {
    let path = place.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A collector by TLS, and two reporters: one with a certificate, one with a secret.
fn configuration(place: &Place, server: &Pair, clients: &Authority) -> String {
    let certificate = file(place, "collector.crt", &server.certificate);
    let key = file(place, "collector.key", &server.key);
    let ca = file(place, "reporters.ca", &clients.pem);
    let secret = file(place, "mx3.secret", SECRET);
    format!(
        "{}[collector]\ntcp = [\"127.0.0.1:0\"]\ntls = [\"127.0.0.1:0\"]\ncertificate = {certificate:?}\nkey = {key:?}\n\
         client_ca = {ca:?}\n[[reporter]]\nname = \"mx2\"\ncertificate = \"mx2.example.org\"\n\
         [[reporter]]\nname = \"mx3\"\nsecret_file = {secret:?}\n{PLAIN}",
        control_section(place)
    )
}

/// Connects, trusting that CA; the handshake is made with the first byte.
fn tls(address: SocketAddr, trusted: &Authority, client: Option<&Pair>) -> Stream {
    tls_on(connect(address), trusted, client)
}

/// The same upon a connection.
fn tls_on(stream: TcpStream, trusted: &Authority, client: Option<&Pair>) -> Stream {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let connection = ClientConnection::new(Arc::new(config), NAME.try_into().unwrap()).unwrap();
    StreamOwned::new(connection, stream)
}

/// Sends lines, and reads to the end.
fn ask(mut stream: Stream, lines: &str) -> std::io::Result<String> {
    stream.write_all(lines.as_bytes())?;
    stream.flush()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Caught: a certificate of whatever name taken for the reporter's, or for this host; clients without
/// one turned away.
#[test]
fn a_client_certificate_shows_who_reports() {
    let place = Place::new();
    let (servers, clients) = (Authority::new(), Authority::new());
    let daemon = Daemon::start(&place, &configuration(&place, &servers.server(), &clients));
    let address = daemon.collecting("TLS");
    let mx2 = clients.client("mx2.example.org");
    let mut talk = Talk { stream: std::io::BufReader::new(tls(address, &servers, Some(&mx2))) };
    for count in 1..=3 {
        assert_eq!(timeless(&talk.say(ORDER)), format!("ok count {count}"));
    }
    assert_eq!(reporters_of(&place, "192.0.2.1"), ["mx2"]);
    assert!(talk.say("white 192.0.2.1\n").starts_with("error not-allowed: "));
    // Of loopback, whoever shows no name is this host; `tls=yes` of Exim has no client certificate.
    let answer = ask(tls(address, &servers, None), "black 192.0.2.2\n").unwrap();
    assert!(answer.starts_with("ok count "), "{answer}");
    // Whoever shows one that is nobody's is a stranger even there, unless he signs.
    let stranger = clients.client("mx9.example.org");
    let mut lines = "black 192.0.2.2\n".to_owned();
    lines += &signed(SECRET, "mx3", "black 192.0.2.4");
    let answer = ask(tls(address, &servers, Some(&stranger)), &lines).unwrap();
    let (first, second) = answer.split_once('\n').unwrap();
    assert!(first.starts_with("error unknown-reporter: "), "{answer}");
    assert_eq!(second, "ok count 1 seconds 600\n");
    let told = "WARN collector: 127.0.0.1 shows a client certificate for mx9.example.org, which no \
                [[reporter]] has as its `certificate`";
    wait_until(|| daemon.log().contains(told), || daemon.log());
    assert_eq!(reporters_of(&place, "192.0.2.2"), ["collector"]);
    let answer =
        ask(tls(address, &servers, None), &signed(SECRET, "mx3", "black 192.0.2.3")).unwrap();
    assert_eq!(answer, "ok count 1 seconds 600\n");
    assert_eq!(reporters_of(&place, "192.0.2.3"), ["mx3"]);
    let mut talk = Talk { stream: std::io::BufReader::new(tls(address, &servers, None)) };
    assert_eq!(talk.say(auth(SECRET, "mx3")), "ok mx3");
    assert_eq!(timeless(&talk.say("black 192.0.2.3\n")), "ok count 2");
    // Of another CA, it is no certificate.
    let forged = servers.client("mx2.example.org");
    assert!(ask(tls(address, &servers, Some(&forged)), ORDER).is_err());
    let event = |name| Statistics::of(&place).number(&["collector", "events", name]);
    wait_until(|| event("tls_failed") == 1, || daemon.log());
    assert_eq!((event("tls"), event("sessions")), (6, 2));
    daemon.wait_for("INFO collector: no TLS with 127.0.0.1: ");
}

/// Caught: TLS connections without end, of which each takes as much time as hundreds of lines; others
/// turned away for them.
#[test]
fn one_client_makes_so_many_tls_connections() {
    let place = Place::new();
    let (servers, clients) = (Authority::new(), Authority::new());
    let daemon = Daemon::start(&place, &configuration(&place, &servers.server(), &clients));
    let address = daemon.collecting("TLS");
    let told =
        "WARN collector: 127.0.0.1 has made 1200 TLS connections within a minute; more are refused";
    // No handshake comes: to accept one is what counts. On a slow machine the minute may end
    // before there are so many, or right after.
    let is_refused = || {
        (0..250).for_each(|_| _ = TcpStream::connect(address));
        daemon.log().contains(told) && ask(tls(address, &servers, None), ORDER).is_err()
    };
    let started = Instant::now();
    while !is_refused() {
        assert!(started.elapsed() < Duration::from_secs(150), "{}", daemon.log());
    }
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let answer = ask(tls_on(socket.into(), &servers, None), ORDER).unwrap();
    assert!(answer.starts_with("ok count "), "{answer}");
    // Without TLS, it is as welcome as before.
    assert!(daemon.report(ORDER).starts_with("ok count "));
}

/// Caught: clear text answered on the port of TLS.
#[test]
fn clear_text_is_no_tls() {
    let place = Place::new();
    let authority = Authority::new();
    let daemon = Daemon::start(&place, &configuration(&place, &authority.server(), &authority));
    let mut stream = connect(daemon.collecting("TLS"));
    stream.write_all(ORDER.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"ok") && !bytes.starts_with(b"error"), "{bytes:?}");
    daemon.wait_for("INFO collector: no TLS with 127.0.0.1: ");
}

/// Caught: a certificate that is read at the start alone; a bad one that takes the place of a good one.
#[test]
fn a_reload_replaces_certificates_by_good_ones_alone() {
    let place = Place::new();
    let (old, new) = (Authority::new(), Authority::new());
    let daemon = Daemon::start(&place, &configuration(&place, &old.server(), &old));
    let address = daemon.collecting("TLS");
    let mx2 = old.client("mx2.example.org");
    let mut open = Talk { stream: std::io::BufReader::new(tls(address, &old, Some(&mx2))) };
    assert_eq!(open.say(ORDER), "ok count 1 seconds 600");

    // A key that is another certificate's; no certificate; no key.
    let strange = old.server();
    for (name, text, expected) in [
        ("collector.key", &strange.key, "collector.key: certificate and key do not do: "),
        ("collector.crt", &"nothing".to_owned(), "collector.crt: no certificate in it; it has to"),
        ("reporters.ca", &strange.key, "reporters.ca: no certificate in it; it has to"),
        ("collector.key", &strange.certificate, "collector.key: no private key in it: "),
    ] {
        let path = place.path(name);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, text).unwrap();
        daemon.signal(Signal::SIGHUP);
        daemon.wait_for(expected);
        assert_eq!(
            ask(tls(address, &old, None), "forgive 192.0.2.2\n").unwrap(),
            "ok nothing to forgive\n"
        );
        let config = place.path("eximrbl.toml");
        let (status, error) = fails(&["--check-config", "--config", config.to_str().unwrap()]);
        assert_eq!(status, Some(1));
        assert!(error.contains(expected), "{error}");
        fs::write(&path, before).unwrap();
    }

    configuration(&place, &new.server(), &new);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("collecting from 2 configured reporters");
    let mx2 = new.client("mx2.example.org");
    let mut talk = Talk { stream: std::io::BufReader::new(tls(address, &new, Some(&mx2))) };
    assert_eq!(timeless(&talk.say(ORDER)), "ok count 2");
    assert!(ask(tls(address, &old, None), ORDER).is_err());
    // Who was there stays.
    assert_eq!(timeless(&open.say(ORDER)), "ok count 3");
}

/// Caught: a certificate that is not looked at before the reload.
#[test]
fn a_missing_certificate_is_told_before_the_start() {
    let place = Place::new();
    let authority = Authority::new();
    let rest = configuration(&place, &authority.server(), &authority);
    let config = place.configure(&rest);
    let path = place.path("collector.crt");
    fs::remove_file(&path).unwrap();
    for arguments in [&["--check-config", "--config"][..], &["--config"]] {
        let arguments = [arguments, &[config.to_str().unwrap()]].concat();
        let (status, error) = fails(&arguments);
        assert_eq!(status, Some(1));
        let expected = format!("{}: cannot read the certificate: No such file", path.display());
        assert!(error.contains(&expected), "{error}");
    }
}
