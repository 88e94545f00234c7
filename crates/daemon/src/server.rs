//! Serves until told to stop: sockets, signals, and an eye on every part that must not end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Interval;

use crate::keeper::{self, Keeper, Reload};
use crate::listen::Listener;
use crate::responder::Responder;
use crate::served::Shared;
use crate::systemd::notify;
use crate::{tcp, udp};

/// Why service ended, other than by a signal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("cannot start to serve: {0}")]
    Start(#[from] io::Error),
    #[error("{protocol} on {address} ended: {error}")]
    Socket { protocol: &'static str, address: SocketAddr, error: io::Error },
    #[error("a part that serves DNS ended: {0}")]
    Task(String),
    #[error("the thread that keeps the table ended; see the lines above")]
    Keeper,
}

/// Serves until SIGTERM or SIGINT, on this thread and the keeper's.
pub(crate) fn run(
    keeper: Keeper,
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
) -> Result<(), ServerError> {
    let (ended, keeper_ended) = oneshot::channel();
    let orders = keeper::start(keeper, ended)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(shared, listeners, orders, keeper_ended))
}

async fn serve(
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    orders: Sender<Reload>,
    mut keeper_ended: oneshot::Receiver<()>,
) -> Result<(), ServerError> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let responder = Responder::new(shared.clone());
    let mut sockets = JoinSet::new();
    let connections = tcp::Connections::new(&responder.served().tcp);
    let (declined, waiting) = udp::queue();
    for Listener { address, udp, tcp } in listeners {
        for ended in udp::start(udp, &shared, &declined)? {
            sockets.spawn(async move {
                let panicked = |_| io::Error::other("its thread ended; see the lines above");
                ("UDP", address, ended.await.unwrap_or_else(panicked))
            });
        }
        let (answering, connections) = (responder.clone(), connections.clone());
        sockets
            .spawn(async move { ("TCP", address, tcp::serve(tcp, answering, connections).await) });
        tracing::info!("listening on {address}, UDP and TCP");
    }
    let mut completing = tokio::spawn(udp::complete(waiting, responder));
    let mut watchdog = watchdog();
    notify(&[NotifyState::Ready]);
    tracing::info!("ready");
    let ended = loop {
        tokio::select! {
            Some(()) = hangup.recv() => {
                // If the keeper has ended, the line below notices.
                let _ = orders.send(Reload);
            }
            () = received(&mut terminate) => break stop("SIGTERM"),
            () = received(&mut interrupt) => break stop("SIGINT"),
            Some(ended) = sockets.join_next() => break Err(match ended {
                Ok((protocol, address, error)) => ServerError::Socket { protocol, address, error },
                Err(error) => ServerError::Task(error.to_string()),
            }),
            // Never by itself: this function keeps a sender.
            _ = &mut completing => {
                break Err(ServerError::Task("the one that answers what others decline".into()));
            }
            _ = &mut keeper_ended => break Err(ServerError::Keeper),
            () = next(&mut watchdog) => notify(&[NotifyState::Watchdog]),
        }
    };
    notify(&[NotifyState::Stopping]);
    sockets.shutdown().await;
    ended
}

/// When to tell systemd that this loop still turns, if it wants to know (WatchdogSec=).
fn watchdog() -> Option<Interval> {
    let limit = sd_notify::watchdog_enabled()?;
    // sd_watchdog_enabled(3) asks for half of the limit.
    Some(tokio::time::interval((limit / 2).max(Duration::from_millis(1))))
}

/// Waits for the next time; for ever without a watchdog.
async fn next(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(interval) => _ = interval.tick().await,
        None => std::future::pending().await,
    }
}

/// Waits for a signal.
async fn received(signal: &mut Signal) {
    // None comes only when the runtime ends.
    if signal.recv().await.is_none() {
        std::future::pending().await
    }
}

fn stop(signal: &str) -> Result<(), ServerError> {
    tracing::info!("stopping on {signal}");
    Ok(())
}
