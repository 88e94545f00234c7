//! What a reporter and the collector both know.

use subtle::ConstantTimeEq;

/// Shortest secret, in bytes.
pub const SECRET_MIN: usize = 16;
/// Longest secret.
pub const SECRET_MAX: usize = 256;
/// A reporter's secrets: the one in use, and the one that is to follow it, or that it followed.
const SECRETS: usize = 2;

/// A secret. Nothing shows it.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Reads a file: a secret a line, one or two. What is wrong is told with its line.
    pub fn read_all(text: &[u8]) -> Result<Vec<Self>, SecretsError> {
        let mut secrets: Vec<Self> = Vec::new();
        for (index, bytes) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = index + 1;
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if bytes.is_empty() {
                continue;
            }
            if !bytes.iter().all(u8::is_ascii_graphic) {
                return Err(SecretsError::Odd { line });
            }
            if bytes.len() < SECRET_MIN {
                return Err(SecretsError::Short { line });
            }
            if bytes.len() > SECRET_MAX {
                return Err(SecretsError::Long { line });
            }
            if secrets.len() == SECRETS {
                return Err(SecretsError::TooMany { line });
            }
            let secret = Self(bytes.to_vec());
            if secrets.contains(&secret) {
                return Err(SecretsError::Twice { line });
            }
            secrets.push(secret);
        }
        if secrets.is_empty() { Err(SecretsError::Empty) } else { Ok(secrets) }
    }

    /// Its bytes, to sign with.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What is wrong with a file of secrets. Nothing of what it holds is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// Easily guessed.
    #[error("{line}: shorter than {SECRET_MIN} bytes; `openssl rand -hex 32` makes a secret")]
    Short {
        /// The line, from 1.
        line: usize,
    },
    /// No secret but something else.
    #[error("{line}: longer than {SECRET_MAX} bytes; `openssl rand -hex 32` makes a secret")]
    Long {
        /// The line, from 1.
        line: usize,
    },
    /// What an editor or Exim may change unseen.
    #[error(
        "{line}: a blank or a byte that is no printable ASCII; `openssl rand -hex 32` makes a secret"
    )]
    Odd {
        /// The line, from 1.
        line: usize,
    },
    /// A secret that was there before.
    #[error("{line}: this secret is here twice")]
    Twice {
        /// The line, from 1.
        line: usize,
    },
    /// More than the one in use and its successor.
    #[error("{line}: more than {SECRETS} secrets; take the oldest one away")]
    TooMany {
        /// The line, from 1.
        line: usize,
    },
    /// No secret at all.
    #[error("1: no secret in it; `openssl rand -hex 32` makes one")]
    Empty,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Caught: a limit that is taken from the whole file; the end of the line in the secret.
    #[test]
    fn a_file_has_one_secret_or_two() {
        let (one, two) = ("0123456789abcdef", "fedcba9876543210");
        let read = |text: &str| Secret::read_all(text.as_bytes());
        assert_eq!(read(one).unwrap(), [Secret(one.into())]);
        assert_eq!(read(&format!("{one}\r\n\n{two}\n")).unwrap()[1], Secret(two.into()));
        for (text, error) in [
            (String::new(), SecretsError::Empty),
            ("\n\n".into(), SecretsError::Empty),
            (format!("{one}\nshort"), SecretsError::Short { line: 2 }),
            ("x".repeat(257), SecretsError::Long { line: 1 }),
            (format!("{one} "), SecretsError::Odd { line: 1 }),
            (format!("{one}\n{one}"), SecretsError::Twice { line: 2 }),
            (format!("{one}\n{two}\n{one}x"), SecretsError::TooMany { line: 3 }),
        ] {
            assert_eq!(read(&text), Err(error), "{text:?}");
        }
        assert_eq!(format!("{:?}", read(one).unwrap()), "[Secret]");
    }
}
