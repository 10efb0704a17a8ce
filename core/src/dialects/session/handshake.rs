//! Opening a session: HELLO, AUTH, WELCOME (SPEC §4).

use core::time::Duration;

use super::event::Event;
use super::fault::{Broken, Fault};
use super::frame::{Kind, PREFACE};
use super::hello::{
    self, Auth, Connect, Counts, Features, Hello, Limits, NAME_MAX, Welcome, read_hello, read_welcome,
};
use super::send::check_string;
use super::wire::{Body, HeadBytes, Reader, Sink, put_frame};
use super::{Code, Config, HANDSHAKE_FRAME_MAX, Phase, Role, SendError, Session};
use crate::buf::SendBuf;
use crate::error::Blocked;
use crate::flow::credit::CreditSender;
use crate::lifecycle::By;
use crate::time::Instant;

impl Session {
    /// A client's session: puts the preface and HELLO into `out`.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`] where credentials and name take more than 8,192 octets,
    /// [`SendError::Invalid`] where a name holds U+0000, [`SendError::Blocked`] where `out` has no room. Nothing was written then.
    pub fn connect(
        now: Instant,
        config: &Config,
        connect: &Connect<'_>,
        out: &mut impl SendBuf,
    ) -> Result<Session, SendError> {
        let mut session = Session::new(now, config, Role::Client, Phase::Welcome);
        let limits = session.limits();
        let body = |to: &mut dyn Sink| hello::write_hello(config.features, &limits, connect, to);
        let size = body.size();
        if size > HANDSHAKE_FRAME_MAX as usize || connect.name.len() > NAME_MAX {
            return Err(SendError::TooLarge { size, limit: HANDSHAKE_FRAME_MAX });
        }
        check_string(connect.name)?;
        if let Auth::Password { user, .. } = connect.auth {
            check_string(user)?;
        }
        let head = HeadBytes::new(Kind::Hello, 0, size);
        if out.room() < PREFACE.len() + head.as_slice().len() + size {
            return Err(Blocked.into());
        }
        out.begin(PREFACE.len() + head.as_slice().len() + size);
        out.put(&PREFACE);
        put_frame(out, Kind::Hello, 0, size, &body)?;
        session.auth_waits = matches!(connect.auth, Auth::Scram(_) | Auth::Other(..));
        session.features = config.features;
        if let Some(resume) = &connect.resume {
            session.resuming = true;
            session.set_counts(resume.counts);
        }
        Ok(session)
    }

    /// A server's session, for a connection that was just accepted.
    #[must_use]
    pub fn accept(now: Instant, config: &Config) -> Session {
        Session::new(now, config, Role::Server, Phase::Preface(0))
    }

    /// Opens the session as a server, after [`Event::Hello`] or [`Event::Auth`].
    ///
    /// `resumed` are the counts of a session that goes on, as [`Counts::resume`] makes them of the
    /// kept ones and of what [`Hello::resume`] says; then send again, in order, every reliable message
    /// that the client has not received (RES-7).
    ///
    /// # Errors
    ///
    /// [`SendError::Blocked`] where `out` has no room, [`SendError::State`] where no HELLO waits for
    /// an answer, [`SendError::Invalid`] where the name is longer than [`NAME_MAX`] or holds U+0000.
    /// Nothing was written then.
    pub fn welcome(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        welcome: &Welcome<'_>,
        resumed: Option<Counts>,
    ) -> Result<(), SendError> {
        self.tick(now);
        if self.phase != Phase::Deciding || self.is_ended() {
            return Err(SendError::State);
        }
        if welcome.name.len() > NAME_MAX {
            return Err(SendError::Invalid("a name has at most 256 octets"));
        }
        check_string(welcome.name)?;
        let received = resumed.map(|c| c.received);
        let welcome = Welcome { features: self.features, received, ..*welcome };
        let limits = self.limits();
        let body = |to: &mut dyn Sink| hello::write_welcome(&limits, &welcome, to);
        self.put_handshake(out, Kind::Welcome, &body)?;
        self.set_counts(resumed.unwrap_or_default());
        self.open();
        Ok(())
    }

    /// Asks for one more step of the authentication, as a server.
    ///
    /// # Errors
    ///
    /// As for [`welcome`](Session::welcome).
    pub fn challenge(&mut self, now: Instant, out: &mut impl SendBuf, data: &[u8]) -> Result<(), SendError> {
        self.tick(now);
        if self.phase != Phase::Deciding || self.is_ended() {
            return Err(SendError::State);
        }
        self.put_handshake(out, Kind::Auth, &|to: &mut dyn Sink| to.put(data))?;
        self.phase = Phase::Auth;
        Ok(())
    }

    /// Answers [`Event::Auth`] as a client.
    ///
    /// # Errors
    ///
    /// As for [`welcome`](Session::welcome).
    pub fn authenticate(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        data: &[u8],
    ) -> Result<(), SendError> {
        self.tick(now);
        if self.phase != Phase::Welcome || !self.auth_owed || self.is_ended() {
            return Err(SendError::State);
        }
        self.put_handshake(out, Kind::Auth, &|to: &mut dyn Sink| to.put(data))?;
        self.auth_owed = false;
        Ok(())
    }

    /// Refuses the client, as a server, with a reason that may name particulars.
    ///
    /// # Errors
    ///
    /// As for [`welcome`](Session::welcome).
    pub fn refuse(
        &mut self,
        now: Instant,
        out: &mut impl SendBuf,
        code: Code,
        reason: &str,
    ) -> Result<(), SendError> {
        self.tick(now);
        if self.phase != Phase::Deciding || self.is_ended() {
            return Err(SendError::State);
        }
        let reason = self.cut_reason(reason, usize::MAX);
        let body = |to: &mut dyn Sink| {
            to.varint(u64::from(code.number()));
            to.bytes(reason.as_bytes());
        };
        self.put_handshake(out, Kind::Close, &body)?;
        self.end(By::Local, Some(code), "refused");
        self.close_owed = false;
        self.close_sent = true;
        Ok(())
    }

    fn put_handshake(
        &mut self,
        out: &mut impl SendBuf,
        kind: Kind,
        body: &impl Body,
    ) -> Result<(), SendError> {
        let (size, limit) = (body.size(), self.tx_max_frame.min(HANDSHAKE_FRAME_MAX));
        if size > limit as usize {
            return Err(SendError::TooLarge { size, limit });
        }
        put_frame(out, kind, 0, size, body)?;
        self.keepalive.on_sent(self.now);
        Ok(())
    }

    /// HELLO, AUTH, WELCOME, CLOSE arrived.
    pub(super) fn handshake_event<'b>(
        &mut self,
        kind: Kind,
        body: &'b [u8],
    ) -> Result<Option<Event<'b>>, Fault> {
        match kind {
            Kind::Hello => self.hello(read_hello(body)?).map(Some),
            Kind::Welcome => self.welcomed(read_welcome(body, self.features)?).map(Some),
            Kind::Auth => {
                if self.role == Role::Server {
                    self.phase = Phase::Deciding;
                } else {
                    self.auth_owed = true;
                }
                Ok(Some(Event::Auth(body)))
            }
            _ => {
                let mut r = Reader(body);
                let at = |b: Broken| b.at(Kind::Close);
                let code = Code::from_number(r.varint().map_err(at)?);
                let reason = r.reason().map_err(at)?;
                r.end().map_err(at)?;
                Ok(self.remote_close(code, reason))
            }
        }
    }

    fn hello<'b>(&mut self, hello: Hello<'b>) -> Result<Event<'b>, Fault> {
        self.negotiated(&hello.limits);
        self.features = self.features.and(hello.features);
        self.phase = Phase::Deciding;
        Ok(Event::Hello(hello))
    }

    fn welcomed<'b>(&mut self, mut welcome: Welcome<'b>) -> Result<Event<'b>, Fault> {
        match welcome.received {
            Some(received) if self.resuming => {
                self.set_counts(self.counts().resume(received)?);
            }
            Some(_) => {
                let context = "with a count of received frames that was not asked for";
                return Err(Fault::UnexpectedFrame { kind: Kind::Welcome, context });
            }
            None => self.set_counts(Counts::default()),
        }
        self.negotiated(&welcome.limits);
        self.features = welcome.features;
        self.open();
        welcome.features = self.features;
        Ok(Event::Welcome(welcome))
    }

    /// Takes what the peer announced.
    fn negotiated(&mut self, theirs: &Limits) {
        self.tx_max_frame = theirs.max_frame;
        self.tx_in_flight = theirs.in_flight;
        self.tx_credit = CreditSender::new(theirs.credit);
        self.speak_every = theirs.keepalive.map_or(0, |d| d.as_millis() as u32);
    }

    fn open(&mut self) {
        self.phase = Phase::Done;
        self.life.opened();
        let millis = |ms: u32| (ms > 0).then(|| Duration::from_millis(u64::from(ms)));
        self.keepalive.set_speak_every(self.now, millis(self.speak_every));
        self.keepalive.set_hear_every(self.now, millis(self.hear_every));
    }

    fn set_counts(&mut self, counts: Counts) {
        (self.sent, self.acked, self.received) = (counts.sent, counts.acked, counts.received);
        (self.unacknowledged, self.unaccepted) = (0, 0);
    }

    /// What was negotiated beyond the base.
    #[must_use]
    pub const fn features(&self) -> Features {
        self.features
    }
}

impl Counts {
    /// These counts after a reconnection, when the peer says that it has `received` so many of the
    /// reliable frames that this side sent: what it has not received counts as not sent, and is to
    /// be sent again (RES-7).
    ///
    /// # Errors
    ///
    /// [`Fault::BadResume`] where that is impossible (RES-6).
    pub fn resume(self, received: u64) -> Result<Counts, Fault> {
        if received < self.acked || received > self.sent {
            return Err(Fault::BadResume { received, acked: self.acked, sent: self.sent });
        }
        Ok(Counts { sent: received, acked: received, received: self.received })
    }
}
