//! One connection of a server: what its session says becomes commands to the hub.

use alloc::boxed::Box;

use super::auth::{Decision, METHODS};
use super::sessions::Opening;
use super::{Connection, ConnectionKey, REPLY_ROOM, Server};
use crate::buf::{RecvBuf, SendBuf};
use crate::endpoint::message;
use crate::hub::{self, Quality, RequestOptions, SubscribeOptions};
use crate::retain::RetainHandling;
use crate::scram::ScramServer;
use crate::session::{
    Auth, By, Closed, Code, Event, Fault, Features, Kind, Outcome, Received, Request, Subscribe,
};
use crate::status::Status;
use crate::time::Instant;

/// How long a request may take that does not say (REQ-1).
const DEFAULT_TIMEOUT: core::time::Duration = core::time::Duration::from_secs(30);

impl Server {
    /// Handles all whole frames in `buf`; what they are answered with goes into `out`.
    ///
    /// Returns whether it stopped early because `out` had no room: call it again, with the same
    /// octets, once the transport took something.
    pub fn recv(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        let Some(mut connection) = self.connections.take(key) else { return false };
        let mut blocked = false;
        loop {
            if out.room() < REPLY_ROOM {
                blocked = !buf.filled().is_empty();
                break;
            }
            let Some(event) = connection.session.recv(now, buf) else { break };
            self.event(now, key, &mut connection, &event, out);
        }
        self.finish_drained(now, &mut connection);
        self.connections.put(key, connection);
        self.after_commands();
        blocked
    }

    fn event(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        event: &Event<'_>,
        out: &mut impl SendBuf,
    ) {
        match event {
            Event::Publish(m) => self.published(now, c, m, out),
            Event::Acked(count) => {
                if let Some(hub) = c.hub {
                    let _ = self.hub.ack(now, hub, *count);
                }
            }
            Event::Credit(id, limit) if *id > 0 => {
                if let Some(hub) = c.hub {
                    let _ = self.hub.credit(now, hub, *id, *limit);
                }
            }
            Event::Subscribe(s) => self.subscribed(now, c, s, out),
            Event::Unsubscribe(id) => {
                let done =
                    c.hub.map_or(Err(hub::Refusal::NoSession), |hub| self.hub.unsubscribe(now, hub, *id));
                answer(now, c, out, Kind::Unsubscribe, *id, done);
            }
            Event::Request(r) => self.requested(now, key, c, r, out),
            Event::Response(r) => {
                if let Some(hub) = c.hub {
                    let message = message::response(r.properties, r.payload);
                    // The request may have ended meanwhile, or never have been this one's: ignored (REQ-6).
                    let _ = self.hub.respond(now, hub, r.id, r.status, r.more, message);
                }
            }
            Event::Cancel(id) => {
                if let Some(hub) = c.hub {
                    let _ = self.hub.cancel(now, hub, *id);
                }
            }
            Event::Hello(hello) => {
                c.opening = Some(Box::new(Opening {
                    resume: hello.resume,
                    expiry: hello.expiry,
                    name: hello.name.into(),
                    scram: None,
                    verification: None,
                }));
                self.authenticate(now, key, c, &hello.auth, out);
            }
            Event::Auth(data) => self.authenticate_further(now, key, c, data, out),
            Event::Closed(closed) => self.closed(now, key, c, closed),
            // Answers to nothing that was asked, and what needs features that are not offered.
            _ => {}
        }
    }

    fn published(&mut self, now: Instant, c: &mut Connection, m: &Received<'_>, out: &mut impl SendBuf) {
        let Some(hub) = c.hub else { return };
        let Some(message) = message::verbatim(now, m) else { return };
        if let Err(refusal) = self.hub.publish(now, hub, message, m.properties.deduplication()) {
            let id = if m.reliable { c.session.counts().received } else { 0 };
            answer(now, c, out, Kind::Publish, id, Err(refusal));
        }
    }

    fn subscribed(&mut self, now: Instant, c: &mut Connection, s: &Subscribe<'_>, out: &mut impl SendBuf) {
        let options = SubscribeOptions {
            quality: if s.reliable { Quality::AtLeastOnce } else { Quality::AtMostOnce },
            credit: s.credit,
            no_local: s.no_local,
            serve: s.serve,
            retain_as_published: s.retain_as_published,
            // Who did not choose the feature knows nothing of retained values (RET-4).
            retained: if c.session.features().contains(Features::RETAINED) {
                s.retained
            } else {
                RetainHandling::Never
            },
        };
        let done = match c.hub {
            Some(_) if self.draining.is_some() => {
                return result(now, c, out, Kind::Subscribe, s.id, Status::Draining, "");
            }
            Some(hub) => self.hub.subscribe(now, hub, s.id, s.filter, options),
            None => Err(hub::Refusal::NoSession),
        };
        answer(now, c, out, Kind::Subscribe, s.id, done);
    }

    fn requested(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        r: &Request<'_>,
        out: &mut impl SendBuf,
    ) {
        let Some(hub) = c.hub else { return };
        if self.draining.is_some() {
            return result(now, c, out, Kind::Request, r.id, Status::Draining, "");
        }
        let timeout = if r.timeout.is_zero() { DEFAULT_TIMEOUT } else { r.timeout };
        let Some(message) = message::compose(now, r.properties, r.topic, r.payload) else { return };
        match self.hub.request(now, hub, r.id, message, RequestOptions { many: r.many, timeout }) {
            Ok(()) => {}
            Err(hub::Refusal::InUse) => {
                let fault =
                    Fault::Malformed { kind: Kind::Request, what: "a request with this id is in flight" };
                self.break_off(now, key, c, fault);
            }
            refused => answer(now, c, out, Kind::Request, r.id, refused),
        }
    }

    fn authenticate(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        auth: &Auth<'_>,
        out: &mut impl SendBuf,
    ) {
        if self.draining.is_some() {
            return self.refuse(now, key, c, out, Code::GoingAway, "the server is going away");
        }
        match self.config.users.decide(&c.peer, auth) {
            Decision::Accept(identity) => self.establish(now, key, c, &identity, &[], out),
            Decision::Verify(work) => {
                if let Some(opening) = &mut c.opening {
                    opening.verification = Some(work);
                }
            }
            Decision::Scram => {
                let Auth::Scram(first) = auth else { return };
                self.scram_first(now, key, c, first, out);
            }
            Decision::Reject => self.refuse(now, key, c, out, Code::AuthFailed, AUTH_FAILED),
            Decision::Method => self.refuse(now, key, c, out, Code::AuthMethod, METHODS),
        }
    }

    fn scram_first(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        first: &[u8],
        out: &mut impl SendBuf,
    ) {
        let mut challenge = [0; crate::scram::MAX_MESSAGE];
        let users = &self.config.users;
        let lookup = |user: &str| users.credential(user);
        match ScramServer::first(first, lookup, &self.decoy, &mut &mut *self.entropy, &mut challenge) {
            Ok((server, n)) => {
                if c.session.challenge(now, out, &challenge[..n]).is_err() {
                    return self.break_off(now, key, c, Fault::AuthFailed);
                }
                if let Some(opening) = &mut c.opening {
                    opening.scram = Some(Box::new(server));
                }
            }
            Err(_) => self.refuse(now, key, c, out, Code::AuthFailed, AUTH_FAILED),
        }
    }

    fn authenticate_further(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        data: &[u8],
        out: &mut impl SendBuf,
    ) {
        let scram = c.opening.as_mut().and_then(|o| o.scram.take());
        let mut last = [0; crate::scram::MAX_MESSAGE];
        let finished = scram.and_then(|mut s| Some((s.handle_client_final(data, &mut last).ok()?, s)));
        match finished {
            Some((n, scram)) => self.establish(now, key, c, scram.user(), &last[..n], out),
            None => self.refuse(now, key, c, out, Code::AuthFailed, AUTH_FAILED),
        }
    }

    pub(super) fn refuse(
        &mut self,
        now: Instant,
        key: ConnectionKey,
        c: &mut Connection,
        out: &mut impl SendBuf,
        code: Code,
        reason: &'static str,
    ) {
        if c.session.refuse(now, out, code, reason).is_err() {
            c.session.close(now, code, reason);
        }
        self.closed(
            now,
            key,
            c,
            &Closed { by: By::Local, code: Some(code), reason, fault: None, clean: false },
        );
    }
}

const AUTH_FAILED: &str = "authentication failed";

fn answer(
    now: Instant,
    c: &mut Connection,
    out: &mut impl SendBuf,
    kind: Kind,
    id: u64,
    done: Result<(), hub::Refusal>,
) {
    match done {
        Ok(()) => result(now, c, out, kind, id, Status::Ok, ""),
        Err(refusal) => {
            let reason = alloc::format!("{refusal}");
            result(now, c, out, kind, id, refusal.status(), &reason);
        }
    }
}

fn result(
    now: Instant,
    c: &mut Connection,
    out: &mut impl SendBuf,
    kind: Kind,
    id: u64,
    status: Status,
    reason: &str,
) {
    // There is room: `recv` handles no frame without. A session that has ended needs no answer.
    let _ = c.session.result(now, out, &Outcome { kind: Some(kind), id, status, reason });
}
