//! Storage with stable indices, without a word of overhead per item.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// "No index".
pub(super) const NONE: u32 = u32::MAX;

/// Items at stable 32-bit indices; a freed place holds the default value and is used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

/// Room for so many more items in a table that may have millions: not for twice as many, as slack is
/// memory lost, but for a sixteenth. The system moves large blocks by their pages.
pub(crate) fn reserve<T>(items: &mut Vec<T>, more: usize) {
    if items.capacity() - items.len() < more {
        items.reserve_exact(more.max(items.len() / 16).max(8));
    }
}

impl<T: Default> Slab<T> {
    /// Stores `item` and returns its index.
    pub(super) fn insert(&mut self, item: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.items[index as usize] = item;
            return index;
        }
        reserve(&mut self.items, 1);
        self.items.push(item);
        (self.items.len() - 1) as u32
    }

    /// Stores what `make` makes of what was last in its place, and returns its index.
    pub(super) fn insert_with(&mut self, make: impl FnOnce(&T) -> T) -> u32 {
        let item = match self.free.last() {
            Some(index) => make(&self.items[*index as usize]),
            None => make(&T::default()),
        };
        self.insert(item)
    }

    /// Takes the item at `index` out, and frees its place.
    pub(super) fn remove(&mut self, index: u32) -> T {
        self.free.push(index);
        core::mem::take(&mut self.items[index as usize])
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }

    /// The item at `index`, which came from outside.
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.items.get(index as usize)
    }

    /// All places, to change.
    pub(super) fn items(&mut self) -> impl Iterator<Item = &mut T> {
        self.items.iter_mut()
    }

    /// All places, freed ones too (they hold the default value).
    pub(super) fn places(&self) -> impl ExactSizeIterator<Item = (u32, &T)> {
        self.items.iter().enumerate().map(|(i, item)| (i as u32, item))
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.items[index as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.items[index as usize]
    }
}
