//! Buffers that are lent to connections while they have something in them.

use std::cell::RefCell;

use bowline_core::buf::GrowingRecvBuf;

use crate::machine::Output;

/// What a connection reads into and writes out of.
#[derive(Debug)]
pub(crate) struct Buffers {
    pub(crate) input: GrowingRecvBuf,
    pub(crate) output: Output,
}

/// A buffer for reading has this size: large enough that many small messages come with one call, and
/// so does one of 16 KiB with its head, which is a usual size of records and pieces.
pub(crate) const READ_SIZE: usize = 64 << 10;

/// At most so many buffers of each sort wait for their next use, on each thread: as many as are in
/// use at once by a thread that runs one connection at a time, and some for those that stall.
const KEPT: usize = 16;

/// A buffer that grew beyond this is given back to the system.
const KEEP_UP_TO: usize = 256 << 10;

// One pool a thread needs no lock, and an idle connection owns nothing.
thread_local! {
    static READERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    #[expect(clippy::vec_box, reason = "the boxes themselves are lent")]
    static BUFFERS: RefCell<Vec<Box<Buffers>>> = const { RefCell::new(Vec::new()) };
    static WRITERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers without memory, that take so many octets of input before a frame is whole.
pub(crate) fn buffers(limit: usize) -> Box<Buffers> {
    let buffers = Buffers { input: GrowingRecvBuf::new(limit), output: Output::new() };
    match BUFFERS.with_borrow_mut(Vec::pop) {
        Some(mut lent) => {
            *lent = buffers;
            lent
        }
        None => Box::new(buffers),
    }
}

/// Gives buffers back.
pub(crate) fn give_buffers(buffers: Box<Buffers>) {
    BUFFERS.with_borrow_mut(|pool| {
        if pool.len() < KEPT {
            pool.push(buffers);
        }
    });
}

/// A buffer of [`READ_SIZE`], its whole length to be read into.
pub(crate) fn reader() -> Vec<u8> {
    READERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; READ_SIZE])
}

/// Gives a buffer for reading back.
pub(crate) fn give_reader(memory: Vec<u8>) {
    READERS.with_borrow_mut(|pool| {
        if memory.len() == READ_SIZE && pool.len() < KEPT {
            pool.push(memory);
        }
    });
}

/// An empty buffer for writing, which may have room already.
pub(crate) fn writer() -> Vec<u8> {
    WRITERS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Gives a buffer for writing back.
pub(crate) fn give_writer(memory: Vec<u8>) {
    WRITERS.with_borrow_mut(|pool| {
        if memory.capacity() <= KEEP_UP_TO && pool.len() < KEPT {
            pool.push(memory);
        }
    });
}
