//! A member over our own protocol: the client that everybody uses.

use std::time::Duration;

use bowline_core::endpoint::client::{
    Client, ClientConfig, ClientEvent, JoinOptions, Presence, PresenceMode, PublishId, RoomEvent, RoomId,
    RoomPlace, RoomPublish,
};
use bowline_core::entropy::Seeded;
use bowline_core::time::Instant;
use std::collections::BTreeMap;

use super::oracle::Told;
use super::plan::ROOM;
use crate::mutant::Mutant;

pub(super) struct Own {
    pub(super) machine: Client,
    room: Option<RoomId>,
    /// The last message that the application was told of.
    place: Option<RoomPlace>,
    pub(super) options: JoinOptions<'static>,
    sent: BTreeMap<PublishId, u64>,
    pub(super) mutant: Option<Mutant>,
}

impl Own {
    pub(super) fn new(now: Instant, seed: u64, expiry: Duration, options: JoinOptions<'static>) -> Self {
        let mut config = ClientConfig { expiry, ..ClientConfig::default() };
        config.session.limits.keepalive = Some(Duration::from_secs(10));
        config.backoff.cap = Duration::from_secs(2);
        config.backoff.stable_after = Duration::from_secs(1);
        let machine = Client::new(now, config, Box::new(Seeded::new(seed)));
        Self { machine, room: None, place: None, options, sent: BTreeMap::new(), mutant: None }
    }

    pub(super) fn join(&mut self, now: Instant) {
        if self.room.is_none() {
            let options = JoinOptions { since: self.place, ..self.options };
            self.room = self.machine.join(now, ROOM, &options).ok();
        }
    }

    pub(super) fn leave(&mut self, now: Instant) {
        if let Some(room) = self.room {
            let _ = self.machine.leave(now, room);
        }
    }

    pub(super) fn send(&mut self, now: Instant, number: u64, payload: String) -> bool {
        let Some(room) = self.room else { return false };
        match self.machine.send(now, room, RoomPublish::new(payload)) {
            Ok(id) => {
                self.sent.insert(id, number);
                true
            }
            Err(_) => false,
        }
    }

    pub(super) const fn is_in(&self) -> bool {
        self.room.is_some()
    }

    /// What the application is told.
    pub(super) fn take(&mut self, told: &mut Vec<Told>) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                ClientEvent::Room { event, .. } => self.on_room(event, told),
                ClientEvent::Accepted { publish } => {
                    if let Some(number) = self.sent.remove(&publish) {
                        told.push(Told::Accepted { number, place: None });
                    }
                }
                ClientEvent::Dropped { publish, .. }
                | ClientEvent::Refused { publish: Some(publish), .. } => {
                    told.extend(self.sent.remove(&publish).map(|number| Told::Refused { number }));
                }
                ClientEvent::Lost => told.push(Told::Lost),
                _ => {}
            }
        }
        if self.mutant == Some(Mutant::LoseHistory) {
            lose_history(told);
        }
    }

    fn on_room(&mut self, event: RoomEvent, told: &mut Vec<Told>) {
        let mut at = |place: RoomPlace| {
            self.place = Some(place);
            (place.epoch, place.offset)
        };
        match event {
            RoomEvent::Joined { place, recovered, member, .. } => {
                let place = if recovered { (place.epoch, place.offset) } else { at(place) };
                told.push(Told::Joined { place, recovered, member });
            }
            RoomEvent::Message(m) => {
                let number = number_of(&String::from_utf8_lossy(m.message.payload()));
                told.push(Told::Message { place: at(m.place), number, missed: m.missed });
            }
            RoomEvent::Sent { publish, place, missed, .. } => {
                // It may be accepted before or after.
                let number = self.sent.get(&publish).copied();
                let place = at(place);
                told.push(match number {
                    Some(number) => Told::Message { place, number, missed },
                    None => Told::Message { place, number: u64::MAX, missed },
                });
            }
            RoomEvent::Presence(Presence::Anew) => told.push(Told::Members(Vec::new())),
            RoomEvent::Presence(Presence::Here { member, .. }) => told.push(Told::Came(member)),
            RoomEvent::Presence(Presence::Gone { member }) => told.push(Told::Went(member)),
            RoomEvent::Ended { .. } => self.room = None,
            _ => {}
        }
    }
}

/// A fault on purpose: the last message that came before a client was in the room again vanishes.
pub(super) fn lose_history(told: &mut Vec<Told>) {
    let joined = told.iter().position(|t| matches!(t, Told::Joined { recovered: true, .. }));
    let Some(joined) = joined else { return };
    let behind = told[joined + 1..].iter().take_while(|t| matches!(t, Told::Message { .. })).count();
    if behind > 0 {
        told.remove(joined + behind);
    }
}

/// The number that a message carries, whoever sent it.
pub(super) fn number_of(payload: &str) -> u64 {
    let digits = payload.split_once("\"n\":").map_or("", |(_, rest)| rest);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(u64::MAX)
}

/// What a member watches, and reads back.
pub(super) fn options(history: u64, credit: Option<u64>) -> JoinOptions<'static> {
    JoinOptions { history, credit, presence: PresenceMode::Full, ..JoinOptions::default() }
}
