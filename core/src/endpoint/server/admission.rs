//! Who is let in: how many at a time from one network, how fast, and how many who have not shown yet what
//! they want.
//!
//! What is counted is bounded whatever strangers do: networks without connections are forgotten, at the
//! latest when there are too many, and connections in their order of arrival are a key each.

use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv6Addr};

use hashbrown::HashMap;

use super::{ConnectionKey, Peer};
use crate::flow::rate::Rate;
use crate::plugin::Rejection;
use crate::proxy;
use crate::time::Instant;

/// Networks of which only the rate is remembered, at most. Beyond that some are forgotten, and have their
/// full burst again.
const REMEMBERED: usize = 16_384;

/// What a connection is told that has shown nothing, when there are too many of those.
pub(super) const GIVES_WAY: &str =
    "too many connections have not said yet what they want, and this was the first";

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many as are allowed in all.
    #[error("there are {0} connections, as many as are allowed; raise max_connections to take more")]
    Connections(usize),
    /// As many as are allowed from one address.
    #[error("{0} has {1} connections, as many as one address may; raise max_per_address to take more")]
    Address(IpAddr, usize),
    /// More a second than one address may make.
    #[error("{0} makes more than {1} connections a second; raise connection_rate to take more")]
    Rate(IpAddr, u32),
    /// There is no such listener, or not any more.
    #[error("nobody listens there any more")]
    Listener,
    /// As many as are allowed at its listener.
    #[error(
        "there are {0} connections at this listener, as many as are allowed there; raise its connections to take more"
    )]
    ListenerFull(usize),
    /// Its listener does not take connections from its network.
    #[error("this listener takes no connections from there; add the network to its list to do so")]
    Network,
    /// The balancer that passes it on does not say whose it is.
    #[error(transparent)]
    Proxy(#[from] proxy::Fault),
    /// The server takes no new work.
    #[error("the server is draining")]
    Draining,
    /// A plugin does not want it.
    #[error("{}", .0.reason)]
    Plugin(Rejection),
}

/// How fast connections may come from one address; of IPv6, from one network of 64 bits, which is what
/// one customer gets.
///
/// ```
/// use bowline_core::endpoint::server::ConnectionRate;
/// let rate = ConnectionRate::default();
/// assert_eq!((rate.per_second, rate.burst), (50, 1000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionRate {
    /// Connections a second in the long run.
    pub per_second: u32,
    /// Connections at once.
    pub burst: u32,
}

impl Default for ConnectionRate {
    fn default() -> Self {
        Self { per_second: 50, burst: 1000 }
    }
}

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) per_network: usize,
    pub(super) rate: Option<ConnectionRate>,
}

/// Those who come from one network.
#[derive(Debug)]
struct Guests {
    connections: usize,
    rate: Option<Rate>,
}

#[derive(Debug, Default)]
pub(super) struct Admission {
    networks: HashMap<IpAddr, Guests>,
    /// Those who had not shown what they want when they were last looked at, in the order in which they
    /// came; some are gone, or have shown it meanwhile.
    strangers: VecDeque<ConnectionKey>,
    /// So many came since all of these were looked at.
    unlooked: usize,
}

/// What one customer's connections come from; nothing on this machine, which is not limited.
fn network(peer: &Peer) -> Option<IpAddr> {
    let address = peer.address.filter(|_| !peer.is_local())?;
    Some(match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    })
}

impl Admission {
    /// Counts a connection from there, if there may be one more.
    pub(super) fn admit(&mut self, now: Instant, peer: &Peer, limits: Limits) -> Result<(), Refused> {
        let (Some(network), Some(address)) = (network(peer), peer.address) else { return Ok(()) };
        if self.networks.len() >= REMEMBERED && !self.networks.contains_key(&network) {
            self.forget(now);
        }
        let guests = self.networks.entry(network).or_insert_with(|| Guests { connections: 0, rate: None });
        if let Some(ConnectionRate { per_second, burst }) = limits.rate {
            let rate = guests.rate.get_or_insert_with(|| Rate::new(now, per_second, burst));
            rate.try_take(now, 1).map_err(|_| Refused::Rate(address, per_second))?;
        }
        if guests.connections >= limits.per_network {
            return Err(Refused::Address(address, guests.connections));
        }
        guests.connections += 1;
        Ok(())
    }

    /// A connection from there is gone.
    pub(super) fn leave(&mut self, peer: &Peer) {
        let Some(network) = network(peer) else { return };
        let Some(guests) = self.networks.get_mut(&network) else { return };
        guests.connections -= 1;
        if guests.connections == 0 && guests.rate.is_none() {
            self.networks.remove(&network);
        }
    }

    /// Forgets networks of which only the rate is known: those that have their full burst again, and if
    /// these are few, all.
    fn forget(&mut self, now: Instant) {
        let idle = |guests: &Guests| guests.connections == 0;
        let before = self.networks.len();
        self.networks
            .retain(|_, guests| !(idle(guests) && guests.rate.as_ref().is_none_or(|rate| rate.is_full(now))));
        if self.networks.len() > before / 2 {
            self.networks.retain(|_, guests| !idle(guests));
        }
    }

    /// Counts a connection among those who have shown nothing yet. Where there are more of them than `most`,
    /// the one to close: who came first. `shows` says who has shown what it wants, or is gone.
    ///
    /// All are looked at only now and then, so that a flood costs little: of `most` a quarter may be others.
    pub(super) fn await_word(
        &mut self,
        key: ConnectionKey,
        most: usize,
        mut shows: impl FnMut(ConnectionKey) -> bool,
    ) -> Option<ConnectionKey> {
        while self.strangers.front().is_some_and(|&first| shows(first)) {
            self.strangers.pop_front();
        }
        self.unlooked += 1;
        if self.strangers.len() >= most && self.unlooked > most / 4 {
            self.strangers.retain(|&key| !shows(key));
            self.unlooked = 0;
        }
        let late = if self.strangers.len() >= most { self.strangers.pop_front() } else { None };
        self.strangers.push_back(key);
        late
    }
}

#[cfg(test)]
mod tests {
    use super::super::connections::ConnectionKey;
    use super::*;
    use std::vec::Vec;

    const AT: Instant = Instant::from_millis(1000);
    const LIMITS: Limits = Limits { per_network: 2, rate: Some(ConnectionRate { per_second: 1, burst: 3 }) };

    fn peer(address: &str) -> Peer {
        Peer::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn a_network_has_so_many_at_a_time_and_so_many_a_second() {
        let mut admission = Admission::default();
        let one = peer("192.0.2.1");
        assert_eq!(admission.admit(AT, &one, LIMITS), Ok(()));
        assert_eq!(admission.admit(AT, &one, LIMITS), Ok(()));
        let address = one.address.unwrap();
        assert_eq!(admission.admit(AT, &one, LIMITS), Err(Refused::Address(address, 2)));
        admission.leave(&one);
        // What was refused counted as well: who knocks too often is not heard.
        assert_eq!(admission.admit(AT, &one, LIMITS), Err(Refused::Rate(address, 1)));
        let later = AT + core::time::Duration::from_secs(1);
        assert_eq!(admission.admit(later, &one, LIMITS), Ok(()));
        assert_eq!(admission.admit(AT, &peer("192.0.2.2"), LIMITS), Ok(()), "another address");
    }

    #[test]
    fn of_ipv6_a_network_of_64_bits_counts_as_one() {
        let mut admission = Admission::default();
        assert_eq!(admission.admit(AT, &peer("2001:db8::1"), LIMITS), Ok(()));
        assert_eq!(admission.admit(AT, &peer("2001:db8::2"), LIMITS), Ok(()));
        assert!(matches!(admission.admit(AT, &peer("2001:db8::3"), LIMITS), Err(Refused::Address(..))));
        assert_eq!(admission.admit(AT, &peer("2001:db8:0:1::1"), LIMITS), Ok(()));
        // IPv4 in IPv6 is IPv4.
        for n in 0..2 {
            assert_eq!(admission.admit(AT, &peer(&std::format!("::ffff:192.0.2.{n}")), LIMITS), Ok(()));
        }
    }

    /// What comes too fast is refused, what comes from elsewhere is not, and the flood pays for itself alone.
    #[test]
    fn a_hundred_thousand_connections_a_minute_from_one_address() {
        let mut admission = Admission::default();
        let limits = Limits { per_network: 1000, rate: Some(ConnectionRate::default()) };
        let (flood, client) = (peer("192.0.2.1"), peer("192.0.2.2"));
        let mut taken = 0;
        for n in 0..100_000_u64 {
            let now = AT + core::time::Duration::from_micros(n * 600);
            if admission.admit(now, &flood, limits).is_ok() {
                taken += 1;
                admission.leave(&flood);
            }
            if n % 1000 == 0 {
                admission.admit(now, &client, limits).unwrap();
            }
        }
        assert_eq!(taken, 1000 + 50 * 60 - 1, "the burst, and fifty a second up to the last");
    }

    #[test]
    fn this_machine_is_not_limited() {
        let mut admission = Admission::default();
        for _ in 0..1000 {
            assert_eq!(admission.admit(AT, &peer("127.0.0.1"), LIMITS), Ok(()));
            assert_eq!(admission.admit(AT, &Peer::default(), LIMITS), Ok(()));
        }
        assert!(admission.networks.is_empty());
    }

    #[test]
    fn a_flood_from_everywhere_is_not_remembered_for_ever() {
        let mut admission = Admission::default();
        let stays = peer("192.0.2.1");
        admission.admit(AT, &stays, LIMITS).unwrap();
        for n in 0..100_000_u32 {
            let one = Peer::from(IpAddr::from(core::net::Ipv4Addr::from_bits(0x0b00_0000 + n)));
            admission.admit(AT, &one, LIMITS).unwrap();
            admission.leave(&one);
            assert!(admission.networks.len() <= REMEMBERED);
        }
        admission.admit(AT, &stays, LIMITS).unwrap();
        assert!(matches!(admission.admit(AT, &stays, LIMITS), Err(Refused::Address(_, 2))));
    }

    #[test]
    fn who_came_first_and_shows_nothing_gives_way() {
        let mut admission = Admission::default();
        let keys: Vec<_> = (0..8).map(ConnectionKey::of_index).collect();
        let nobody = |_| false;
        for key in &keys[..4] {
            assert_eq!(admission.await_word(*key, 4, nobody), None);
        }
        assert_eq!(admission.await_word(keys[4], 4, nobody), Some(keys[0]));
        // The second has said what it wants: the third is first now.
        let second = |key| key == keys[1];
        assert_eq!(admission.await_word(keys[5], 4, second), None);
        assert_eq!(admission.await_word(keys[6], 4, second), Some(keys[2]));
        assert_eq!(admission.await_word(keys[7], 4, |_| true), None, "all have");
        assert_eq!(admission.strangers.len(), 1);
    }
}
