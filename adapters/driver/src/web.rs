//! A WebSocket that this side opens, as a transport: its machine is in the core.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll, ready};

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::endpoint::client::WebSocketError;
use bowline_core::endpoint::web_stream::WebStream;

use crate::runtime::Transport;
use crate::{OsEntropy, clock, pool};

/// Octets that wait to be written at most: what one write moves.
const OUTPUT: usize = 64 << 10;

/// So many reads in one call that bring nothing for the caller, then others get their turn.
const FRUITLESS: u32 = 16;

/// A transport in the binary messages of a WebSocket. An end that no Close frame announced is an error.
pub(crate) struct Web<T> {
    transport: T,
    stream: WebStream,
    input: GrowingRecvBuf,
    output: SharedSendBuf,
    /// The transport has ended.
    eof: bool,
}

impl<T> fmt::Debug for Web<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("stream", &self.stream).finish_non_exhaustive()
    }
}

fn failure(error: &WebSocketError) -> io::Error {
    let kind = match error {
        WebSocketError::Closed { .. } => ErrorKind::ConnectionReset,
        WebSocketError::Truncated => ErrorKind::UnexpectedEof,
        _ => ErrorKind::InvalidData,
    };
    io::Error::new(kind, error.to_string())
}

impl<T: Transport> Web<T> {
    /// One that asks `host`, with its port unless that is the scheme's, for `path`.
    pub(crate) fn new(transport: T, host: &str, path: &str, protocol: &str) -> Self {
        Self {
            transport,
            stream: WebStream::new(clock::now(), host, path, protocol, &mut OsEntropy),
            input: GrowingRecvBuf::new(pool::READ_SIZE),
            output: SharedSendBuf::new(OUTPUT),
            eof: false,
        }
    }

    /// Writes what waits, until nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let Self { output, transport, .. } = self;
            // What is copied together is one piece.
            let Some(piece) = output.slices().next() else { break };
            match ready!(transport.poll_write_vectored(cx, &[IoSlice::new(piece)]))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                n => output.sent(n),
            }
        }
        if let Some(memory) = self.output.release() {
            pool::give_writer(memory);
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what is owed, and `from`; says how much of it was taken.
    fn put(&mut self, from: &[u8]) -> usize {
        if self.output.memory() == 0 {
            let _ = self.output.lend(pool::writer());
        }
        self.stream.write(clock::now(), from, &mut self.output)
    }

    /// What is owed goes out if it can; an error comes again with the next write.
    fn pay(&mut self, cx: &mut Context<'_>) {
        self.put(&[]);
        let _ = self.flush(cx);
    }

    fn read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..FRUITLESS {
            let read = self.stream.read(clock::now(), &mut self.input, to);
            self.pay(cx);
            match read.map_err(|error| failure(&error))? {
                Some(n) => return Poll::Ready(Ok(n)),
                None if to.is_empty() && self.stream.is_open() => return Poll::Ready(Ok(0)),
                None if self.eof => self.stream.handle_eof(clock::now()),
                None => {
                    if self.input.memory() == 0 {
                        let _ = self.input.lend(pool::reader());
                    }
                    match ready!(self.transport.poll_read(cx, self.input.spare(1)))? {
                        0 => self.eof = true,
                        n => self.input.commit(n),
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Transport> Transport for Web<T> {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.read(cx, &mut []).map_ok(drop)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.read(cx, to);
        if let Some(memory) = self.input.release() {
            pool::give_reader(memory);
        }
        read
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.stream.is_ended() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        loop {
            let mut written = 0;
            for piece in from {
                let n = self.put(piece);
                written += n;
                if n < piece.len() {
                    break;
                }
            }
            let flushed = self.flush(cx)?;
            if written > 0 {
                return Poll::Ready(Ok(written));
            }
            ready!(flushed);
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The server is the first to end the transport (RFC 6455 §7.1.1).
        self.stream.finish();
        self.put(&[]);
        self.flush(cx)
    }

    fn abort(&mut self) {
        self.transport.abort();
    }
}
