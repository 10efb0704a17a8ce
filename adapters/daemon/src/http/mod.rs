//! What is answered over HTTP: metrics, health, the pages, and what the console asks for.
//!
//! Every answer says that its type is what it says, and pages may load nothing but what the program
//! itself has. What tells about others is for this machine, and for who says who he is.

mod api;
mod files;
mod gate;
mod metrics;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bowline_tokio::server::{HttpAnswer, HttpRequest, HttpResponse, Overview, StatusCode};
use bowline_tokio::tls::Server as Tls;
use parking_lot::Mutex;

use crate::config::{Config, Console};
use crate::log::Tail;
use crate::otlp::Counts;
use api::Rates;
use files::Of;
use gate::Denied;
use metrics::{DatagramCounts, Format, ListenerCounts};

/// How often something is said.
#[derive(Debug, Default)]
struct Watched {
    sessions: Arc<Rates>,
    rooms: Arc<Rates>,
}

/// What is known beside the server itself.
#[derive(Debug)]
pub(crate) struct Site {
    console: Console,
    chat: bool,
    hosts: Vec<String>,
    tail: Arc<Tail>,
    /// What became of spans.
    spans: Arc<Counts>,
    /// What became of alerts.
    alerts: Arc<crate::plugins::Counts>,
    started: SystemTime,
    /// Where the store is, if there is one, and how much may wait for it.
    store: Option<(PathBuf, u64)>,
    /// Why it takes nothing, while it does not.
    failing: Mutex<Option<String>>,
    /// What sessions and rooms had said when the console last looked.
    rates: Watched,
    /// Where the server listens, once it does, and where it was to listen and does not.
    listeners: Mutex<Vec<Listening>>,
    /// What secures them, if anything does.
    tls: OnceLock<Tls>,
}

/// A place where the server listens, or was to.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) name: String,
    pub(crate) address: String,
    /// Why it does not.
    pub(crate) error: Option<&'static str>,
}

impl Site {
    pub(crate) fn new(config: &Config, tail: Arc<Tail>) -> Self {
        Self {
            console: config.http.console,
            chat: config.http.chat,
            hosts: config.http.hosts.clone(),
            tail,
            spans: Arc::default(),
            alerts: Arc::default(),
            started: SystemTime::now(),
            store: (!config.store.memory).then(|| (config.store.path.clone(), config.store.backlog)),
            failing: Mutex::new(None),
            rates: Watched::default(),
            listeners: Mutex::default(),
            tls: OnceLock::new(),
        }
    }

    /// What becomes of spans is counted here.
    pub(crate) fn spans(&self) -> Arc<Counts> {
        Arc::clone(&self.spans)
    }

    /// What becomes of alerts is counted here.
    pub(crate) fn alerts(&self) -> Arc<crate::plugins::Counts> {
        Arc::clone(&self.alerts)
    }

    /// Says where the server listens; those with a reason are where it was to.
    pub(crate) fn listens(&self, listeners: Vec<Listening>) {
        *self.listeners.lock() = listeners;
    }

    /// The server listens there too.
    pub(crate) fn listens_too(&self, listener: Listening) {
        self.listeners.lock().push(listener);
    }

    /// The server does not listen any more where it is called so.
    pub(crate) fn listens_no_longer(&self, name: &str) {
        self.listeners.lock().retain(|listener| listener.name != name);
    }

    /// Says what secures listeners.
    pub(crate) fn secures(&self, tls: Tls) {
        // Said once, at the start.
        let _ = self.tls.set(tls);
    }

    /// The store takes nothing, for this reason; or it does again.
    pub(crate) fn set_failing(&self, why: Option<String>) {
        *self.failing.lock() = why;
    }

    /// Answers a request.
    pub(crate) fn answer(&self, request: &HttpRequest, server: &Overview<'_>) -> HttpAnswer {
        if let Some(resource) = request.path.strip_prefix("/api/") {
            return api::answer(self, resource, request, server);
        }
        let response = match &*request.path {
            "/metrics" => only_read(request).or_else(|| only_known(request)).unwrap_or_else(|| {
                let format = Format::of(request.header("accept"));
                let beside = (&*self.spans, &*self.alerts);
                let plugins = server.plugins().list();
                let places = server.look(ListenerCounts::all);
                let datagrams = DatagramCounts::of(&server.datagrams());
                let text = metrics::text(
                    format,
                    &server.counters(),
                    &places,
                    self.started,
                    beside,
                    &plugins,
                    (self.tls.get(), datagrams.as_ref()),
                );
                HttpResponse::new(StatusCode::OK, format.content_type(), text)
                    .with("cache-control", "no-store")
                    .with("vary", "accept")
            }),
            "/healthz" => only_read(request).unwrap_or_else(|| said(StatusCode::OK, "ok\n")),
            "/readyz" => only_read(request).unwrap_or_else(|| {
                if server.is_ready() {
                    said(StatusCode::OK, "ready\n")
                } else {
                    said(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
                }
            }),
            path => self.file(path, request, server),
        };
        finished(response).into()
    }

    fn file(&self, path: &str, request: &HttpRequest, server: &Overview<'_>) -> HttpResponse {
        let nothing = || HttpResponse::text(StatusCode::NOT_FOUND, "there is nothing of that name here");
        let Some(file) = files::find(path) else { return nothing() };
        let open = self.chat && file.of != Of::Console;
        if !open {
            match self.admit(request, server) {
                // Its names are no secret where only the chat is on.
                _ if file.of == Of::Chat => return nothing(),
                Ok(()) => {}
                Err(Denied { status, why }) => return challenge(HttpResponse::text(status, &why)),
            }
        }
        only_read(request).unwrap_or_else(|| file.answer(request))
    }

    /// Lets a request for the console in, or says why not.
    fn admit(&self, request: &HttpRequest, server: &Overview<'_>) -> Result<(), Denied> {
        gate::check(request, server, self.console, &self.hosts)
    }
}

/// With what every answer says.
fn finished(response: HttpResponse) -> HttpResponse {
    response.with("x-content-type-options", "nosniff")
}

/// Who is not known is told how to say who it is.
fn challenge(refused: HttpResponse) -> HttpResponse {
    if refused.status != StatusCode::UNAUTHORIZED {
        return refused;
    }
    refused.with("www-authenticate", "Basic realm=\"bowline\", charset=\"UTF-8\"")
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
    Some(challenge(HttpResponse::text(StatusCode::UNAUTHORIZED, "say who you are")))
}
