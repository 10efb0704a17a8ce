//! Requests that open a WebSocket.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::super::Peer;
use super::super::connection::{NOT_SPOKEN, Turn};
use super::{Connection, HttpResponse, Switched};
use crate::buf::SendBuf;
use crate::http::{RequestHead, StatusCode};
use crate::json;
use crate::stack::Dialect;
use crate::websocket::handshake::{Offer, Refusal, is_address_or_localhost, is_same_host};

/// The paths where only WebSockets are: any other request is told so. A WebSocket may be opened on any
/// other path too.
pub(super) const WEBSOCKETS: [&str; 2] = ["/mqtt", JSON];

/// Where typed JSON is at home.
const JSON: &str = "/ws";

/// The subprotocols, in the server's order of preference, and what is spoken by each.
const SPOKEN: [(&str, Dialect); 5] = [
    ("mqtt", Dialect::Mqtt),
    ("mqttv3.1", Dialect::Mqtt),
    ("bowline", Dialect::Bowline),
    ("prx1", Dialect::Prx1),
    (json::SUBPROTOCOL, Dialect::Json),
];

/// The subprotocols that are spoken over WebSockets, in the server's order of preference.
pub const PROTOCOLS: [&str; SPOKEN.len()] = {
    let mut names = [""; SPOKEN.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = SPOKEN[i].0;
        i += 1;
    }
    names
};

/// Which pages may open WebSockets. What is no browser says nothing of a page, and may always.
///
/// A browser lets any page connect to any server, with the rights of whoever looks at it: the server
/// alone can refuse (RFC 6455 §10.2).
///
/// A page can also have its own name lead to this machine, and then is of the host that it asks. So for
/// connections of this machine the same host counts only where it is an address or `localhost`: whoever
/// puts a proxy before the server lists the names by which it is known.
///
/// ```
/// use bowline_core::endpoint::server::{Origins, Peer};
/// let origins = Origins::Listed(vec!["https://chat.example".into()]);
/// let peer = Peer::default();
/// assert!(origins.allow(&peer, Some("https://Chat.example"), "bowline.example"));
/// assert!(!origins.allow(&peer, Some("https://evil.example"), "bowline.example"));
/// assert!(Origins::SameHost.allow(&peer, Some("http://localhost:7790"), "localhost:7790"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Those that come from the host and port that they ask.
    #[default]
    SameHost,
    /// These, each a scheme, a host, and a port where it is not the scheme's own; and those of the same
    /// host.
    Listed(Vec<String>),
    /// All.
    Any,
}

impl Origins {
    /// Whether a page of this origin may open a WebSocket at this host, which `peer` asks.
    #[must_use]
    pub fn allow(&self, peer: &Peer, origin: Option<&str>, host: &str) -> bool {
        let Some(origin) = origin else { return true };
        let is_same = is_same_host(origin, host) && is_own_name(peer, host);
        match self {
            Self::Any => true,
            Self::SameHost => is_same,
            Self::Listed(list) => is_same || list.iter().any(|listed| listed.eq_ignore_ascii_case(origin)),
        }
    }
}

/// Whether nobody else can have given the host's name to this machine, where the peer is on it. A request that
/// names no host is of no page.
pub(super) fn is_own_name(peer: &Peer, host: &str) -> bool {
    let is_here = peer.address.is_some_and(|address| address.to_canonical().is_loopback());
    !is_here || host.is_empty() || is_address_or_localhost(host)
}

impl Connection {
    /// Opens a WebSocket, or says why not.
    pub(super) fn open(&mut self, turn: &mut Turn<'_>, head: &RequestHead<'_>, out: &mut impl SendBuf) {
        if let Some(draining) = &turn.server.draining {
            let seconds = draining.retry_after.as_secs().max(1);
            let answer = HttpResponse::text(StatusCode::SERVICE_UNAVAILABLE, "the server is going away");
            return self.answer(answer.with("retry-after", seconds.to_string()));
        }
        let offer = match Offer::read(head) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_to_open(refusal),
        };
        let origin = offer.origin().map(|origin| core::str::from_utf8(origin).unwrap_or("?"));
        if !turn.server.config.http.origins.allow(&self.peer, origin, head.host) {
            let why = format!("pages of {} may not connect here", origin.unwrap_or_default());
            return self.answer(HttpResponse::text(StatusCode::FORBIDDEN, &why));
        }
        let chosen = offer.choose(&PROTOCOLS);
        // Typed JSON needs no name where it is at home (JSON.md §2).
        let is_plain = head.path == JSON && head.headers.get("sec-websocket-protocol").is_none();
        let Some(name) = chosen.or(is_plain.then_some(json::SUBPROTOCOL)) else {
            let why = format!("offer a subprotocol that is spoken here: {}", PROTOCOLS.join(", "));
            return self.answer(HttpResponse::text(StatusCode::BAD_REQUEST, &why));
        };
        let dialect = SPOKEN.iter().find(|(known, _)| *known == name).map(|(_, dialect)| *dialect);
        if dialect.is_some_and(|dialect| !turn.server.listeners.carries(&self.peer, dialect)) {
            return self.answer(HttpResponse::text(StatusCode::FORBIDDEN, NOT_SPOKEN));
        }
        // WSO-10: what carries octets takes no extension.
        let compressors = turn.server.compressors.as_ref().filter(|_| dialect == Some(Dialect::Json));
        let compression = compressors.and_then(|compressors| compressors.accept(&offer));
        let extensions = compression.map(|params| params.to_string());
        let fields = offer.accept(chosen, extensions.as_deref());
        // There is room: `recv` handles no request without.
        if self.line.switch(turn.now, out, fields.as_slice()).is_ok() {
            turn.server.traffic.packets_sent += 1;
            let authorization = head.headers.get("authorization").map(|value| {
                // What is no text is no credentials, and wrong as such.
                Zeroizing::new(String::from(core::str::from_utf8(value).unwrap_or_default()))
            });
            self.switched = dialect.map(|dialect| Box::new(Switched { dialect, compression, authorization }));
        }
    }

    fn refuse_to_open(&mut self, refusal: Refusal) {
        let mut answer = HttpResponse::text(refusal.status(), &refusal.to_string());
        for (name, value) in refusal.fields() {
            answer = answer.with(*name, *value);
        }
        self.answer(answer);
    }
}
