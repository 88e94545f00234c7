//! Servers that want TLS and credentials, and all that can be wrong with them: one clear line each,
//! and DNS goes on.

use std::net::Ipv4Addr;

use crate::credentials::Credentials;
use crate::harness::{Lan, Scratch, dig};
use crate::stage::{PORT, Server, Site, agree, openssl};

const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 201);
const B: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 202);

/// Makes an authority, and a certificate of it for an address and for clients.
fn certificates(name: &str, address: &str) -> Scratch {
    let scratch = Scratch::new("certificates");
    let days = "-days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
    openssl(&scratch, &format!("req -x509 {days} -subj /CN={name} -keyout ca.key -out ca.crt"));
    openssl(&scratch, &format!("req {days} -subj /CN=nats -keyout nats.key -out nats.csr"));
    scratch.write("extensions", format!("subjectAltName = IP:{address}\n"));
    openssl(
        &scratch,
        "x509 -req -in nats.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile extensions \
         -out nats.crt",
    );
    scratch
}

/// Whether DNS is served.
#[track_caller]
fn serves(site: &Site) {
    let asked = dig(&site.host, (site.host.v4, 53).into(), "2.0.0.127.rbl.example.org", "A");
    assert_eq!(asked.data("A"), ["127.0.0.2"], "{}", asked.text);
}

/// By TLS with certificates on both sides, and by password and NKey. Who is wrong about any of it is
/// told what to look at, and is taken as soon as it is right. Caught: a refusal told as a server that is
/// away.
#[test]
fn tls_passwords_and_keys() {
    let lan = Lan::new();
    let right = certificates("right", "198.51.100.2");
    let wrong = certificates("wrong", "198.51.100.2");
    let text = |scratch: &Scratch, name: &str| std::fs::read_to_string(scratch.join(name)).unwrap();
    let pair = nkeys::KeyPair::new_user();
    let rest = format!(
        "tls {{ cert_file: \"FOLDER/nats.crt\", key_file: \"FOLDER/nats.key\", ca_file: \"FOLDER/ca.crt\", \
         verify: true }}\n\
         authorization {{ users: [ {{ user: osaka, password: \"right password\" }}, \
         {{ nkey: {} }} ] }}\n",
        pair.public_key()
    );
    let files = ["nats.crt", "nats.key", "ca.crt"].map(|name| (name, text(&right, name)));
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let _server = Server::start(lan.host("nats", 2), "n1", &rest, &files);

    let nats = |login: &str| {
        format!(
            "url = \"tls://198.51.100.2:{PORT}\"\nca = \"FOLDER/ca.crt\"\ncertificate = \"FOLDER/nats.crt\"\n\
             key = \"FOLDER/nats.key\"\n{login}\n"
        )
    };
    let give = |site: &Site, from: &Scratch| {
        for name in ["ca.crt", "nats.crt"] {
            site.scratch.write(name, text(from, name));
        }
        site.secret("nats.key", &text(from, "nats.key"));
    };
    let password = nats("user = \"osaka\"\npassword_file = \"FOLDER/password\"");
    let mut osaka = Site::new(lan.host("osaka", 11), "osaka", &password);
    let mut paris = Site::new(lan.host("paris", 12), "paris", &nats("nkey_file = \"FOLDER/nkey\""));
    give(&paris, &right);
    paris.secret("nkey", &pair.seed().unwrap());
    paris.go();
    paris.wait_for("NATS: connected to n1");

    // No file, then the wrong authority, then the wrong password, then all is right.
    osaka.go();
    osaka.wait_for("ca.crt: cannot be read: No such file");
    give(&osaka, &wrong);
    osaka.secret("password", "wrong password\n");
    osaka.wait_for("no TLS: is the server's certificate of an authority in ca");
    give(&osaka, &right);
    osaka.wait_for("the server does not let us in: see credentials, user and password_file");
    serves(&osaka);
    osaka.secret("password", "right password\n");
    osaka.reject(A, 2);
    paris.reject(A, 3);
    agree(&[&osaka, &paris], A, 5);
}

/// By credentials as nsc makes them, on a server that knows its operator alone. Caught: a refusal told
/// as a server that is away.
#[test]
fn credentials_files() {
    let lan = Lan::new();
    let ours = Credentials::new();
    let _server = Server::start(lan.host("nats", 2), "n1", &ours.server_lines(), &[]);
    let nats = format!("url = \"nats://198.51.100.2:{PORT}\"\ncredentials = \"FOLDER/nats.creds\"");
    let mut osaka = Site::new(lan.host("osaka", 11), "osaka", &nats);
    let mut paris = Site::new(lan.host("paris", 12), "paris", &nats);
    paris.secret("nats.creds", &ours.user("paris"));
    paris.go();

    osaka.scratch.write("nats.creds", ours.user("osaka"));
    osaka.go();
    osaka.wait_for("nats.creds: others may read or change it (mode 0644)");
    osaka.secret("nats.creds", "no credentials\n");
    osaka.wait_for("nats.creds: no credentials, as nsc makes them");
    osaka.secret("nats.creds", &Credentials::new().user("osaka"));
    osaka.wait_for("the server does not let us in: see credentials");
    serves(&osaka);
    osaka.secret("nats.creds", &ours.user("osaka"));
    paris.reject(A, 3);
    osaka.reject(A, 2);
    agree(&[&osaka, &paris], A, 5);
}

/// A server that is not there yet, one that goes, and a stream that takes other subjects. Caught: a
/// stream that is not looked at.
#[test]
fn servers_that_are_not_ready() {
    let lan = Lan::new();
    let host = lan.host("nats", 2);
    let nats = format!("url = \"nats://198.51.100.2:{PORT}\"");
    let osaka = Site::start(lan.host("osaka", 11), "osaka", &nats);
    let other = format!("{nats}\nsubject = \"reports.of.others\"");
    osaka.wait_for("nats://198.51.100.2:4222: not to be reached");
    osaka.reject(A, 1);
    serves(&osaka);

    let mut server = Server::start(host, "n1", "no_auth_user: \"\"", &[]);
    osaka.wait_for("NATS: connected to n1");
    // The stream is there now, with other subjects than this site's.
    let paris = Site::start(lan.host("paris", 12), "paris", &other);
    paris.wait_for(
        "stream EXIMRBL: it takes [\"eximrbl.reports.*\"], but this site publishes to reports.of.others.paris",
    );
    serves(&paris);
    let quito = Site::start(lan.host("quito", 13), "quito", &nats);
    agree(&[&quito], A, 1);
    server.process.stop();
    quito.reject(B, 1);
    serves(&quito);
    server.start_again();
    agree(&[&osaka, &quito], B, 1);
}
