//! What the layer below has proved, in every dialect: AUT-8, and what ALPN decides.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::http::{Line, get, handled};
use crate::access::{Access, Action, Decision, Who};
use crate::buf::SliceSendBuf;
use crate::endpoint::server::{
    Anonymous, Certificate, Dialect, Identity, NameKind, Origins, Secured, Security, ServerConfig,
    ServerEvent, Users,
};
use crate::http::StatusCode;
use crate::json;
use crate::lifecycle::Transport;
use crate::prx1::{self, Packet};
use crate::scram::{Credential, MIN_ITERATIONS};
use crate::session::{Auth, Config, Connect, Session};
use crate::stack::Alpn;

/// Whoever ann is by her certificate, bob by his key of Noise; both have passwords, and nobody comes in
/// without anything.
fn config() -> ServerConfig {
    let mut users = Users::new(Anonymous::Never);
    for user in ["ann", "bob"] {
        users.add_password(user, Credential::derive("pencil", b"salt", MIN_ITERATIONS).unwrap());
    }
    users.add_token(b"t0ken", "sensor");
    users.name_certificates_by(Some(NameKind::CommonName));
    users.add_noise_key([2; 32], "bob");
    ServerConfig { users, ..handled() }
}

fn tls(name: &str) -> Secured {
    let names = [(NameKind::CommonName, String::from(name))].into();
    let identity = Some(Identity::Certificate(Certificate { names, spki: [1; 32] }.into()));
    Secured { identity, ..Secured::new(Security::Tls) }
}

fn secured(secured: Secured) -> Line {
    let mut line = Line::new(config());
    line.server.handle_secured(line.now, line.key, secured);
    line
}

/// Who came in, and over what; nothing: nobody.
fn opened(line: &mut Line) -> Option<(String, Dialect, Option<Security>)> {
    while let Some(event) = line.server.poll_event() {
        if let ServerEvent::Opened { identity, dialect, peer, .. } = event {
            return Some((identity, dialect, peer.secured));
        }
    }
    None
}

fn own(auth: Auth<'_>) -> Vec<u8> {
    let (mut memory, connect) = ([0; 512], Connect { auth, ..Connect::default() });
    let mut out = SliceSendBuf::new(&mut memory);
    Session::connect(crate::time::Instant::from_millis(1), &Config::default(), &connect, &mut out).unwrap();
    out.pending().into()
}

/// CONNECT of MQTT 3.1.1.
fn mqtt(user: Option<&str>, password: Option<&str>) -> Vec<u8> {
    let flags = 2 | u8::from(user.is_some()) << 7 | u8::from(password.is_some()) << 6;
    let mut body = [&b"\x00\x04MQTT\x04"[..], &[flags], b"\0\x3c\0\0"].concat();
    for text in [user, password].into_iter().flatten() {
        body.extend([0, text.len() as u8]);
        body.extend(text.bytes());
    }
    [&[0x10, body.len() as u8][..], &body].concat()
}

/// CONNECT of PRX1.
fn prx1(user: Option<&str>) -> Vec<u8> {
    let mut memory = [0; 64];
    let mut out = SliceSendBuf::new(&mut memory);
    Packet::Connect(prx1::Connect { user, ..prx1::Connect::default() }).encode(&mut out).unwrap();
    out.pending().into()
}

fn web_socket(subprotocol: &str, fields: &str) -> String {
    let path = if subprotocol == json::SUBPROTOCOL { "/ws" } else { "/mqtt" };
    let fields = format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocol}\r\n{fields}"
    );
    get(path, &fields)
}

#[test]
fn aut_8_who_has_proved_who_it_is_says_nothing_more_in_any_dialect() {
    let openings = [
        (own(Auth::None), Dialect::Bowline),
        (own(Auth::Password { user: "ann", password: b"" }), Dialect::Bowline),
        (mqtt(None, None), Dialect::Mqtt311),
        (mqtt(Some("ann"), None), Dialect::Mqtt311),
        (prx1(None), Dialect::Prx1),
        (prx1(Some("ann")), Dialect::Prx1),
        (web_socket(json::SUBPROTOCOL, "").into_bytes(), Dialect::Json),
    ];
    for (octets, dialect) in openings {
        let mut line = secured(tls("ann"));
        line.send(&octets);
        assert_eq!(opened(&mut line), Some(("ann".into(), dialect, Some(Security::Tls))), "{dialect}");
        assert_eq!(line.transport, Transport::Open, "{dialect}");
        // Whoever has proved nothing is not let in by the same octets.
        let mut line = Line::new(config());
        line.send(&octets);
        assert_eq!(opened(&mut line), None, "{dialect}");
        let mut line = secured(Secured::new(Security::Tls));
        line.send(&octets);
        assert_eq!(opened(&mut line), None, "{dialect}");
    }
    let mut line =
        secured(Secured { identity: Some(Identity::Key([2; 32])), ..Secured::new(Security::Noise) });
    line.send(own(Auth::None));
    assert_eq!(opened(&mut line), Some(("bob".into(), Dialect::Bowline, Some(Security::Noise))));
}

#[test]
fn aut_8_a_request_is_the_users_of_the_certificate() {
    let mut line = secured(tls("ann"));
    let asked = line.send(get("/", "")).asked().unwrap();
    assert_eq!((asked.identity.as_deref(), asked.peer.secured), (Some("ann"), Some(Security::Tls)));
    line.respond(crate::endpoint::server::HttpResponse::empty(StatusCode::NO_CONTENT)).take();
    // And so is the next on the same connection; its own credentials say more.
    let asked = line.send(get("/", "Authorization: Bearer t0ken\r\n")).asked().unwrap();
    assert_eq!(asked.identity.as_deref(), Some("sensor"));
}

/// A browser shows its user's certificate for whatever page asks.
#[test]
fn aut_8_the_certificate_of_a_browser_is_not_lent_to_other_pages() {
    for (origin, origins, want) in [
        ("https://evil.example", Origins::SameHost, None),
        ("http://localhost:7790", Origins::SameHost, Some("ann")),
        ("https://chat.example", Origins::Listed(["https://chat.example".into()].into()), Some("ann")),
        ("https://evil.example", Origins::Any, Some("ann")),
    ] {
        let mut config = config();
        config.http.origins = origins;
        let mut line = Line::new(config);
        line.server.handle_secured(line.now, line.key, tls("ann"));
        let asked = line.send(get("/", &format!("Origin: {origin}\r\n"))).asked().unwrap();
        assert_eq!(asked.identity.as_deref(), want, "{origin}");
    }
    let mut line = secured(tls("ann"));
    let answer = line.send(web_socket(json::SUBPROTOCOL, "Origin: https://evil.example\r\n")).take();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn aut_8_what_it_says_beyond_is_checked_and_decides() {
    for (octets, want) in [
        (own(Auth::Password { user: "bob", password: b"pencil" }), Some("bob")),
        (own(Auth::Password { user: "ann", password: b"pencil" }), Some("ann")),
        (own(Auth::Token(b"t0ken")), Some("sensor")),
        (mqtt(Some("bob"), Some("pencil")), Some("bob")),
        (own(Auth::Password { user: "ann", password: b"crayon" }), None),
        (own(Auth::Password { user: "bob", password: b"" }), None),
        (own(Auth::Token(b"x")), None),
        (mqtt(Some("ann"), Some("crayon")), None),
        (mqtt(Some("bob"), None), None),
    ] {
        let mut line = secured(tls("ann"));
        line.send(&octets);
        assert_eq!(opened(&mut line).map(|(identity, ..)| identity).as_deref(), want, "{octets:02x?}");
    }
}

#[test]
fn users_that_are_reloaded_are_asked_anew() {
    let mut line = secured(tls("ann"));
    line.server.set_users(Users::new(Anonymous::Never));
    line.send(mqtt(None, None));
    assert_eq!(opened(&mut line), None, "certificates have no names any more");
}

#[test]
fn the_protocol_that_was_agreed_upon_is_the_one_that_is_spoken() {
    let with = |alpn| secured(Secured { alpn: Some(alpn), ..tls("ann") });
    // What fits goes on as always.
    for (alpn, octets, dialect) in [
        (Alpn::Bowline, own(Auth::None), Dialect::Bowline),
        (Alpn::Mqtt, mqtt(None, None), Dialect::Mqtt311),
        (Alpn::Http, web_socket(json::SUBPROTOCOL, "").into_bytes(), Dialect::Json),
    ] {
        let mut line = with(alpn);
        line.send(&octets);
        assert_eq!(opened(&mut line).map(|(_, dialect, _)| dialect), Some(dialect), "{alpn:?}");
    }
    // What does not is refused in the words of what was agreed upon.
    let mut line = with(Alpn::Http);
    let answer = line.send(mqtt(None, None)).send("\r\n\r\n").take();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let mut line = with(Alpn::Mqtt);
    line.send(get("/", ""));
    assert_ne!(line.transport, Transport::Open);
    assert!(line.sent.is_empty(), "MQTT has no words before CONNECT");
    let mut line = with(Alpn::Bowline);
    line.send(prx1(None));
    assert!(line.sent.ends_with(b"not our preface"), "{:02x?}", line.sent);
    assert_ne!(line.transport, Transport::Open);
}

#[test]
fn what_comes_too_late_or_of_nobody_changes_nothing() {
    let mut line = Line::new(config());
    line.send(mqtt(None, None));
    line.server.handle_secured(line.now, line.key, tls("ann"));
    assert_eq!((opened(&mut line), line.server.secured(line.key)), (None, None));
    let mut line = secured(tls("ann"));
    assert_eq!(line.server.secured(line.key), Some(&tls("ann")));
    line.server.disconnect(line.now, line.key);
    assert_eq!(line.server.secured(line.key), None, "nothing is kept of who is gone");
    line.server.handle_secured(line.now, line.key, tls("ann"));
    assert_eq!(line.server.secured(line.key), None);
}

/// Nobody comes in but over a secured connection.
struct Careful;

impl Access for Careful {
    fn decide(&self, who: &Who<'_>, action: Action, _: &str) -> Decision {
        (action != Action::Connect || who.secured.is_some()).into()
    }
}

#[test]
fn rules_know_whether_a_connection_is_secured() {
    let password = || mqtt(Some("ann"), Some("pencil"));
    for (octets, is_mqtt) in [(password(), true), (own(Auth::Token(b"t0ken")), false)] {
        for want in [Some(Security::Tls), Some(Security::Noise), None] {
            let mut line = Line::new(config());
            line.server.set_access(std::boxed::Box::new(Careful));
            if let Some(by) = want {
                line.server.handle_secured(line.now, line.key, Secured::new(by));
            }
            line.send(&octets);
            assert_eq!(opened(&mut line).and_then(|(_, _, by)| by), want, "{is_mqtt}");
        }
    }
}
