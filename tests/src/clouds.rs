//! What providers in clouds have that others have not: messages of AWS's event stream, and a service account of Google's with the
//! key that tells whether a statement is its own.

use bytes::Bytes;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use serde_json::{Value, json};
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;

use crate::answer::Answer;

/// One message of an event stream: an event of this type, or, after `exception:`, an error.
pub fn message(name: &str, payload: &Value) -> Vec<u8> {
    let (kind, name_header, name) = match name.strip_prefix("exception:") {
        Some(class) => ("exception", ":exception-type", class),
        None => ("event", ":event-type", name),
    };
    let header = |name: &str, value: &str| {
        let mut header = vec![name.len() as u8];
        header.extend_from_slice(name.as_bytes());
        header.push(7);
        header.extend_from_slice(&(value.len() as u16).to_be_bytes());
        header.extend_from_slice(value.as_bytes());
        header
    };
    let headers = [
        header(name_header, name),
        header(":content-type", "application/json"),
        header(":message-type", kind),
    ]
    .concat();
    let payload = payload.to_string().into_bytes();
    let length = 12 + headers.len() + payload.len() + 4;
    let mut message = (length as u32).to_be_bytes().to_vec();
    message.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(&payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

/// A streamed answer of these messages.
pub fn messages(messages: &[(&str, Value)]) -> Answer {
    let body: Vec<u8> = messages
        .iter()
        .flat_map(|(name, payload)| message(name, payload))
        .collect();
    Answer::new(200, "application/vnd.amazon.eventstream", Bytes::from(body))
}

/// A service account that exists for one test only.
#[derive(Debug)]
pub struct ServiceAccount {
    key: KeyPair,
    token_uri: String,
}

impl ServiceAccount {
    /// Its tokens are given out there.
    pub fn new(token_uri: &str) -> ServiceAccount {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("no key for the account");
        let token_uri = token_uri.to_owned();
        ServiceAccount { key, token_uri }
    }

    /// What Google gives as a file.
    pub fn json(&self) -> String {
        json!({
            "type": "service_account", "project_id": "the-project", "private_key_id": "key-1",
            "private_key": self.key.serialize_pem(), "client_email": "gateway@the-project.iam.gserviceaccount.com",
            "token_uri": self.token_uri,
        })
        .to_string()
    }

    /// Whether it has signed this message.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithms = default_provider().signature_verification_algorithms;
        let known = algorithms.mapping.iter();
        let (_, algorithms) = known
            .into_iter()
            .find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)
            .expect("RSA is not known");
        let key = self.key.der_bytes();
        algorithms
            .iter()
            .any(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
    }
}
