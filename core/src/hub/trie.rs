//! The trie of filters with wildcards: finds all that match a topic in steps of the topic's depth.
//!
//! A node is 24 octets. Level names are stored once for all nodes; children are found in one hash
//! table for the whole trie, keyed by parent and level, so that a node with one child costs as
//! little as it can and one with a million is as quick.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use ahash::RandomState;
use hashbrown::HashTable;

use super::slab::{NONE, Slab};

const ROOT: u32 = 0;

#[derive(Debug)]
struct Node {
    parent: u32,
    /// The name of its level; `NONE` for the child that `+` leads to.
    level: u32,
    /// The child that `+` leads to.
    plus: u32,
    /// The filter that ends here.
    filter: u32,
    /// The filter that goes on with `#` and ends.
    below: u32,
    /// How many children have names.
    children: u32,
}

impl Default for Node {
    fn default() -> Self {
        Self { parent: NONE, level: NONE, plus: NONE, filter: NONE, below: NONE, children: 0 }
    }
}

/// Level names up to this long are kept within the table.
const SHORT: usize = 18;

/// A level's name and how many nodes have it.
#[derive(Debug)]
enum Level {
    Short { len: u8, text: [u8; SHORT], uses: u32 },
    Long { text: Box<[u8]>, uses: u32 },
}

impl Default for Level {
    fn default() -> Self {
        Self::Short { len: 0, text: [0; SHORT], uses: 0 }
    }
}

impl Level {
    fn new(name: &[u8]) -> Self {
        if name.len() > SHORT {
            return Self::Long { text: name.into(), uses: 0 };
        }
        let mut text = [0; SHORT];
        text[..name.len()].copy_from_slice(name);
        Self::Short { len: name.len() as u8, text, uses: 0 }
    }

    fn name(&self) -> &[u8] {
        match self {
            Self::Short { len, text, .. } => &text[..usize::from(*len)],
            Self::Long { text, .. } => text,
        }
    }

    fn uses(&mut self) -> &mut u32 {
        match self {
            Self::Short { uses, .. } | Self::Long { uses, .. } => uses,
        }
    }
}

/// Where in the trie a filter ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    node: u32,
    below: bool,
}

/// The trie; it maps filters to numbers that its owner chooses.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Slab<Node>,
    edges: HashTable<u32>,
    levels: Slab<Level>,
    names: HashTable<u32>,
    hasher: RandomState,
    /// The nodes that the levels so far lead to, and those of the next level.
    active: Vec<u32>,
    next: Vec<u32>,
}

impl Trie {
    pub(super) fn new(hasher: RandomState) -> Self {
        let mut nodes = Slab::default();
        nodes.insert(Node::default());
        Self {
            nodes,
            edges: HashTable::new(),
            levels: Slab::default(),
            names: HashTable::new(),
            hasher,
            active: Vec::new(),
            next: Vec::new(),
        }
    }

    /// Whether no filter is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.nodes[ROOT].below == NONE
    }

    /// The place where `filter` ends, made where it is new; [`set`](Self::set) must follow.
    pub(super) fn place(&mut self, filter: &str) -> Place {
        let mut node = ROOT;
        for name in filter.split('/') {
            match name {
                "#" => return Place { node, below: true },
                "+" => node = self.plus(node),
                name => {
                    let level = self.intern(name.as_bytes());
                    node = self.child(node, level).unwrap_or_else(|| self.add_child(node, level));
                }
            }
        }
        Place { node, below: false }
    }

    /// The number of the filter that ends at `place`, or `NONE`.
    pub(super) fn get(&self, place: Place) -> u32 {
        let node = &self.nodes[place.node];
        if place.below { node.below } else { node.filter }
    }

    /// The text of the filter that ends at `place`.
    pub(super) fn spell(&self, place: Place) -> String {
        let mut names = Vec::new();
        let mut at = place.node;
        while at != ROOT {
            let Node { parent, level, .. } = self.nodes[at];
            names.push(if level == NONE { &b"+"[..] } else { self.levels[level].name() });
            at = parent;
        }
        names.reverse();
        names.extend(place.below.then_some(&b"#"[..]));
        // Each part of a filter is text.
        String::from_utf8(names.join(&b'/')).unwrap_or_default()
    }

    /// Sets the number of the filter that ends at `place`.
    pub(super) fn set(&mut self, place: Place, filter: u32) {
        let node = &mut self.nodes[place.node];
        *(if place.below { &mut node.below } else { &mut node.filter }) = filter;
    }

    /// Removes the filter that ends at `place`, and the nodes that only it needed.
    pub(super) fn remove(&mut self, place: Place) {
        self.set(place, NONE);
        let mut at = place.node;
        while at != ROOT {
            let Node { parent, level, plus, filter, below, children } = self.nodes[at];
            if plus != NONE || filter != NONE || below != NONE || children > 0 {
                break;
            }
            if level == NONE {
                self.nodes[parent].plus = NONE;
            } else {
                let hash = self.hasher.hash_one((parent, level));
                if let Ok(edge) = self.edges.find_entry(hash, |n| *n == at) {
                    edge.remove();
                }
                self.nodes[parent].children -= 1;
                self.release(level);
            }
            self.nodes.remove(at);
            at = parent;
        }
    }

    /// Appends the numbers of all filters that match `topic` to `found`.
    ///
    /// Each level costs one look-up for its name and one for each node that is still in play, at
    /// most as many as there are filters.
    pub(super) fn matches(&mut self, topic: &[u8], found: &mut Vec<u32>) {
        let (mut active, mut next) = (core::mem::take(&mut self.active), core::mem::take(&mut self.next));
        active.clear();
        active.push(ROOT);
        // Wildcards in front do not match a topic that begins with `$`.
        let mut wild = topic.first() != Some(&b'$');
        for name in topic.split(|b| *b == b'/') {
            let level = self.find_level(name);
            next.clear();
            for at in &active {
                let node = &self.nodes[*at];
                if wild && node.below != NONE {
                    found.push(node.below);
                }
                if wild && node.plus != NONE {
                    next.push(node.plus);
                }
                if let Some(level) = level
                    && node.children > 0
                    && let Some(child) = self.child(*at, level)
                {
                    next.push(child);
                }
            }
            wild = true;
            core::mem::swap(&mut active, &mut next);
            if active.is_empty() {
                break;
            }
        }
        for at in &active {
            let node = &self.nodes[*at];
            found.extend([node.filter, node.below].into_iter().filter(|f| *f != NONE));
        }
        (self.active, self.next) = (active, next);
    }

    fn plus(&mut self, node: u32) -> u32 {
        if self.nodes[node].plus == NONE {
            self.nodes[node].plus = self.nodes.insert(Node { parent: node, ..Node::default() });
        }
        self.nodes[node].plus
    }

    fn child(&self, parent: u32, level: u32) -> Option<u32> {
        let hash = self.hasher.hash_one((parent, level));
        let nodes = &self.nodes;
        let is = |n: &u32| nodes[*n].parent == parent && nodes[*n].level == level;
        self.edges.find(hash, is).copied()
    }

    fn add_child(&mut self, parent: u32, level: u32) -> u32 {
        let child = self.nodes.insert(Node { parent, level, ..Node::default() });
        self.nodes[parent].children += 1;
        *self.levels[level].uses() += 1;
        let Self { nodes, edges, hasher, .. } = self;
        let hash = hasher.hash_one((parent, level));
        edges.insert_unique(hash, child, |n| hasher.hash_one((nodes[*n].parent, nodes[*n].level)));
        child
    }

    fn find_level(&self, name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.names.find(hash, |l| self.levels[*l].name() == name).copied()
    }

    fn intern(&mut self, name: &[u8]) -> u32 {
        if let Some(level) = self.find_level(name) {
            return level;
        }
        let level = self.levels.insert(Level::new(name));
        let Self { levels, names, hasher, .. } = self;
        names.insert_unique(hasher.hash_one(name), level, |l| hasher.hash_one(levels[*l].name()));
        level
    }

    fn release(&mut self, level: u32) {
        *self.levels[level].uses() -= 1;
        if *self.levels[level].uses() == 0 {
            let hash = self.hasher.hash_one(self.levels[level].name());
            if let Ok(name) = self.names.find_entry(hash, |l| *l == level) {
                name.remove();
            }
            self.levels.remove(level);
        }
    }

    /// Checks that an empty trie has given everything back.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.edges.len() > self.nodes.len() || self.names.len() != self.levels.len() {
            return Err("trie: edges or level names are left over");
        }
        if self.is_empty() && self.names.len() + self.edges.len() > 0 {
            return Err("trie: an empty trie keeps names or edges");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::string::String;
    use std::vec;
    use std::vec::Vec;

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "", "$s", "a-name-longer-than-18", "c"])
    }

    fn filter() -> impl Strategy<Value = String> {
        let inner = prop_oneof![2 => level(), 1 => Just("+")];
        (prop::collection::vec(inner, 1..5), prop::bool::weighted(0.3)).prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..6).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        /// The trie finds exactly what the plain rule finds, while filters come and go.
        #[test]
        fn it_agrees_with_the_plain_rule(
            steps in prop::collection::vec((filter(), name(), any::<bool>()), 1..60),
        ) {
            let mut trie = Trie::new(RandomState::with_seeds(1, 2, 3, 4));
            let mut naive: BTreeMap<String, (u32, Place)> = BTreeMap::new();
            for (i, (filter, name, remove)) in steps.into_iter().enumerate() {
                if let Some((_, place)) = naive.get(&filter).copied().filter(|_| remove) {
                    trie.remove(place);
                    naive.remove(&filter);
                } else {
                    let place = trie.place(&filter);
                    trie.set(place, i as u32);
                    naive.insert(filter, (i as u32, place));
                }
                let mut found = Vec::new();
                trie.matches(name.as_bytes(), &mut found);
                found.sort_unstable();
                let mut want: Vec<u32> =
                    naive.iter().filter(|(f, _)| topic::matches(f, &name)).map(|(_, n)| n.0).collect();
                want.sort_unstable();
                prop_assert_eq!(found, want, "{}", name);
            }
            for (_, place) in naive.into_values() {
                trie.remove(place);
            }
            prop_assert!(trie.is_empty() && trie.check().is_ok());
        }
    }
}
