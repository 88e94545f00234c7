//! An operator, an account and users of a NATS server, as `nsc` makes them: tokens (JWT) signed by
//! Ed25519 keys.

use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator and an account.
pub(crate) struct Credentials {
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Credentials {
    pub(crate) fn new() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        Self { operator, account, system: KeyPair::new_account() }
    }

    /// The server's lines.
    pub(crate) fn server_lines(&self) -> String {
        let system = self.system.public_key();
        let claims = json!({ "type": "operator", "version": 2, "system_account": system });
        let operator = token(&self.operator, &self.operator, "operator", claims);
        let limits = |storage: i64| {
            json!({
                "type": "account", "version": 2,
                "limits": {
                    "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
                    "wildcards": true, "conn": -1, "leaf": -1, "mem_storage": storage,
                    "disk_storage": storage, "streams": storage, "consumer": storage
                }
            })
        };
        let account = token(&self.operator, &self.account, "rbl", limits(-1));
        let system = token(&self.operator, &self.system, "SYS", limits(0));
        format!(
            "operator: \"{operator}\"\nsystem_account: {s}\nresolver: MEMORY\n\
             resolver_preload {{ {a}: \"{account}\", {s}: \"{system}\" }}\n",
            s = self.system.public_key(),
            a = self.account.public_key(),
        )
    }

    /// A user's credentials file.
    pub(crate) fn user(&self, name: &str) -> String {
        let user = KeyPair::new_user();
        let claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}
        });
        let token = token(&self.account, &user, name, claims);
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        )
    }
}

/// What an issuer says about a subject, signed.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: Value) -> String {
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        "jti": name, "iat": eximrbl_table::now(), "iss": issuer.public_key(), "name": name,
        "sub": subject.public_key(), "nats": claims
    });
    let signed = [head, body].map(|part| base64(part.to_string().as_bytes())).join(".");
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64(&signature))
}

/// Base64 for URLs, without padding (RFC 4648 section 5).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=three.len()].copy_from_slice(three);
        let word = u32::from_be_bytes(word);
        for digit in 0..=three.len() {
            text.push(DIGITS[(word >> (18 - 6 * digit) & 63) as usize] as char);
        }
    }
    text
}
