//! From a topic to the filters that match it.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::HashTable;

use super::slab::{NONE, Slab};
use super::trie::{Place, Trie};
use crate::topic::Filter;

/// Places of the cache; a topic may be in one of two. 48 octets each, and what they hold.
const CACHE: usize = 4096;
/// Longer topics are not remembered, so that the cache is bounded.
const CACHE_TOPIC: usize = 256;
/// Matches with more filters are not remembered.
const CACHE_FILTERS: usize = 64;

/// Where a filter is kept.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// It has no wildcard.
    Exact(u32),
    /// It has one.
    Wild(Place),
}

#[derive(Debug, Default)]
struct Exact {
    text: Box<str>,
    filter: u32,
}

#[derive(Debug, Default)]
struct Cached {
    hash: u64,
    /// The state of the filters that this was found in.
    generation: u64,
    topic: Box<[u8]>,
    filters: Vec<u32>,
}

/// All filters: those without a wildcard by their hash, the others in the trie, and what was found
/// of late, which holds as long as no filter comes or goes.
#[derive(Debug)]
pub(super) struct Matcher {
    trie: Trie,
    exact: HashTable<u32>,
    texts: Slab<Exact>,
    hasher: RandomState,
    generation: u64,
    cache: Vec<Cached>,
    found: Vec<u32>,
}

impl Matcher {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            trie: Trie::new(hasher.clone()),
            exact: HashTable::new(),
            texts: Slab::default(),
            hasher,
            generation: 1,
            cache: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The place of `filter`, and its number, or `NONE` where it is new; [`set`](Self::set) must
    /// follow then.
    pub(super) fn place(&mut self, filter: &Filter<'_>) -> (At, u32) {
        if !filter.is_exact() {
            let place = self.trie.place(filter.filter);
            return (At::Wild(place), self.trie.get(place));
        }
        let hash = self.hasher.hash_one(filter.filter.as_bytes());
        if let Some(at) = self.find_exact(hash, filter.filter.as_bytes()) {
            return (At::Exact(at), self.texts[at].filter);
        }
        let at = self.texts.insert(Exact { text: filter.filter.into(), filter: NONE });
        let Self { exact, texts, hasher, .. } = self;
        exact.insert_unique(hash, at, |i| hasher.hash_one(texts[*i].text.as_bytes()));
        (At::Exact(at), NONE)
    }

    /// Gives a new filter its number.
    pub(super) fn set(&mut self, at: At, filter: u32) {
        self.generation += 1;
        match at {
            At::Exact(i) => self.texts[i].filter = filter,
            At::Wild(place) => self.trie.set(place, filter),
        }
    }

    /// Forgets a filter.
    pub(super) fn remove(&mut self, at: At) {
        self.generation += 1;
        match at {
            At::Wild(place) => self.trie.remove(place),
            At::Exact(i) => {
                let hash = self.hasher.hash_one(self.texts[i].text.as_bytes());
                if let Ok(entry) = self.exact.find_entry(hash, |e| *e == i) {
                    entry.remove();
                }
                self.texts.remove(i);
            }
        }
    }

    /// The numbers of all filters that match `topic`.
    pub(super) fn find(&mut self, topic: &[u8]) -> &[u32] {
        let hash = self.hasher.hash_one(topic);
        if self.trie.is_empty() {
            self.found.clear();
            self.found.extend(self.find_exact(hash, topic).map(|i| self.texts[i].filter));
            return &self.found;
        }
        if self.cache.is_empty() {
            self.cache.resize_with(CACHE, Cached::default);
        }
        let first = hash as usize & (CACHE - 1);
        for place in [first, first ^ 1] {
            let cached = &self.cache[place];
            if cached.generation == self.generation && cached.hash == hash && *cached.topic == *topic {
                return &self.cache[place].filters;
            }
        }
        self.found.clear();
        self.found.extend(self.find_exact(hash, topic).map(|i| self.texts[i].filter));
        self.trie.matches(topic, &mut self.found);
        if topic.len() <= CACHE_TOPIC && self.found.len() <= CACHE_FILTERS {
            self.remember(hash, topic, first);
        }
        &self.found
    }

    /// Remembers what was found: where something outdated is, or in the place whose turn it is.
    fn remember(&mut self, hash: u64, topic: &[u8], first: usize) {
        let outdated = |place: &usize| self.cache[*place].generation != self.generation;
        let place = [first, first ^ 1].into_iter().find(outdated).unwrap_or(first ^ (hash >> 63) as usize);
        let cached = &mut self.cache[place];
        (cached.hash, cached.generation) = (hash, self.generation);
        if *cached.topic != *topic {
            cached.topic = topic.into();
        }
        cached.filters.clear();
        cached.filters.extend_from_slice(&self.found);
    }

    /// The number of this filter, which has no wildcards.
    pub(super) fn exact(&self, filter: &[u8]) -> Option<u32> {
        let at = self.find_exact(self.hasher.hash_one(filter), filter)?;
        Some(self.texts[at].filter).filter(|filter| *filter != NONE)
    }

    /// The text of a filter without wildcards.
    pub(super) fn text(&self, at: At) -> Option<&str> {
        match at {
            At::Exact(i) => Some(&self.texts[i].text),
            At::Wild(_) => None,
        }
    }

    /// The text of any filter.
    pub(super) fn spell(&self, at: At) -> Cow<'_, str> {
        match at {
            At::Exact(i) => Cow::Borrowed(&self.texts[i].text),
            At::Wild(place) => Cow::Owned(self.trie.spell(place)),
        }
    }

    fn find_exact(&self, hash: u64, topic: &[u8]) -> Option<u32> {
        self.exact.find(hash, |i| self.texts[*i].text.as_bytes() == topic).copied()
    }

    /// Checks the tables against each other.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.exact.len() != self.texts.len() {
            return Err("matcher: exact filters and their texts differ");
        }
        self.trie.check()
    }
}
