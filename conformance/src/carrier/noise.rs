//! The secure mode of our own protocol (SPEC §10), a client's side.

use std::io;
use std::time::Duration;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::secure::{Keys, Opening, PublicKey, Records, Rekey, SecretKey, Step};
use bowline_driver::{OsEntropy, clock};

use super::stream::Layer;

/// Octets of one record and of what waits to go out: more than any vector has.
const BUFFER: usize = 32 << 20;

/// Keys change after so many octets: often, so that vectors go on over that.
const REKEY: Rekey = Rekey { octets: 500, every: Duration::MAX };

pub(super) struct Noise {
    opening: Opening,
    /// Once it is open.
    records: Option<Records>,
    received: GrowingRecvBuf,
}

impl Noise {
    /// With a key of its own that nobody knows, to the server that has this one.
    pub(super) fn new(server: PublicKey) -> io::Result<Self> {
        let mut entropy = OsEntropy;
        let own = SecretKey::generate(&mut entropy);
        let keys = Keys::Ik { own: &own, remote: Some(server) };
        let opening = Opening::connect(&keys, &mut entropy).map_err(io::Error::other)?;
        Ok(Self { opening, records: None, received: GrowingRecvBuf::new(BUFFER) })
    }
}

fn drain(mut out: SharedSendBuf) -> Vec<u8> {
    let octets: Vec<u8> = out.slices().flatten().copied().collect();
    out.sent(octets.len());
    octets
}

impl Layer for Noise {
    fn open(&mut self, octets: &[u8], owed: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        if self.received.push(octets) < octets.len() {
            return Err(io::Error::other("a record is longer than any can be"));
        }
        if self.records.is_none() {
            let mut out = SharedSendBuf::new(BUFFER);
            match self.opening.recv(&mut self.received, None, &mut OsEntropy) {
                Err(fault) => return Err(io::Error::other(fault.to_string())),
                Ok(Step::Done(opened)) => self.records = Some(Records::new(opened, REKEY)),
                Ok(Step::Wait | Step::Judge(_)) => {}
            }
            self.opening.poll_transmit(&mut out);
            owed.extend(drain(out));
        }
        let Some(records) = &mut self.records else { return Ok(Vec::new()) };
        let mut within = Vec::new();
        while records.recv(&mut self.received).map_err(|fault| io::Error::other(fault.to_string()))? {
            let opened = records.opened();
            let n = opened.filled().len();
            within.extend_from_slice(opened.take(n));
        }
        records.rest();
        Ok(within)
    }

    fn wrap(&mut self, octets: &[u8]) -> Vec<u8> {
        let Some(records) = &mut self.records else { return octets.to_vec() };
        let mut out = SharedSendBuf::new(BUFFER);
        records.seal(clock::now(), &mut out, |sealing| sealing.put(octets));
        drain(out)
    }

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn is_open(&self) -> bool {
        self.records.is_some()
    }
}
