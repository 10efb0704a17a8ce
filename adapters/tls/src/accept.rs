//! Connections that come in: TLS, or what else is allowed on the port.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::{Peer, Secured};
use bowline_driver::core::stack::{self, Detection, Dialect};

use crate::failure::{Failure, Fault};
use crate::server::Server;
use crate::stream::Tls;

/// So many octets are read at most before it is known what they are.
const FIRST: usize = 4096;

/// A record of TLS that carries a handshake; it is known by the octet behind.
const FIRST_OF_TLS: u8 = 0x16;

/// A connection that is TLS if it begins so (`16 03`), and else what it is: all on one port.
pub struct Incoming<T>(State<T>);

enum State<T> {
    /// Nothing has come, or one octet that may begin TLS.
    New(Box<New<T>>),
    Plain(T),
    Tls(Tls<T>),
    /// It was neither, or there can be no TLS.
    Refused,
}

struct New<T> {
    transport: T,
    server: Server,
    peer: Peer,
    only: bool,
    held: Option<u8>,
}

impl<T> std::fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            State::New(_) => "Incoming(new)",
            State::Plain(_) => "Incoming(plain)",
            State::Tls(_) => "Incoming(TLS)",
            State::Refused => "Incoming(refused)",
        })
    }
}

impl<T: Transport> Incoming<T> {
    pub(crate) fn new(transport: T, server: Server, peer: Peer, only: bool) -> Self {
        Self(State::New(Box::new(New { transport, server, peer, only, held: None })))
    }

    /// Reads the first octets into `to`, which has room for two at least, and decides. Says how many of
    /// them are for the reader.
    fn begin(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = to.len().min(FIRST);
        if room < 2 {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        loop {
            let State::New(new) = &mut self.0 else { return Poll::Ready(Ok(0)) };
            let held = usize::from(new.held.is_some());
            to[0] = new.held.unwrap_or_default();
            let came = ready!(new.transport.poll_read(cx, &mut to[held..room]))?;
            let octets = &to[..held + came];
            match stack::detect(octets) {
                Detection::NeedMore if octets == [FIRST_OF_TLS] && came > 0 => new.held = Some(FIRST_OF_TLS),
                Detection::Known(Dialect::Tls) => return Poll::Ready(self.secure(octets).map(|()| 0)),
                _ => return Poll::Ready(self.pass(octets).map(|()| octets.len())),
            }
        }
    }

    /// It is TLS.
    fn secure(&mut self, octets: &[u8]) -> io::Result<()> {
        let State::New(new) = std::mem::replace(&mut self.0, State::Refused) else { return Ok(()) };
        let New { transport, server, peer, .. } = *new;
        self.0 = State::Tls(server.handshake(transport, octets, peer)?);
        Ok(())
    }

    /// It is something else.
    fn pass(&mut self, octets: &[u8]) -> io::Result<()> {
        let State::New(new) = std::mem::replace(&mut self.0, State::Refused) else { return Ok(()) };
        let New { transport, server, peer, only, .. } = *new;
        if !only {
            self.0 = State::Plain(transport);
        } else if !octets.is_empty() {
            let fault = Fault::NotTls;
            server.failed(&peer, Failure::NotTls, &fault.to_string());
            return Err(fault.into());
        }
        Ok(())
    }
}

impl<T: Transport> Transport for Incoming<T> {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Tls(tls) => tls.poll_open(cx),
            State::New(_) | State::Plain(_) => Poll::Ready(Ok(())),
            State::Refused => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if let State::New(_) = self.0 {
            let n = ready!(self.begin(cx, to))?;
            if !matches!(self.0, State::Tls(_)) {
                return Poll::Ready(Ok(n));
            }
        }
        match &mut self.0 {
            State::Tls(tls) => tls.poll_read(cx, to),
            State::Plain(transport) => transport.poll_read(cx, to),
            State::New(_) | State::Refused => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            State::Tls(tls) => tls.poll_write_vectored(cx, from),
            State::Plain(transport) => transport.poll_write_vectored(cx, from),
            // Whoever says nothing is told so in the clear, where that is spoken here.
            State::New(new) if !new.only => new.transport.poll_write_vectored(cx, from),
            State::New(_) | State::Refused => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Tls(tls) => tls.poll_shutdown(cx),
            State::Plain(transport) => transport.poll_shutdown(cx),
            State::New(new) => new.transport.poll_shutdown(cx),
            State::Refused => Poll::Ready(Ok(())),
        }
    }

    fn secured(&mut self) -> Option<Secured> {
        match &mut self.0 {
            State::Tls(tls) => tls.secured(),
            State::New(_) | State::Plain(_) | State::Refused => None,
        }
    }
}
