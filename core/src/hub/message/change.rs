//! The same message with something else in it: a copy, for who may change what passes.

use alloc::vec::Vec;
use core::time::Duration;

use super::Message;
use crate::session::{Block, Properties, Property};
use crate::time::Instant;
use crate::topic::{TopicError, validate_topic};

impl Message {
    /// The same message on another topic.
    ///
    /// # Errors
    ///
    /// That is no topic name.
    pub fn with_topic(self, topic: &str) -> Result<Self, TopicError> {
        validate_topic(topic)?;
        let own = Properties::of_body(self.props());
        let made = Self::put_together(Block(own.iter()), Some(topic), self.payload());
        Ok(self.replaced_by(made))
    }

    /// The same message with another payload.
    #[must_use]
    pub fn with_payload(self, payload: &[u8]) -> Self {
        let own = Properties::of_body(self.props());
        let made = Self::put_together(Block(own.iter()), self.name(), payload);
        self.replaced_by(made)
    }

    /// The same message with one more user property, behind those that it has. One of 64 KiB and more
    /// cannot be said: then it stays as it is.
    #[must_use]
    pub fn with_user_property(self, name: &str, value: &str) -> Self {
        if name.len() > crate::session::TEXT_MAX || value.len() > crate::session::TEXT_MAX {
            return self;
        }
        let one = Property::User(name, value);
        let own = Properties::of_body(self.props());
        let mut list: Vec<_> = own.iter().collect();
        let at = list.partition_point(|property| property.id() <= one.id());
        list.insert(at, one);
        let made = Self::put_together(Block(list.into_iter()), self.name(), self.payload());
        self.replaced_by(made)
    }

    /// The same message, which is worth handing on for so long from `now` at most: a shorter time that it
    /// has stays.
    #[must_use]
    pub fn with_lifetime(self, now: Instant, lifetime: Duration) -> Self {
        let at = now + lifetime;
        if self.expires().is_some_and(|own| own <= at) {
            return self;
        }
        let one = Property::Expiry(lifetime);
        let own = Properties::of_body(self.props());
        let mut list: Vec<_> = own.iter().filter(|property| property.id() != one.id()).collect();
        let place = list.partition_point(|property| property.id() < one.id());
        list.insert(place, one);
        let made = Self::put_together(Block(list.into_iter()), self.name(), self.payload());
        self.replaced_by(made).with_expiry(at)
    }

    /// Its topic; nothing of a response.
    fn name(&self) -> Option<&str> {
        Some(self.topic()).filter(|topic| !topic.is_empty())
    }

    /// What was made of it, handed on as it was to be; what would be too large leaves it as it is.
    fn replaced_by(self, made: Option<Self>) -> Self {
        let Self { expires, quality, retain, .. } = self;
        match made {
            Some(made) => Self { expires, quality, retain, ..made },
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Quality;
    use crate::trace::TraceContext;

    const NOW: Instant = Instant::from_millis(1000);

    fn properties(m: &Message) -> Vec<Property<'_>> {
        Properties::of_body(m.props()).iter().collect()
    }

    #[test]
    fn one_thing_changes_and_all_else_stays() {
        let trace = TraceContext::from_bytes([7; 25]);
        let m = Message::new("a/b", b"hi").unwrap().with_quality(Quality::ExactlyOnce).with_retain(true);
        let m = m.with_trace(&trace).with_user_property("k", "1").with_lifetime(NOW, Duration::from_secs(5));
        let moved = m.clone().with_topic("c").unwrap();
        assert_eq!((moved.topic(), moved.payload(), moved.props()), ("c", m.payload(), m.props()));
        let other = moved.with_payload(b"").with_user_property("k", "2");
        assert_eq!((other.topic(), other.payload(), other.is_retain()), ("c", &b""[..], true));
        assert_eq!((other.quality(), other.expires()), (Quality::ExactlyOnce, m.expires()));
        assert_eq!(
            properties(&other),
            [
                Property::Trace(&[7; 25]),
                Property::Expiry(Duration::from_secs(5)),
                Property::User("k", "1"),
                Property::User("k", "2")
            ]
        );
        assert!(m.clone().with_topic("a/#").is_err());
        assert!(Message::response("x").with_payload(b"y").topic().is_empty());
    }

    #[test]
    fn a_lifetime_only_gets_shorter() {
        let m = Message::new("a", b"").unwrap().with_lifetime(NOW, Duration::from_secs(9));
        assert_eq!(m.expires(), Some(Instant::from_millis(10_000)));
        let longer = m.clone().with_lifetime(NOW, Duration::from_secs(60));
        assert_eq!(longer, m);
        let shorter = m.with_lifetime(NOW, Duration::from_secs(2));
        assert_eq!(shorter.expires(), Some(Instant::from_millis(3000)));
        assert_eq!(properties(&shorter), [Property::Expiry(Duration::from_secs(2))]);
        assert_eq!(shorter.clone().with_user_property(&"x".repeat(70_000), ""), shorter);
    }
}
