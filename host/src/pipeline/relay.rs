//! A streamed answer on its way: events as they come, the closing `[DONE]` only after a proper end. A break is told in an
//! error event and by aborting the connection, so that no client takes half an answer for a whole one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::Account;
use super::answer;
use super::attempt::{Beginning, Failure};
use super::decide::Step;
use crate::body::{Body, Broken, Outlet};
use crate::generation::Provider;

/// An abort throws away what has not been written to the client yet, so what was said last gets this head start.
const HEAD_START: Duration = Duration::from_millis(100);

/// Relays the rest of a stream. Dropping the body, as a client's disconnect does, closes the way to the provider.
pub(super) fn stream(beginning: Beginning, step: &Step, account: Account) -> Body {
    let gap = step.gap_timeout;
    let deadline = Instant::now() + step.timeout;
    let provider = step.model.provider.clone();
    Body::pulled(move |outlet| relay(beginning, provider, gap, deadline, account, outlet))
}

async fn relay(
    beginning: Beginning,
    provider: Arc<Provider>,
    gap: Duration,
    deadline: Instant,
    mut account: Account,
    outlet: Outlet,
) -> Result<(), Broken> {
    let Beginning {
        events: mut out,
        mut has_more,
        mut source,
    } = beginning;
    // Waiting without progress; a client that is slow to take what came does not count against the provider.
    let mut quiet = Duration::ZERO;
    loop {
        account.used(source.usage());
        if !has_more {
            answer::done(&mut out);
            account.ended_well();
            outlet.send(out.freeze()).await;
            return Ok(());
        }
        if !out.is_empty() {
            outlet.send(out.split().freeze()).await;
        }
        let (began, before) = (Instant::now(), source.progress());
        let within = gap.saturating_sub(quiet).min(deadline.saturating_duration_since(began));
        let next = match tokio::time::timeout(within, source.next(&mut out)).await {
            Ok(next) => next,
            Err(_) => Err(Failure::timed_out(quiet + within)),
        };
        match next {
            Ok(more) => {
                has_more = more;
                let has_progressed = source.progress() > before;
                quiet = if has_progressed {
                    Duration::ZERO
                } else {
                    quiet + began.elapsed()
                };
            }
            Err(failure) => {
                account.broke();
                account.used(source.usage());
                // The connection to the provider is of no more use.
                drop(source);
                let failure = failure.redacted(&provider);
                let call = account.call();
                tracing::warn!(request_id = %call.id, kind = %failure.word(), detail = failure.detail(), "a stream broke");
                let attempts = account.attempts();
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(&failure.into_error(attempts).to_json(&account.call().id));
                out.extend_from_slice(b"\n\n");
                outlet.send(out.freeze()).await;
                tokio::time::sleep(HEAD_START).await;
                return Err(Broken);
            }
        }
    }
}
