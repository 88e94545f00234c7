//! Makes a connection to a gatherer, and shows who this host is.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eximrbl_report::{Algorithm, auth};
use eximrbl_zone::{ForwardSettings, Gatherer, GathererHost};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::credentials::Credentials;
use super::queue::Answer;
use super::trouble::{Proof, Trouble};

/// How long a connection to one address may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long TLS and the answer to who this host is may take, each.
const GREETING: Duration = Duration::from_secs(10);
/// Longest answer that is read.
pub(super) const ANSWER_MAX: usize = 1024;

/// A way to a gatherer.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection on which reports are taken.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// What came behind the answer to who this host is.
    pub(super) read: Vec<u8>,
    pub(super) proof: Proof,
    pub(super) address: SocketAddr,
}

/// Connects. `attempt` counts those with this gatherer: where there are two secrets, they take turns
/// until one is taken.
pub(super) async fn connect(
    to: &Gatherer,
    settings: &ForwardSettings,
    secret: &mut usize,
) -> Result<Connection, Trouble> {
    let credentials = Credentials::load(settings)?;
    let (stream, address) = dial(to).await?;
    // Lines are few and short, and each is waited for.
    stream.set_nodelay(true).map_err(Trouble::Broken)?;
    let ca = settings.ca.display().to_string();
    let mut stream: Box<dyn Stream> = match &credentials.tls {
        None => Box::new(stream),
        Some(config) => {
            let connecting = TlsConnector::from(config.clone()).connect(server_name(to)?, stream);
            Box::new(greeted(connecting).await?.map_err(|error| Trouble::io(error, &ca))?)
        }
    };
    let certificate = || settings.certificate.as_ref().map_or(&settings.ca, |(file, _)| file);
    let (Some(name), Some(file)) = (settings.name, &settings.secret_file) else {
        let proof = Proof::Certificate { file: certificate().display().to_string() };
        return Ok(Connection { stream, read: Vec::new(), proof, address });
    };
    let proof = Proof::Secret { name: name.to_string(), file: file.display().to_string() };
    let turn = *secret % credentials.secrets.len().max(1);
    let Some(chosen) = credentials.secrets.get(turn) else {
        return Ok(Connection { stream, read: Vec::new(), proof, address });
    };
    let line = auth(chosen, Algorithm::Sha3, name, stamp()) + "\n";
    let mut read = Vec::new();
    let greeting = async {
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await?;
        read_line(&mut stream, &mut read).await
    };
    let answer = greeted(greeting).await?.map_err(|error| Trouble::io(error, &ca))?;
    match answer.as_deref().map(Answer::read) {
        Some(Answer::Accepted) => Ok(Connection { stream, read, proof, address }),
        Some(Answer::Refused(code, text)) => {
            if code == eximrbl_report::Code::Secret {
                *secret += 1;
            }
            Err(Trouble::Denied { code, text, by: proof })
        }
        Some(Answer::Strange(text)) => Err(Trouble::Strange(text)),
        None => Err(Trouble::Closed),
    }
}

/// Tries the gatherer's addresses in the order in which the resolver gives them (RFC 6724).
async fn dial(to: &Gatherer) -> Result<(TcpStream, SocketAddr), Trouble> {
    let addresses: Vec<_> = match &to.host {
        GathererHost::Address(address) => vec![SocketAddr::new(*address, to.port)],
        GathererHost::Name(name) => {
            let found = tokio::net::lookup_host((name.to_string(), to.port)).await;
            found.map_err(Trouble::LookUp)?.collect()
        }
    };
    let mut trouble = Trouble::NoAddress;
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => trouble = Trouble::Connect { address, error },
            Err(_) => trouble = Trouble::Unreachable { address, seconds: CONNECT.as_secs() },
        }
    }
    Err(trouble)
}

fn server_name(to: &Gatherer) -> Result<ServerName<'static>, Trouble> {
    match &to.host {
        GathererHost::Address(address) => Ok(ServerName::IpAddress((*address).into())),
        GathererHost::Name(name) => ServerName::try_from(name.to_string()).map_err(|error| {
            Trouble::LookUp(std::io::Error::other(format!("no name for TLS: {error}")))
        }),
    }
}

async fn greeted<T>(greeting: impl Future<Output = T>) -> Result<T, Trouble> {
    let late = |_| Trouble::Silent { seconds: GREETING.as_secs() };
    timeout(GREETING, greeting).await.map_err(late)
}

/// Reads up to a line's end; `None` at the stream's end. What follows stays in `read`.
async fn read_line(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
) -> std::io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = read.iter().position(|&byte| byte == b'\n') {
            let rest = read.split_off(end + 1);
            let mut line = std::mem::replace(read, rest);
            line.pop();
            return Ok(Some(line));
        }
        if read.len() > ANSWER_MAX {
            return Ok(Some(std::mem::take(read)));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

/// The time in microseconds, so that no stamp is used twice.
fn stamp() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
