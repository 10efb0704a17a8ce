//! Bodies in chunks (RFC 9112 §7.1).

use super::Fault;

/// Octets of a chunk's first line, and of all trailers together, at most.
const MAX_LINE: u16 = 256;
const MAX_TRAILERS: u16 = 4096;

/// What comes next in a body of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// So many octets are of the framing, and seen; ask again when more have come.
    NeedMore(usize),
    /// Behind `skip` octets of the framing come `len` of the body, at least one.
    Data {
        /// To be left out.
        skip: usize,
        /// Of the body.
        len: usize,
    },
    /// So many octets are of the framing, and with them the body ends.
    End(usize),
}

/// Where a body of chunks is being read. It is strict about what ends lines, and takes no more than
/// 256 octets for a chunk's first line, and 4,096 for the trailers, which nobody gets to see.
///
/// ```
/// use bowline_core::http::{Chunk, Chunked};
/// let mut chunks = Chunked::new();
/// assert_eq!(chunks.next(b"3\r\nab"), Ok(Chunk::Data { skip: 3, len: 2 }));
/// assert_eq!(chunks.next(b"c\r\n0\r\n\r\n"), Ok(Chunk::Data { skip: 0, len: 1 }));
/// assert_eq!(chunks.next(b"\r\n0\r\n\r\n"), Ok(Chunk::End(7)));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunked {
    /// Octets left of a chunk, or its size as far as it was read.
    left: u64,
    /// Octets of the present line, or of all trailers.
    line: u16,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In the digits of a size.
    #[default]
    Size,
    /// In what follows them, which means nothing here.
    Extension,
    /// LF must end the size's line.
    SizeEnd,
    Data,
    /// CR, then LF, must follow the data.
    DataCr,
    DataLf,
    /// At the beginning of a trailer's line.
    Trailer,
    InTrailer,
    TrailerEnd,
    /// LF must end it all.
    LastEnd,
}

impl Chunked {
    /// At the beginning of a body.
    #[must_use]
    pub const fn new() -> Self {
        Self { left: 0, line: 0, state: State::Size }
    }

    /// Takes `octets`, which continue those of the last call, and says what they begin with. What it
    /// names is consumed: the next call is about what follows.
    ///
    /// # Errors
    ///
    /// [`Fault::Chunk`].
    pub fn next(&mut self, octets: &[u8]) -> Result<Chunk, Fault> {
        for (at, octet) in octets.iter().enumerate() {
            if self.state == State::Data {
                let len = self.left.min((octets.len() - at) as u64);
                self.left -= len;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Chunk::Data { skip: at, len: len as usize });
            }
            if self.octet(*octet)? {
                return Ok(Chunk::End(at + 1));
            }
        }
        Ok(Chunk::NeedMore(octets.len()))
    }

    /// Takes an octet of the framing. Says whether it was the last.
    fn octet(&mut self, octet: u8) -> Result<bool, Fault> {
        self.line += 1;
        let in_trailers = matches!(self.state, State::Trailer | State::InTrailer | State::TrailerEnd);
        if self.line > if in_trailers { MAX_TRAILERS } else { MAX_LINE } {
            return Err(Fault::Chunk);
        }
        self.state = match (self.state, octet) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = u64::from(char::from(octet).to_digit(16).unwrap_or_default());
                self.left = self.left.checked_mul(16).ok_or(Fault::Chunk)? + digit;
                State::Size
            }
            (State::Size, b'\r' | b';') if self.line == 1 => return Err(Fault::Chunk),
            (State::Size | State::Extension, b'\r') => State::SizeEnd,
            (State::Size, b';') => State::Extension,
            (State::Extension, b'\t' | b' '..=b'~' | 0x80..) => State::Extension,
            (State::SizeEnd, b'\n') => {
                self.line = 0;
                if self.left == 0 { State::Trailer } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.line = 0;
                State::Size
            }
            (State::Trailer, b'\r') => State::LastEnd,
            (State::Trailer | State::InTrailer, b'\t' | b' '..=b'~' | 0x80..) => State::InTrailer,
            (State::InTrailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::Trailer,
            (State::LastEnd, b'\n') => return Ok(true),
            _ => return Err(Fault::Chunk),
        };
        Ok(false)
    }
}
