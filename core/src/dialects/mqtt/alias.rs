//! Topic aliases (§3.3.2.3.4): numbers in place of topics, for one direction of one connection.
//!
//! The memory is the caller's, like buffers: a machine asks an [`Aliases`].

use core::num::NonZeroU16;

#[cfg(feature = "alloc")]
use alloc::{boxed::Box, vec::Vec};

/// Where the topics behind the aliases of one side are kept.
pub trait Aliases {
    /// The topic behind `alias`, where one was set.
    fn get(&self, alias: NonZeroU16) -> Option<&str>;

    /// Sets the topic behind `alias`; false if there is no room for it.
    fn set(&mut self, alias: NonZeroU16, topic: &str) -> bool;

    /// Whether [`set`](Aliases::set) would do it.
    fn fits(&self, alias: NonZeroU16, topic: &str) -> bool;

    /// Forgets all: for the next connection ([MQTT-3.3.2-7]).
    fn clear(&mut self);
}

/// No aliases: for a side that announces a topic alias maximum of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoAliases;

impl Aliases for NoAliases {
    fn get(&self, _: NonZeroU16) -> Option<&str> {
        None
    }

    fn set(&mut self, _: NonZeroU16, _: &str) -> bool {
        false
    }

    fn fits(&self, _: NonZeroU16, _: &str) -> bool {
        false
    }

    fn clear(&mut self) {}
}

/// Up to `COUNT` aliases of topics with at most `OCTETS` octets, without an allocator.
///
/// ```
/// use bowline_core::mqtt::{Aliases, FixedAliases};
/// use core::num::NonZeroU16;
/// let mut aliases = FixedAliases::<4, 32>::new();
/// let one = NonZeroU16::MIN;
/// assert!(aliases.set(one, "home/kitchen"));
/// assert_eq!(aliases.get(one), Some("home/kitchen"));
/// ```
#[derive(Clone, Debug)]
pub struct FixedAliases<const COUNT: usize, const OCTETS: usize> {
    topics: [[u8; OCTETS]; COUNT],
    /// 0: not set.
    lengths: [u16; COUNT],
}

impl<const COUNT: usize, const OCTETS: usize> FixedAliases<COUNT, OCTETS> {
    /// None is set.
    #[must_use]
    pub const fn new() -> Self {
        Self { topics: [[0; OCTETS]; COUNT], lengths: [0; COUNT] }
    }
}

impl<const COUNT: usize, const OCTETS: usize> Default for FixedAliases<COUNT, OCTETS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const COUNT: usize, const OCTETS: usize> Aliases for FixedAliases<COUNT, OCTETS> {
    fn get(&self, alias: NonZeroU16) -> Option<&str> {
        let at = usize::from(alias.get()) - 1;
        let len = usize::from(*self.lengths.get(at)?);
        let topic = self.topics.get(at)?.get(..len).filter(|topic| !topic.is_empty())?;
        core::str::from_utf8(topic).ok()
    }

    fn set(&mut self, alias: NonZeroU16, topic: &str) -> bool {
        let at = usize::from(alias.get()) - 1;
        let (Some(memory), Ok(len)) = (self.topics.get_mut(at), u16::try_from(topic.len())) else {
            return false;
        };
        let Some(memory) = memory.get_mut(..topic.len()) else { return false };
        memory.copy_from_slice(topic.as_bytes());
        self.lengths[at] = len;
        true
    }

    fn fits(&self, alias: NonZeroU16, topic: &str) -> bool {
        usize::from(alias.get()) <= COUNT && topic.len() <= OCTETS.min(u16::MAX.into())
    }

    fn clear(&mut self) {
        self.lengths = [0; COUNT];
    }
}

/// Aliases that own no memory until the peer sets one. What it may take is the peer's topic alias
/// maximum times the longest topic.
///
/// It takes 8 bytes, and none besides before it is used: few connections use any.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default)]
pub struct AliasTable {
    topics: Option<Box<Topics>>,
}

#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default)]
struct Topics(Vec<Option<Box<str>>>);

#[cfg(feature = "alloc")]
impl AliasTable {
    /// None is set.
    #[must_use]
    pub const fn new() -> Self {
        Self { topics: None }
    }
}

#[cfg(feature = "alloc")]
impl Aliases for AliasTable {
    #[inline]
    fn get(&self, alias: NonZeroU16) -> Option<&str> {
        self.topics.as_ref()?.0.get(usize::from(alias.get()) - 1)?.as_deref()
    }

    fn set(&mut self, alias: NonZeroU16, topic: &str) -> bool {
        let topics = &mut self.topics.get_or_insert_default().0;
        let at = usize::from(alias.get()) - 1;
        if topics.len() <= at {
            topics.resize(at + 1, None);
        }
        if topics[at].as_deref() != Some(topic) {
            topics[at] = Some(topic.into());
        }
        true
    }

    fn fits(&self, _: NonZeroU16, _: &str) -> bool {
        true
    }

    fn clear(&mut self) {
        self.topics = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u16) -> NonZeroU16 {
        NonZeroU16::new(n).unwrap()
    }

    fn behaves(aliases: &mut impl Aliases) {
        assert_eq!(aliases.get(number(2)), None);
        assert!(aliases.set(number(2), "a/b"));
        assert!(aliases.set(number(1), "c"));
        assert!(aliases.set(number(2), "é"));
        assert_eq!((aliases.get(number(1)), aliases.get(number(2))), (Some("c"), Some("é")));
        assert_eq!(aliases.get(number(3)), None);
    }

    #[test]
    fn tables_keep_what_was_set() {
        let mut fixed = FixedAliases::<3, 4>::new();
        behaves(&mut fixed);
        assert!(!fixed.set(number(1), "five5") && !fixed.set(number(4), "a"));
        assert_eq!(fixed.get(number(1)), Some("c"));
        fixed.clear();
        assert_eq!(fixed.get(number(1)), None);
        behaves(&mut AliasTable::new());
        assert!(!NoAliases.set(number(1), "a") && NoAliases.get(number(1)).is_none());
        assert_eq!(size_of::<AliasTable>(), 8);
    }
}
