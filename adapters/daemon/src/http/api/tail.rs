//! The end of the log, as server-sent events.
//!
//! Each answer has the lines that came since the last that the client names, and ends: a browser's
//! `EventSource` asks again, as soon as `retry` says, by itself and from where it was. So nobody who
//! watches holds anything here.

use std::fmt::Write;

use bowline_tokio::server::{HttpRequest, HttpResponse, StatusCode};

use super::query::Query;
use crate::http::Site;

/// `GET /api/log`
pub(super) fn answer(site: &Site, query: &Query, request: &HttpRequest) -> HttpResponse {
    let last = request.header("last-event-id").and_then(|last| last.parse().ok()).unwrap_or(query.last);
    let mut text = String::from("retry: 1000\n:\n\n");
    site.tail.read(last, query.level, |number, line| {
        // A line of JSON has no line break.
        let _ = write!(text, "id: {number}\ndata: {line}\n\n");
    });
    HttpResponse::new(StatusCode::OK, "text/event-stream", text).with("cache-control", "no-store")
}
