//! A connection whose calls block, and the layers on it.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::task::Poll;
use std::time::{Duration, Instant};

use bowline_blocking::{ThreadTimer, Threads, block_on};
use bowline_driver::{Runtime, Timer, Transport, clock};

use crate::socket::PATIENCE;

/// What a stream of octets goes in.
pub(super) trait Layer: Send {
    /// Takes what came from below, and gives what was in it. What is owed below, itself or in answer, is put
    /// to `owed`.
    fn open(&mut self, octets: &[u8], owed: &mut Vec<u8>) -> io::Result<Vec<u8>>;

    /// Wraps what goes out.
    fn wrap(&mut self, octets: &[u8]) -> Vec<u8>;

    /// Ends the own direction: what is owed below for it.
    fn end(&mut self) -> Vec<u8>;

    /// Whether octets can be wrapped: its handshake is done.
    fn is_open(&self) -> bool;
}

/// A connection, and its layers from the transport up.
pub(crate) struct Stream {
    transport: Box<dyn Transport>,
    timer: ThreadTimer,
    layers: Vec<Box<dyn Layer>>,
    memory: Box<[u8]>,
}

impl Stream {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        let memory = vec![0; 16_384].into();
        Self { transport, timer: Threads.timer(), layers: Vec::new(), memory }
    }

    /// Opens one more layer.
    pub(super) fn add(&mut self, mut layer: Box<dyn Layer>) -> io::Result<()> {
        let mut owed = Vec::new();
        let until = Instant::now() + PATIENCE;
        let mut came = layer.open(&[], &mut owed)?;
        loop {
            self.write(&owed)?;
            owed.clear();
            if layer.is_open() {
                break;
            }
            let mut octets = Vec::new();
            if !self.read(&mut octets, until)? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            came.extend(layer.open(&octets, &mut owed)?);
        }
        debug_assert!(came.is_empty(), "a server does not speak first");
        self.layers.push(layer);
        Ok(())
    }

    /// Writes all of it.
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let mut octets = octets.to_vec();
        for layer in self.layers.iter_mut().rev() {
            octets = layer.wrap(&octets);
        }
        self.put(&octets)
    }

    fn put(&mut self, mut octets: &[u8]) -> io::Result<()> {
        self.timer.reset(clock::now() + PATIENCE);
        let Self { transport, timer, .. } = self;
        block_on(poll_fn(|cx| {
            while !octets.is_empty() {
                match transport.poll_write_vectored(cx, &[IoSlice::new(octets)]) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(n)) => octets = &octets[n..],
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending if timer.poll(cx).is_ready() => {
                        return Poll::Ready(Err(ErrorKind::TimedOut.into()));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ok(()))
        }))
    }

    /// Reads what comes next behind `to`; false at the end of the stream.
    ///
    /// # Errors
    ///
    /// Nothing came in time, or a layer was broken.
    pub(crate) fn read(&mut self, to: &mut Vec<u8>, until: Instant) -> io::Result<bool> {
        loop {
            let n = match self.take(until.saturating_duration_since(Instant::now())) {
                Ok(0) => return Ok(false),
                // A connection that is broken off has ended.
                Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
                    return Ok(false);
                }
                done => done?,
            };
            let mut octets = self.memory[..n].to_vec();
            for at in 0..self.layers.len() {
                let mut owed = Vec::new();
                octets = self.layers[at].open(&octets, &mut owed)?;
                for below in self.layers[..at].iter_mut().rev() {
                    owed = below.wrap(&owed);
                }
                // Who has gone takes no answer.
                let _ = self.put(&owed);
            }
            to.extend_from_slice(&octets);
            if !octets.is_empty() {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, within: Duration) -> io::Result<usize> {
        self.timer.reset(clock::now() + within);
        let Self { transport, timer, memory, .. } = self;
        block_on(poll_fn(|cx| match transport.poll_read(cx, memory) {
            Poll::Pending if timer.poll(cx).is_ready() => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            done => done,
        }))
    }

    /// Ends the own direction. Whether the other side has gone before shows in what it sent.
    pub(crate) fn end(&mut self) {
        for at in (0..self.layers.len()).rev() {
            let mut owed = self.layers[at].end();
            for below in self.layers[..at].iter_mut().rev() {
                owed = below.wrap(&owed);
            }
            let _ = self.put(&owed);
        }
        let _ = block_on(poll_fn(|cx| self.transport.poll_shutdown(cx)));
    }
}
