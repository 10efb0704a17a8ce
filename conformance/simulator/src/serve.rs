//! The server's end of a line: what a driver does. One for the worlds of all kinds.

use bowline_core::endpoint::server::{ConnectionKey, Server};
use bowline_core::lifecycle::Transport;
use bowline_core::time::Instant;

use crate::pipes::{End, Pipes};
use crate::rng::Rng;
use crate::world::{Side, is_output};

/// How much more happens in a server until it dies.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    /// So many things; 0: it lives.
    pub(crate) left: u64,
    pub(crate) dying: bool,
}

impl Fuse {
    /// Something has happened: says whether the server dies here.
    pub(crate) fn burns(&mut self) -> bool {
        if self.left > 0 {
            self.left -= 1;
            self.dying |= self.left == 0;
        }
        self.dying
    }
}

/// What came of a turn of the server's end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    pub(crate) read: usize,
    pub(crate) written: usize,
    /// The peer waits for room, and there is some.
    pub(crate) freed: bool,
    /// Something is on its way to the peer.
    pub(crate) sent: bool,
    /// The server drops the line.
    pub(crate) dropped: bool,
}

/// A line's server's end.
pub(crate) struct Turn<'a> {
    pub(crate) server: &'a mut Server,
    pub(crate) key: ConnectionKey,
    pub(crate) side: &'a mut Side,
    pub(crate) pipes: &'a mut Pipes,
    pub(crate) rng: &'a mut Rng,
    pub(crate) fuse: &'a mut Fuse,
    /// Octets that it reads at once.
    pub(crate) room: usize,
}

impl Turn<'_> {
    /// Does for the server whatever is due on this line: time, octets in, octets out, the end.
    pub(crate) fn serve(mut self, now: u64) -> Served {
        let (at, mut served) = (Instant::from_nanos(now), Served::default());
        if self.server.poll_timeout(self.key).is_some_and(|d| d.at <= at && !is_output(&d)) {
            self.server.handle_timeout(at, self.key);
        }
        for _ in 0..64 {
            if !self.round(now, at, &mut served) || served.dropped {
                break;
            }
        }
        served
    }

    /// Says whether there may be more to do.
    fn round(&mut self, now: u64, at: Instant, served: &mut Served) -> bool {
        let Self { server, side, pipes, rng, fuse, key, .. } = self;
        let room = if side.blocked { 0 } else { self.room };
        let read = pipes.read(End::Server, now, room, &mut side.recv);
        served.read += read;
        served.freed |= pipes.take_freed(End::Server);
        if read > 0
            && let Some(secured) = pipes.secured()
        {
            server.handle_secured(at, *key, secured);
        }
        if read > 0 || side.blocked {
            side.blocked = server.recv(at, *key, &mut side.recv, &mut side.out);
        }
        if fuse.burns() {
            return false;
        }
        if !side.eof && !side.blocked && pipes.is_ended(End::Server, now) {
            side.eof = true;
            server.handle_eof(at, *key);
        }
        let verdict = server.poll_transmit(at, *key, &mut side.out);
        if fuse.burns() {
            return false;
        }
        let had = !side.out.is_empty();
        let (written, sent) = pipes.write(End::Server, now, rng, &mut side.out);
        if had {
            server.handle_written(at, *key, written, side.out.len());
        }
        served.written += written;
        served.sent |= sent;
        served.dropped = side.obey(verdict, End::Server, pipes, now, rng, &mut served.sent);
        !fuse.burns() && (read > 0 || written > 0)
    }
}

impl Side {
    /// Does what a machine says its transport owes. Says whether the line is to be dropped; `told`: the other end
    /// hears of it.
    pub(crate) fn obey(
        &mut self,
        verdict: Transport,
        end: End,
        pipes: &mut Pipes,
        now: u64,
        rng: &mut Rng,
        told: &mut bool,
    ) -> bool {
        let waits = !self.out.is_empty() || !pipes.is_flushed(end);
        match verdict {
            Transport::Open => return false,
            Transport::Shut | Transport::Drop if waits => return false,
            Transport::Shut if std::mem::replace(&mut self.ended, true) => return false,
            Transport::Shut => pipes.finish(end, now, rng),
            Transport::Drop => pipes.drop_end(end, now, rng),
            Transport::Abort => pipes.abort(end, now),
        }
        *told = true;
        verdict != Transport::Shut
    }
}
