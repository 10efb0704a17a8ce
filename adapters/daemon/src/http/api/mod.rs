//! What the console page asks for, as JSON.
//!
//! Lists are looked at bit by bit, with the server let go on between, and a call ends after so much: it
//! then says where to go on. What the server cannot tell is `null`.

mod lists;
mod query;
mod sessions;
mod tail;
mod whole;

use bowline_tokio::server::{HttpRequest, HttpResponse, Overview, StatusCode};
use serde_json::{Value, json};

use super::gate::{self, Denied};
use super::{Site, challenge};
use query::Query;

/// Answers a request for what is behind `/api/`.
pub(super) fn answer(
    site: &Site,
    resource: &str,
    request: &HttpRequest,
    server: &Overview<'_>,
) -> HttpResponse {
    let answered = site.admit(request, server).and_then(|()| route(site, resource, request, server));
    answered.unwrap_or_else(|Denied { status, why }| {
        let refused = challenge(object(status, &json!({ "error": why })));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            refused.with(
                "allow",
                if resource.starts_with("sessions/") { "GET, HEAD, DELETE" } else { "GET, HEAD" },
            )
        } else {
            refused
        }
    })
}

fn route(
    site: &Site,
    resource: &str,
    request: &HttpRequest,
    server: &Overview<'_>,
) -> Result<HttpResponse, Denied> {
    let query = Query::parse(request.query.as_deref().unwrap_or_default())
        .map_err(|why| Denied { status: StatusCode::BAD_REQUEST, why })?;
    let is_read = matches!(&*request.method, "GET" | "HEAD");
    if let Some(id) = resource.strip_prefix("sessions/") {
        return match &*request.method {
            "GET" | "HEAD" => sessions::one(id, server).map(|session| object(StatusCode::OK, &session)),
            "DELETE" => gate::check_meant(request)
                .and_then(|()| sessions::end(id, query.forget, server))
                .map(|()| HttpResponse::empty(StatusCode::NO_CONTENT).with("cache-control", "no-store")),
            _ => Err(not_allowed()),
        };
    }
    let found = match resource {
        "info" => whole::info(site, server),
        "listeners" => whole::listeners(site, server),
        "store" => whole::store(site, server),
        "sessions" => sessions::list(&query, server),
        "rooms" => lists::rooms(&query, server),
        "topics" => lists::topics(&query, server),
        "log" if is_read => return Ok(tail::answer(site, &query, request)),
        "log" => Value::Null,
        _ => return Err(not_found(format!("there is no /api/{resource}"))),
    };
    if is_read { Ok(object(StatusCode::OK, &found)) } else { Err(not_allowed()) }
}

fn not_allowed() -> Denied {
    Denied { status: StatusCode::METHOD_NOT_ALLOWED, why: "this can only be read".to_owned() }
}

fn not_found(why: String) -> Denied {
    Denied { status: StatusCode::NOT_FOUND, why }
}

fn object(status: StatusCode, value: &Value) -> HttpResponse {
    HttpResponse::new(status, "application/json", value.to_string()).with("cache-control", "no-store")
}

/// A text, or nothing where it is empty.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
