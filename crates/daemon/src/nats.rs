//! Exchange of changes with other sites, over NATS JetStream.
//!
//! ```text
//! table's ring ─► engine ─► outbox ──────────────► stream ─► other sites
//!                   │ history                        │
//! table ◄───────── merge ◄────────── messages ◄──────┘
//! ```
//!
//! Every site publishes its own changes under a subject of its own and reads those of all. What has
//! been published and read is kept in a file beside the table, so that it is neither forgotten nor
//! done twice, whatever ends: this process, the connection, the server. `docs/convergence.md` says
//! by which rule the tables agree, and what is not promised.
//!
//! A thread of its own does all of it. Where it ends, DNS goes on.

mod connection;
mod engine;
mod history;
#[cfg(test)]
mod hostile;
mod login;
mod merge;
mod message;
mod outbox;
mod positions;
#[cfg(test)]
mod simulation;
mod standing;
mod told;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use eximrbl_zone::NatsSettings;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep};

use crate::served::Shared;
use crate::standing::State;
use connection::{Link, LinkError, messages, subjects};
use engine::{Engine, Polled};
pub(crate) use login::LoginError;
use outbox::Outgoing;
pub(crate) use standing::{Report, Standing};
use told::Told;

/// Time between two looks at the table's changes, while there are some.
const SOON: Duration = Duration::from_millis(5);
/// The same after a while without any.
const LATER: Duration = Duration::from_millis(20);
/// So many looks without a change make a while.
const QUIET: u32 = 200;
/// How often the table is looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest and longest time between two tries to connect.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Bytes of a message that the server takes beside its text: subject and headers.
const ROOM: usize = 1024;

/// Checks the files that the settings name.
pub(crate) fn check(settings: &NatsSettings) -> Result<(), LoginError> {
    login::options(settings).map(|_| ())
}

/// Starts the exchange, for as long as the process runs.
pub(crate) fn start(
    settings: NatsSettings,
    shared: Arc<Shared>,
    standing: Arc<Standing>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("nats".to_owned()).spawn(move || {
        let run = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(exchange(&settings, shared, &standing));
        });
        // The hook has logged what it was.
        if std::panic::catch_unwind(run).is_err() {
            standing.link.is(State::Disconnected, "has ended; restart eximrbld");
            tracing::error!("nothing is exchanged over NATS any more; restart eximrbld for that");
        }
    })?;
    Ok(())
}

/// Why a connection was given up.
enum Ended {
    /// It does not work.
    Link(LinkError),
    /// Another table is served.
    Replaced,
}

impl From<LinkError> for Ended {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// Connects again and again.
async fn exchange(settings: &NatsSettings, shared: Arc<Shared>, standing: &Arc<Standing>) {
    let begin = |told| Engine::new(settings, shared.clone(), told, standing.clone());
    let mut engine = begin(Told::default());
    let mut wait = RETRY.0;
    loop {
        let mut was_up = false;
        let ended = connected(settings, &shared, &mut engine, standing, &mut was_up).await;
        if was_up {
            wait = RETRY.0;
        }
        match ended {
            Ended::Replaced => {
                tracing::info!("NATS: another table is served; reading all sites' changes again");
                engine = begin(engine.into_told());
            }
            Ended::Link(error) => {
                standing.link.is(State::Disconnected, error.to_string());
                engine.told().warn(
                    &error.cause(),
                    format_args!("NATS: {error}; trying again, and all else goes on"),
                );
                rest(&mut engine, jittered(wait)).await;
                wait = (wait * 2).min(RETRY.1);
            }
        }
    }
}

/// Waits, and reads the table's changes meanwhile, as far as there is room for them.
async fn rest(engine: &mut Engine, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        // That another table is served is found again when there is a connection.
        let _ = engine.poll(eximrbl_table::now());
        engine.look();
        sleep(LOOK_EVERY.min(until - Instant::now())).await;
    }
}

/// Between half of a time and all of it, so that sites do not come all at once.
fn jittered(time: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    // Without a random number they do; no harm in that.
    let _ = getrandom::fill(&mut byte);
    time / 2 + time.mul_f64(f64::from(byte[0]) / 512.0)
}

type Publishing = Pin<Box<dyn Future<Output = Result<Outgoing, LinkError>>>>;

/// Waits until a message has arrived; for ever when none is on its way.
async fn arrival(publishing: &mut Option<Publishing>) -> Result<Outgoing, LinkError> {
    match publishing {
        Some(publishing) => publishing.await,
        None => std::future::pending().await,
    }
}

/// Connects, and exchanges until something goes wrong.
async fn connected(
    settings: &NatsSettings,
    shared: &Shared,
    engine: &mut Engine,
    standing: &Standing,
    was_up: &mut bool,
) -> Ended {
    match try_connected(settings, shared, engine, standing, was_up).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn try_connected(
    settings: &NatsSettings,
    shared: &Shared,
    engine: &mut Engine,
    standing: &Standing,
    was_up: &mut bool,
) -> Result<std::convert::Infallible, Ended> {
    let mut link = Link::open(settings).await?;
    let max_ttl = shared.served().table.policy().max_ttl;
    let max_age = Duration::from_secs(settings.max_age.unwrap_or(max_ttl).into());
    let stream = link.stream(settings, max_age).await?;
    let info = stream.cached_info();
    let created = info.created.to_string();
    let start = engine.follow_from(&created, info.state.last_sequence);
    if !engine.is_acquainted() {
        engine.acquaint(subjects(&stream, settings).await?.iter().map(String::as_str));
    }
    let mut messages = messages(&stream, settings, start).await?;
    let server = link.client.server_info();
    tracing::info!("NATS: connected to {}, as site {}", server.server_name, settings.site);
    standing.link.is(State::Connected, "");
    *was_up = true;

    let subject = format!("{}.{}", settings.subject, settings.site);
    let bytes_max = server.max_payload.saturating_sub(ROOM);
    let mut publishing: Option<Publishing> = None;
    let mut delivered = 0;
    let mut quiet = 0;
    let mut look_at = Instant::now();
    loop {
        if Instant::now() >= look_at {
            engine.look();
            look_at = Instant::now() + LOOK_EVERY;
        }
        match engine.poll(eximrbl_table::now()) {
            Polled::Replaced => return Err(Ended::Replaced),
            Polled::Something => quiet = 0,
            Polled::Nothing => quiet = QUIET.min(quiet + 1),
        }
        if publishing.is_none() {
            match engine.next(bytes_max) {
                Ok(Some(outgoing)) => {
                    let context = link.context.clone();
                    publishing = Some(Box::pin(Link::publish(context, subject.clone(), outgoing)));
                }
                Ok(None) => {}
                Err(error) => return Err(LinkError::Publish(error.to_string()).into()),
            }
        }
        let pause = if quiet < QUIET { SOON } else { LATER };
        tokio::select! {
            sent = arrival(&mut publishing) => {
                publishing = None;
                engine.arrived(&sent?);
            }
            message = messages.next(), if engine.can_take() => match message {
                Some(Ok(message)) => {
                    let info = message.info();
                    let info = info.map_err(|error| LinkError::Messages(error.to_string()))?;
                    // One was lost on the way: they are asked for again, from the last on.
                    if info.consumer_sequence != delivered + 1 {
                        return Err(LinkError::Lost.into());
                    }
                    delivered = info.consumer_sequence;
                    let (sequence, waiting) = (info.stream_sequence, info.pending);
                    engine.take(&message.subject, &message.payload, sequence, waiting);
                }
                Some(Err(error)) => return Err(LinkError::Messages(error.to_string()).into()),
                None => return Err(LinkError::Lost.into()),
            },
            event = link.events.recv() => match event {
                Some(async_nats::Event::Disconnected | async_nats::Event::Closed) | None => {
                    return Err(LinkError::Lost.into());
                }
                Some(_) => {}
            },
            () = sleep(pause) => {}
        }
    }
}
