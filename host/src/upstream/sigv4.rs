//! AWS's signatures, version 4: a request is signed for one region and one service with a secret that is never sent. What is signed
//! is what goes out: the host that the connection leads to, the path with its prefix, and the body.

use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, InvalidHeaderValue};
use hyper::{HeaderMap, Method, Uri};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::config::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// A path is encoded once more than it is sent, but for its slashes.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Signs requests. Its `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Signer {
    /// Who signs.
    pub access_key_id: Secret,
    /// What is signed with.
    pub secret_access_key: Secret,
    /// Sent along by those whose key is borrowed.
    pub session_token: Option<Secret>,
    /// Where the service is.
    pub region: String,
    /// The service, by the name that signatures have for it.
    pub service: String,
}

impl Signer {
    /// Adds the time, the token and the signature to the headers of a request that is otherwise as it will be sent.
    pub fn sign(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
        body: &[u8],
        now_ms: u64,
    ) -> Result<(), InvalidHeaderValue> {
        let now = Timestamp::from_millisecond(now_ms as i64).unwrap_or(Timestamp::UNIX_EPOCH);
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        headers.insert(DATE, HeaderValue::try_from(&time)?);
        if let Some(token) = &self.session_token {
            headers.insert(TOKEN, secret(token.reveal())?);
        }
        let day = &time[..8];
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let (names, canonical) = canonical(method, uri, headers, body);
        let to_sign = format!(
            "{ALGORITHM}\n{time}\n{scope}\n{}",
            hexadecimal(&Sha256::digest(canonical))
        );
        let secret_key = format!("AWS4{}", self.secret_access_key.reveal());
        let steps = [day, &self.region, &self.service, "aws4_request", &to_sign];
        let signature = steps
            .iter()
            .fold(secret_key.into_bytes(), |key, step| keyed(&key, step.as_bytes()));
        let signed = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
            self.access_key_id.reveal(),
            hexadecimal(&signature)
        );
        headers.insert(hyper::header::AUTHORIZATION, secret(&signed)?);
        Ok(())
    }
}

fn secret(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The names of the headers that are signed, and the request as it is signed. A proxy on the way may add headers of its own, so only
/// those that the request is nothing without are signed.
fn canonical(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> (String, String) {
    // In the alphabet's order.
    let signed = [CONTENT_TYPE, HOST, DATE, TOKEN];
    let signed: Vec<(HeaderName, &str)> = signed
        .into_iter()
        .filter_map(|name| {
            let value = headers.get(&name)?.to_str().ok()?;
            Some((name, value.trim()))
        })
        .collect();
    let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let path = utf8_percent_encode(uri.path(), PATH);
    let mut query: Vec<(&str, &str)> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let canonical = format!(
        "{method}\n{path}\n{}\n{lines}\n{names}\n{}",
        query.join("&"),
        hexadecimal(&Sha256::digest(body))
    );
    (names, canonical)
}

fn keyed(key: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length will do.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()));
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        method: Method,
        uri: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
        token: Option<&'static str>,
        signed: &'static str,
        signature: &'static str,
    }

    fn check(vector: &Vector) {
        let signer = Signer {
            access_key_id: Secret::new("AKIDEXAMPLE"),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: vector.token.map(Secret::new),
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in vector.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        // 2015-08-30, 12:36:00.
        let now_ms = 1_440_938_160_000;
        let uri: Uri = vector.uri.parse().unwrap();
        signer
            .sign(&vector.method, &uri, &mut headers, vector.body.as_bytes(), now_ms)
            .unwrap();
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={}, Signature={}",
            vector.signed, vector.signature
        );
        assert_eq!(headers["authorization"], expected, "{}", vector.uri);
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert!(headers["authorization"].is_sensitive() && !format!("{signer:?}").contains("wJalr"));
    }

    /// The first two are the simplest that AWS has published; the others were reckoned by another implementation.
    #[test]
    fn a_signature_is_what_aws_and_another_implementation_make_it() {
        const HOST: (&str, &str) = ("host", "example.amazonaws.com");
        let vectors = [
            Vector {
                method: Method::GET,
                uri: "/",
                headers: &[HOST],
                body: "",
                token: None,
                signed: "host;x-amz-date",
                signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            },
            Vector {
                method: Method::POST,
                uri: "/",
                headers: &[HOST],
                body: "",
                token: None,
                signed: "host;x-amz-date",
                signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            },
            Vector {
                method: Method::POST,
                uri: "/model/a.model-v1%3A0%2Fb/converse",
                headers: &[HOST, ("content-type", "application/json")],
                body: "{\"messages\":[\"grüße\"]}",
                token: None,
                signed: "content-type;host;x-amz-date",
                signature: "32b780e8c14c037c3566a91977e50aaa0278e565b2e5f9b9680588e550e7c142",
            },
            Vector {
                method: Method::POST,
                uri: "/prefix/converse?b=2&a=1&a=0&c",
                headers: &[HOST, ("content-type", "application/json"), ("via", "somebody")],
                body: "{}",
                token: Some("session/token+of=somebody"),
                signed: "content-type;host;x-amz-date;x-amz-security-token",
                signature: "df6af2448bfa1d3b64899c36a9cb6f2717a1e4af89d979927c148c08ee23530e",
            },
        ];
        vectors.iter().for_each(check);
    }
}
