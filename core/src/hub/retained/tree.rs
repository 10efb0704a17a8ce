//! The tree of topics that have a value, level by level.
//!
//! A topic has one node, however deep it is: a node that no other topic goes through stands for all
//! levels that follow. The levels that topics share are nodes of their own. A node is 40 octets and
//! holds no text: its level is read from the topic of a message below it. Children are found in one
//! hash table for the whole tree, and are linked to each other for wildcards.

use ahash::RandomState;
use hashbrown::HashTable;

use super::super::message::Pool;
use super::super::slab::{NONE, Slab};

/// Above all topics that begin with `$`, which wildcards in front do not match.
pub(super) const DOLLAR: u32 = 0;
/// Above all others.
pub(super) const ROOT: u32 = 1;

/// A node and the hash that it is found by, so that a growing table reads no node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) hash: u32,
    pub(super) node: u32,
}

impl Key {
    /// The hash as tables want it, with its bits at both ends.
    pub(super) const fn spread(hash: u32) -> u64 {
        (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[derive(Debug)]
pub(in crate::hub) struct Node {
    parent: u32,
    /// The message, or `NONE` where only others go through.
    value: u32,
    /// A node with a value from here downwards: where the level's text is found. Itself, if it has one.
    some: u32,
    /// The first child, and its siblings from one to the next.
    first: u32,
    next: u32,
    prev: u32,
    /// Where the level begins in the topic.
    at: u32,
    /// What it is found by in the table of edges.
    hash: u32,
    /// The number of the value; never that of another, even when the node is used again.
    serial: u64,
}

impl Default for Node {
    fn default() -> Self {
        let (value, some, first, next, prev) = (NONE, NONE, NONE, NONE, NONE);
        Self { parent: NONE, value, some, first, next, prev, at: 0, hash: 0, serial: 0 }
    }
}

/// The tree: from topics to values that its owner chooses.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Slab<Node>,
    edges: HashTable<Key>,
    hasher: RandomState,
}

impl Tree {
    pub(super) fn new(hasher: RandomState) -> Self {
        let mut nodes = Slab::default();
        nodes.insert(Node::default());
        nodes.insert(Node::default());
        Self { nodes, edges: HashTable::new(), hasher }
    }

    /// All places.
    pub(super) const fn nodes(&self) -> &Slab<Node> {
        &self.nodes
    }

    /// The value of a node; `NONE` where there is none, also no node.
    pub(super) fn value(&self, node: u32) -> u32 {
        self.nodes.get(node).map_or(NONE, |node| node.value)
    }

    /// The number of its value, or 0.
    pub(super) fn serial(&self, node: u32) -> u64 {
        self.nodes.get(node).map_or(0, |node| node.serial)
    }

    /// How many nodes there are or were: all are below.
    pub(super) fn end(&self) -> u32 {
        self.nodes.places().len() as u32
    }

    /// Gives a node that has a value another one of the same topic; says the old one.
    pub(super) fn set(&mut self, node: u32, value: u32, serial: u64) -> u32 {
        let node = &mut self.nodes[node];
        node.serial = serial;
        core::mem::replace(&mut node.value, value)
    }

    /// Adds a topic that is not there, and says its node, which is its own until it is removed.
    pub(super) fn insert(&mut self, pool: &Pool, topic: &[u8], value: u32, serial: u64) -> u32 {
        let (mut node, mut at) = (root_of(topic), 0);
        loop {
            let name = level(&topic[at..]);
            let hash = self.hash(node, name);
            let Some(mut child) = self.find(pool, node, hash, name) else {
                let leaf = self.nodes.insert(Node::default());
                self.link(leaf, node, at as u32, hash);
                self.hold(leaf, value, serial);
                return leaf;
            };
            at += name.len() + 1;
            if self.is_leaf(child) && self.text(pool, child).len() > name.len() {
                child = self.split(pool, child, at);
            }
            if at > topic.len() {
                self.hold(child, value, serial);
                return child;
            }
            node = child;
        }
    }

    /// Removes the topic of a node that has a value, and the nodes that are not needed without it.
    pub(super) fn remove(&mut self, slot: u32) {
        let removed = &mut self.nodes[slot];
        (removed.value, removed.serial) = (NONE, 0);
        let mut at = slot;
        if self.is_leaf(slot) {
            at = self.nodes[slot].parent;
            self.unlink(slot);
            self.nodes.remove(slot);
        }
        while at > ROOT {
            let Node { parent, value, some, first, .. } = self.nodes[at];
            if value == NONE && self.is_leaf(first) && self.nodes[first].next == NONE {
                // One topic goes through: its node stands for this level too.
                self.unlink(first);
                self.replace(at, first);
                self.nodes.remove(at);
            } else if some == slot {
                self.nodes[at].some = self.nodes[first].some;
            }
            at = parent;
        }
    }

    /// Whether no other topic goes through the node, so that it stands for all levels that follow.
    pub(super) fn is_leaf(&self, node: u32) -> bool {
        self.nodes[node].first == NONE
    }

    /// A topic that goes through the node, from its level on; in a leaf there is no other.
    pub(super) fn text<'a>(&self, pool: &'a Pool, node: u32) -> &'a [u8] {
        let Node { some, at, .. } = self.nodes[node];
        &pool.get(self.nodes[some].value).topic_octets()[at as usize..]
    }

    /// The child with this name.
    pub(super) fn child(&self, pool: &Pool, parent: u32, name: &[u8]) -> Option<u32> {
        self.find(pool, parent, self.hash(parent, name), name)
    }

    pub(super) fn children(&self, parent: u32) -> impl Iterator<Item = u32> {
        let some = |node: u32| Some(node).filter(|node| *node != NONE);
        core::iter::successors(some(self.nodes[parent].first), move |node| some(self.nodes[*node].next))
    }

    /// What comes after `node` in the tree below `top`: parents before children.
    pub(super) fn after(&self, top: u32, node: u32) -> Option<u32> {
        let Node { first, .. } = self.nodes[node];
        if first != NONE {
            return Some(first);
        }
        let mut node = node;
        while node != top {
            let Node { next, parent, .. } = self.nodes[node];
            if next != NONE {
                return Some(next);
            }
            node = parent;
        }
        None
    }

    fn hold(&mut self, node: u32, value: u32, serial: u64) {
        let n = &mut self.nodes[node];
        (n.value, n.serial, n.some) = (value, serial, node);
    }

    /// Puts a node in a leaf's place and the leaf below it: its next level begins at `below`.
    fn split(&mut self, pool: &Pool, leaf: u32, below: usize) -> u32 {
        let topic = pool.get(self.nodes[leaf].value).topic_octets();
        let shared = self.nodes.insert(Node { some: leaf, ..Node::default() });
        self.replace(leaf, shared);
        let hash = self.hash(shared, level(&topic[below..]));
        self.link(leaf, shared, below as u32, hash);
        shared
    }

    /// Puts a node below another.
    fn link(&mut self, node: u32, parent: u32, at: u32, hash: u32) {
        let next = core::mem::replace(&mut self.nodes[parent].first, node);
        if next != NONE {
            self.nodes[next].prev = node;
        }
        let n = &mut self.nodes[node];
        (n.parent, n.at, n.hash, n.next, n.prev) = (parent, at, hash, next, NONE);
        self.edges.insert_unique(Key::spread(hash), Key { hash, node }, |k| Key::spread(k.hash));
    }

    /// Takes a node away from its parent.
    fn unlink(&mut self, node: u32) {
        let Node { parent, next, prev, hash, .. } = self.nodes[node];
        if let Ok(edge) = self.edges.find_entry(Key::spread(hash), |k| k.node == node) {
            edge.remove();
        }
        self.join(parent, prev, next);
        if next != NONE {
            self.nodes[next].prev = prev;
        }
    }

    /// Puts a node that is linked nowhere in the place of another.
    fn replace(&mut self, old: u32, new: u32) {
        let Node { parent, next, prev, at, hash, .. } = self.nodes[old];
        if let Some(edge) = self.edges.find_mut(Key::spread(hash), |k| k.node == old) {
            edge.node = new;
        }
        let n = &mut self.nodes[new];
        (n.parent, n.next, n.prev, n.at, n.hash) = (parent, next, prev, at, hash);
        self.join(parent, prev, new);
        if next != NONE {
            self.nodes[next].prev = new;
        }
    }

    /// Lets `next` follow `prev`, or be the first.
    fn join(&mut self, parent: u32, prev: u32, next: u32) {
        if prev == NONE {
            self.nodes[parent].first = next;
        } else {
            self.nodes[prev].next = next;
        }
    }

    fn find(&self, pool: &Pool, parent: u32, hash: u32, name: &[u8]) -> Option<u32> {
        let is = |k: &Key| {
            k.hash == hash
                && self.nodes[k.node].parent == parent
                && self
                    .text(pool, k.node)
                    .strip_prefix(name)
                    .is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        self.edges.find(Key::spread(hash), is).map(|key| key.node)
    }

    fn hash(&self, parent: u32, name: &[u8]) -> u32 {
        self.hasher.hash_one((parent, name)) as u32
    }

    /// Checks the tree, which has so many topics.
    pub(super) fn check(&self, pool: &Pool, topics: usize) -> Result<(), &'static str> {
        let (mut nodes, mut values) = (0, 0);
        for top in [DOLLAR, ROOT] {
            let mut at = top;
            while let Some(node) = self.after(top, at) {
                nodes += 1;
                values += usize::from(self.nodes[node].value != NONE);
                self.check_node(pool, node)?;
                at = node;
            }
        }
        if values != topics || nodes + 2 != self.nodes.len() || nodes != self.edges.len() {
            return Err("retained: lost count of topics, nodes or edges");
        }
        Ok(())
    }

    fn check_node(&self, pool: &Pool, node: u32) -> Result<(), &'static str> {
        let Node { parent, value, some, first, serial, .. } = self.nodes[node];
        let only = first != NONE && self.nodes[first].next == NONE;
        if value == NONE && (first == NONE || only && self.is_leaf(first)) {
            return Err("retained: a node is not needed");
        }
        if (value == NONE) != (serial == 0) || (value != NONE && some != node) {
            return Err("retained: a node's value and its number do not agree");
        }
        if self.value(some) == NONE {
            return Err("retained: a node's text is gone");
        }
        if self.child(pool, parent, level(self.text(pool, node))) != Some(node) {
            return Err("retained: a node is not found");
        }
        Ok(())
    }
}

/// The first level of what is left of a topic or filter.
pub(super) fn level(rest: &[u8]) -> &[u8] {
    memchr::memchr(b'/', rest).map_or(rest, |end| &rest[..end])
}

/// What a topic, or a filter without a wildcard in front, is below.
pub(super) fn root_of(topic: &[u8]) -> u32 {
    if topic.first() == Some(&b'$') { DOLLAR } else { ROOT }
}
