//! TLS on both listeners: who is let in, and certificates that change while the gateway serves.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tests::config::openai;
use tests::{Answer, Authority, FakeProvider, Gateway, Home};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Writes certificate and key as they are renewed: one file after the other.
fn write(home: &Home, name: &str, (certificate, key): &(String, String)) {
    home.write(&format!("{name}.pem"), certificate);
    home.write(&format!("{name}.key"), key);
}

/// An answer over TLS, and the certificate that came with it.
async fn ask(address: SocketAddr, client: Arc<ClientConfig>, request: &str) -> Result<(String, Vec<u8>), String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connecting = TlsConnector::from(client).connect(name, stream);
    let mut stream = connecting.await.map_err(|error| error.to_string())?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    // What refuses a client's certificate says so only now.
    stream
        .read_to_end(&mut answer)
        .await
        .map_err(|error| error.to_string())?;
    Ok((String::from_utf8_lossy(&answer).into_owned(), shown))
}

fn chat() -> String {
    let body = json!({"model": "one/model", "messages": [{"role": "user", "content": "hello"}]}).to_string();
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

const READY: &str = "GET /admin/routes HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn both_listeners_speak_tls_and_take_new_certificates_but_no_bad_ones() {
    let provider = FakeProvider::chatting([Answer::chat("hi")]).await;
    let (authority, other) = (Authority::new(), Authority::new());
    let config = openai("one", &provider.url())
        + "[server.tls]\ncert_file = \"data.pem\"\nkey_file = \"data.key\"\n\
           [admin.tls]\ncert_file = \"admin.pem\"\nkey_file = \"admin.key\"\nclient_ca_file = \"clients.pem\"\n\
           [reload]\nsweep_ms = 50\n";
    let home = Home::with_config(&config);
    let (first, second) = (authority.issue("127.0.0.1"), authority.issue("127.0.0.1"));
    write(&home, "data", &first);
    write(&home, "admin", &authority.issue("127.0.0.1"));
    home.write("clients.pem", other.pem());
    let gateway = Gateway::start_in(home.clone()).await;
    let data = gateway.data_address();
    let (answer, shown) = ask(data, authority.client(None), &chat()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Who trusts somebody else is not fooled, and who speaks no TLS gets nothing.
    ask(data, other.client(None), &chat()).await.unwrap_err();
    assert!(!gateway.data().raw(chat().as_bytes()).await.contains("HTTP/1.1 200"));
    // TLS 1.1 is answered with an alert: it is a version that is not spoken.
    const HANDSHAKE: u8 = 22;
    const ALERT: u8 = 21;
    assert_eq!(hello(data, [3, 3]).await.first(), Some(&HANDSHAKE));
    assert_eq!(hello(data, [3, 2]).await.first(), Some(&ALERT));

    write(&home, "data", &second);
    let renewed = loop {
        let (_, now) = ask(data, authority.client(None), &chat()).await.unwrap();
        if now != shown {
            break now;
        }
        tokio::task::yield_now().await;
    };
    gateway.logged(&["a new certificate is in service"]).await;
    // A key that does not fit, half a file, nothing: what is in service stays.
    home.write("data.key", &first.1);
    gateway
        .logged(&["the certificate in service stays", "do not make a certificate"])
        .await;
    home.write("data.pem", &second.0[..100]);
    home.write("data.key", "");
    gateway.logged(&["the certificate in service stays", "data.pem"]).await;
    let (answer, now) = ask(data, authority.client(None), &chat()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && now == renewed);
    assert!(!gateway.log().contains("PRIVATE KEY"));

    // The admin listener wants to see a certificate, and then asks for no token, until there is one.
    let admin = gateway.admin_address();
    let (known, stranger) = (other.issue("an operator"), authority.issue("somebody"));
    ask(admin, authority.client(None), READY).await.unwrap_err();
    ask(admin, authority.client(Some(&stranger)), READY).await.unwrap_err();
    let (answer, _) = ask(admin, authority.client(Some(&known)), READY).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let wish = "POST /admin/keys HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: 12\r\n\r\n{\"name\":\"n\"}";
    let (answer, _) = ask(admin, authority.client(Some(&known)), wish).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

/// What is said to a ClientHello of this version, as TLS 1.1 and 1.2 have it.
async fn hello(address: SocketAddr, version: [u8; 2]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend([7; 32]);
    // No session, one cipher suite, no compression; then a curve, its points, a signature.
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
    ]
    .concat();
    hello.extend([0, extensions.len() as u8]);
    hello.extend(extensions);
    let mut message = vec![1, 0, 0, hello.len() as u8];
    message.extend(hello);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(message);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = vec![0; 16];
    let read = stream.read(&mut answer).await.unwrap_or_default();
    answer[..read].to_vec()
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told_before_anything_is_served() {
    let home = Home::with_config("[server.tls]\ncert_file = \"data.pem\"\nkey_file = \"data.key\"\n");
    let (one, other) = (Authority::new().issue("a"), Authority::new().issue("a"));
    let complaint = |arguments: &[&str]| {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for arguments in [["check"], ["serve"]] {
        assert!(complaint(&arguments).contains("server.tls"));
    }
    write(&home, "data", &(one.0.clone(), other.1));
    assert!(complaint(&["check"]).contains("do not make a certificate"));
    write(&home, "data", &(one.1.clone(), one.1));
    assert!(complaint(&["check"]).contains("holds no certificate in PEM"));
}
