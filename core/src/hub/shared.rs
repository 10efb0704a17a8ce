//! Shared groups: each message goes to one member.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::subscriptions::Target;

/// How many members are asked for room before one without room is taken: it bounds the work of a
/// publish to a large group in which everyone is slow.
const PROBES: usize = 64;

/// A group of subscriptions with one filter that share its messages, or its requests.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) name: Box<str>,
    pub(super) filter: u32,
    pub(super) serve: bool,
    /// Where it is in its filter's list.
    pub(super) position: usize,
    /// Members, attached ones first.
    pub(super) members: Vec<Target>,
    /// How many of them are attached.
    pub(super) attached: usize,
    /// Whose turn it is.
    next: usize,
}

impl Group {
    pub(super) fn new(name: &str, filter: u32, serve: bool, position: usize) -> Self {
        Self { name: name.into(), filter, serve, position, ..Self::default() }
    }

    /// An attached member that is `free`, by turns; `first` if it is. So many are asked at most; the
    /// next call asks others.
    pub(super) fn pick_free(&mut self, first: Option<u32>, free: impl Fn(u32) -> bool) -> Option<Target> {
        if let Some(member) = first.and_then(|first| {
            let attached = self.members[..self.attached].iter().take(PROBES);
            attached.copied().find(|t| t.session() == first && free(first))
        }) {
            return Some(member);
        }
        for _ in 0..self.attached.min(PROBES) {
            let at = self.next % self.attached;
            self.next = at + 1;
            if free(self.members[at].session()) {
                return Some(self.members[at]);
            }
        }
        None
    }

    /// The member that gets the next message: by turns, an attached one that `has_room`; where
    /// none is found, an attached one; where none is attached, any. Only those that are `allowed`,
    /// and only attached ones if `attached_only`.
    pub(super) fn pick(
        &mut self,
        allowed: impl Fn(&Target) -> bool,
        attached_only: bool,
        has_room: impl Fn(u32) -> bool,
    ) -> Option<Target> {
        let turn = self.next;
        for i in 0..self.attached.min(PROBES) {
            let at = (turn + i) % self.attached;
            let member = self.members[at];
            if allowed(&member) && has_room(member.session()) {
                self.next = at + 1;
                return Some(member);
            }
        }
        let pool = if self.attached > 0 { &self.members[..self.attached] } else { &self.members[..] };
        let mut from_turn = (0..pool.len()).map(|i| (turn + i) % pool.len());
        if let Some(at) =
            from_turn.find(|at| allowed(&pool[*at])).filter(|_| !attached_only || self.attached > 0)
        {
            self.next = at + 1;
            return Some(pool[at]);
        }
        // None of the attached members may have it.
        let away = &self.members[self.attached..];
        away.iter().find(|t| allowed(t)).copied().filter(|_| !attached_only)
    }
}
