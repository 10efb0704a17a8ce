//! Layers around transports: what secures them. The driver knows none of them; `bowline-tls` is one.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_core::datagram::Delivery;
use bowline_core::endpoint::server::{Peer, Secured};
use bowline_core::stack::Alpn;

use crate::runtime::Transport;

/// Secures connections that come in.
pub trait Acceptor: Send + Sync + 'static {
    /// The layer around a connection that was just made. With `only`, it takes nothing but its own
    /// handshake; else, what begins otherwise passes through as it is.
    fn accept(&self, transport: Box<dyn Transport>, peer: &Peer, only: bool) -> Box<dyn Transport>;
}

impl<A: Acceptor + ?Sized> Acceptor for Arc<A> {
    fn accept(&self, transport: Box<dyn Transport>, peer: &Peer, only: bool) -> Box<dyn Transport> {
        (**self).accept(transport, peer, only)
    }
}

/// Secures connections that go out.
pub trait Connector: Send + Sync + 'static {
    /// The layer around a connection to `host`, a name or an address, over which this is to be spoken; nothing,
    /// where nobody knows.
    ///
    /// # Errors
    ///
    /// There can be none to this host.
    fn connect(
        &self,
        transport: Box<dyn Transport>,
        host: &str,
        alpn: Option<Alpn>,
    ) -> io::Result<Box<dyn Transport>>;
}

impl<C: Connector + ?Sized> Connector for Arc<C> {
    fn connect(
        &self,
        transport: Box<dyn Transport>,
        host: &str,
        alpn: Option<Alpn>,
    ) -> io::Result<Box<dyn Transport>> {
        (**self).connect(transport, host, alpn)
    }
}

impl Transport for Box<dyn Transport> {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_open(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        (**self).poll_read(cx, to)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        (**self).poll_write_vectored(cx, from)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(cx)
    }

    fn abort(&mut self) {
        (**self).abort();
    }

    fn secured(&mut self) -> Option<Secured> {
        (**self).secured()
    }

    fn max_datagram(&self) -> usize {
        (**self).max_datagram()
    }

    fn send_datagram(&mut self, delivery: Delivery, message: &[u8]) -> bool {
        (**self).send_datagram(delivery, message)
    }

    fn poll_recv_datagram(&mut self, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<()> {
        (**self).poll_recv_datagram(cx, to)
    }
}

/// A connection with or without a layer around it.
pub(crate) enum Layered<T> {
    Plain(T),
    Secured(Box<dyn Transport>),
}

/// The same call, with or without a layer.
macro_rules! each {
    ($layered:expr, $t:ident => $do:expr) => {
        match $layered {
            Layered::Plain($t) => $do,
            Layered::Secured($t) => $do,
        }
    };
}

impl<T: Transport> Transport for Layered<T> {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, t => t.poll_open(cx))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        each!(self, t => t.poll_read(cx, to))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        each!(self, t => t.poll_write_vectored(cx, from))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, t => t.poll_shutdown(cx))
    }

    fn abort(&mut self) {
        each!(self, t => t.abort());
    }

    fn secured(&mut self) -> Option<Secured> {
        each!(self, t => t.secured())
    }

    fn max_datagram(&self) -> usize {
        each!(self, t => t.max_datagram())
    }

    fn send_datagram(&mut self, delivery: Delivery, message: &[u8]) -> bool {
        each!(self, t => t.send_datagram(delivery, message))
    }

    fn poll_recv_datagram(&mut self, cx: &mut Context<'_>, to: &mut Vec<u8>) -> Poll<()> {
        each!(self, t => t.poll_recv_datagram(cx, to))
    }
}
