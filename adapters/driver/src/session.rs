//! A session of your own under an engine: a server or client without a hub.

use std::fmt;
use std::task::Waker;

use bowline_core::buf::RecvBuf;
use bowline_core::session::{Event, Session};
use bowline_core::time::{Deadline, Instant};

use crate::machine::{Machine, Next, Output, Turn};

/// What an application makes of its session's events. It is run by a [`SessionMachine`].
///
/// Both methods are called with the session and the buffer that its calls write into, so they can
/// send at once.
pub trait Application: Send + Unpin {
    /// Something happened. While the output is full no further event comes; a call may still be
    /// refused for want of credit ([`SendError::Credit`](bowline_core::session::SendError::Credit)):
    /// keep what is to be sent, and send it in [`send`](Self::send).
    fn event(&mut self, now: Instant, event: Event<'_>, session: &mut Session, output: &mut Output);

    /// Called after events, time, and whenever the output has room again: sends what is left to
    /// send.
    fn send(&mut self, now: Instant, session: &mut Session, output: &mut Output) {
        let _ = (now, session, output);
    }

    /// Keeps where to wake the engine, for an application that others give something to send.
    fn register(&mut self, waker: &Waker) {
        let _ = waker;
    }

    /// Whether others gave it something to send since the last [`send`](Self::send).
    fn is_woken(&self) -> bool {
        false
    }
}

/// Runs a [`Session`] and its [`Application`] under an [`Engine`](crate::Engine).
pub struct SessionMachine<A> {
    session: Session,
    application: A,
}

impl<A> fmt::Debug for SessionMachine<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionMachine").field("session", &self.session).finish_non_exhaustive()
    }
}

impl<A: Application> SessionMachine<A> {
    /// Runs `session`: one that accepts, or that the application connects in its first
    /// [`send`](Application::send).
    pub fn new(session: Session, application: A) -> Self {
        Self { session, application }
    }
}

impl<A: Application> Machine for SessionMachine<A> {
    fn register(&mut self, waker: &Waker) {
        self.application.register(waker);
    }

    fn is_woken(&self) -> bool {
        self.application.is_woken()
    }

    fn turn(&mut self, now: Instant, turn: Turn<'_>) -> Next {
        let Turn { due, eof, input, output } = turn;
        let Self { session, application } = self;
        if due && let Some(event) = session.handle_timeout(now) {
            application.event(now, event, session, output);
        }
        let mut blocked = false;
        loop {
            if output.is_full() {
                blocked = !input.filled().is_empty();
                break;
            }
            let Some(event) = session.recv(now, input) else { break };
            application.event(now, event, session, output);
        }
        if eof {
            session.handle_eof(now);
            if let Some(event) = session.poll_closed() {
                application.event(now, event, session, output);
            }
        }
        application.send(now, session, output);
        let transport = session.poll_transmit(now, output);
        Next { transport, deadline: session.poll_timeout(), blocked, reads: true, yields: false }
    }

    fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) -> Option<Deadline> {
        self.session.handle_written(now, written, waiting);
        self.session.poll_timeout()
    }

    fn gone(&mut self, now: Instant) {
        self.session.handle_eof(now);
        let mut output = Output::new();
        if let Some(event) = self.session.poll_closed() {
            self.application.event(now, event, &mut self.session, &mut output);
        }
    }
}
