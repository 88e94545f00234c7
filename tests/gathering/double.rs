//! A gatherer that behaves badly, for what a real one does not do.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::{Host, connect_inside, wait_until};

/// What it does with a line.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// Sends these bytes and closes.
    Answer(&'static [u8]),
    /// Sends these bytes, and then nothing, without an end.
    AnswerAndStay(&'static [u8]),
    /// Breaks the connection off (RST).
    Reset,
}

/// What a test says to it, in a connection of its own.
const SO_FAR: &str = "all so far\n";

/// The double; it ends when it is dropped.
pub struct Double<'h> {
    host: &'h Host,
    lines: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<'h> Double<'h> {
    /// Listens on port 4444 of a host.
    pub fn start(host: &'h Host, act: Act) -> Self {
        let namespace = File::open(host.path()).unwrap();
        let address = SocketAddr::new(host.v4.into(), 4444);
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let ends = Arc::new(AtomicBool::new(false));
        let (ready, listens) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let (lines, ends) = (lines.clone(), ends.clone());
            move || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                // A program that another test just starts may still have the one before.
                let mut listener = None;
                wait_until("the port is free", || {
                    listener = TcpListener::bind(address).ok();
                    listener.is_some()
                });
                let listener = listener.unwrap();
                listener.set_nonblocking(true).unwrap();
                ready.send(()).unwrap();
                serve(&listener, act, &lines, &ends);
            }
        });
        listens.recv().unwrap();
        Self { host, lines, ends, thread: Some(thread) }
    }

    /// The lines of all connections that were made so far. It takes them in their order, so it has read all
    /// of them when it has read one that is made now.
    pub fn lines(&self) -> Vec<String> {
        let address: IpAddr = self.host.v4.into();
        let mut own = connect_inside(self.host, address, SocketAddr::new(address, 4444)).unwrap();
        own.write_all(SO_FAR.as_bytes()).unwrap();
        let mut lines = Vec::new();
        wait_until("the double has read all lines", || {
            let mut read = self.lines.lock().unwrap();
            let place = read.iter().position(|line| line == SO_FAR);
            lines = read.clone();
            place.map(|place| read.remove(place)).is_some()
        });
        lines.retain(|line| line != SO_FAR);
        lines
    }
}

impl Drop for Double<'_> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the double failed");
    }
}

/// Takes connections until it is to end.
fn serve(listener: &TcpListener, act: Act, lines: &Mutex<Vec<String>>, ends: &AtomicBool) {
    let mut open: Vec<TcpStream> = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                lines.lock().unwrap().push(line);
                // Whoever has gone already needs no answer.
                match act {
                    Act::Answer(bytes) => drop((&stream).write_all(bytes)),
                    Act::AnswerAndStay(bytes) => {
                        let _ = (&stream).write_all(bytes);
                        open.push(stream);
                    }
                    Act::Reset => {
                        let linger = Some(Duration::ZERO);
                        rustix::net::sockopt::set_socket_linger(&stream, linger).unwrap();
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
