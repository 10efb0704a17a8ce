//! The end of the log as it grows, as server-sent events.

use std::fmt::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_tokio::server::{HttpAnswer, HttpRequest, HttpResponse, StatusCode};
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::query::Query;
use crate::http::gate::Denied;
use crate::http::{Site, finished};
use crate::log::Watch;

/// How often a stream says that it is there.
const COMMENT: Duration = Duration::from_secs(15);

/// `GET /api/log`
pub(super) fn answer(site: &Site, query: &Query, request: &HttpRequest) -> Result<HttpAnswer, Denied> {
    let last = request.header("last-event-id").and_then(|last| last.parse().ok()).unwrap_or(query.last);
    let head = HttpResponse::new(StatusCode::OK, "text/event-stream", "retry: 1000\n:\n\n");
    let head = finished(head.with("cache-control", "no-store"));
    if request.method == "HEAD" {
        return Ok(head.into());
    }
    let watch = site.tail.watch(last, query.level).ok_or_else(|| Denied {
        status: StatusCode::SERVICE_UNAVAILABLE,
        why: "as many watch the log as may at once; close one of them".to_owned(),
    })?;
    let mut comment = interval_at(Instant::now() + COMMENT, COMMENT);
    comment.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ok(HttpAnswer::parts(head, Lines { watch, comment }))
}

/// The lines of the log, as events.
struct Lines {
    watch: Watch,
    comment: Interval,
}

impl Stream for Lines {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut text = String::new();
        self.watch.read(cx.waker(), |number, line| {
            // A line of JSON has no line break.
            let _ = write!(text, "id: {number}\ndata: {line}\n\n");
        });
        if text.is_empty() {
            return self.comment.poll_tick(cx).map(|_| Some(Bytes::from_static(b":\n\n")));
        }
        Poll::Ready(Some(text.into()))
    }
}
