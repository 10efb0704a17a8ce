//! What is answered over HTTP: metrics, health, and the files of pages.
//!
//! Every answer says that its type is what it says, and pages may load nothing but what the program
//! itself has. What tells about others is for this machine, and for who says who he is.

mod files;
mod metrics;

use bowline_tokio::server::{HttpRequest, HttpResponse, Overview, StatusCode};

/// Answers a request.
pub(crate) fn answer(request: &HttpRequest, server: &Overview<'_>) -> HttpResponse {
    let response = match &*request.path {
        "/metrics" => only_read(request).or_else(|| only_known(request)).unwrap_or_else(|| {
            HttpResponse::new(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(&server.counters()))
                .with("cache-control", "no-store")
        }),
        "/healthz" => only_read(request).unwrap_or_else(|| said(StatusCode::OK, "ok\n")),
        "/readyz" => only_read(request).unwrap_or_else(|| {
            if server.is_ready() {
                said(StatusCode::OK, "ready\n")
            } else {
                said(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
        }),
        path => match files::find(path) {
            Some(file) => only_read(request).unwrap_or_else(|| file.answer(request)),
            None => HttpResponse::text(StatusCode::NOT_FOUND, "there is nothing of that name here"),
        },
    };
    response.with("x-content-type-options", "nosniff")
}

fn said(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponse::new(status, "text/plain; charset=utf-8", text).with("cache-control", "no-store")
}

/// The refusal of any other method than GET and HEAD.
fn only_read(request: &HttpRequest) -> Option<HttpResponse> {
    if matches!(&*request.method, "GET" | "HEAD") {
        return None;
    }
    let refused = HttpResponse::text(StatusCode::METHOD_NOT_ALLOWED, "this can only be read");
    Some(refused.with("allow", "GET, HEAD"))
}

/// The refusal of who is neither on this machine nor somebody.
fn only_known(request: &HttpRequest) -> Option<HttpResponse> {
    let identity = request.identity.as_deref();
    if identity.is_some_and(|identity| request.peer.is_local() || !identity.is_empty()) {
        return None;
    }
    let refused = HttpResponse::text(StatusCode::UNAUTHORIZED, "say who you are");
    Some(refused.with("www-authenticate", "Basic realm=\"bowline\", charset=\"UTF-8\""))
}
