//! A gatherer that behaves badly, for what a real one does not do.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::{Host, wait_until};

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

/// The double; it ends when it is dropped.
pub struct Double {
    lines: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Double {
    /// Listens on port 4444 of a host.
    pub fn start(host: &Host, act: Act) -> Self {
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
        Self { lines, ends, thread: Some(thread) }
    }

    /// The lines that came so far, one for each connection.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl Drop for Double {
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
