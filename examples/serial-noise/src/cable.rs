//! A bad cable: it loses and changes octets when it is told to.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::tty::Tty;

/// What is done to the next octets, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// The octet at this place, as far as there are so many, does not arrive.
    Lose(usize),
    /// It arrives with one bit changed.
    Flip(usize),
    /// None of them arrives.
    Cut,
}

impl Harm {
    fn befall(self, octets: &mut Vec<u8>) {
        let last = octets.len() - 1;
        match self {
            Self::Lose(at) => drop(octets.remove(at.min(last))),
            Self::Flip(at) => octets[at.min(last)] ^= 0x40,
            Self::Cut => octets.clear(),
        }
    }
}

/// The harm that waits for the next octets of each direction: from the firmware, to it.
#[derive(Clone, Default)]
pub(crate) struct Harms(Arc<Mutex<[Option<Harm>; 2]>>);

impl Harms {
    /// Waits for octets in these directions.
    pub(crate) fn set(&self, up: Option<Harm>, down: Option<Harm>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = [up, down];
    }

    fn befall(&self, direction: usize, octets: &mut Vec<u8>) {
        if let Some(harm) = self.0.lock().unwrap_or_else(PoisonError::into_inner)[direction].take() {
            harm.befall(octets);
        }
    }
}

/// Carries octets between the firmware's end and the gateway's, until one of them has none any more.
pub(crate) async fn cable(mut firmware: Tty, mut gateway: DuplexStream, harms: Harms) -> io::Result<()> {
    let (mut up, mut down) = ([0; 256], [0; 256]);
    loop {
        let (n, direction) = tokio::select! {
            n = firmware.read(&mut up) => (n?, 0),
            n = gateway.read(&mut down) => (n?, 1),
        };
        if n == 0 {
            return Ok(());
        }
        let mut octets = [&up, &down][direction][..n].to_vec();
        harms.befall(direction, &mut octets);
        if direction == 0 {
            gateway.write_all(&octets).await?;
        } else {
            firmware.write_all(&octets).await?;
        }
    }
}
