//! Serial lines: which of their octets are of which connection (SPEC §12).
//!
//! A serial line has neither beginning nor end; it loses octets, changes them and makes some up. A [`Line`] marks
//! on it where a connection begins and where it ends, so that both sides can always begin anew and know that they
//! have. It repairs nothing and notices little: what goes over it has to be in the secure mode (SPEC §10), whose
//! records do not open once an octet of them is wrong. Then the connection ends, the next one begins, and its
//! session goes on with all that was not acknowledged.
//!
//! Octets are stuffed as in SLIP (RFC 1055): no allocator, no memory but a few octets of its own, and work per
//! call that is bounded by the slices given.
//!
//! ```
//! use bowline_core::serial::{Edge, Line};
//! let (mut firmware, mut gateway) = (Line::client(7), Line::server());
//! let (mut wire, mut octets) = ([0; 64], [0; 64]);
//!
//! firmware.begin();
//! let said = firmware.say(b"hello", &mut wire);
//! let heard = gateway.hear(&wire[..said.put], &mut octets);
//! assert_eq!(heard.edge, Some(Edge::Began));
//! let heard = gateway.hear(&wire[heard.taken..said.put], &mut octets);
//! assert_eq!(&octets[..heard.put], b"hello");
//!
//! let said = gateway.say(b"welcome", &mut wire);
//! let heard = firmware.hear(&wire[..said.put], &mut octets);
//! assert_eq!(&octets[..heard.put], b"welcome");
//! ```

#[cfg(test)]
mod tests;

/// Ends a connection; before a number it begins one.
const END: u8 = 0xc0;
/// What follows stands for [`END`] or for itself.
const ESC: u8 = 0xdb;
const ESC_END: u8 = 0xdc;
const ESC_ESC: u8 = 0xdd;

/// Octets that one octet takes on the line at most.
const WIDEST: usize = 2;

/// What a line [is to say](Line::say) before octets of its own accord, at most: the END of SLIP and a stuffed number.
pub const MARK_MAX: usize = 1 + WIDEST;

/// Where a connection begins or ends in what was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Of a server: a client begins a connection. The one before, if there was one, is over.
    Began,
    /// The connection is over, as if the stream had ended.
    Ended,
}

/// What was made of octets of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// How many octets of the line were used: those behind an edge, or for which there was no room, were not.
    pub taken: usize,
    /// How many octets of the connection were put; all of them come before the edge.
    pub put: usize,
    /// What comes then.
    pub edge: Option<Edge>,
}

/// What goes on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// How many octets of the connection were used.
    pub taken: usize,
    /// How many octets for the line were put.
    pub put: usize,
}

/// What the next octet of the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Of no connection, up to the next [`END`].
    Noise,
    /// The number of a connection, or another [`END`].
    Number,
    /// The second half of a number.
    EscapedNumber,
    /// One of the connection.
    Octet,
    /// The second half of one.
    Escaped,
}

/// One end of a serial line.
#[derive(Clone, Debug)]
pub struct Line {
    client: bool,
    /// The connection's; of a client that has none, its last one's.
    number: u8,
    /// There is a connection. Of a client: it was begun, whether or not the other side has heard of it.
    open: bool,
    next: Next,
    /// What is to be said first.
    owed: [u8; MARK_MAX],
    owes: u8,
}

impl Line {
    const fn new(client: bool, number: u8) -> Self {
        Self { client, number, open: false, next: Next::Noise, owed: [END; MARK_MAX], owes: 0 }
    }

    /// That of a firmware, which [begins](Self::begin) connections. `number` is best drawn at random, so that
    /// what is on the line from before a restart is not taken for an answer.
    #[must_use]
    pub const fn client(number: u8) -> Self {
        Self::new(true, number)
    }

    /// That of a gateway.
    #[must_use]
    pub const fn server() -> Self {
        Self::new(false, 0)
    }

    /// Whether there is a connection: what is [said](Self::say) is of it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the line has to say something of its own accord.
    #[must_use]
    pub const fn owes(&self) -> bool {
        self.owes > 0
    }

    /// A client begins a connection, in place of the one that there was: of that nothing is heard any more
    /// (SER-2). Does nothing for a server.
    pub fn begin(&mut self) {
        if self.client {
            self.number = self.number.wrapping_add(1);
            (self.open, self.next) = (true, Next::Noise);
            self.owe_beginning();
        }
    }

    /// This side ends the connection, if there is one (SER-4).
    pub fn end(&mut self) {
        if self.open {
            (self.open, self.next) = (false, Next::Noise);
            (self.owed[0], self.owes) = (END, 1);
        }
    }

    fn owe_beginning(&mut self) {
        let (number, length) = stuffed(self.number);
        self.owed = [END, number[0], number[1]];
        self.owes = 1 + length as u8;
    }

    /// Puts what the line owes, and `octets` of the connection, stuffed, as far as there is room in `to`. What it
    /// owes goes whole or not at all; without a connection no octets are taken.
    pub fn say(&mut self, octets: &[u8], to: &mut [u8]) -> Said {
        let mut put = usize::from(self.owes);
        let Some(space) = to.get_mut(..put) else { return Said { taken: 0, put: 0 } };
        space.copy_from_slice(&self.owed[..put]);
        self.owes = 0;
        let mut taken = 0;
        for octet in octets.iter().take_while(|_| self.open) {
            let (octets, length) = stuffed(*octet);
            let Some(space) = to.get_mut(put..put + length) else { break };
            space.copy_from_slice(&octets[..length]);
            (taken, put) = (taken + 1, put + length);
        }
        Said { taken, put }
    }

    /// Takes octets of the line, and puts those of the connection to `to`, up to the next edge.
    pub fn hear(&mut self, line: &[u8], to: &mut [u8]) -> Heard {
        let (mut put, mut taken) = (0, 0);
        for &octet in line {
            // Whatever it turns out to be, there has to be room for it.
            if self.next_is_octet() && put == to.len() {
                break;
            }
            taken += 1;
            let (content, edge) = self.take(octet);
            if let Some(content) = content {
                to[put] = content;
                put += 1;
            }
            if edge.is_some() {
                return Heard { taken, put, edge };
            }
        }
        Heard { taken, put, edge: None }
    }

    const fn next_is_octet(&self) -> bool {
        matches!(self.next, Next::Octet | Next::Escaped)
    }

    /// One octet: what it is of the connection, and whether that begins or ends with it.
    fn take(&mut self, octet: u8) -> (Option<u8>, Option<Edge>) {
        if octet == END {
            // A client that has begun anew does not mind what else ends.
            let ended = self.next_is_octet() && core::mem::take(&mut self.open);
            self.next = Next::Number;
            return (None, ended.then_some(Edge::Ended));
        }
        let escaped = match octet {
            ESC_END => Some(END),
            ESC_ESC => Some(ESC),
            _ => None,
        };
        match (self.next, escaped) {
            (Next::Noise, _) => (None, None),
            (Next::Number, _) if octet == ESC => {
                self.next = Next::EscapedNumber;
                (None, None)
            }
            (Next::Number, _) => (None, self.numbered(octet)),
            (Next::EscapedNumber, Some(number)) => (None, self.numbered(number)),
            (Next::EscapedNumber, None) => {
                self.next = Next::Noise;
                (None, None)
            }
            (Next::Octet, _) if octet == ESC => {
                self.next = Next::Escaped;
                (None, None)
            }
            (Next::Octet, _) => (Some(octet), None),
            (Next::Escaped, Some(octet)) => {
                self.next = Next::Octet;
                (Some(octet), None)
            }
            (Next::Escaped, None) => {
                self.end(); // SER-5
                (None, Some(Edge::Ended))
            }
        }
    }

    /// A connection with this number begins.
    fn numbered(&mut self, number: u8) -> Option<Edge> {
        if self.client {
            let mine = self.open && number == self.number;
            self.next = if mine { Next::Octet } else { Next::Noise };
            return None;
        }
        (self.number, self.open, self.next) = (number, true, Next::Octet);
        self.owe_beginning();
        Some(Edge::Began)
    }
}

/// An octet as it goes on the line, and how many octets that are.
const fn stuffed(octet: u8) -> ([u8; WIDEST], usize) {
    match octet {
        END => ([ESC, ESC_END], 2),
        ESC => ([ESC, ESC_ESC], 2),
        _ => ([octet, 0], 1),
    }
}
