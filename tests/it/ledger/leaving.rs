//! Clients that leave: before the first byte, in the middle, politely or not, and after bytes that nobody asked for. The
//! provider is let go, the call is booked once, and nothing stays reserved.

use std::time::Duration;

use serde_json::{Value, json};
use tests::config::openai;
use tests::{Answer, End, FakeProvider, Gate, Gateway};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ask, stopped};

/// How often each way of leaving is taken. `cargo xtask soak leave` does it a thousand times.
fn times() -> usize {
    let named = std::env::var("POINTSMAN_SOAK_TIMES").ok();
    named.map_or(10, |times| times.parse().expect("POINTSMAN_SOAK_TIMES is a number"))
}

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
struct Leaving {
    is_stream: bool,
    /// After it has seen the first of the answer.
    is_late: bool,
    /// By a reset instead of a close.
    is_rude: bool,
    /// After one byte of a request that never follows.
    has_begun_another: bool,
}

impl Leaving {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for number in 0..16 {
            let bit = |place: u32| number >> place & 1 == 1;
            let leaving = Self {
                is_stream: bit(0),
                is_late: bit(1),
                is_rude: bit(2),
                has_begun_another: bit(3),
            };
            // Of a whole answer nothing is seen before its end.
            if leaving.is_stream || !leaving.is_late {
                all.push(leaving);
            }
        }
        all
    }

    /// Two pieces that the client may see; then nothing, or the rest of it where the gate is opened.
    fn answer(self, gate: &Gate) -> Answer {
        let end = |answer: Answer| match self.has_begun_another {
            true => answer,
            false => answer.cut_after_pieces(2, End::Hang),
        };
        match (self.is_stream, self.is_late) {
            (true, true) => end(Answer::chat_stream(["one ", "two ", "three "])).held_after(2, gate),
            (true, false) => end(Answer::chat_stream(["one ", "two "])).held(gate),
            (false, _) => Answer::chat("hello").held(gate),
        }
    }
}

async fn leave(gateway: &Gateway, provider: &FakeProvider, leaving: Leaving, body: &Value, gate: &Gate) {
    let before = provider.journal().len();
    let mut client: TcpStream = gateway.data().connect().await;
    let (body, head) = (
        body.to_string(),
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n",
    );
    let request = format!(
        "{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    provider.until(|journal| journal.len() > before).await;
    if leaving.is_late {
        let mut seen = String::new();
        while !seen.contains("two ") {
            let mut bytes = [0; 4096];
            let count = client.read(&mut bytes).await.unwrap();
            assert!(count > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }
    if leaving.has_begun_another {
        client.write_all(b"P").await.unwrap();
    }
    if leaving.is_rude {
        client.set_zero_linger().unwrap();
    }
    drop(client);
    if leaving.has_begun_another {
        // A byte that waits to be read hides that the client has gone; what is sent to it then shows it.
        gate.open();
    }
    provider.settled().await;
}

#[tokio::test]
async fn however_a_client_leaves_its_call_is_booked_once_and_nothing_stays_reserved() {
    let provider = FakeProvider::start().await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let mut expected = Vec::new();
    for leaving in Leaving::all() {
        for _ in 0..times() {
            let gate = Gate::shut();
            provider.on("/v1/chat/completions", [leaving.answer(&gate)]);
            let body = ask("p1/model", leaving.is_stream);
            leave(&gateway, &provider, leaving, &body, &gate).await;
            expected.push(leaving);
        }
    }
    let lines = stopped(gateway, expected.len()).await;
    assert_eq!(lines.len(), expected.len());
    for (line, leaving) in lines.iter().zip(&expected) {
        assert!(line.cost.is_some_and(|cost| cost.0 > 0), "{leaving:?}: {line:?}");
        if leaving.has_begun_another {
            // Seen too late to stop it, and perhaps not at all: the answer has come, and is booked as it came.
            continue;
        }
        let expected = match leaving.is_late {
            true => ("client_disconnected", line.usage.output == 2),
            false => ("unknown", line.cost == Some(line.ceiling)),
        };
        assert_eq!((&*line.outcome, true), expected, "{leaving:?}: {line:?}");
        assert!(line.is_estimated, "{leaving:?}: {line:?}");
    }
}

#[tokio::test]
async fn input_whose_bytes_say_nothing_is_not_read_for_nothing_by_leaving() {
    let provider = FakeProvider::start().await;
    let gateway = Gateway::start(&openai("p1", &provider.url())).await;
    let leaving = Leaving {
        is_stream: true,
        is_late: true,
        is_rude: false,
        has_begun_another: false,
    };
    let part = |part: Value| json!([{ "role": "user", "content": [{ "type": "text", "text": "What is it?" }, part] }]);
    let mut found = ask("p1/model", true);
    found["web_search_options"] = json!({});
    let mut file = ask("p1/model", true);
    file["messages"] = part(json!({ "type": "file", "file": { "file_id": "a-thousand-pages" } }));
    let mut image = ask("p1/model", true);
    image["messages"] = part(json!({ "type": "image_url", "image_url": { "url": "https://somewhere/large.png" } }));
    let bodies = [
        (ask("p1/model", true), 1),
        (found, 1_000_000),
        (file, 1_000_000),
        (image, 10_000),
    ];
    for (body, _) in &bodies {
        let gate = Gate::shut();
        provider.on("/v1/chat/completions", [leaving.answer(&gate)]);
        leave(&gateway, &provider, leaving, body, &gate).await;
    }
    let lines = stopped(gateway, bodies.len()).await;
    for (line, (body, least)) in lines.iter().zip(&bodies) {
        assert!(line.usage.input >= *least, "{body}: {line:?}");
        assert!(
            line.is_estimated && line.cost.is_some_and(|cost| cost <= line.ceiling),
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn what_a_model_thinks_unseen_is_booked_by_its_time_and_never_beyond_what_is_held() {
    let provider = FakeProvider::start().await;
    let thinks =
        openai("p2", &provider.url()).replace("price = {", "abilities = [\"streaming\", \"reasoning\"]\nprice = {");
    let gateway = Gateway::start(&(openai("p1", &provider.url()) + &thinks)).await;
    let leaving = Leaving {
        is_stream: true,
        is_late: true,
        is_rude: false,
        has_begun_another: false,
    };
    // Two tokens are seen, and a fifth of a second is enough for thirty.
    let expected = [
        ("p1/model", 1_000, 2..=2),
        ("p2/model", 1_000_000, 30..=1_000_000),
        ("p2/model", 5, 5..=5),
    ];
    for (model, most, _) in &expected {
        let gate = Gate::shut();
        let answer = leaving.answer(&gate).delayed(Duration::from_millis(200));
        provider.on("/v1/chat/completions", [answer]);
        let mut body = ask(model, true);
        body["max_tokens"] = json!(most);
        leave(&gateway, &provider, leaving, &body, &gate).await;
    }
    let lines = stopped(gateway, expected.len()).await;
    for (line, (model, _, output)) in lines.iter().zip(&expected) {
        assert!(output.contains(&line.usage.output), "{model}: {line:?}");
        assert_eq!(line.usage.reasoning, line.usage.output - 2, "{model}: {line:?}");
        assert!(
            line.is_estimated && line.cost.is_some_and(|cost| cost <= line.ceiling),
            "{line:?}"
        );
    }
}
