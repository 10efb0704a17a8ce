//! A runtime whose outgoing connections can be cut.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bowline_driver::datagram::{Batch, DatagramSocket, Transmit};
use bowline_driver::{Address, ListeningSocket, Runtime, Transport};
use parking_lot::Mutex;

#[derive(Debug, Default)]
struct State {
    cut: bool,
    /// Connections that were made before the last cut are dead.
    generation: u64,
    waiting: Vec<Waker>,
}

/// Cuts all connections of a [`Cuttable`], and mends the line.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<Mutex<State>>);

impl Cut {
    /// Breaks what stands; what is connected from now on waits.
    pub fn cut(&self) {
        self.change(true);
    }

    /// Lets connect again.
    pub fn mend(&self) {
        self.change(false);
    }

    fn change(&self, cut: bool) {
        let waiting = {
            let mut state = self.0.lock();
            state.cut = cut;
            state.generation += u64::from(cut);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits while the line is cut; then, whether what was made in this generation still stands.
    fn poll_stands(&self, cx: &Context<'_>, generation: u64) -> Poll<bool> {
        let is_dead = self.is_dead(cx, generation);
        if !is_dead && self.0.lock().cut { Poll::Pending } else { Poll::Ready(!is_dead) }
    }

    fn is_dead(&self, cx: &Context<'_>, generation: u64) -> bool {
        let mut state = self.0.lock();
        if !state.waiting.iter().any(|w| w.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        state.generation != generation
    }
}

/// A runtime whose outgoing connections can be cut.
#[derive(Clone, Debug)]
pub struct Cuttable<R> {
    runtime: R,
    cut: Cut,
}

impl<R> Cuttable<R> {
    /// With a whole line.
    pub fn new(runtime: R) -> Self {
        Self { runtime, cut: Cut::default() }
    }

    /// To cut it.
    pub fn cut(&self) -> Cut {
        self.cut.clone()
    }
}

impl<R: Runtime> Runtime for Cuttable<R> {
    type Stream = Line<R::Stream>;
    type Listener = R::Listener;
    type Timer = R::Timer;

    fn timer(&self) -> R::Timer {
        self.runtime.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        self.runtime.spawn_blocking(work);
    }

    async fn connect(&self, to: Address) -> io::Result<Self::Stream> {
        let generation = poll_fn(|cx| {
            let mut state = self.cut.0.lock();
            if state.cut {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(state.generation)
        });
        let generation = generation.await;
        let stream = self.runtime.connect(to).await?;
        Ok(Line { stream, cut: self.cut.clone(), generation })
    }

    fn listen(&self, socket: ListeningSocket) -> io::Result<Self::Listener> {
        self.runtime.listen(socket)
    }

    /// While the line is cut, nothing goes through it.
    fn datagram_socket(&self, at: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        let generation = self.cut.0.lock().generation;
        let socket = self.runtime.datagram_socket(at)?;
        Ok(Box::new(LineSocket { socket, cut: self.cut.clone(), generation }))
    }
}

/// A connection that can be cut.
#[derive(Debug)]
pub struct Line<T> {
    stream: T,
    cut: Cut,
    generation: u64,
}

impl<T: Transport> Transport for Line<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.cut.is_dead(cx, self.generation) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        self.stream.poll_read(cx, to)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.cut.is_dead(cx, self.generation) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        self.stream.poll_write_vectored(cx, from)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }

    fn abort(&mut self) {
        self.stream.abort();
    }
}

/// A socket that can be cut.
struct LineSocket {
    socket: Box<dyn DatagramSocket>,
    cut: Cut,
    generation: u64,
}

impl DatagramSocket for LineSocket {
    fn poll_recv(&self, cx: &mut Context<'_>, to: &mut Batch) -> Poll<io::Result<()>> {
        if !ready!(self.cut.poll_stands(cx, self.generation)) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        self.socket.poll_recv(cx, to)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit, octets: &[u8]) -> Poll<io::Result<()>> {
        if !ready!(self.cut.poll_stands(cx, self.generation)) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        self.socket.poll_send(cx, transmit, octets)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }

    fn max_segments(&self) -> usize {
        self.socket.max_segments()
    }
}
