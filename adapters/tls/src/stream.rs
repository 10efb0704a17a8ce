//! TLS around a transport.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll, ready};

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::{Identity, Secured, Security};
use bowline_driver::core::stack::Alpn;

use crate::failure::{Failure, Fault};
use crate::names;
use crate::session::{Handshake, Session};

/// So many reads in one call that bring nothing for the caller, then others get their turn.
const FRUITLESS: u32 = 16;

/// Hears of a connection's handshake, once: what it came to, or why it failed and in which words. And why
/// the connection failed afterwards.
pub(crate) type Observe = Box<dyn Fn(Result<&Handshake, (Failure, &str)>) + Send + Sync>;

/// A transport in TLS: what is written goes out sealed, in as few records and writes as there can be; what
/// is read was opened, and is from the peer.
///
/// An end of the stream that the peer did not announce (close_notify) is an error of kind
/// [`UnexpectedEof`](ErrorKind::UnexpectedEof): something may be missing. After any error nothing more can be
/// read or written.
///
/// Whoever was told `Pending` by a write offers the same octets again: some of them may be on their way.
pub struct Tls<T> {
    transport: T,
    state: Box<State>,
}

struct State {
    session: Session,
    /// What was read before it was known to be TLS.
    early: Vec<u8>,
    /// Octets that the session took, and that are not all on their way.
    accepted: usize,
    phase: Phase,
    observe: Option<Observe>,
    secured: Option<Secured>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Open,
    /// close_notify was put.
    Closing,
    Failed,
}

impl<T> std::fmt::Debug for Tls<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("phase", &self.state.phase).finish_non_exhaustive()
    }
}

impl<T> Tls<T> {
    /// `early`: what was read of the transport already.
    pub(crate) fn new(transport: T, session: Session, early: &[u8], observe: Option<Observe>) -> Self {
        let (early, phase) = (early.to_vec(), Phase::Handshake);
        let state = State { session, early, accepted: 0, phase, observe, secured: None };
        Self { transport, state: Box::new(state) }
    }

    /// What it is around. Whoever reads or writes there by himself breaks the connection.
    #[must_use]
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// What the handshake came to; nothing until it is done.
    #[must_use]
    pub fn handshake(&self) -> Option<Handshake> {
        (!self.state.session.is_handshaking()).then(|| self.state.session.handshake())
    }

    /// SHA-256 of the public key of the peer's certificate, where it has one.
    #[must_use]
    pub fn peer_key(&self) -> Option<[u8; 32]> {
        names::key(self.state.session.peer()?)
    }
}

/// The transport as rustls wants to read it.
struct Reading<'a, 'c, T> {
    transport: &'a mut T,
    early: &'a mut Vec<u8>,
    cx: &'a mut Context<'c>,
}

impl<T: Transport> Read for Reading<'_, '_, T> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            let n = to.len().min(self.early.len());
            to[..n].copy_from_slice(&self.early[..n]);
            self.early.drain(..n);
            if self.early.is_empty() {
                *self.early = Vec::new();
            }
            return Ok(n);
        }
        // rustls asks so where a length makes no sense, and finds that out afterwards.
        if to.is_empty() {
            return Ok(0);
        }
        blocking(self.transport.poll_read(self.cx, to))
    }
}

/// And to write it.
struct Writing<'a, 'c, T> {
    transport: &'a mut T,
    cx: &'a mut Context<'c>,
}

impl<T: Transport> Write for Writing<'_, '_, T> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(from)])
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(self.transport.poll_write_vectored(self.cx, from))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking<N>(done: Poll<io::Result<N>>) -> io::Result<N> {
    match done {
        Poll::Ready(done) => done,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn polled<N>(done: io::Result<N>) -> Poll<io::Result<N>> {
    match done {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

impl<T: Transport> Tls<T> {
    /// Writes what the session has, until nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.state.session.wants_write() {
            let mut to = Writing { transport: &mut self.transport, cx };
            if ready!(polled(self.state.session.transmit(&mut to)))? == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and works on it; zero octets are the end of the stream.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let State { session, early, .. } = &mut *self.state;
        let mut from = Reading { transport: &mut self.transport, early, cx };
        let n = ready!(polled(session.receive(&mut from)))?;
        if let Err(error) = session.process() {
            // The peer is told why, if that can be done at once.
            let _ = self.flush(cx);
            return Poll::Ready(Err(Fault::Tls(error).into()));
        }
        Poll::Ready(Ok(n))
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.state.session.is_handshaking() {
            // It may still have to read where it cannot write.
            if let Poll::Ready(Err(error)) = self.flush(cx) {
                return Poll::Ready(Err(error));
            }
            if ready!(self.fill(cx))? == 0 {
                return Poll::Ready(Err(Fault::Unfinished.into()));
            }
        }
        // The last word of it, where it is this side's.
        if let Poll::Ready(Err(error)) = self.flush(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing but an error comes of what has failed.
    fn begun(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.state.phase {
            Phase::Open | Phase::Closing => Poll::Ready(Ok(())),
            Phase::Failed => Poll::Ready(Err(ErrorKind::NotConnected.into())),
            Phase::Handshake => {
                ready!(self.drive(cx))?;
                self.state.open();
                Poll::Ready(Ok(()))
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(self.begun(cx))?;
        for _ in 0..FRUITLESS {
            match self.state.session.take(to) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Err(Fault::Truncated.into()));
                }
                done => return Poll::Ready(done),
            }
            let filled = self.fill(cx);
            // What it answers by itself: tickets, new keys.
            if let Poll::Ready(Err(error)) = self.flush(cx) {
                return Poll::Ready(Err(error));
            }
            ready!(filled)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn write(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.begun(cx))?;
        if self.state.accepted == 0 {
            // What the session still has must go first, or there is no room.
            ready!(self.flush(cx))?;
            self.state.accepted = self.state.session.put(from)?;
        }
        ready!(self.flush(cx))?;
        let offered = from.iter().map(|piece| piece.len()).sum();
        let written = self.state.accepted.min(offered);
        self.state.accepted -= written;
        Poll::Ready(Ok(written))
    }

    fn shut(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.state.phase {
            Phase::Open => {
                self.state.session.close();
                self.state.phase = Phase::Closing;
            }
            Phase::Handshake => {
                self.state.fail(&Fault::Unfinished.into());
            }
            Phase::Closing | Phase::Failed => {}
        }
        if self.state.phase == Phase::Closing {
            ready!(self.flush(cx))?;
        }
        self.transport.poll_shutdown(cx)
    }

    /// Remembers that it failed, and tells why.
    fn told<N>(&mut self, done: Poll<io::Result<N>>) -> Poll<io::Result<N>> {
        if let Poll::Ready(Err(error)) = &done
            && self.state.phase != Phase::Failed
        {
            self.state.fail(error);
        }
        done
    }
}

impl State {
    /// The handshake is done.
    fn open(&mut self) {
        self.phase = Phase::Open;
        let handshake = self.session.handshake();
        let mut secured = Secured::new(Security::Tls);
        secured.alpn = handshake.alpn.as_deref().and_then(Alpn::parse);
        secured.binding = self.session.binding();
        secured.identity = self.session.peer().and_then(names::certificate).map(Identity::Certificate);
        self.secured = Some(secured);
        if let Some(observe) = &self.observe {
            observe(Ok(&handshake));
        }
    }

    fn fail(&mut self, error: &io::Error) {
        self.phase = Phase::Failed;
        if let Some(observe) = self.observe.take() {
            observe(Err((Failure::of(error), &error.to_string())));
        }
    }
}

impl Drop for State {
    /// Whoever gives a handshake up does not say so.
    fn drop(&mut self) {
        if self.phase == Phase::Handshake {
            self.fail(&Fault::Unfinished.into());
        }
    }
}

impl<T: Transport> Transport for Tls<T> {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = self.begun(cx);
        self.told(done)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let done = self.read(cx, to);
        self.told(done)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let done = self.write(cx, from);
        self.told(done)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = self.shut(cx);
        self.told(done)
    }

    fn abort(&mut self) {
        self.transport.abort();
    }

    fn secured(&mut self) -> Option<Secured> {
        self.state.secured.take()
    }
}
