//! Adapters: what they may ask for, and streams.

use super::guests::ZEROS;
use super::*;

#[tokio::test]
async fn a_plugin_whose_instances_are_all_taken_says_so() {
    let engine = Engine::new(&EngineConfig {
        cache_dir: None,
        slots: 4,
        ..EngineConfig::default()
    })
    .unwrap();
    let spec = AdapterSpec {
        source: PluginSource::new("guest", guests::adapter("/v1", "", ZEROS)),
        limits: patient(),
    };
    let adapter = Adapter::load(&engine, spec).unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(streamed(&adapter).await);
    }
    assert_eq!(adapter.place().err(), Some(Fault::Busy));
    assert_eq!(adapter.counters().read().faults, [("busy", 1)]);
    drop(streams.pop());
    assert!(adapter.place().is_ok());
}

async fn streamed(adapter: &Adapter) -> AdapterStream {
    let place = adapter.place().unwrap();
    adapter.stream(place, Operation::Chat, &target()).await.unwrap()
}

fn target() -> Target {
    Target {
        model: "m".into(),
        settings: "{}".into(),
        max_output_tokens: None,
        request_id: "r".into(),
        now_ms: 0,
    }
}

fn adapter(component: Vec<u8>, limits: Limits) -> Adapter {
    Adapter::load(
        &engine(),
        AdapterSpec {
            source: PluginSource::new("guest", component),
            limits,
        },
    )
    .unwrap()
}

#[tokio::test]
async fn an_adapter_encodes_and_what_it_may_not_ask_for_is_refused() {
    let good = adapter(guests::adapter("/v1/chat", "", ZEROS), patient());
    assert_eq!(good.profile().operations, [Operation::Chat]);
    let outgoing = good
        .encode(Operation::Chat, &target(), false, &"{}".into())
        .await
        .unwrap();
    assert_eq!((outgoing.method.as_str(), outgoing.path.as_str()), ("POST", "/v1/chat"));
    let bad = adapter(guests::adapter("//evil/v1", "", ZEROS), patient());
    let error = bad
        .encode(Operation::Chat, &target(), false, &"{}".into())
        .await
        .unwrap_err();
    assert!(matches!(error, AdapterError::Fault(Fault::InvalidOutput(_))), "{error}");
}

#[tokio::test]
async fn a_stream_is_one_instance_for_its_length_and_a_trap_ends_it() {
    // One chunk, `{"a":1}` and so on; the fourth push traps. Three data segments: the result, the chunk, its text.
    let items = r#"
        (global $digit (mut i32) (i32.const 48))
        (data (i32.const 704) "\00\00\00\00\d0\02\00\00\01\00\00\00")
        (data (i32.const 720) "\00\04\00\00\07\00\00\00")
        (data (i32.const 1024) "{\22a\22:0}")"#;
    let push = "(global.set $digit (i32.add (i32.const 1) (global.get $digit)))
        (if (i32.eq (global.get $digit) (i32.const 52)) (then (unreachable)))
        (i32.store8 (i32.const 1029) (global.get $digit)) (i32.const 704)";
    let adapter = adapter(guests::adapter("/v1", items, push), patient());
    let mut stream = streamed(&adapter).await;
    for expected in [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#] {
        let chunks = stream.push(vec![]).await.unwrap();
        assert_eq!(chunks[0].data, expected.as_bytes());
    }
    assert!(matches!(
        stream.push(vec![]).await,
        Err(AdapterError::Fault(Fault::Trap(_)))
    ));
    assert!(stream.push(vec![]).await.is_err());
    let mut other = streamed(&adapter).await;
    assert_eq!(other.push(vec![]).await.unwrap()[0].data, br#"{"a":1}"#);
}
