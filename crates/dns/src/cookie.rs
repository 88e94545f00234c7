//! DNS cookies (RFC 7873), made as all servers make them (RFC 9018).
//!
//! A client sends eight bytes of its own; the server adds sixteen, which only it can make, and only for
//! the address that they were sent to. A query that brings them back has not been forged by
//! somebody who does not see that address's packets.
//!
//! ```text
//!  0        1            4          8              16
//!  +--------+------------+----------+--------------+
//!  | version| reserved   | time     | hash         |    server cookie, version 1
//!  +--------+------------+----------+--------------+
//!  hash = SipHash-2-4(secret, client cookie | version | reserved | time | client's address)
//! ```
//!
//! Nothing is kept of a client. Servers that share a secret take each other's cookies. A secret is
//! changed in three steps, each on all servers before the next (RFC 9018 section 5): add the new one
//! at the end; put it first; take the old one away.

use std::net::IpAddr;

use crate::edns::Malformed;
use crate::siphash::{Key, siphash};

/// Length of a client's cookie.
pub const CLIENT_COOKIE: usize = 8;
/// Length of our cookies (RFC 9018 section 4).
pub const SERVER_COOKIE: usize = 16;
/// Length of the option that holds both.
pub const COOKIE: usize = CLIENT_COOKIE + SERVER_COOKIE;
/// Most secrets at a time: each is one more hash for a cookie that is not ours.
pub const SECRETS_MAX: usize = 4;

/// The version of server cookies that RFC 9018 describes.
const VERSION: u8 = 1;
/// How long a cookie is taken, in seconds (RFC 9018 section 4.3).
const LIFE: i32 = 3600;
/// How far ahead of ours the clock of a server may be that shares our secret, in seconds.
const AHEAD: i32 = 300;
/// From what age on a cookie is renewed, in seconds.
const RENEWED_AFTER: i32 = 1800;

/// A secret that cookies are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(Key);

impl Secret {
    /// A secret of these bytes, which should be random.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a file of secrets: 32 hexadecimal digits a line, the one that makes cookies first, as NSD
    /// and Unbound have it; empty lines and what stands after `#` count for nothing. What is wrong is
    /// told with its line.
    pub fn read_all(text: &[u8]) -> Result<Vec<Self>, SecretsError> {
        let mut secrets = Vec::new();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
            if line.is_empty() {
                continue;
            }
            let line_number = index + 1;
            let secret = from_hex(line).ok_or(SecretsError::NotASecret { line: line_number })?;
            if secrets.contains(&secret) {
                return Err(SecretsError::Twice { line: line_number });
            }
            if secrets.len() == SECRETS_MAX {
                return Err(SecretsError::TooMany { line: line_number });
            }
            secrets.push(secret);
        }
        if secrets.is_empty() { Err(SecretsError::Empty) } else { Ok(secrets) }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What is wrong with a file of secrets. Nothing of what it holds is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// A line is something else.
    #[error("{line}: not a secret: 32 hexadecimal digits, as `openssl rand -hex 16` makes them")]
    NotASecret {
        /// The line, from 1.
        line: usize,
    },
    /// A secret that was there before.
    #[error("{line}: this secret is here twice")]
    Twice {
        /// The line, from 1.
        line: usize,
    },
    /// More than can be used.
    #[error("{line}: more than {SECRETS_MAX} secrets; take the oldest ones away")]
    TooMany {
        /// The line, from 1.
        line: usize,
    },
    /// No secret at all.
    #[error("1: no secret in it; `openssl rand -hex 16` makes one")]
    Empty,
}

fn from_hex(text: &[u8]) -> Option<Secret> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_chunks() else { return None };
    let mut bytes = [0; 16];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(high)? << 4 | digit(low)?) as u8;
    }
    Some(Secret(bytes))
}

/// What a COOKIE option of a query holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie<'p> {
    /// The client's own.
    pub client: [u8; CLIENT_COOKIE],
    /// The server's that it was given, if it has one; of 8 to 32 bytes.
    pub server: Option<&'p [u8]>,
}

impl<'p> Cookie<'p> {
    /// Reads the option's data (RFC 7873 section 4; other lengths are malformed, section 5.2.2).
    pub fn read(data: &'p [u8]) -> Result<Self, Malformed> {
        let (client, server) = data.split_first_chunk().ok_or(Malformed)?;
        match server.len() {
            0 => Ok(Self { client: *client, server: None }),
            8..=32 => Ok(Self { client: *client, server: Some(server) }),
            _ => Err(Malformed),
        }
    }
}

/// What is known of a query's sender by its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It sent none.
    Without,
    /// It sent its own alone.
    New,
    /// With one that is not ours, or for another address, or too old, or from the future.
    Invalid,
    /// With a good one: it is where it says it is.
    Valid,
}

/// Makes and verifies server cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// The first makes cookies, all verify them; at least one.
    secrets: Box<[Secret]>,
}

impl Cookies {
    /// The first secret makes cookies, all verify them. `None` without any.
    pub fn new(secrets: &[Secret]) -> Option<Self> {
        (!secrets.is_empty()).then(|| Self { secrets: secrets.into() })
    }

    /// What a cookie shows, and the data of the COOKIE option to send back: the client's cookie, and
    /// the same server cookie while it is new enough, else another.
    pub fn judge(&self, cookie: Cookie<'_>, client: IpAddr, now: u32) -> (Standing, [u8; COOKIE]) {
        let (standing, kept) = match cookie.server {
            None => (Standing::New, None),
            Some(server) => match self.find(cookie.client, server, client, now) {
                None => (Standing::Invalid, None),
                Some((server, is_new)) => (Standing::Valid, is_new.then_some(server)),
            },
        };
        let server = kept.unwrap_or_else(|| self.make(cookie.client, client, now));
        let mut both = [0; COOKIE];
        both[..CLIENT_COOKIE].copy_from_slice(&cookie.client);
        both[CLIENT_COOKIE..].copy_from_slice(&server);
        (standing, both)
    }

    /// What a client's cookie, and the server's that came with it, show.
    pub fn verify(
        &self,
        client_cookie: [u8; CLIENT_COOKIE],
        server_cookie: Option<&[u8]>,
        client: IpAddr,
        now: u32,
    ) -> Standing {
        self.judge(Cookie { client: client_cookie, server: server_cookie }, client, now).0
    }

    /// A server cookie for a client. `now` is in seconds, of any epoch that the servers share.
    pub fn make(
        &self,
        client_cookie: [u8; CLIENT_COOKIE],
        client: IpAddr,
        now: u32,
    ) -> [u8; SERVER_COOKIE] {
        let mut server = [0; SERVER_COOKIE];
        server[0] = VERSION;
        server[4..8].copy_from_slice(&now.to_be_bytes());
        let hash = hash(&self.secrets[0], client_cookie, &server, client);
        server[8..].copy_from_slice(&hash.to_le_bytes());
        server
    }

    /// The server cookie, if it is valid, and whether it need not be renewed: it is not half an hour
    /// old, and made with the secret that makes them now.
    fn find(
        &self,
        client_cookie: [u8; CLIENT_COOKIE],
        server: &[u8],
        client: IpAddr,
        now: u32,
    ) -> Option<([u8; SERVER_COOKIE], bool)> {
        let server: &[u8; SERVER_COOKIE] = server.try_into().ok()?;
        let [version, _, _, _, time @ .., _, _, _, _, _, _, _, _] = *server;
        // Serial number arithmetic (RFC 1982), so that cookies outlive the year 2106.
        let age = now.wrapping_sub(u32::from_be_bytes(time)).cast_signed();
        if version != VERSION || !(-AHEAD..=LIFE).contains(&age) {
            return None;
        }
        let (_, theirs) = server.split_last_chunk()?;
        let theirs = u64::from_le_bytes(*theirs);
        let is_of = |secret| hash(secret, client_cookie, server, client) == theirs;
        let at = self.secrets.iter().position(is_of)?;
        Some((*server, at == 0 && age <= RENEWED_AFTER))
    }
}

/// The hash of a server cookie; of that only what stands before the hash counts.
fn hash(
    secret: &Secret,
    client_cookie: [u8; CLIENT_COOKIE],
    server: &[u8; SERVER_COOKIE],
    client: IpAddr,
) -> u64 {
    // Of fixed lengths, which is what the hash is fastest with.
    let mut data = [0; 32];
    data[..8].copy_from_slice(&client_cookie);
    data[8..16].copy_from_slice(&server[..8]);
    match client.to_canonical() {
        IpAddr::V4(v4) => {
            data[16..20].copy_from_slice(&v4.octets());
            siphash(&secret.0, &data[..20])
        }
        IpAddr::V6(v6) => {
            data[16..].copy_from_slice(&v6.octets());
            siphash(&secret.0, &data)
        }
    }
}

#[cfg(test)]
mod tests;
