//! What requests are answered with.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use core::time::Duration;

use crate::endpoint::server::Refused;
use crate::endpoint::server::http::HttpResponse;
use crate::http::StatusCode;
use crate::json::{Fault, Object};

/// Fields of an answer that its request brought about.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) cookie: Option<String>,
    /// A page of another origin, which is allowed to read it.
    pub(super) origin: Option<String>,
}

impl Fields {
    pub(super) fn put(&self, mut answer: HttpResponse) -> HttpResponse {
        if let Some(cookie) = &self.cookie {
            answer = answer.with("set-cookie", cookie.clone());
        }
        if let Some(origin) = &self.origin {
            answer = answer
                .with("access-control-allow-origin", origin.clone())
                .with("access-control-expose-headers", "Bowline-Cursor, Retry-After")
                .with("vary", "origin");
        }
        answer.with("cache-control", "no-store")
    }
}

/// Why a request is refused: a status, and the text of `error`.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    error: Cow<'static, str>,
    retry_after: Option<Duration>,
}

pub(super) const fn refusal(status: StatusCode, error: &'static str) -> Refusal {
    Refusal { status, error: Cow::Borrowed(error), retry_after: None }
}

pub(super) const UNAUTHORIZED: Refusal = refusal(StatusCode::UNAUTHORIZED, "wrong credentials, or none");
pub(super) const NOT_YOURS: Refusal = refusal(StatusCode::FORBIDDEN, "not your session");
pub(super) const NO_SESSION: Refusal = refusal(StatusCode::NOT_FOUND, "no such session");

impl Refusal {
    pub(super) fn later(status: StatusCode, error: &'static str, wait: Duration) -> Self {
        Self { status, error: Cow::Borrowed(error), retry_after: Some(wait) }
    }

    pub(super) fn answer(self) -> HttpResponse {
        let mut body = String::new();
        let mut object = Object::begin(&mut body);
        object.text("error", &self.error);
        if let Some(wait) = self.retry_after {
            object.number("retry_after_ms", u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
        object.end();
        let answer = json(self.status, body);
        match self.retry_after {
            Some(wait) => answer.with("retry-after", wait.as_secs().max(1).to_string()),
            None => answer,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let wait = Duration::from_secs(5);
        match refused {
            Refused::Address(..) | Refused::Rate(..) => {
                Self::later(StatusCode::TOO_MANY_REQUESTS, "too many sessions from your address", wait)
            }
            _ => Self::later(StatusCode::SERVICE_UNAVAILABLE, "too many sessions, or the server goes", wait),
        }
    }
}

pub(super) fn json(status: StatusCode, body: String) -> HttpResponse {
    HttpResponse::new(status, "application/json", body)
}

/// The answer to a request whose credentials are wrong.
pub(in crate::endpoint::server) fn unauthorized() -> HttpResponse {
    UNAUTHORIZED.answer()
}

/// JSN-29
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn bad(fault: Fault) -> Refusal {
    let error = if fault.is_no_json() {
        Cow::Borrowed("invalid JSON body")
    } else if fault.is_no_object() {
        Cow::Borrowed("JSON body must be an object")
    } else if fault.is_without_type() {
        Cow::Borrowed("missing 'type' field")
    } else {
        Cow::Owned(fault.to_string())
    };
    Refusal { status: StatusCode::BAD_REQUEST, error, retry_after: None }
}
