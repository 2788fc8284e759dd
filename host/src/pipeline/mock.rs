//! An answer that the caller has brought along, as applications do that are being tried: all is decided, and nobody is asked or paid.

use bytes::Bytes;
use serde_json::json;

use super::Call;
use super::attempt::{Reply, Whole, told};
use super::decide::Decision;
use super::walk::Served;
use crate::error::ApiError;
use crate::operation::Operation;

/// The answer, as if the first step had given it.
pub(super) fn served<'d>(text: &str, decision: &'d Decision, call: &Call) -> Result<Served<'d>, ApiError> {
    let step = decision.steps.first().filter(|_| call.ask.operation == Operation::Chat);
    let step = step.ok_or_else(|| {
        ApiError::invalid("invalid_value", "`mock_response` is for conversations").with_param("mock_response")
    })?;
    let answer = |object: &str, said: &str, content: serde_json::Value, reason: Option<&str>| {
        let answer = json!({
            "id": format!("chatcmpl-{}", call.id),
            "object": object,
            "created": call.now_ms / 1000,
            "model": step.model.upstream,
            "choices": [{"index": 0, said: content, "finish_reason": reason}],
        });
        Bytes::from(answer.to_string())
    };
    let said = json!({"role": "assistant", "content": text});
    let reply = if call.ask.is_stream {
        let object = "chat.completion.chunk";
        told(&[
            answer(object, "delta", said, None),
            answer(object, "delta", json!({}), Some("stop")),
        ])
    } else {
        Reply::Whole(Whole {
            body: answer("chat.completion", "message", said, Some("stop")),
            content_type: None,
            usage: None,
            dropped: None,
            is_text: true,
            is_own: false,
            is_estimated: false,
        })
    };
    Ok(Served {
        step,
        reply,
        reasons: Vec::new(),
        untried: Vec::new(),
        attempts_left: 0,
    })
}
