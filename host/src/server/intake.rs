//! A request's body: read whole, within its size and what all bodies together may take, and no slower than its rate.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::head;
use crate::config::ServerConfig;
use crate::error::ApiError;
use crate::load::Room;

/// Room that is made before anything has come, at most: what a head promises need not follow.
const PROMISED_BYTES: u64 = 64 << 10;

/// Into one buffer: a body in many small pieces must not cost many times its size.
pub(super) async fn read(mut body: Incoming, limits: &ServerConfig, room: Option<&Room>) -> Result<Bytes, ApiError> {
    let began = Instant::now();
    let mut whole = BytesMut::with_capacity(body.size_hint().lower().min(PROMISED_BYTES) as usize);
    loop {
        let due = began + limits.body_grace + Duration::from_secs(whole.len() as u64 / limits.body_rate);
        let frame = timeout_at(due, body.frame()).await.map_err(|_| late())?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| {
            let message = "the request body broke off or is not framed as HTTP says";
            ApiError::invalid("invalid_body", message).with_detail(error.to_string())
        })?;
        // Trailers say nothing that the gateway uses.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limits.body_bytes - whole.len() {
            return Err(head::too_large(limits));
        }
        room.map_or(Ok(()), |room| room.take(data.len()))?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn late() -> ApiError {
    let message = "the request body came too slowly";
    ApiError::refused(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
}
