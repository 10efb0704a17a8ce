//! Who may see the console.
//!
//! A browser lends any page on the net its place on this machine: a page can have it ask `127.0.0.1`, or
//! a name of its own that it lets point there. So a request must name a host that is this one, must not
//! come from another's page, and what changes something needs a field that no form and no link can send.

use bowline_core::access::{Action, Who};
use bowline_core::websocket::handshake::{is_address_or_localhost, is_same_host};
use bowline_tokio::server::{HttpRequest, Overview, StatusCode};

use crate::config::Console;

/// What whoever sees the console must be allowed to subscribe to.
const FIGURES: &str = "$SYS/#";

/// What proxies say of who asks: then the address is that of a proxy, not of who asks.
const PROXIES: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) status: StatusCode,
    pub(super) why: String,
}

fn denied(status: StatusCode, why: impl Into<String>) -> Denied {
    Denied { status, why: why.into() }
}

/// Lets a request in, or says why not.
pub(super) fn check(
    request: &HttpRequest,
    server: &Overview<'_>,
    console: Console,
    hosts: &[String],
) -> Result<(), Denied> {
    if console == Console::Off {
        return Err(denied(StatusCode::NOT_FOUND, "there is nothing of that name here"));
    }
    check_place(request, hosts)?;
    let identity = request.identity.as_deref();
    let proxied = PROXIES.iter().any(|name| request.header(name).is_some());
    if console == Console::Loopback && identity.is_some() && request.peer.is_local() && !proxied {
        return Ok(());
    }
    let user = identity.unwrap_or_default();
    let peer = &request.peer;
    let may = |server: &bowline_core::endpoint::server::Server| {
        let listener = server.listener_name(peer.listener);
        let who = Who { user, client_id: "", address: peer.address, listener, secured: peer.secured };
        server.hub().decide(&who, Action::Subscribe, FIGURES).allowed
    };
    if !user.is_empty() && server.look(may) {
        return Ok(());
    }
    let why = format!("say who you are: a user who may subscribe to {FIGURES}");
    Err(denied(StatusCode::UNAUTHORIZED, why))
}

/// What asks must ask this host, and be no page of another.
fn check_place(request: &HttpRequest, hosts: &[String]) -> Result<(), Denied> {
    let host = request.header("host").unwrap_or_default();
    if !is_ours(host, hosts) {
        let why = format!("{host:?} is none of this server's names; if it should be, list it in http.hosts");
        return Err(denied(StatusCode::FORBIDDEN, why));
    }
    match request.header("origin") {
        Some(origin) if !is_same_host(origin, host) => {
            Err(denied(StatusCode::FORBIDDEN, format!("pages of {origin:?} may not ask for this")))
        }
        _ => Ok(()),
    }
}

/// Whether nobody else can have the name point here: an address, `localhost`, or one that is listed.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    is_address_or_localhost(host) || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// What changes something says that it means it.
pub(super) fn check_meant(request: &HttpRequest) -> Result<(), Denied> {
    if request.header("bowline-admin") == Some("1") {
        return Ok(());
    }
    Err(denied(StatusCode::FORBIDDEN, "what changes something needs the header Bowline-Admin: 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_can_point_here_are_not_ours() {
        let hosts = ["bowline.example".to_owned()];
        for ours in
            ["127.0.0.1", "127.0.0.1:7790", "[::1]:7790", "localhost", "LOCALHOST:1", "Bowline.Example:80"]
        {
            assert!(is_ours(ours, &hosts), "{ours}");
        }
        for other in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[evil]", "2130706433"]
        {
            assert!(!is_ours(other, &hosts), "{other}");
        }
    }
}
