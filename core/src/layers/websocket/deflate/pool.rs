//! Compressors and their like, lent.

use alloc::vec::Vec;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::super::Fault;
use super::{Half, RATIO_FLOOR};

/// What ends each message, and is not sent (RFC 7692, section 7.2.1): an empty block that is not compressed,
/// but for its first bits.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Such a block as a whole. Whoever is between two blocks takes it and says nothing.
const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// The scratch memory that is kept from message to message, in octets.
const KEPT: usize = 256 << 10;

/// The settings of a [`Pool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many compressors there are at most, and how many inflaters: as many connections as go on where they
    /// stopped, without being reminded of what they sent.
    pub contexts: usize,
    /// How hard to compress, 1 (fast) to 9 (small).
    pub level: u8,
    /// From how many octets on a message is compressed.
    pub threshold: usize,
    /// The largest message that is inflated, in octets.
    pub max_message: usize,
    /// How many times as large a message may get when it is inflated, once it has 64 KiB.
    pub max_ratio: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { contexts: 16, level: 6, threshold: 512, max_message: 1 << 20, max_ratio: 100 }
    }
}

/// Where a context is in the pool, and who asks for it.
#[derive(Debug)]
pub(in super::super) struct Lease {
    /// Not 0, and nobody else's.
    id: u64,
    place: usize,
}

impl Lease {
    /// What is in the pool is not what both sides remember any more.
    pub(super) const fn forget(&mut self) {
        self.place = usize::MAX;
    }
}

/// A compressor, or an inflater.
#[derive(Debug)]
pub(super) struct Slot<T> {
    machine: T,
    /// Whose context it has; 0: nobody's.
    owner: u64,
    /// When it was used last, as a count of uses.
    used: u64,
    bits: u8,
}

/// Compressors, inflaters and the memory they work in, for all connections of a thread.
#[derive(Debug)]
pub struct Pool {
    pub(super) options: Options,
    pub(super) compressors: Vec<Slot<Compress>>,
    pub(super) inflaters: Vec<Slot<Decompress>>,
    leases: u64,
    uses: u64,
    compressed: Vec<u8>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Pool {
    /// Octets of memory that a compressor and an inflater take together, at most.
    pub const CONTEXT: usize = 448 << 10;

    /// A pool that has nothing yet.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self {
            options,
            compressors: Vec::new(),
            inflaters: Vec::new(),
            leases: 0,
            uses: 0,
            compressed: Vec::new(),
        }
    }

    /// Its settings.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    pub(super) const fn lease(&mut self) -> Lease {
        self.leases += 1;
        Lease { id: self.leases, place: usize::MAX }
    }

    /// `payload` compressed, without its tail; nothing where that does not make it smaller, which changes
    /// no context.
    pub(super) fn deflate(&mut self, half: &mut Half, payload: &[u8]) -> Option<&[u8]> {
        self.uses += 1;
        let (bits, level) = (half.bits, Compression::new(self.options.level.clamp(1, 9).into()));
        let make = || Compress::new_with_window_bits(level, false, bits);
        let (live, place) = find(&mut self.compressors, self.options.contexts, &half.lease, bits, make);
        let slot = &mut self.compressors[place];
        if !live {
            slot.machine.reset();
            let dictionary = half.dictionary();
            if !dictionary.is_empty() && slot.machine.set_dictionary(dictionary).is_err() {
                return None;
            }
        }
        if self.compressed.len() > KEPT {
            self.compressed = Vec::new();
        }
        // What has no room here is not smaller.
        let room = payload.len() + TAIL.len();
        if self.compressed.len() < room {
            self.compressed.resize(room, 0);
        }
        let (read, written) = (slot.machine.total_in(), slot.machine.total_out());
        let to = &mut self.compressed[..room];
        let status = slot.machine.compress(payload, to, FlushCompress::Sync);
        let read = (slot.machine.total_in() - read) as usize;
        let n = (slot.machine.total_out() - written) as usize;
        let whole = status.is_ok() && read == payload.len() && n < room && to[..n].ends_with(&TAIL);
        (slot.used, slot.owner) = (self.uses, 0);
        if !whole {
            return None;
        }
        if half.takeover {
            slot.owner = half.lease.id;
            half.lease.place = place;
            half.remember(payload);
        }
        Some(&self.compressed[..n - TAIL.len()])
    }

    /// Inflates `payload` to the front of `into`, and says how many octets it became.
    pub(super) fn inflate(
        &mut self,
        half: &mut Half,
        payload: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        self.uses += 1;
        if into.len() > KEPT {
            *into = Vec::new();
        }
        let make = || Decompress::new(false);
        let bits = super::MAX_WINDOW_BITS; // any smaller one is within
        let (live, place) = find(&mut self.inflaters, self.options.contexts, &half.lease, bits, make);
        let slot = &mut self.inflaters[place];
        (slot.used, slot.owner) = (self.uses, 0);
        let ratio = payload.len().saturating_mul(self.options.max_ratio as usize).max(RATIO_FLOOR);
        let mut inflating = Inflating {
            machine: &mut slot.machine,
            out: into,
            len: 0,
            limit: self.options.max_message.min(ratio),
        };
        if !live {
            inflating.start(half)?;
        }
        let inflated = inflating.run(half, payload).and_then(|()| inflating.run(half, &TAIL));
        let len = inflating.len;
        match inflated.and_then(|()| inflating.run(half, &EMPTY_BLOCK)) {
            Ok(()) if inflating.len == len => {}
            Err(Stop::Limit) if ratio < self.options.max_message => {
                return Err(Fault::DeflateRatio { limit: self.options.max_ratio });
            }
            Err(Stop::Limit) => {
                let limit = self.options.max_message as u64;
                return Err(Fault::TooBig { size: limit + 1, limit });
            }
            Ok(()) | Err(Stop::Data) => return Err(Fault::Deflate),
        }
        if half.takeover {
            slot.owner = half.lease.id;
            half.lease.place = place;
            half.remember(&into[..len]);
        }
        Ok(len)
    }
}

/// Why a message is not inflated to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Data,
    Limit,
}

impl From<Stop> for Fault {
    fn from(_: Stop) -> Self {
        Fault::Deflate
    }
}

/// A message that is being inflated.
struct Inflating<'p> {
    machine: &'p mut Decompress,
    out: &'p mut Vec<u8>,
    len: usize,
    limit: usize,
}

impl Inflating<'_> {
    /// Begins a stream, with what both sides remember.
    fn start(&mut self, half: &Half) -> Result<(), Stop> {
        self.machine.reset(false);
        let window = half.window();
        let here = &self.out[..self.len];
        let here = &here[here.len().saturating_sub(window)..];
        let before = half.dictionary();
        let before = &before[before.len().saturating_sub(window - here.len())..];
        for part in [before, here] {
            if !part.is_empty() && self.machine.set_dictionary(part).is_err() {
                return Err(Stop::Data);
            }
        }
        Ok(())
    }

    /// Inflates all of `input`, as far as the limit allows.
    fn run(&mut self, half: &Half, mut input: &[u8]) -> Result<(), Stop> {
        loop {
            self.grow();
            let (read, written) = (self.machine.total_in(), self.machine.total_out());
            let to = &mut self.out[self.len..];
            let room = to.len();
            let status = self.machine.decompress(input, to, FlushDecompress::Sync).map_err(|_| Stop::Data)?;
            let n = (self.machine.total_out() - written) as usize;
            let read = (self.machine.total_in() - read) as usize;
            self.len += n;
            input = &input[read..];
            if self.len > self.limit {
                return Err(Stop::Limit);
            }
            match status {
                // Section 7.2.3.4: a block may say that it is the last; another stream follows.
                Status::StreamEnd => self.start(half)?,
                _ if n == room => {} // there may be more
                _ if input.is_empty() => return Ok(()),
                _ if read == 0 && n == 0 => return Err(Stop::Data),
                _ => {}
            }
            if input.is_empty() && n < room {
                return Ok(());
            }
        }
    }

    /// Room for more: by doubling, and one octet more than is allowed at most.
    fn grow(&mut self) {
        if self.out.len() == self.len {
            let wanted = (self.len * 2).max(4096).min(self.limit + 1);
            self.out.resize(wanted.max(self.len + 1), 0);
        }
    }
}

/// The lease's own context, or the one that was not used for longest, or a new one; and whether it is
/// the lease's own.
fn find<T>(
    slots: &mut Vec<Slot<T>>,
    most: usize,
    lease: &Lease,
    bits: u8,
    make: impl FnOnce() -> T,
) -> (bool, usize) {
    if slots.get(lease.place).is_some_and(|slot| slot.owner == lease.id) {
        return (true, lease.place);
    }
    let free = slots.iter().position(|slot| slot.owner == 0 && slot.bits == bits);
    if let Some(place) = free {
        return (false, place);
    }
    if slots.len() < most.max(1) {
        slots.push(Slot { machine: make(), owner: 0, used: 0, bits });
        return (false, slots.len() - 1);
    }
    let oldest = slots.iter().enumerate().min_by_key(|(_, slot)| slot.used).map_or(0, |(place, _)| place);
    if slots[oldest].bits != bits {
        slots[oldest] = Slot { machine: make(), owner: 0, used: 0, bits };
    }
    (false, oldest)
}
