//! A gatherer's double: it speaks the line protocol, keeps what it was sent, and misbehaves to order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use eximrbl_report::{Algorithm, Secret, auth};
use eximrbl_table::Name;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::wait_until;

/// The secret that both sides know.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The forwarder's name.
pub(crate) const NAME: &str = "mx1";

/// How lines are dealt with.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// All are taken.
    Take,
    /// All are refused, with this answer.
    Refuse(String),
    /// Connections are closed as soon as they are there.
    Close,
    /// None is answered.
    Hang,
    /// After so many lines the connection is closed: they are taken, and not answered.
    Drop(usize),
    /// So many are taken, then as many refused for now, and so on.
    Quota(usize),
}

/// What was seen.
#[derive(Default)]
struct Seen {
    taken: Vec<String>,
    refused: Vec<String>,
}

struct Inner {
    manner: Mutex<Manner>,
    seen: Mutex<Seen>,
    connections: AtomicUsize,
    is_over: AtomicBool,
    secret: String,
    tls: Option<Arc<ServerConfig>>,
    open: Mutex<Vec<TcpStream>>,
}

/// The double; it ends with the test.
pub(crate) struct Gatherer {
    inner: Arc<Inner>,
    pub(crate) address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Gatherer {
    /// One that takes all, without TLS.
    pub(crate) fn new() -> Self {
        Self::at(free(), SECRET, None)
    }

    /// One at an address, which a forwarder may know already.
    pub(crate) fn at(address: SocketAddr, secret: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        Self::serve(TcpListener::bind(address).unwrap(), secret, tls)
    }

    /// One at a socket that listens.
    pub(crate) fn serve(
        listener: TcpListener,
        secret: &str,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            manner: Mutex::new(Manner::Take),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            secret: secret.to_owned(),
            tls,
            open: Mutex::default(),
        });
        let served = inner.clone();
        let thread = std::thread::spawn(move || accept(&listener, &served));
        Self { inner, address, thread: Some(thread) }
    }

    /// Another way to deal with lines from now on; connections that are open are closed.
    pub(crate) fn be(&self, manner: Manner) {
        let mut present = self.inner.manner.lock().unwrap();
        *present = manner;
        self.inner.close_all();
    }

    /// From now on no line is answered, on the connections that are open too.
    pub(crate) fn fall_silent(&self) {
        *self.inner.manner.lock().unwrap() = Manner::Hang;
    }

    /// The lines that were taken so far.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.inner.seen.lock().unwrap().taken.clone()
    }

    /// The lines that were refused so far.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.inner.seen.lock().unwrap().refused.clone()
    }

    /// Connections that were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many lines have been taken.
    #[track_caller]
    pub(crate) fn wait_for(&self, lines: usize) -> Vec<String> {
        wait_until(
            || self.taken().len() >= lines,
            || format!("{} of {lines} lines: {:?}", self.taken().len(), self.taken().last()),
        );
        self.taken()
    }
}

impl Drop for Gatherer {
    fn drop(&mut self) {
        self.inner.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        self.inner.close_all();
        let _ = self.thread.take().unwrap().join();
    }
}

/// A loopback address of this test's own, with a port that is free there: nobody else's connection
/// takes it while nobody listens.
pub(crate) fn free() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Ordering::SeqCst) as u32;
    let [_, high, low, _] = std::process::id().to_be_bytes();
    let [.., own] = std::process::id().to_be_bytes();
    let host = [127, high ^ low | 1, own, number as u8];
    TcpListener::bind((std::net::IpAddr::from(host), 0)).unwrap().local_addr().unwrap()
}

impl Inner {
    fn close_all(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn manner(&self) -> Manner {
        self.manner.lock().unwrap().clone()
    }
}

fn accept(listener: &TcpListener, inner: &Arc<Inner>) {
    let mut threads = Vec::new();
    loop {
        let (stream, _) = listener.accept().unwrap();
        if inner.is_over.load(Ordering::SeqCst) {
            break;
        }
        if matches!(inner.manner(), Manner::Close) {
            continue;
        }
        inner.connections.fetch_add(1, Ordering::SeqCst);
        stream.set_nodelay(true).unwrap();
        inner.open.lock().unwrap().push(stream.try_clone().unwrap());
        let served = inner.clone();
        threads.push(std::thread::spawn(move || {
            let closed = stream.try_clone().unwrap();
            match &served.tls {
                None => serve(stream, &served),
                Some(tls) => {
                    let connection = ServerConnection::new(tls.clone()).unwrap();
                    serve(StreamOwned::new(connection, stream), &served);
                }
            }
            let _ = closed.shutdown(Shutdown::Both);
        }));
    }
    inner.close_all();
    for thread in threads {
        let _ = thread.join();
    }
}

/// Serves one connection to its end.
fn serve(stream: impl Read + Write, inner: &Inner) {
    let mut stream = BufReader::new(stream);
    let answer = |stream: &mut BufReader<_>, text: &str| {
        let stream: &mut _ = BufReader::get_mut(stream);
        Write::write_all(stream, format!("{text}\n").as_bytes())
            .and_then(|()| Write::flush(stream))
            .is_ok()
    };
    let mut lines = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if !matches!(stream.read_line(&mut line), Ok(1..)) {
            return;
        }
        let text = line.trim_end().to_owned();
        if text.starts_with("auth ") {
            let goes_on = match inner.manner() {
                Manner::Hang => continue,
                _ if is_signed(&text, &inner.secret) => answer(&mut stream, "ok"),
                _ => {
                    answer(&mut stream, "error secret: wrong signature");
                    false
                }
            };
            if goes_on {
                continue;
            }
            return;
        }
        lines += 1;
        let refuse = |reply: &str| {
            inner.seen.lock().unwrap().refused.push(text.clone());
            reply.to_owned()
        };
        let reply = match inner.manner() {
            Manner::Hang | Manner::Close => continue,
            Manner::Refuse(reply) => refuse(&reply),
            Manner::Quota(of) if (lines - 1) / of % 2 == 1 => refuse("error quota: later"),
            Manner::Drop(most) => {
                inner.seen.lock().unwrap().taken.push(text);
                if lines == most {
                    return;
                }
                continue;
            }
            Manner::Take | Manner::Quota(_) => {
                inner.seen.lock().unwrap().taken.push(text);
                "ok".to_owned()
            }
        };
        if !answer(&mut stream, &reply) {
            return;
        }
    }
}

/// Whether a line is signed with the secret, by the name.
fn is_signed(line: &str, secret: &str) -> bool {
    let words: Vec<_> = line.split(' ').collect();
    let ["auth", name, stamp, _] = words[..] else { return false };
    let secret = &Secret::read_all(secret.as_bytes()).unwrap()[0];
    let name = Name::new(name.as_bytes()).unwrap();
    name.as_str() == NAME && line == auth(secret, Algorithm::Sha3, name, stamp.parse().unwrap())
}

/// Writes a secret's file, as its reader wants it, who sees the old or the new one as a whole.
pub(crate) fn write_secret(path: &Path, text: &str) -> PathBuf {
    use std::os::unix::fs::{PermissionsExt, chown};
    let aside = path.with_extension("aside");
    std::fs::write(&aside, text).unwrap();
    std::fs::set_permissions(&aside, PermissionsExt::from_mode(0o640)).unwrap();
    if crate::common::is_root() {
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        chown(&aside, Some(nobody.uid.as_raw()), None).unwrap();
    }
    std::fs::rename(&aside, path).unwrap();
    path.to_owned()
}
