//! Whatever comes, nothing here may panic: a panic is a trap, and a trap costs an answer.

use adapter_openai::{OpenAi, Stream};
use pointsman_plugin::{Adapter, AdapterStream, Event, Operation, Target};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn target() -> Target {
    Target {
        model: "m".to_owned(),
        settings: "{}".to_owned(),
        max_output_tokens: None,
        request_id: "r".to_owned(),
        now_ms: 0,
    }
}

/// JSON made of the dialect's own words, so that it gets past the door.
fn json() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "choices",
        "usage",
        "error",
        "message",
        "code",
        "type",
        "detail",
        "index",
        "delta",
        "finish_reason",
        "stop",
        "prompt_tokens",
        "completion_tokens",
        "x_groq",
        "retry after 1e400 s",
        "try again in 9m",
        "innererror",
        "é\u{0}",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        word.clone().prop_map(|word| serde_json::Value::from(word).to_string()),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let member = (word.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|list| format!("[{}]", list.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| {
                let members: Vec<_> = members
                    .into_iter()
                    .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name)))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        json().prop_map(String::into_bytes),
        (json(), any::<prop::sample::Index>())
            .prop_map(|(text, cut)| text.as_bytes()[..cut.index(text.len())].to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    // The same cases in every run, and nothing written beside the sources.
    #![proptest_config(ProptestConfig {
        cases: 1024,
        rng_seed: RngSeed::Fixed(20),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_body_panics(body in body(), status in 0u16..1000, retry in ".{0,12}") {
        let headers = vec![("retry-after".to_owned(), retry.clone()), ("date".to_owned(), retry)];
        let failure = OpenAi::explain(status, &headers, &body);
        prop_assert!(!failure.message.is_empty());
        for operation in [Operation::Chat, Operation::Embedding, Operation::Speech] {
            let _ = OpenAi::encode(operation, &target(), true, &body);
            let _ = OpenAi::decode(operation, &target(), &body);
        }
    }

    #[test]
    fn no_stream_panics(bodies in prop::collection::vec(body(), 0..8)) {
        let mut stream = Stream::begin(Operation::Chat, &target()).expect("a stream begins");
        for body in bodies {
            let _ = stream.push(&[Event::new(body)]);
        }
        let _ = stream.finish();
    }
}
