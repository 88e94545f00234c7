//! The connection to the NATS server, its stream, and the messages that come.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{Client, ConnectErrorKind, Event, HeaderMap};
use eximrbl_zone::NatsSettings;
use futures_util::TryStreamExt;
use tokio::sync::mpsc::{Receiver, channel};

use super::login::{self, LoginError};
use super::outbox::Outgoing;

/// How long a connection may take to come about, and an answer to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the server is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How often the server says that it is there while there are no messages.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long one request for messages holds.
const REQUEST: Duration = Duration::from_secs(30);
/// How long the server remembers messages, to recognise those that are sent again.
const REPEATS: Duration = Duration::from_secs(120);
/// After so long without us, the server forgets where we were; we do not.
const FORGET: Duration = Duration::from_secs(300);

/// Why there is no exchange now.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(
        "{servers}: the server does not let us in: see credentials, user and password_file, or \
             nkey_file ({error})"
    )]
    Refused { servers: String, error: String },
    #[error(
        "{servers}: no TLS: is the server's certificate of an authority in ca, and for this \
             name? ({error})"
    )]
    Tls { servers: String, error: String },
    #[error("{servers}: not to be reached: {error}")]
    Away { servers: String, error: String },
    #[error("the connection was lost")]
    Lost,
    #[error("stream {stream}: {problem}")]
    Stream { stream: String, problem: String },
    #[error("not published: {0}")]
    Publish(String),
    #[error("no messages: {0}")]
    Messages(String),
}

impl LinkError {
    /// What the log tells once a minute at most.
    pub(super) fn cause(&self) -> String {
        let cause = match self {
            // Who mends a file wants to know what is next.
            Self::Login(error) => return error.to_string(),
            Self::Refused { .. } => "refused",
            Self::Tls { .. } => "tls",
            Self::Away { .. } => "away",
            Self::Lost => "lost",
            Self::Stream { .. } => "stream",
            Self::Publish(_) => "publish",
            Self::Messages(_) => "messages",
        };
        cause.to_owned()
    }
}

/// A connection, and what becomes of it.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) context: Context,
    /// Tells that the connection was lost.
    pub(super) events: Receiver<Event>,
}

impl Link {
    /// Connects to one of the servers.
    pub(super) async fn open(settings: &NatsSettings) -> Result<Self, LinkError> {
        let (sender, events) = channel(8);
        let options = login::options(settings)?
            .name(format!("eximrbld {}", settings.site))
            .connection_timeout(PATIENCE)
            .ping_interval(PING_EVERY)
            .event_callback(move |event| {
                let sender = sender.clone();
                async move {
                    tracing::debug!("NATS: {event}");
                    // Who is not listening has gone on already.
                    let _ = sender.try_send(event);
                }
            });
        let servers = settings.servers.join(", ");
        // The library has no limit of its own for a server that accepts and says nothing.
        let connecting = tokio::time::timeout(PATIENCE * 2, options.connect(&settings.servers[..]));
        let client = match connecting.await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(link_error(servers, &error)),
            Err(_) => {
                let error = format!("no answer in {} s", (PATIENCE * 2).as_secs());
                return Err(LinkError::Away { servers, error });
            }
        };
        let mut context = jetstream::new(client.clone());
        context.set_timeout(PATIENCE);
        Ok(Self { client, context, events })
    }

    /// The stream, made if it is not there.
    pub(super) async fn stream(
        &self,
        settings: &NatsSettings,
        max_age: Duration,
    ) -> Result<Stream, LinkError> {
        let name = &settings.stream;
        let wrong = |problem: String| LinkError::Stream { stream: name.clone(), problem };
        let stream = match self.context.get_stream(name).await {
            Ok(stream) => stream,
            Err(error) => {
                let is_missing = matches!(error.kind(), GetStreamErrorKind::JetStream(ref error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND);
                if !is_missing {
                    let problem =
                        format!("not to be had (is JetStream on at the server?): {error}");
                    return Err(wrong(problem));
                }
                let config = Config {
                    name: name.clone(),
                    subjects: vec![format!("{}.*", settings.subject)],
                    retention: RetentionPolicy::Limits,
                    storage: StorageType::File,
                    num_replicas: settings.replicas.into(),
                    max_age,
                    duplicate_window: REPEATS,
                    ..Config::default()
                };
                let made = self.context.create_stream(config).await;
                let made = made.map_err(|error| wrong(format!("not made: {error}")))?;
                tracing::info!("NATS: made the stream {name}");
                made
            }
        };
        check(&stream.cached_info().config, settings).map_err(wrong)?;
        Ok(stream)
    }

    /// Sends a message, and waits until the stream has it.
    pub(super) async fn publish(
        context: Context,
        subject: String,
        outgoing: Outgoing,
    ) -> Result<Outgoing, LinkError> {
        let mut headers = HeaderMap::new();
        if let Some(id) = &outgoing.id {
            headers.insert("Nats-Msg-Id", id.as_str());
        }
        let failed = |error: async_nats::error::Error<PublishErrorKind>| {
            LinkError::Publish(error.to_string())
        };
        let bytes = outgoing.text.clone().into();
        let ack = context.publish_with_headers(subject, headers, bytes).await.map_err(failed)?;
        ack.await.map_err(failed)?;
        Ok(outgoing)
    }
}

/// The subjects of the messages that are in the stream.
pub(super) async fn subjects(
    stream: &Stream,
    settings: &NatsSettings,
) -> Result<Vec<String>, LinkError> {
    let failed = |error: &dyn Error| LinkError::Messages(error.to_string());
    let pattern = format!("{}.*", settings.subject);
    let found = stream.info_with_subjects(pattern).await.map_err(|error| failed(&error))?;
    let found = found.map_ok(|(subject, _)| subject).try_collect().await;
    found.map_err(|error| failed(&error))
}

/// The stream's messages from a sequence number on, each once and in order.
pub(super) async fn messages(
    stream: &Stream,
    settings: &NatsSettings,
    start: u64,
) -> Result<pull::Stream, LinkError> {
    let config = pull::Config {
        description: Some(format!("eximrbld {}", settings.site)),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start },
        // What was dealt with is kept on this side, with the table that it was done to.
        ack_policy: AckPolicy::None,
        filter_subject: format!("{}.*", settings.subject),
        inactive_threshold: FORGET,
        memory_storage: true,
        // With as many copies as the stream has: a single one may be given to a server that is gone.
        num_replicas: stream.cached_info().config.num_replicas,
        ..pull::Config::default()
    };
    let failed = |error: &dyn Error| LinkError::Messages(error.to_string());
    let consumer = stream.create_consumer(config).await.map_err(|error| failed(&error))?;
    let messages = consumer.stream().heartbeat(HEARTBEAT).expires(REQUEST).messages().await;
    messages.map_err(|error| failed(&error))
}

/// Why there is no connection, in words that say what to look at.
fn link_error(servers: String, error: &async_nats::ConnectError) -> LinkError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            LinkError::Refused { servers, error: text }
        }
        ConnectErrorKind::Tls => LinkError::Tls { servers, error: text },
        _ if text.contains("certificate") => LinkError::Tls { servers, error: text },
        _ => LinkError::Away { servers, error: text },
    }
}

/// Whether a stream that is there does what is wanted of it.
fn check(config: &Config, settings: &NatsSettings) -> Result<(), String> {
    let subject = format!("{}.{}", settings.subject, settings.site);
    if !config.subjects.iter().any(|pattern| covers(pattern, &subject)) {
        return Err(format!(
            "it takes {:?}, but this site publishes to {subject}; set `stream` or `subject`, or edit it",
            config.subjects
        ));
    }
    if config.retention != RetentionPolicy::Limits {
        return Err(
            "it drops messages that one site has read; its retention must be limits".to_owned()
        );
    }
    Ok(())
}

/// Whether a subject with wildcards (`*` for one word, `>` for the rest) covers another.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    for part in pattern.split('.') {
        match (part, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(word)) if part == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::covers;

    /// Caught: a `*` that covers nothing.
    #[test]
    fn wildcards_cover_words() {
        let subject = "eximrbl.reports.paris";
        for pattern in [subject, "eximrbl.reports.*", "eximrbl.>", "*.*.*", ">"] {
            assert!(covers(pattern, subject), "{pattern}");
        }
        for pattern in
            ["eximrbl.reports", "eximrbl.reports.*.*", "eximrbl.*", "eximrbl.reports.paris.>", ""]
        {
            assert!(!covers(pattern, subject), "{pattern}");
        }
    }
}
