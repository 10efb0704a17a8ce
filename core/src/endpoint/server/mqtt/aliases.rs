//! Topic aliases towards a client (5.0 §3.3.2.3.4): numbers in place of topics that come again.
//!
//! A client that takes aliases gets them for topics of at least [`SHORTEST`] octets: an alias costs three
//! octets and a tenth or two of a delivery's work, and of a shorter topic it saves next to nothing. Each topic has one place where it may be,
//! so that it is found at once. There it is kept when the place is free, or when it came twice since the
//! topic that is there did: topics that come once do not drive out those that come often.
//!
//! All of it ends with the connection ([MQTT-3.3.2-7]): what is sent again over the next one is written
//! anew, with its topic.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::mqtt::{Outgoing, SendError};

/// A shorter topic gets no alias.
pub(super) const SHORTEST: usize = 16;

/// Nor does a longer one: what a connection keeps is its number of aliases times this, at most.
pub(super) const LONGEST: usize = 1024;

/// The aliases that a client knows. Takes memory with the first topic.
#[derive(Debug)]
pub(super) struct SentAliases {
    /// The alias is the place, counted from 1 ([MQTT-3.3.2-8]).
    places: Box<[Place]>,
}

#[derive(Clone, Debug, Default)]
struct Place {
    /// What the client knows; empty: nothing.
    topic: Box<[u8]>,
    /// The digest of another topic that came since.
    other: u32,
}

/// How to say a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Topic,
    /// With an alias, which is new.
    Both(u16),
    Alias(u16),
}

impl SentAliases {
    /// For aliases up to `most`, at least 1 ([MQTT-3.1.2-26]).
    pub(super) fn new(most: u16) -> Self {
        let mut places = Vec::new();
        places.resize(usize::from(most.max(1)), Place::default());
        Self { places: places.into() }
    }

    /// Sends `plain` with as little of its topic as the client needs.
    pub(super) fn send(
        &mut self,
        plain: &Outgoing<'_>,
        mut send: impl FnMut(&Outgoing<'_>) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        match self.choose(plain.topic) {
            Choice::Topic => send(plain),
            Choice::Alias(alias) => send(&Outgoing { topic: &[], topic_alias: Some(alias), ..*plain }),
            Choice::Both(alias) => match send(&Outgoing { topic_alias: Some(alias), ..*plain }) {
                Ok(()) => {
                    let place = &mut self.places[usize::from(alias) - 1];
                    *place = Place { topic: plain.topic.into(), other: 0 };
                    Ok(())
                }
                // It may just fit without.
                Err(SendError::TooLarge { .. }) => send(plain),
                Err(error) => Err(error),
            },
        }
    }

    fn choose(&mut self, topic: &[u8]) -> Choice {
        if !(SHORTEST..=LONGEST).contains(&topic.len()) {
            return Choice::Topic;
        }
        let digest = digest(topic);
        let at = ((u64::from(digest) * self.places.len() as u64) >> 32) as usize;
        let (place, alias) = (&mut self.places[at], at as u16 + 1);
        if *place.topic == *topic {
            place.other = 0;
            Choice::Alias(alias)
        } else if place.topic.is_empty() || place.other == digest {
            Choice::Both(alias)
        } else {
            place.other = digest;
            Choice::Topic
        }
    }
}

/// Never 0. Who makes topics share a place only keeps them from getting aliases.
fn digest(topic: &[u8]) -> u32 {
    let hash = topic.chunks(8).fold(topic.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    ((hash >> 32) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;
    use crate::error::Blocked;

    fn say(aliases: &mut SentAliases, topic: &str) -> (usize, Option<u16>) {
        let mut said = None;
        let sent = aliases.send(&Outgoing::new(topic.as_bytes(), b""), |outgoing| {
            said = Some((outgoing.topic.len(), outgoing.topic_alias));
            Ok(())
        });
        sent.unwrap();
        said.unwrap()
    }

    #[test]
    fn a_topic_that_comes_again_is_its_alias_alone() {
        let mut aliases = SentAliases::new(1);
        assert_eq!(say(&mut aliases, "plant/7/kiln/heat"), (17, Some(1)));
        assert_eq!(say(&mut aliases, "plant/7/kiln/heat"), (0, Some(1)));
        assert_eq!(say(&mut aliases, "plant/7"), (7, None), "too short");
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(say(&mut aliases, &long), (LONGEST + 1, None), "too long to keep");
    }

    #[test]
    fn what_comes_often_stays_and_what_is_gone_makes_room() {
        let mut aliases = SentAliases::new(1);
        say(&mut aliases, "often/often/often");
        for n in 0..100 {
            assert_eq!(say(&mut aliases, &format!("once/once/{n:07}")), (17, None));
            assert_eq!(say(&mut aliases, "often/often/often"), (0, Some(1)));
        }
        assert_eq!(say(&mut aliases, "then/then/then/then"), (19, None));
        assert_eq!(say(&mut aliases, "then/then/then/then"), (19, Some(1)), "set anew");
        assert_eq!(say(&mut aliases, "then/then/then/then"), (0, Some(1)));
        assert_eq!(say(&mut aliases, "often/often/often"), (17, None));
    }

    #[test]
    fn aliases_are_within_the_maximum() {
        for most in [1, 2, 16, u16::MAX] {
            let mut aliases = SentAliases::new(most);
            for n in 0..1000 {
                let (_, alias) = say(&mut aliases, &format!("some/longer/topic/{n}"));
                assert!(alias.is_none_or(|alias| (1..=most).contains(&alias)));
            }
        }
    }

    /// What was not sent set nothing.
    #[test]
    fn what_is_not_sent_is_not_known() {
        let mut aliases = SentAliases::new(1);
        let message = Outgoing::new(b"plant/7/kiln/heat", b"");
        let blocked = aliases.send(&message, |_| Err(SendError::Blocked(Blocked)));
        assert_eq!(blocked, Err(SendError::Blocked(Blocked)));
        let mut tries = std::vec![];
        let sent = aliases.send(&message, |outgoing| {
            tries.push(outgoing.topic_alias);
            if outgoing.topic_alias.is_some() {
                return Err(SendError::TooLarge { size: 20, limit: 18 });
            }
            Ok(())
        });
        assert_eq!((sent, &tries[..]), (Ok(()), &[Some(1), None][..]));
        assert_eq!(say(&mut aliases, "plant/7/kiln/heat"), (17, Some(1)));
    }
}
