//! Who the client is, and which session it has (JSON.md §2).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::super::auth::{Decision, Verification, Verified};
use super::super::bowline::{Held, parse_hex};
use super::super::connection::Turn;
use super::super::event::{Dialect, ServerEvent};
use super::super::http::Credentials as Authorization;
use super::super::plugins::error_of;
use super::super::registry::{Name, Sought};
use super::sink::Sink;
use super::talk::{State, Talk};
use crate::hub::{SessionKey, SessionOptions};
use crate::json::server::{self, About, Welcome};
use crate::json::{Auth, Credentials, ErrorCode, Resume};
use crate::session::{Auth as Proof, Code, ResumeKey, SessionId};

/// After so many the connection closes (JSN-7).
const MAX_FAILURES: u8 = 3;

/// What `$auth` asked for, until a password is checked.
#[derive(Debug)]
pub(super) struct Opening {
    wish: Wish,
    verification: Option<Verification>,
}

/// What a client wants beside being known.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// What the answer names.
    reference: Option<Box<str>>,
    resume: Option<(SessionId, ResumeKey)>,
    /// It named a session, whether there can be one of that name or not.
    named: bool,
    /// It asked by `$auth`, not by the request that it began with.
    asked: bool,
}

const WRONG: &str = "wrong credentials, or the secret is not that session's";

impl Talk {
    /// The first word is the server's (JSN-6).
    pub(super) fn start(&mut self, turn: &mut Turn<'_>, out: &mut impl Sink) {
        if !matches!(self.state, State::New) {
            return;
        }
        self.state = State::Unknown;
        let Some(authorization) = self.authorization.take() else {
            return match turn.decide(&self.peer, &Proof::None) {
                Decision::Accept(identity) => self.known(turn, &identity, &Wish::default(), out),
                _ => self.answer(turn, None, out, server::challenge),
            };
        };
        let wish = Wish::default();
        match Authorization::read(Some(&authorization)) {
            Some(credentials) => self.prove(turn, &credentials.auth(), wish, out),
            None => self.wrong(turn, &wish, out),
        }
        if matches!(self.state, State::Unknown) {
            self.answer(turn, None, out, server::challenge);
        }
    }

    /// `$auth` (JSN-7).
    pub(super) fn authenticate(
        &mut self,
        turn: &mut Turn<'_>,
        reference: Option<&str>,
        auth: &Auth<'_>,
        out: &mut impl Sink,
    ) {
        let resume = auth.resume.as_ref();
        let wish = Wish {
            reference: reference.map(Into::into),
            named: resume.is_some(),
            // What cannot be an id or a secret names no session.
            resume: resume.and_then(|r| Some((SessionId(hex(&r.session)?), ResumeKey(hex(&r.secret)?)))),
            asked: true,
        };
        match &auth.credentials {
            Some(Credentials::Password(user, password)) => {
                self.prove(turn, &Proof::Password { user, password: password.as_bytes() }, wish, out);
            }
            Some(Credentials::Token(token)) => self.prove(turn, &Proof::Token(token.as_bytes()), wish, out),
            None => match self.hub.and_then(|hub| turn.server.hub.identity(hub)).map(String::from) {
                // It stays who it is.
                Some(identity) => self.known(turn, &identity, &wish, out),
                None => self.prove(turn, &Proof::None, wish, out),
            },
        }
    }

    fn prove(&mut self, turn: &mut Turn<'_>, proof: &Proof<'_>, wish: Wish, out: &mut impl Sink) {
        match turn.decide(&self.peer, proof) {
            Decision::Accept(identity) => self.known(turn, &identity, &wish, out),
            Decision::Verify(work) => {
                self.state = State::Checked(Box::new(Opening { wish, verification: Some(work) }));
            }
            Decision::Scram | Decision::Reject | Decision::Method => self.wrong(turn, &wish, out),
        }
    }

    pub(super) fn poll_verification(&mut self) -> Option<Verification> {
        match &mut self.state {
            State::Checked(opening) => opening.verification.take(),
            _ => None,
        }
    }

    pub(super) fn verified(&mut self, turn: &mut Turn<'_>, verified: Verified, out: &mut impl Sink) {
        if !matches!(&self.state, State::Checked(opening) if opening.verification.is_none()) {
            return;
        }
        let before = if self.hub.is_some() { State::Open } else { State::Unknown };
        let State::Checked(opening) = core::mem::replace(&mut self.state, before) else { return };
        // It may have run out of time meanwhile.
        if self.end.is_some() {
            return;
        }
        match verified.identity {
            Some(identity) => self.known(turn, &identity, &opening.wish, out),
            None => {
                self.wrong(turn, &opening.wish, out);
                if !opening.wish.asked {
                    self.answer(turn, None, out, server::challenge);
                }
            }
        }
    }

    fn wrong(&mut self, turn: &mut Turn<'_>, wish: &Wish, out: &mut impl Sink) {
        let about = About { reference: wish.reference.as_deref(), room: None };
        self.refuse(turn, about, ErrorCode::Unauthorized, WRONG, out);
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            self.finish(Code::AuthFailed, "too many wrong credentials", false);
        }
    }

    /// It is known who the client is.
    fn known(&mut self, turn: &mut Turn<'_>, identity: &str, wish: &Wish, out: &mut impl Sink) {
        let about = About { reference: wish.reference.as_deref(), room: None };
        let listener = turn.server.listeners.shared_name(&self.peer);
        let who = self.peer.who(identity, "", &listener);
        let found = wish.resume.as_ref().and_then(|(id, _)| turn.server.registry.find(Sought::Json(*id)));
        let back = found.zip(wish.resume.as_ref()).filter(|(hub, (_, secret))| {
            turn.server.registry.held(*hub).is_some_and(|held| held.opens(secret))
        });
        if let Err(why) = turn.admit(&who, Dialect::Json, back.map(|(hub, _)| hub)) {
            return self.refuse(turn, about, error_of(why), why.reason, out);
        }
        let before = self.hub.and_then(|hub| turn.server.hub.identity(hub));
        if before.is_some_and(|user| !user.is_empty() && user != identity) {
            let why = "this connection is another user's; open another";
            return self.refuse(turn, about, ErrorCode::Denied, why, out);
        }
        // Who was nobody in particular begins anew as somebody.
        let stays = before == Some(identity);
        if let (Some(hub), Some((_, secret))) = (found, &wish.resume) {
            let is_his = turn.server.hub.identity(hub) == Some(identity);
            if !is_his || !turn.server.registry.held(hub).is_some_and(|held| held.opens(secret)) {
                return self.wrong(turn, wish, out);
            }
            if self.hub != Some(hub) {
                return self.go_on(turn, hub, identity, wish, out);
            }
        } else if !stays {
            return self.begin(turn, identity, wish, out);
        }
        self.failures = 0;
        self.state = State::Open;
        if wish.named {
            self.welcome(turn, identity, wish, found.is_some(), out);
        } else {
            self.done(turn, "$ok", about, None, out);
        }
    }

    fn go_on(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        identity: &str,
        wish: &Wish,
        out: &mut impl Sink,
    ) {
        self.leave_session(turn);
        turn.server.take_over(turn.now, hub);
        let in_flight = turn.server.config.json.in_flight;
        if turn.server.hub.reattach(turn.now, hub, in_flight, None).is_err() {
            return self.begin(turn, identity, wish, out);
        }
        let listener = turn.server.listeners.shared_name(&self.peer);
        let _ = turn.server.hub.set_client(hub, &self.peer.who(identity, "", &listener));
        self.opened(turn, hub, identity, wish, true, out);
    }

    /// Begins with who is known already, and the session that it goes on with. Says whether it does;
    /// nothing, where it may not come in.
    pub(super) fn open_as(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &str,
        resume: Option<&Resume<'_>>,
        out: &mut impl Sink,
    ) -> Option<bool> {
        let resume = resume.and_then(|r| Some((SessionId(hex(&r.session)?), ResumeKey(hex(&r.secret)?))));
        let found = resume.as_ref().and_then(|(id, _)| turn.server.registry.find(Sought::Json(*id)));
        self.state = State::Unknown;
        self.known(turn, identity, &Wish { resume, ..Wish::default() }, out);
        self.hub.map(|hub| found == Some(hub))
    }

    /// A session that is left behind for another has nothing that anybody comes back for.
    fn leave_session(&mut self, turn: &mut Turn<'_>) {
        self.joins.clear();
        self.asked.clear();
        self.release(turn, true);
    }

    fn begin(&mut self, turn: &mut Turn<'_>, identity: &str, wish: &Wish, out: &mut impl Sink) {
        self.leave_session(turn);
        let server = &mut *turn.server;
        let name = Name::Json(Box::new(Held::draw(&mut *server.entropy)));
        let (text, listener) = (server.stored_name(Some(&name)), server.listeners.shared_name(&self.peer));
        let options = SessionOptions {
            identity,
            address: self.peer.address,
            listener: &listener,
            secured: self.peer.secured,
            name: &text,
            expiry: server.config.json.expiry,
            in_flight: server.config.json.in_flight,
            by_id: true,
            ..server.session_options()
        };
        let Ok(hub) = server.hub.attach(turn.now, &options) else {
            let about = About { reference: wish.reference.as_deref(), room: None };
            self.state = State::Unknown;
            return self.refuse(turn, about, ErrorCode::Quota, "there are too many sessions", out);
        };
        server.registry.name(hub, name);
        self.opened(turn, hub, identity, wish, false, out);
    }

    fn opened(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        identity: &str,
        wish: &Wish,
        resumed: bool,
        out: &mut impl Sink,
    ) {
        (self.hub, self.state, self.failures) = (Some(hub), State::Open, 0);
        turn.server.registry.serve(hub, turn.key);
        self.welcome(turn, identity, wish, resumed, out);
        turn.server.traffic.opened(&turn.server.hub, turn.server.locals.len());
        let event = ServerEvent::Opened {
            connection: turn.key,
            peer: self.peer,
            dialect: Dialect::Json,
            session: turn.server.registry.told(hub),
            resumed,
            identity: identity.into(),
            name: String::new(),
        };
        turn.tell_opened(hub, event);
    }

    fn welcome(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &str,
        wish: &Wish,
        resumed: bool,
        out: &mut impl Sink,
    ) {
        let mut text = turn.server.json.lend();
        let about = About { reference: wish.reference.as_deref(), room: None };
        server::system(&mut text, "$welcome", about, |payload| {
            self.with_welcome(turn, identity, resumed, |welcome| welcome.write(payload));
        });
        self.say(turn, None, out, &text);
        turn.server.json.give_back(text);
    }

    /// What the client is welcomed with.
    pub(super) fn with_welcome(
        &self,
        turn: &mut Turn<'_>,
        identity: &str,
        resumed: bool,
        write: impl FnOnce(&Welcome<'_>),
    ) {
        let held = self.hub.and_then(|hub| turn.server.registry.held(hub));
        let (session, secret) =
            held.map(|held| (format!("{}", held.id), held.key_text())).unwrap_or_default();
        let config = &turn.server.config;
        write(&Welcome {
            session: &session,
            secret: &secret,
            resumed,
            auth: !identity.is_empty(),
            user: identity,
            server: &config.name,
            ping: config.http.websocket.ping_interval.unwrap_or_default(),
            max_message: config.http.websocket.max_message,
            batch: config.json.batch as u64,
        });
    }
}

/// The octets that are written so, and in no other way.
pub(super) fn hex(text: &str) -> Option<[u8; 16]> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    parse_hex(text)
}
