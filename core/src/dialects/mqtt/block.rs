//! Properties in memory of their own.

use alloc::vec::Vec;

use super::properties::Place;
use super::wire::{Count, Sink};
use super::{PacketType, Properties, Property, SendError};

/// Properties in memory of their own, checked when they are made: to keep, and to send later.
///
/// ```
/// use bowline_core::mqtt::{Property, PropertyBlock};
/// let block = PropertyBlock::of_message(&[Property::ContentType("text/plain")])?;
/// assert_eq!(block.get().iter().next(), Some(Property::ContentType("text/plain")));
/// // A will may be delayed, a message may not.
/// assert!(PropertyBlock::of_will(&[Property::WillDelay(5)]).is_ok());
/// assert!(PropertyBlock::of_message(&[Property::WillDelay(5)]).is_err());
/// # Ok::<(), bowline_core::mqtt::SendError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PropertyBlock {
    octets: Vec<u8>,
    /// A bit for each property.
    seen: u64,
}

impl PropertyBlock {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { octets: Vec::new(), seen: 0 }
    }

    /// Those of a message (§3.3.2.3).
    ///
    /// # Errors
    ///
    /// One that a message does not have, one twice, or a value that cannot be carried.
    pub fn of_message(list: &[Property<'_>]) -> Result<Self, SendError> {
        Self::make(Properties::list(list), Place::Packet(PacketType::Publish))
    }

    /// Those of a will (§3.1.3.2).
    ///
    /// # Errors
    ///
    /// As of a message.
    pub fn of_will(list: &[Property<'_>]) -> Result<Self, SendError> {
        Self::make(Properties::list(list), Place::Will)
    }

    /// Those of CONNECT (§3.1.2.11).
    ///
    /// # Errors
    ///
    /// As of a message.
    pub fn of_connect(list: &[Property<'_>]) -> Result<Self, SendError> {
        Self::make(Properties::list(list), Place::Packet(PacketType::Connect))
    }

    /// Those of SUBSCRIBE (§3.8.2.1).
    ///
    /// # Errors
    ///
    /// As of a message.
    pub fn of_subscribe(list: &[Property<'_>]) -> Result<Self, SendError> {
        Self::make(Properties::list(list), Place::Packet(PacketType::Subscribe))
    }

    /// A copy of those of a message.
    pub(crate) fn copy_of_message(properties: Properties<'_>) -> Result<Self, SendError> {
        Self::make(properties, Place::Packet(PacketType::Publish))
    }

    fn make(properties: Properties<'_>, place: Place) -> Result<Self, SendError> {
        let mut count = Count::default();
        properties.write_block(place, &mut count).map_err(SendError::Invalid)?;
        let size = count.finish()?;
        let mut octets = Octets(Vec::with_capacity(size));
        let seen = properties.write_block(place, &mut octets).map_err(SendError::Invalid)?;
        Ok(Self { octets: octets.0, seen })
    }

    /// To read or send them.
    #[must_use]
    pub fn get(&self) -> Properties<'_> {
        Properties::checked(&self.octets, self.seen)
    }

    /// How many octets they take.
    #[must_use]
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

impl core::fmt::Debug for PropertyBlock {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.get().fmt(f)
    }
}

/// Growing memory.
struct Octets(Vec<u8>);

impl Sink for Octets {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_refused_when_it_is_made() {
        let text = "a".repeat(65_536);
        assert!(PropertyBlock::of_message(&[Property::ContentType(&text)]).is_err(), "too long");
        assert!(PropertyBlock::of_message(&[Property::ContentType("a\0")]).is_err(), "U+0000");
        assert!(PropertyBlock::of_message(&[Property::TopicAlias(1), Property::TopicAlias(1)]).is_err());
        assert!(PropertyBlock::of_subscribe(&[Property::SubscriptionIdentifier(1)]).is_ok());
        assert!(PropertyBlock::of_connect(&[Property::AuthData(b"x")]).is_err(), "no method");
    }

    #[test]
    fn user_properties_keep_their_order() {
        let list = [Property::User("b", "2"), Property::User("a", "1"), Property::User("b", "3")];
        let block = PropertyBlock::of_message(&list).unwrap();
        assert!(block.get().iter().eq(list));
        assert_eq!(PropertyBlock::copy_of_message(block.get()), Ok(block));
    }
}
