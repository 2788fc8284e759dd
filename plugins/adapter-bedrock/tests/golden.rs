//! The adapter's own examples.

#[test]
fn every_example_comes_out_as_written() {
    pointsman_plugin::testing::adapter_golden::<adapter_bedrock::Bedrock>(env!("CARGO_MANIFEST_DIR"));
}
