//! What a session of our own protocol says becomes commands to the hub.

use alloc::boxed::Box;

use super::super::REPLY_ROOM;
use super::super::auth::{Decision, METHODS};
use super::Connection;
use super::sessions::Opening;
use crate::buf::{RecvBuf, SendBuf};
use crate::endpoint::message;
use crate::endpoint::server::connection::Turn;
use crate::endpoint::server::counters::Pinger;
use crate::endpoint::server::event::Dialect;
use crate::hub::{self, Quality, RequestOptions, SubscribeOptions};
use crate::retain::RetainHandling;
use crate::scram::ScramServer;
use crate::session::{
    Auth, By, Closed, Code, DatagramMode, Event, Fault, Features, Kind, Outcome, Received, Request, Session,
    Subscribe,
};
use crate::status::Status;

/// How long a request may take that does not say (REQ-1).
const DEFAULT_TIMEOUT: core::time::Duration = core::time::Duration::from_secs(30);

impl Connection {
    /// Handles all whole frames in `buf`; what they are answered with goes into `out`.
    ///
    /// Returns whether it stopped early because `out` had no room: call it again, with the same
    /// octets, once the transport took something.
    pub(in super::super) fn recv(
        &mut self,
        turn: &mut Turn<'_>,
        buf: &mut impl RecvBuf,
        out: &mut impl SendBuf,
    ) -> bool {
        let mut blocked = false;
        self.accept_committed(turn);
        loop {
            // A client that leaves still learns what was accepted before (END-2): once that is stored.
            let waits = !self.owed.is_empty() && Session::is_close_next(buf);
            if waits || out.room() < REPLY_ROOM {
                blocked = !buf.filled().is_empty();
                break;
            }
            let Some(event) = self.session.recv(turn.now, buf) else { break };
            turn.server.traffic.packets_received += 1;
            self.event(turn, &event, out);
        }
        self.look_at_tunnels(turn);
        self.finish_drained(turn);
        blocked
    }

    fn event(&mut self, turn: &mut Turn<'_>, event: &Event<'_>, out: &mut impl SendBuf) {
        match event {
            Event::Publish(m) => self.published(turn, m, out),
            Event::Acked(count) => {
                if let Some(hub) = self.hub {
                    let _ = turn.server.hub.ack(turn.now, hub, *count);
                }
            }
            Event::Credit(id, limit) if *id > 0 => {
                if let Some(hub) = self.hub {
                    let _ = turn.server.hub.credit(turn.now, hub, *id, *limit);
                }
            }
            Event::Subscribe(s) => self.subscribed(turn, s, out),
            Event::Unsubscribe(id) => {
                let done = self.hub.map_or(Err(hub::Refusal::NoSession), |hub| {
                    turn.server.hub.unsubscribe(turn.now, hub, *id)
                });
                self.set_datagram_mode(*id, DatagramMode::Stream);
                self.answer(turn, out, Kind::Unsubscribe, *id, done);
            }
            Event::Request(r) => self.requested(turn, r, out),
            Event::Response(r) => {
                if let Some(hub) = self.hub {
                    let message = message::response(r.properties, r.payload);
                    // The request may have ended meanwhile, or never have been this one's: ignored (REQ-6).
                    let _ = turn.server.hub.respond(turn.now, hub, r.id, r.status, r.more, message);
                }
            }
            Event::Cancel(id) => {
                if let Some(hub) = self.hub {
                    let _ = turn.server.hub.cancel(turn.now, hub, *id);
                }
            }
            Event::Hello(hello) => {
                self.opening = Some(Box::new(Opening {
                    resume: hello.resume,
                    expiry: hello.expiry,
                    name: hello.name.into(),
                    scram: None,
                    verification: None,
                }));
                self.authenticate(turn, &hello.auth, out);
            }
            Event::Auth(data) => self.authenticate_further(turn, data, out),
            Event::Pong(took) => turn.server.timings.round_trip(Pinger::Bowline, *took),
            Event::Join(join) => self.join(turn, join, out),
            Event::Leave(id) => self.leave(turn, *id, out),
            Event::Presence { id, data, .. } => self.show(turn, *id, data, out),
            Event::History(h) => self.history(turn, h, out),
            Event::Tunnel(frame) => self.tunnel(turn, frame, out),
            Event::Closed(closed) => self.closed(turn, closed),
            // Answers to nothing that was asked, and what needs features that are not offered.
            _ => {}
        }
    }

    pub(super) fn published(&mut self, turn: &mut Turn<'_>, m: &Received<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        let Some(message) = message::verbatim(turn.now, m) else { return };
        turn.server.traffic.published(Dialect::Bowline);
        let message = turn.entering(hub, Dialect::Bowline, message);
        let server = &mut *turn.server;
        let taken_in = server.inflating.taken_in(message);
        let deduplication = m.properties.deduplication();
        let done = taken_in.and_then(|message| server.hub.publish(turn.now, hub, message, deduplication));
        if m.reliable && turn.server.config.hub.durable {
            self.accept(turn, done.ok().and_then(|outcome| outcome.commit));
        }
        if let Err(refusal) = done {
            let id = if m.reliable { self.session.received() } else { 0 };
            self.answer(turn, out, Kind::Publish, id, Err(refusal));
        }
    }

    /// Accepts what the store has by now.
    pub(super) fn accept_committed(&mut self, turn: &mut Turn<'_>) {
        let Self { owed, session, .. } = self;
        let accept = |(): &()| {
            session.accept_received(turn.now, 1);
            true
        };
        if !owed.is_empty() && owed.flush(turn.server.hub.commits(), accept) {
            turn.server.waiting.push(turn.key);
        }
    }

    /// Accepts a reliable frame, now or once the store has what came with it.
    fn accept(&mut self, turn: &Turn<'_>, commit: Option<u64>) {
        if commit.is_none() && self.owed.is_empty() {
            self.session.accept_received(turn.now, 1);
        } else {
            self.owed.push(commit.unwrap_or(0), ());
        }
    }

    fn subscribed(&mut self, turn: &mut Turn<'_>, s: &Subscribe<'_>, out: &mut impl SendBuf) {
        let options = SubscribeOptions {
            quality: if s.reliable { Quality::AtLeastOnce } else { Quality::AtMostOnce },
            credit: s.credit,
            no_local: s.no_local,
            serve: s.serve,
            retain_as_published: s.retain_as_published,
            // Who did not choose the feature knows nothing of retained values (RET-4).
            retained: if self.session.features().contains(Features::RETAINED) {
                s.retained
            } else {
                RetainHandling::Never
            },
        };
        let done = match self.hub {
            Some(_) if turn.server.draining.is_some() => {
                return self.result(turn, out, Kind::Subscribe, s.id, Status::Draining, "");
            }
            Some(hub) => turn.server.hub.subscribe(turn.now, hub, s.id, s.filter, options),
            None => Err(hub::Refusal::NoSession),
        };
        if done.is_ok() {
            self.set_datagram_mode(s.id, s.datagrams);
        }
        self.answer(turn, out, Kind::Subscribe, s.id, done);
    }

    fn requested(&mut self, turn: &mut Turn<'_>, r: &Request<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        if turn.server.draining.is_some() {
            return self.result(turn, out, Kind::Request, r.id, Status::Draining, "");
        }
        let timeout = if r.timeout.is_zero() { DEFAULT_TIMEOUT } else { r.timeout };
        let Some(message) = message::compose(turn.now, r.properties, r.topic, r.payload) else { return };
        let message = turn.entering(hub, Dialect::Bowline, message);
        match turn.server.hub.request(turn.now, hub, r.id, message, RequestOptions { many: r.many, timeout })
        {
            Ok(()) => {}
            Err(hub::Refusal::InUse) => {
                let fault =
                    Fault::Malformed { kind: Kind::Request, what: "a request with this id is in flight" };
                self.break_off(turn, fault);
            }
            refused => self.answer(turn, out, Kind::Request, r.id, refused),
        }
    }

    fn authenticate(&mut self, turn: &mut Turn<'_>, auth: &Auth<'_>, out: &mut impl SendBuf) {
        if turn.server.draining.is_some() {
            return self.refuse(turn, out, Code::GoingAway, "the server is going away");
        }
        match turn.decide(&self.peer, auth) {
            Decision::Accept(identity) => self.establish(turn, &identity, &[], out),
            Decision::Verify(work) => {
                if let Some(opening) = &mut self.opening {
                    opening.verification = Some(work);
                }
            }
            Decision::Scram => {
                let Auth::Scram(first) = auth else { return };
                self.scram_first(turn, first, out);
            }
            Decision::Reject => self.refuse(turn, out, Code::AuthFailed, AUTH_FAILED),
            Decision::Method => self.refuse(turn, out, Code::AuthMethod, METHODS),
        }
    }

    fn scram_first(&mut self, turn: &mut Turn<'_>, first: &[u8], out: &mut impl SendBuf) {
        let mut challenge = [0; crate::scram::MAX_MESSAGE];
        let users = &turn.server.config.users;
        let lookup = |user: &str| users.credential(user);
        match ScramServer::first(
            first,
            lookup,
            &turn.server.decoy,
            &mut &mut *turn.server.entropy,
            &mut challenge,
        ) {
            Ok((server, n)) => {
                if self.session.challenge(turn.now, out, &challenge[..n]).is_err() {
                    return self.break_off(turn, Fault::AuthFailed);
                }
                if let Some(opening) = &mut self.opening {
                    opening.scram = Some(Box::new(server));
                }
            }
            Err(_) => self.refuse(turn, out, Code::AuthFailed, AUTH_FAILED),
        }
    }

    fn authenticate_further(&mut self, turn: &mut Turn<'_>, data: &[u8], out: &mut impl SendBuf) {
        let scram = self.opening.as_mut().and_then(|o| o.scram.take());
        let mut last = [0; crate::scram::MAX_MESSAGE];
        let finished = scram.and_then(|mut s| Some((s.handle_client_final(data, &mut last).ok()?, s)));
        match finished {
            Some((n, scram)) => self.establish(turn, scram.user(), &last[..n], out),
            None => self.refuse(turn, out, Code::AuthFailed, AUTH_FAILED),
        }
    }

    pub(super) fn refuse(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut impl SendBuf,
        code: Code,
        reason: &'static str,
    ) {
        if self.session.refuse(turn.now, out, code, reason).is_err() {
            self.session.close(turn.now, code, reason);
        }
        self.closed(turn, &Closed { by: By::Local, code: Some(code), reason, fault: None, clean: false });
    }

    pub(super) fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut impl SendBuf,
        kind: Kind,
        id: u64,
        done: Result<(), hub::Refusal>,
    ) {
        match done {
            Ok(()) => self.result(turn, out, kind, id, Status::Ok, ""),
            Err(refusal) => {
                let reason = alloc::format!("{refusal}");
                self.result(turn, out, kind, id, refusal.status(), &reason);
            }
        }
    }

    pub(super) fn result(
        &mut self,
        turn: &mut Turn<'_>,
        out: &mut impl SendBuf,
        kind: Kind,
        id: u64,
        status: Status,
        reason: &str,
    ) {
        // There is room: `recv` handles no frame without. A session that has ended needs no answer.
        turn.server.traffic.packets_sent += 1;
        let _ = self.session.result(turn.now, out, &Outcome { kind: Some(kind), id, status, reason });
    }
}

const AUTH_FAILED: &str = "authentication failed";
