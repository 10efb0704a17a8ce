//! One connection in the loop: a socket, a session, its buffers.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::session::{
    Code, Config, Connect, Event, Limits, Message, SendError, Session, Transport, Welcome,
};
use bowline_core::time::{Instant, Why};

use crate::Failure;

/// The largest message, and as much of it as is read at once.
const MAX_FRAME: u32 = 8 * 1024;

/// What a connection is for.
pub(crate) trait Application {
    fn on_event(&mut self, event: &Event<'_>, task: &mut Task<'_>) -> Result<(), Failure>;
    /// Whatever is left to send.
    fn on_turn(&mut self, task: &mut Task<'_>) -> Result<(), Failure>;
    /// Whether all was done when the connection is over.
    fn is_satisfied(&self) -> bool;
}

/// What an application can do with its session.
pub(crate) struct Task<'c> {
    now: Instant,
    session: &'c mut Session,
    out: &'c mut SharedSendBuf,
}

impl Task<'_> {
    pub(crate) fn welcome(&mut self, welcome: &Welcome<'_>) -> Result<(), SendError> {
        self.session.welcome(self.now, self.out, welcome, None)
    }

    /// Sends a message that must arrive; false: not now.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<bool, SendError> {
        let message = Message { reliable: true, ..Message::new(topic, payload) };
        match self.session.publish(self.now, self.out, &message) {
            Ok(()) => Ok(true),
            Err(error) if error.is_blocked() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn hold_credit(&mut self, hold: bool) {
        self.session.hold_credit(hold);
    }

    pub(crate) fn close(&mut self, code: Code) {
        self.session.close(self.now, code, "");
    }
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) application: Box<dyn Application>,
    session: Session,
    input: GrowingRecvBuf,
    out: SharedSendBuf,
    transport: Transport,
    shut: bool,
}

/// Small windows, so that they fill up and are renewed.
fn config() -> Config {
    let limits = Limits { max_frame: MAX_FRAME, in_flight: 32, credit: 32 * 1024, ..Limits::default() };
    Config { limits, ..Config::default() }
}

impl Connection {
    pub(crate) fn connect(
        stream: TcpStream,
        now: Instant,
        application: Box<dyn Application>,
    ) -> Result<Self, Failure> {
        let mut out = SharedSendBuf::new(64 * 1024);
        let session = Session::connect(now, &config(), &Connect::default(), &mut out)?;
        Self::new(stream, session, out, application)
    }

    pub(crate) fn accept(
        stream: TcpStream,
        now: Instant,
        application: Box<dyn Application>,
    ) -> Result<Self, Failure> {
        let session = Session::accept(now, &config());
        Self::new(stream, session, SharedSendBuf::new(64 * 1024), application)
    }

    fn new(
        stream: TcpStream,
        session: Session,
        out: SharedSendBuf,
        application: Box<dyn Application>,
    ) -> Result<Self, Failure> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let input = GrowingRecvBuf::new(2 * MAX_FRAME as usize);
        Ok(Self { stream, application, session, input, out, transport: Transport::Open, shut: false })
    }

    /// Whether to wait for room in the socket.
    pub(crate) fn wants_to_write(&self) -> bool {
        !self.out.is_empty()
    }

    /// Until when to wait at most. What is owed but has no room waits for the socket, not for time.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = self.session.poll_timeout()?;
        (due.why != Why::Output || self.out.is_empty()).then_some(due.at)
    }

    pub(crate) fn is_over(&self) -> bool {
        match self.transport {
            Transport::Open | Transport::Shut => false,
            Transport::Drop => self.out.is_empty(),
            Transport::Abort => true,
        }
    }

    /// Does whatever can be done now.
    pub(crate) fn turn(&mut self, now: Instant) -> Result<(), Failure> {
        let mut task = Task { now, session: &mut self.session, out: &mut self.out };
        if task.session.poll_timeout().is_some_and(|due| now >= due.at)
            && let Some(event) = task.session.handle_timeout(now)
        {
            self.application.on_event(&event, &mut task)?;
        }
        let end = match self.stream.read(self.input.spare(MAX_FRAME as usize)) {
            Ok(0) => true,
            Ok(n) => {
                self.input.commit(n);
                false
            }
            Err(error) if is_not_now(&error) => false,
            Err(_) => true,
        };
        while let Some(event) = task.session.recv(now, &mut self.input) {
            self.application.on_event(&event, &mut task)?;
        }
        if end {
            task.session.handle_eof(now);
            if let Some(event) = task.session.poll_closed() {
                self.application.on_event(&event, &mut task)?;
            }
        }
        if task.session.is_open() {
            self.application.on_turn(&mut task)?;
        }
        self.transport = self.session.poll_transmit(now, &mut self.out);
        self.write(now)
    }

    fn write(&mut self, now: Instant) -> Result<(), Failure> {
        if !self.out.is_empty() {
            let slices: Vec<IoSlice<'_>> = self.out.slices().map(IoSlice::new).collect();
            let written = match self.stream.write_vectored(&slices) {
                Ok(n) => n,
                Err(error) if is_not_now(&error) => 0,
                Err(_) => {
                    // The other side is gone, and all that waited for it.
                    self.session.handle_eof(now);
                    self.transport = Transport::Abort;
                    return Ok(());
                }
            };
            self.out.sent(written);
            self.session.handle_written(now, written, self.out.len());
        }
        if self.transport == Transport::Shut && self.out.is_empty() && !self.shut {
            self.shut = true;
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

fn is_not_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
