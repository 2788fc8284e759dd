//! Images that a model made, and pages that its text rests on.

use bytes::{Bytes, BytesMut};
use serde_json::{Value as Json, json};

use super::{canonical, wording};

#[test]
fn images_and_pages_have_items_and_annotations_of_their_own() {
    let cited = |start: u64, end: u64| json!({ "type": "url_citation", "url_citation": { "url": "https://a.example", "title": "A", "start_index": start, "end_index": end } });
    let told = |start: u64, end: u64| json!({ "type": "url_citation", "url": "https://a.example", "title": "A", "start_index": start, "end_index": end });
    let image = |url: &str| json!({ "type": "image_url", "image_url": { "url": url } });
    let images = json!([image("data:image/png;base64,AAAA"), image("https://a.example/i.png")]);
    let wording = wording(&json!({ "model": "m", "input": "hi" }));
    let message = json!({ "content": "Köln", "annotations": [cited(1, 4)], "images": images });
    let answer = Bytes::from(json!({ "id": "chatcmpl-1", "choices": [{ "message": message }] }).to_string());
    let whole: Json = serde_json::from_slice(&wording.whole(answer.clone(), None)).unwrap();
    assert_eq!(whole["output"][0]["content"][0]["annotations"], json!([told(1, 4)]));
    let item = json!({ "id": "ig_1_0", "type": "image_generation_call", "status": "completed", "result": "AAAA" });
    assert_eq!(
        (whole["output"].as_array().unwrap().len(), &whole["output"][1]),
        (2, &item)
    );
    // And back again, in the next turn.
    let next = canonical(
        &json!({ "model": "m", "input": [{ "role": "user", "content": "a sign" }, item,
        { "type": "image_generation_call", "id": "ig", "status": "completed", "result": "/9j/AA" },
        { "type": "image_generation_call", "id": "ig", "status": "failed", "result": null }, { "role": "user", "content": "in blue" }] }),
    );
    let made = json!([
        image("data:image/png;base64,AAAA"),
        image("data:image/jpeg;base64,/9j/AA")
    ]);
    assert_eq!(
        next["messages"][1],
        json!({ "role": "assistant", "content": "", "images": made })
    );
    // What is elsewhere has no place there, and is named.
    assert_eq!(wording.unsaid(&answer), Some("images of the answer"));

    let mut telling = wording.telling(false, 0);
    let mut out = BytesMut::new();
    for delta in [
        json!({ "content": "Köln " }),
        json!({ "images": [image("data:image/png;base64,AAAA")] }),
        json!({ "content": "is" }),
        json!({ "annotations": [cited(0, 4), cited(5, 7)] }),
    ] {
        let chunk = json!({ "id": "chatcmpl-1", "choices": [{ "index": 0, "delta": delta }] });
        let mut events = BytesMut::from(format!("data: {chunk}\n\n").as_str());
        telling.tell(&mut events);
        out.extend_from_slice(&events);
    }
    telling.end(None, &mut out);
    let text = String::from_utf8(out.to_vec()).unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Json> = events.map(|event| serde_json::from_str(event).unwrap()).collect();
    let of = |name: &str| -> Vec<&Json> { events.iter().filter(|event| event["type"] == name).collect() };
    // The first stretch lies in a message that is done.
    let added = of("response.output_text.annotation.added");
    assert_eq!((added.len(), &added[0]["annotation"]), (1, &told(0, 2)));
    assert_eq!(of("response.image_generation_call.completed")[0]["output_index"], 1);
    let output = &of("response.completed")[0]["response"]["output"];
    assert_eq!(
        (&output[1]["result"], &output[1]["id"]),
        (&json!("AAAA"), &json!("ig_1_1"))
    );
    assert_eq!(output[2]["content"][0]["annotations"], json!([told(0, 2)]));
    assert_eq!(of("response.output_item.done").len(), 3);
}
