//! Finding the values that match a filter, bit by bit.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::message::Pool;
use super::super::slab::NONE;
use super::Retained;
use super::tree::{ROOT, level, root_of};
use crate::topic;

/// How many nodes are looked at to list what matches; when that is not enough, there may be so
/// much of it that it is not listed.
const LISTED: usize = 16_384;
/// How many places one call looks at.
const PLACES: usize = 512;

/// The values that match a filter and were set before a point in time, one after the other.
///
/// Values that are replaced or cleared before it comes to them are left out: whoever subscribed
/// before that was sent what replaced them. The tree may change in any way meanwhile.
///
/// What can be found quickly is listed at the first call, as at most 64 KiB of numbers; for what
/// cannot, all topics are looked at in turn, some in each call.
#[derive(Debug)]
pub(in crate::hub) struct Walk {
    filter: Box<str>,
    /// Values with a higher number are not of it.
    serial: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    /// Places, the next one last.
    List(Vec<u32>),
    /// The next place of all.
    Scan(u32),
}

/// What a [`Walk`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum Walked {
    /// This value; the same again until [`advance`](Walk::advance) is called.
    Value(u32),
    /// Nothing yet: call again, after others.
    Later,
    /// There are no more.
    Done,
}

impl Walk {
    pub(super) fn new(filter: &str, serial: u64) -> Self {
        Self { filter: filter.into(), serial, state: State::New }
    }

    /// The same without a list.
    #[cfg(test)]
    pub(super) fn scanning(mut self) -> Self {
        self.state = State::Scan(0);
        self
    }

    /// The next value. The first call looks at 16,384 nodes at most, each later one at 512 topics.
    pub(in crate::hub) fn peek(&mut self, retained: &Retained, pool: &Pool) -> Walked {
        if let State::New = self.state {
            let mut list = Vec::new();
            let all = retained.list(pool, &self.filter, LISTED, &mut list);
            self.state = if all { State::List(list) } else { State::Scan(0) };
        }
        for _ in 0..PLACES {
            let slot = match &self.state {
                State::List(list) => list.last().copied(),
                State::Scan(at) => Some(*at).filter(|at| *at < retained.tree.end()),
                State::New => None,
            };
            let Some(slot) = slot else { return Walked::Done };
            if let Some(value) = self.value(retained, pool, slot) {
                return Walked::Value(value);
            }
            self.advance();
        }
        Walked::Later
    }

    /// Goes on to the next value.
    pub(in crate::hub) fn advance(&mut self) {
        match &mut self.state {
            State::New => {}
            State::List(list) => _ = list.pop(),
            State::Scan(at) => *at += 1,
        }
    }

    /// The value at a place, if it is of this walk.
    fn value(&self, retained: &Retained, pool: &Pool, slot: u32) -> Option<u32> {
        let value = retained.tree.value(slot);
        let is_old = value != NONE && retained.tree.serial(slot) <= self.serial;
        let is_listed = matches!(self.state, State::List(_));
        let matches = || topic::is_match(self.filter.as_bytes(), pool.get(value).topic_octets());
        (is_old && (is_listed || matches())).then_some(value)
    }
}

impl Retained {
    /// Appends the places of the values that match `filter` to `found`, in time of the part of the
    /// tree that it leads through; `false` when that has more than `most` nodes.
    pub(super) fn list(&self, pool: &Pool, filter: &str, most: usize, found: &mut Vec<u32>) -> bool {
        let exact = !filter.bytes().any(|b| b == b'+' || b == b'#');
        let filter = filter.as_bytes();
        if exact {
            found.extend(self.find(pool, self.hash(filter), filter));
            return true;
        }
        let is_wild = matches!(filter, [b'+' | b'#', ..]);
        let root = if is_wild { ROOT } else { root_of(filter) };
        let mut search = Search { retained: self, pool, filter, open: Vec::new(), found, left: most };
        search.open.push((root, 0));
        while let Some((node, at)) = search.open.pop() {
            if !search.step(node, at as usize) {
                return false;
            }
        }
        true
    }
}

/// A search through the tree.
struct Search<'a> {
    retained: &'a Retained,
    pool: &'a Pool,
    filter: &'a [u8],
    /// Nodes that match so far, and where the filter goes on for their children.
    open: Vec<(u32, u32)>,
    found: &'a mut Vec<u32>,
    /// How many nodes may still be looked at.
    left: usize,
}

impl Search<'_> {
    /// Looks at the children of a node; `false` when that is too much.
    fn step(&mut self, node: u32, at: usize) -> bool {
        let retained = self.retained;
        let tree = &retained.tree;
        match level(&self.filter[at..]) {
            b"#" => {
                let mut here = Some(node);
                while let Some(found) = here {
                    if tree.value(found) != NONE {
                        self.found.push(found);
                    }
                    here = tree.after(node, found);
                    if !self.spend() {
                        return false;
                    }
                }
                true
            }
            b"+" => tree.children(node).all(|child| self.arrive(child, at, at + 1)),
            name => match tree.child(self.pool, node, name) {
                Some(child) => self.arrive(child, at, at + name.len()),
                None => true,
            },
        }
    }

    /// A node matches the level of the filter from `at` to `end`; `false` when it is one too many.
    fn arrive(&mut self, node: u32, at: usize, end: usize) -> bool {
        let tree = &self.retained.tree;
        if tree.is_leaf(node) {
            // It stands for all its levels.
            if topic::levels_match(&self.filter[at..], tree.text(self.pool, node)) {
                self.found.push(node);
            }
        } else if end < self.filter.len() {
            self.open.push((node, end as u32 + 1));
        } else if tree.value(node) != NONE {
            self.found.push(node);
        }
        self.spend()
    }

    fn spend(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}
