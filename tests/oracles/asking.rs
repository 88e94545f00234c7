//! Many questions by UDP, a window of them under way at a time.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::harness::{Namespace, udp_inside};
use crate::questions::Question;

/// Questions under way; few enough for every server's receive buffer.
const WINDOW: usize = 32;
/// When an answer counts as lost and the question is asked again.
const LOST: Duration = Duration::from_secs(2);
/// How long nothing at all may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks a server everything, and gives the response to each question, in order.
///
/// # Panics
///
/// When the server does not answer for long.
#[track_caller]
pub fn ask(namespace: &Namespace, server: SocketAddr, questions: &[Question]) -> Vec<Vec<u8>> {
    assert!(questions.len() <= 65_536, "a question's number is its place");
    let socket = udp_inside(namespace, "127.0.0.1:0".parse().unwrap(), server).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut responses = vec![Vec::new(); questions.len()];
    let mut under_way: BTreeMap<usize, Instant> = BTreeMap::new();
    let mut next = 0;
    let mut last = Instant::now();
    let mut buffer = [0; 65_535];
    while next < questions.len() || !under_way.is_empty() {
        while next < questions.len() && under_way.len() < WINDOW {
            send(&socket, questions, next);
            under_way.insert(next, Instant::now());
            next += 1;
        }
        if let Ok(length) = socket.recv(&mut buffer) {
            let number = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
            // What was asked twice may be answered twice.
            if under_way.remove(&number).is_some() {
                responses[number] = buffer[..length].to_vec();
                last = Instant::now();
            }
        }
        assert!(
            last.elapsed() < PATIENCE,
            "{server} is silent at {:?}",
            lost(questions, &under_way)
        );
        for (&number, asked) in &mut under_way {
            if asked.elapsed() > LOST {
                send(&socket, questions, number);
                *asked = Instant::now();
            }
        }
    }
    responses
}

/// A full send buffer, or a server that is not there, shows as silence.
fn send(socket: &UdpSocket, questions: &[Question], number: usize) {
    let _ = socket.send(&questions[number].packet(number as u16));
}

fn lost<'q>(questions: &'q [Question], under_way: &BTreeMap<usize, Instant>) -> Vec<&'q Question> {
    under_way.keys().map(|&number| &questions[number]).collect()
}
