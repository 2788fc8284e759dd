//! A request's body: read whole, within its size and its time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Incoming};

use super::head;
use crate::config::ServerConfig;
use crate::error::ApiError;

/// A body that is not whole by then is not waited for.
const BODY_TIME: Duration = Duration::from_secs(120);

/// Room that is made before anything has come, at most: what a head promises need not follow.
const PROMISED_BYTES: u64 = 64 << 10;

pub(super) async fn read(body: Incoming, limits: &ServerConfig) -> Result<Bytes, ApiError> {
    let late = || {
        ApiError::refused(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the request body did not arrive in time",
        )
    };
    tokio::time::timeout(BODY_TIME, collect(body, limits))
        .await
        .map_err(|_| late())?
}

/// Into one buffer: a body in many small pieces must not cost many times its size.
async fn collect(mut body: Incoming, limits: &ServerConfig) -> Result<Bytes, ApiError> {
    let mut whole = BytesMut::with_capacity(body.size_hint().lower().min(PROMISED_BYTES) as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let message = "the request body broke off or is not framed as HTTP says";
            ApiError::invalid("invalid_body", message).with_detail(error.to_string())
        })?;
        // Trailers say nothing that the gateway uses.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > limits.body_bytes - whole.len() {
            return Err(head::too_large(limits));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
