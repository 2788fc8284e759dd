//! A request's body: read whole, within its size and its time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;

use super::head;
use crate::config::ServerConfig;
use crate::error::ApiError;

/// A body that is not whole by then is not waited for.
const BODY_TIME: Duration = Duration::from_secs(120);

pub(super) async fn read(body: Incoming, limits: &ServerConfig) -> Result<Bytes, ApiError> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, limits.body_bytes).collect()).await;
    let late = || {
        ApiError::refused(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the request body did not arrive in time",
        )
    };
    match collected.map_err(|_| late())? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(head::too_large(limits)),
        Err(error) => {
            let message = "the request body broke off or is not framed as HTTP says";
            Err(ApiError::invalid("invalid_body", message).with_detail(error.to_string()))
        }
    }
}
