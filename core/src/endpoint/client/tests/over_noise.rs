//! The stories again, with every line in the records of Noise: the session knows nothing of it. Left out are those
//! that look at how the transport itself is ended, or count the octets that go over it. Then what the secure mode
//! has of its own.

use core::cell::Cell;
use core::time::Duration;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::super::*;
use crate::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use crate::entropy::Seeded;
use crate::lifecycle::Transport;
use crate::secure::{Opening, Records, Rekey, SecretKey, ServerKeys, Step};

std::thread_local! {
    /// Whether lines of this thread's worlds are in the secure mode.
    static OVER_NOISE: Cell<bool> = const { Cell::new(false) };
}

/// Tells a story again, with every line in the secure mode.
fn over_noise<T>(story: impl FnOnce() -> T) -> T {
    OVER_NOISE.set(true);
    let told = story();
    OVER_NOISE.set(false);
    told
}

pub(super) fn is_told() -> bool {
    OVER_NOISE.get()
}

/// These settings, in the secure mode where that is told.
pub(super) fn secure(mut config: ClientConfig) -> ClientConfig {
    if is_told() && config.noise.is_none() {
        let server = ServerTrust::Keys(vec![server_key().public()]);
        config.noise = Some(quick(NoiseKeys::Static { own: None, server }));
    }
    config
}

/// Keys change all the time.
fn quick(keys: NoiseKeys) -> NoiseConfig {
    let mut noise = NoiseConfig::new(keys);
    noise.rekey = Rekey { octets: 300, every: Duration::from_secs(1) };
    noise
}

fn server_key() -> SecretKey {
    SecretKey::from_octets([7; 32])
}

/// The server's side of a line.
pub(in crate::endpoint) struct Side {
    keys: ServerKeys,
    opening: Option<Opening>,
    records: Option<Records>,
}

impl Default for Side {
    fn default() -> Self {
        let mut keys = ServerKeys::default();
        keys.own = Some(server_key());
        Self { keys, opening: Some(Opening::accept()), records: None }
    }
}

impl Side {
    pub(in crate::endpoint) fn decode(
        &mut self,
        received: &mut GrowingRecvBuf,
        to_send: &mut SharedSendBuf,
        within: &mut GrowingRecvBuf,
    ) {
        if let Some(opening) = &mut self.opening {
            match opening.recv(received, Some(&self.keys), &mut Seeded::new(9)) {
                Ok(Step::Done(opened)) => {
                    let rekey = Rekey { octets: 200, every: Duration::from_millis(300) };
                    self.records = Some(Records::new(opened, rekey));
                    self.opening = None;
                }
                Ok(_) => opening.poll_transmit(to_send),
                Err(fault) => {
                    opening.refuse(fault.refusal());
                    opening.poll_transmit(to_send);
                    self.opening = None;
                }
            }
        }
        let Some(records) = &mut self.records else { return };
        while records.recv(received).unwrap() {}
        let opened = records.opened();
        let n = opened.filled().len();
        assert_eq!(within.push(opened.take(n)), n);
    }

    pub(in crate::endpoint) fn encode(
        &mut self,
        now: Instant,
        owed: Transport,
        within: &mut SharedSendBuf,
        to_send: &mut SharedSendBuf,
    ) -> Transport {
        let Some(records) = &mut self.records else { return Transport::Open };
        let octets: Vec<u8> = within.slices().flatten().copied().collect();
        within.sent(octets.len());
        records.seal(now, to_send, |sealing| sealing.put(&octets));
        owed
    }
}

told_again!(over_noise);
