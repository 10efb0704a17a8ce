//! What the console page asks for, as JSON.
//!
//! Lists are sorted, and yet looked at bit by bit, with all else let go on between (see [`lists`]). What
//! the server cannot tell is `null`.

mod cursor;
mod lists;
mod plugins;
mod query;
mod rates;
mod sessions;
mod tail;
mod whole;

use bowline_tokio::server::{HttpAnswer, HttpRequest, HttpResponse, Overview, StatusCode};
use serde_json::{Value, json};

use super::gate::{self, Denied};
use super::{Site, challenge, finished};
use query::Query;
pub(super) use rates::Rates;

/// Answers a request for what is behind `/api/`.
pub(super) fn answer(
    site: &Site,
    resource: &str,
    request: &HttpRequest,
    server: &Overview<'_>,
) -> HttpAnswer {
    let answered = site.admit(request, server).and_then(|()| route(site, resource, request, server));
    answered.unwrap_or_else(|Denied { status, why }| {
        let mut refused = challenge(object(status, &json!({ "error": why })));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = match resource.split_once('/') {
                Some(("sessions", _)) => "GET, HEAD, POST, DELETE",
                None if resource == "tell" => "POST",
                Some(("plugins", _)) => "GET, HEAD, POST",
                _ => "GET, HEAD",
            };
            refused = refused.with("allow", allowed);
        }
        refused.into()
    })
}

fn route(
    site: &Site,
    resource: &str,
    request: &HttpRequest,
    server: &Overview<'_>,
) -> Result<HttpAnswer, Denied> {
    let query = Query::parse(request.query.as_deref().unwrap_or_default())
        .map_err(|why| Denied { status: StatusCode::BAD_REQUEST, why })?;
    let is_read = matches!(&*request.method, "GET" | "HEAD");
    if let Some(id) = resource.strip_prefix("sessions/") {
        return match &*request.method {
            "GET" | "HEAD" => {
                sessions::one(id, server).map(|session| object(StatusCode::OK, &session).into())
            }
            "POST" | "DELETE" if query.tag.is_some() => gate::check_meant(request)
                .and_then(|()| sessions::tag(id, query.tag.as_deref(), request.method == "POST", server))
                .map(|session| object(StatusCode::OK, &session).into()),
            "DELETE" => gate::check_meant(request)
                .and_then(|()| sessions::end(id, query.forget, server))
                .map(|()| {
                    finished(HttpResponse::empty(StatusCode::NO_CONTENT).with("cache-control", "no-store"))
                })
                .map(HttpAnswer::from),
            _ => Err(not_allowed()),
        };
    }
    if let Some(name) = resource.strip_prefix("plugins/") {
        let found = match &*request.method {
            "GET" | "HEAD" => plugins::one(name, server),
            "POST" => gate::check_meant(request).and_then(|()| plugins::switch(name, query.enabled, server)),
            _ => Err(not_allowed()),
        };
        return found.map(|plugin| object(StatusCode::OK, &plugin).into());
    }
    if resource == "tell" {
        if request.method != "POST" {
            return Err(not_allowed());
        }
        let told = gate::check_meant(request).and_then(|()| sessions::tell(&query, &request.body, server));
        return told.map(|told| object(StatusCode::OK, &told).into());
    }
    let found = match resource {
        "info" => whole::info(site, server),
        "listeners" => whole::listeners(site, server),
        "plugins" => plugins::list(server),
        "store" => whole::store(site, server),
        "sessions" | "rooms" | "topics" | "log" if !is_read => return Err(not_allowed()),
        "sessions" => return sessions::list(site, query, server),
        "rooms" => return lists::rooms(site, query, server),
        "topics" => return lists::topics(query, server),
        "log" => return tail::answer(site, &query, request),
        _ => return Err(not_found(format!("there is no /api/{resource}"))),
    };
    if is_read { Ok(object(StatusCode::OK, &found).into()) } else { Err(not_allowed()) }
}

fn not_allowed() -> Denied {
    Denied { status: StatusCode::METHOD_NOT_ALLOWED, why: "this can only be read".to_owned() }
}

fn not_found(why: String) -> Denied {
    Denied { status: StatusCode::NOT_FOUND, why }
}

fn object(status: StatusCode, value: &Value) -> HttpResponse {
    finished(
        HttpResponse::new(status, "application/json", value.to_string()).with("cache-control", "no-store"),
    )
}

/// A text, or nothing where it is empty.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
