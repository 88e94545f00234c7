//! The control socket: what the daemon says about itself, on this host alone.
//!
//! ```text
//! client:  stats\n                      one line, of at most 64 bytes
//! daemon:  {"format":1, …}\n            one line of JSON, and the end
//! ```
//!
//! What is not understood is answered with `{"format":1,"error":"…"}`. Keys may be added; when one
//! changes its meaning or goes, `format` grows.
//!
//! A thread of its own serves it, and reads what the others count without stopping them: a client
//! that asks without end, or never, delays other clients of this socket at most. So a few are
//! served at once, each for a second, and a hundred a second.

mod report;
mod socket;

use std::io;
use std::os::unix::net::UnixListener as Bound;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub(crate) use report::Facts;
pub(crate) use socket::ControlSocket;

/// Clients that are served at once; more wait.
const CLIENTS: usize = 16;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between two clients, so that asking without end takes little of a processor.
const PACE: Duration = Duration::from_millis(10);
/// How long to wait after a client could not be accepted for want of files or memory.
const RESPITE: Duration = Duration::from_millis(100);
/// Longest request.
const REQUEST: usize = 64;

/// Serves the socket for as long as the process runs. What goes wrong here is no reason to end.
pub(crate) fn start(listener: Bound, facts: Facts) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("control".to_owned()).spawn(move || {
        if let Err(error) = runtime.block_on(serve(listener, Arc::new(facts))) {
            tracing::error!("the control socket is not served any more: {error}");
        }
    })?;
    Ok(())
}

async fn serve(listener: Bound, facts: Arc<Facts>) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let free = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let facts = facts.clone();
                tokio::spawn(async move {
                    // Who is gone or too slow gets nothing, and knows.
                    let _ = timeout(PATIENCE, answer(stream, &facts)).await;
                    drop(permit);
                });
                sleep(PACE).await;
            }
            Err(error) => {
                tracing::debug!("control connection not accepted: {error}");
                sleep(RESPITE).await;
            }
        }
    }
}

/// Answers one client.
async fn answer(mut stream: UnixStream, facts: &Facts) -> io::Result<()> {
    let mut request = Vec::with_capacity(REQUEST);
    while !request.contains(&b'\n') && request.len() < REQUEST {
        let rest = (REQUEST - request.len()) as u64;
        if (&mut stream).take(rest).read_buf(&mut request).await? == 0 {
            break;
        }
    }
    let line = request.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut response = match line.trim_ascii() {
        b"stats" => serde_json::to_vec(&facts.report()),
        other => serde_json::to_vec(&report::Refusal::of(other)),
    }?;
    response.push(b'\n');
    stream.write_all(&response).await?;
    stream.shutdown().await
}
