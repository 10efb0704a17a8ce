//! Answers that have to wait: for the store, or for room.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Room for so many is kept.
const KEEP: usize = 64;

/// Answers in the order in which they are due: each goes out once the store has committed what it
/// acknowledges, and none before those that came before it. Without a store nothing is ever here
/// but what has no room.
#[derive(Debug)]
pub(super) struct Owed<A> {
    #[expect(clippy::box_collection, reason = "few connections owe any: 8 octets of each, not 32")]
    queue: Option<Box<VecDeque<(u64, A)>>>,
    /// The server wakes the connection at the next commit.
    waits: bool,
}

impl<A> Default for Owed<A> {
    fn default() -> Self {
        Self { queue: None, waits: false }
    }
}

impl<A> Owed<A> {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// What must be committed for all answers; 0: nothing.
    pub(super) fn last_commit(&self) -> u64 {
        self.queue.iter().flat_map(|queue| queue.iter()).map(|(commit, _)| *commit).max().unwrap_or(0)
    }

    /// Owes an answer once so many operations are committed, behind all others.
    pub(super) fn push(&mut self, commit: u64, answer: A) {
        self.queue.get_or_insert_default().push_back((commit, answer));
    }

    /// Puts out what is due, until `put` has no room. Says whether what is left waits for a commit
    /// of which the server has not been asked to tell.
    pub(super) fn flush(&mut self, commits: u64, mut put: impl FnMut(&A) -> bool) -> bool {
        let Some(queue) = &mut self.queue else { return false };
        while let Some((commit, answer)) = queue.front() {
            if *commit > commits {
                return !core::mem::replace(&mut self.waits, true);
            }
            if !put(answer) {
                return false;
            }
            queue.pop_front();
        }
        if queue.capacity() > KEEP {
            self.queue = None;
        }
        false
    }

    /// The store has committed more.
    pub(super) fn committed(&mut self) {
        self.waits = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn answers_wait_for_their_commit_and_for_those_before_them() {
        let mut owed = Owed::default();
        for (commit, answer) in [(3, 'a'), (0, 'b'), (5, 'c')] {
            owed.push(commit, answer);
        }
        let mut out = Vec::new();
        assert!(
            owed.flush(2, |a| {
                out.push(*a);
                true
            }),
            "wake me"
        );
        assert!(
            !owed.flush(2, |a| {
                out.push(*a);
                true
            }),
            "that was asked already"
        );
        owed.committed();
        assert!(owed.flush(3, |a| {
            out.push(*a);
            true
        }));
        assert_eq!(out, ['a', 'b']);
        owed.committed();
        assert!(!owed.flush(9, |_| false), "no room is no reason to be woken by the store");
        assert_eq!(owed.len(), 1);
        assert!(!owed.flush(9, |a| {
            out.push(*a);
            true
        }));
        assert!(owed.is_empty());
    }
}
