//! The engine: moves octets between a transport and a machine, in one order of work.
//!
//! Each step: what is due, by the clock and not by a timer that may be late; a turn of the machine
//! (if anything happened), one vectored write; the end of the transport where the machine says so;
//! one read. After a bounded number of steps others get their turn. All state is in the engine and
//! none in a future that could be dropped half-way.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bowline_core::buf::{GrowingRecvBuf, RecvBuf};
use bowline_core::session::Transport as Owed;
use bowline_core::time::{Deadline, Instant, Why};
use bowline_core::websocket::HEADROOM;

use crate::machine::{Machine, Output, Turn};
use crate::pool::Buffers;
use crate::runtime::{Timer, Transport};
use crate::{clock, pool};

/// So many steps, then others get their turn: at most a few hundred kilobytes each way.
const STEPS: u32 = 8;

/// At most so many pieces in one write. Small messages are one piece together; each large payload
/// is one of its own.
const PIECES: usize = 64;

/// Less than this that waits for the rest of its frame is kept in memory of its own size, so that a
/// peer who sends one octet and then nothing does not keep a whole buffer.
const SMALL: usize = pool::READ_SIZE / 4;

/// The longest record of the secure mode, with its length: whatever frames a machine takes, one has to fit.
const RECORD: u32 = (64 << 10) + 1;
/// So many messages beside the stream are taken in a step.
const DATAGRAMS: usize = 64;

/// Room that a read should have.
const READ_ROOM: usize = 8 << 10;

/// Drives one [`Machine`] over one [`Transport`] until the machine or the transport ends. Spawn it,
/// or poll it anywhere.
#[derive(Debug)]
#[must_use = "an engine does nothing unless it is polled"]
pub struct Engine<T, M: Machine, R> {
    transport: T,
    machine: M,
    timer: R,
    /// While there is something in them.
    buffers: Option<Box<Buffers>>,
    /// Octets of input that are taken at most before a frame is whole.
    limit: u32,
    waker: Option<Waker>,
    /// When the machine wants a turn.
    deadline: Option<Instant>,
    /// When the timer will fire: never later than the deadline.
    armed: Option<Instant>,
    owed: Owed,
    state: State,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct State {
    /// The machine is owed a turn.
    work: bool,
    /// The end of the stream was read, and the machine not told yet.
    eof: bool,
    /// The machine takes no octets.
    reads: bool,
    read_closed: bool,
    write_broken: bool,
    shut: bool,
    /// Something waits that the transport did not take.
    stalled: bool,
    gone: bool,
    /// Octets have come, and the machine knows what the transport has proved.
    came: bool,
    /// The transport has datagrams beside its stream.
    datagrams: bool,
}

enum Step {
    /// There may be more to do.
    Again,
    /// Others get their turn first.
    Yield,
    /// Nothing to do until woken.
    Rest,
    /// It is over.
    End,
}

impl<T: Transport, M: Machine, R: Timer> Engine<T, M, R> {
    /// An engine for a connection that was just made. `max_frame`: the largest frame that the
    /// machine takes, in octets.
    pub fn new(transport: T, machine: M, timer: R, max_frame: u32) -> Self {
        let limit = (max_frame.saturating_add(16)).max(RECORD).saturating_add(HEADROOM as u32);
        let state = State {
            work: true,
            eof: false,
            reads: true,
            read_closed: false,
            write_broken: false,
            shut: false,
            stalled: false,
            gone: false,
            came: false,
            datagrams: transport.max_datagram() > 0,
        };
        Self {
            transport,
            machine,
            timer,
            buffers: None,
            limit,
            waker: None,
            deadline: None,
            armed: None,
            owed: Owed::Open,
            state,
        }
    }

    /// The buffers, which are lent for now where there are none.
    fn buffers(lent: &mut Option<Box<Buffers>>, limit: u32) -> &mut Buffers {
        lent.get_or_insert_with(|| pool::buffers(limit as usize))
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        let now = clock::now();
        let due = self.deadline.is_some_and(|at| at <= now);
        let mut yields = false;
        if due || self.state.work || self.machine.is_woken() {
            yields = self.turn(now, due);
        }
        let mut progress = self.write(cx, now);
        if self.ends(cx) {
            return Step::End;
        }
        progress |= self.read(cx, now);
        if self.state.write_broken && !progress && !self.state.work {
            return Step::End;
        }
        match (yields, progress || self.state.work) {
            (true, true) => Step::Yield,
            (false, true) => Step::Again,
            _ => Step::Rest,
        }
    }

    fn turn(&mut self, now: Instant, due: bool) -> bool {
        let Buffers { input, output } = Self::buffers(&mut self.buffers, self.limit);
        if output.inner().memory() == 0 {
            let _ = output.inner().lend(pool::writer());
        }
        let eof = std::mem::take(&mut self.state.eof);
        let turn = Turn { due, eof, input, output };
        if self.state.datagrams {
            self.machine.set_max_datagram(now, self.transport.max_datagram());
        }
        let next = self.machine.turn(now, turn);
        if self.state.datagrams {
            while let Some((delivery, message)) = self.machine.poll_datagram(now) {
                // One that is not taken is as if it were lost.
                let _ = self.transport.send_datagram(delivery, &message);
            }
        }
        self.state.work = false;
        self.state.reads = next.reads && !next.blocked;
        self.owed = next.transport;
        self.set_deadline(next.deadline);
        next.yields
    }

    /// Output that waits needs no timer while there is no room for it: the next write makes room.
    fn set_deadline(&mut self, deadline: Option<Deadline>) {
        let full = self.buffers.as_ref().is_some_and(|buffers| buffers.output.is_full());
        self.deadline = deadline.filter(|d| !(full && d.why == Why::Output)).map(|d| d.at);
    }

    /// One vectored write. Says whether there may be more to do.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(Buffers { output, .. }) = self.buffers.as_deref_mut() else { return false };
        if self.state.write_broken {
            let waiting = output.inner().len();
            output.inner().sent(waiting);
        }
        if output.is_empty() {
            return false;
        }
        let full = output.is_full();
        let written = match poll_write(&mut self.transport, output, cx) {
            Poll::Ready(Ok(n)) if n > 0 => n,
            Poll::Ready(_) => {
                self.state.write_broken = true;
                return true;
            }
            Poll::Pending => 0,
        };
        output.inner().sent(written);
        // What the machine could not put before for lack of room.
        self.state.work |= full && !output.is_full();
        let waiting = output.inner().len();
        if (waiting > 0 && (written > 0 || !self.state.stalled)) || (waiting == 0 && self.state.stalled) {
            self.state.stalled = waiting > 0;
            let deadline = self.machine.handle_written(now, written, waiting);
            self.set_deadline(deadline);
        }
        written > 0 && waiting > 0
    }

    /// What the machine says about the transport's end.
    fn ends(&mut self, cx: &mut Context<'_>) -> bool {
        let written = self.buffers.as_ref().is_none_or(|buffers| buffers.output.is_empty());
        match self.owed {
            Owed::Open => false,
            Owed::Abort => true,
            Owed::Drop => written && !self.state.work,
            Owed::Shut => {
                if written && !self.state.shut && !self.state.write_broken {
                    match self.transport.poll_shutdown(cx) {
                        Poll::Ready(Ok(())) => self.state.shut = true,
                        Poll::Ready(Err(_)) => self.state.write_broken = true,
                        Poll::Pending => {}
                    }
                }
                false
            }
        }
    }

    /// One read. Says whether something came.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if !self.state.reads || self.state.read_closed {
            return false;
        }
        let beside = self.state.datagrams && self.read_datagrams(cx, now);
        let Buffers { input, .. } = Self::buffers(&mut self.buffers, self.limit);
        lend_input(input);
        let spare = input.spare(READ_ROOM);
        if spare.is_empty() {
            return beside;
        }
        match self.transport.poll_read(cx, spare) {
            Poll::Pending => return beside,
            Poll::Ready(Ok(n)) if n > 0 => input.commit(n),
            // A broken connection has ended as well; what it brought before counts.
            Poll::Ready(end) => {
                self.state.write_broken |= end.is_err();
                (self.state.eof, self.state.read_closed) = (true, true);
            }
        }
        if !std::mem::replace(&mut self.state.came, true)
            && let Some(secured) = self.transport.secured()
        {
            self.machine.handle_secured(now, secured);
        }
        self.state.work = true;
        true
    }

    /// Takes in messages that came beside the stream. Says whether there were any.
    fn read_datagrams(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let (mut message, mut any) = (Vec::new(), false);
        for _ in 0..DATAGRAMS {
            if self.transport.poll_recv_datagram(cx, &mut message).is_pending() {
                break;
            }
            self.machine.handle_datagram(now, &message);
            any = true;
        }
        self.state.work |= any;
        any
    }

    /// Gives back what an idle connection does not need.
    fn release(&mut self) {
        let Some(mut buffers) = self.buffers.take() else { return };
        let Buffers { input, output } = &mut *buffers;
        if let Some(memory) = output.inner().release() {
            pool::give_writer(memory);
        }
        let waiting = input.filled().len();
        if waiting == 0 {
            if let Some(memory) = input.release() {
                pool::give_reader(memory);
            }
        } else if waiting <= SMALL && input.memory() >= pool::READ_SIZE {
            let waiting = input.filled().to_vec();
            input.take(waiting.len());
            if let Some(memory) = input.release() {
                pool::give_reader(memory);
            }
            input.push(&waiting);
        }
        if waiting == 0 && output.is_empty() {
            pool::give_buffers(buffers);
        } else {
            self.buffers = Some(buffers);
        }
    }

    /// Sets the timer again only if it would fire too late, or has fired. Says whether it is due.
    fn arm(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(deadline) = self.deadline else { return false };
        if self.armed.is_some_and(|armed| armed <= deadline && armed > now) {
            return false;
        }
        self.timer.reset(deadline);
        self.armed = Some(deadline);
        self.timer.poll(cx).is_ready()
    }

    fn remember(&mut self, cx: &mut Context<'_>) {
        if self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            return;
        }
        self.waker = Some(cx.waker().clone());
        self.armed = None; // the timer knows the former waker
        self.machine.register(cx.waker());
    }
}

fn poll_write<T: Transport>(
    transport: &mut T,
    output: &mut Output,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for (to, piece) in pieces.iter_mut().zip(output.inner().slices()) {
        *to = IoSlice::new(piece);
        count += 1;
    }
    transport.poll_write_vectored(cx, &pieces[..count])
}

/// A whole buffer to read into, with what waits at its front.
fn lend_input(input: &mut GrowingRecvBuf) {
    if input.memory() >= pool::READ_SIZE {
        return;
    }
    let waiting = input.filled().to_vec();
    input.take(waiting.len());
    drop(input.release());
    let _ = input.lend(pool::reader());
    input.push(&waiting);
}

impl<T, M: Machine, R> Engine<T, M, R> {
    fn end(&mut self) {
        if !std::mem::replace(&mut self.state.gone, true) {
            self.machine.gone(clock::now());
        }
    }
}

impl<T: Transport, M: Machine, R: Timer> Future for Engine<T, M, R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.remember(cx);
        for _ in 0..STEPS {
            match this.step(cx) {
                Step::Again => {}
                Step::Yield => break,
                Step::End => {
                    this.release();
                    this.end();
                    return Poll::Ready(());
                }
                Step::Rest => {
                    if this.arm(cx, clock::now()) || this.machine.is_woken() {
                        break;
                    }
                    this.release();
                    return Poll::Pending;
                }
            }
        }
        // Others have their turn, and they may be many: what is empty is lent to them.
        if this.buffers.as_ref().is_some_and(|buffers| buffers.input.filled().is_empty()) {
            this.release();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T, M: Machine, R> Drop for Engine<T, M, R> {
    /// A task that its runtime drops has lost its transport.
    fn drop(&mut self) {
        self.end();
    }
}
