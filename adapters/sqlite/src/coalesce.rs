//! What is left of a batch when all that it undoes itself is taken out.
//!
//! Most messages to a session that is connected are queued, sent and acknowledged within a few
//! milliseconds, so most of a busy server's batches undo themselves: this is what makes a store fast.

use bowline_core::hub::Operation;
use hashbrown::{HashMap, HashSet};

/// What an operation is about, where a later one of the same batch makes it void.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Subject<'a> {
    Changed(u64),
    Will(u64),
    Subscription(u64, u64),
    Sent(u64),
    Received(u64, u16),
    Retained(&'a str),
    Queue(&'a str),
    Task(&'a str, u64),
}

/// What comes later in the batch than the operation that is looked at.
#[derive(Default)]
struct Later<'a> {
    /// Where these things are removed.
    messages: HashMap<u64, usize>,
    deliveries: HashMap<(u64, u32), usize>,
    sessions: HashMap<u64, usize>,
    /// Queues that are removed: whatever was in them is gone.
    queues: HashSet<&'a str>,
    /// Where histories begin at the end.
    histories: HashMap<&'a str, u64>,
    /// The next operation about this, and whether it undoes the beginning of what it is about.
    next: HashMap<Subject<'a>, (usize, bool)>,
}

/// What becomes of an operation.
enum Fate {
    Kept,
    /// A later one makes it void.
    Void,
    /// It and the later one at this index undo each other.
    Undone(usize),
}

/// The operations of `batch` that are left to carry out, in their order: they lead from where the
/// batch begins to where all of it leads, given that a hub issued it.
///
/// Carrying them out again leads there too, so a batch may be repeated when its commit's outcome is not
/// known. Takes time in proportion to the batch.
///
/// ```
/// use bowline_core::hub::{Message, Operation};
/// use bowline_sqlite::coalesce::coalesce;
/// let batch = [
///     Operation::MessageAdded { message: 1, content: Message::new("a", b"b").unwrap() },
///     Operation::Retained { message: 1, topic: "a".into() },
///     Operation::RetainedRemoved { topic: "a".into() },
///     Operation::MessageRemoved { message: 1 },
/// ];
/// assert_eq!(coalesce(&batch), [&batch[2]], "there may have been an earlier one");
/// ```
#[must_use]
pub fn coalesce(batch: &[Operation]) -> Vec<&Operation> {
    if let [single] = batch {
        return vec![single];
    }
    let mut later = Later::default();
    let mut kept = vec![true; batch.len()];
    for (index, operation) in batch.iter().enumerate().rev() {
        match later.fate(index, operation) {
            Fate::Kept => {}
            Fate::Void => kept[index] = false,
            Fate::Undone(by) => (kept[index], kept[by]) = (false, false),
        }
    }
    batch.iter().zip(kept).filter_map(|(operation, kept)| kept.then_some(operation)).collect()
}

impl<'a> Later<'a> {
    fn fate(&mut self, index: usize, operation: &'a Operation) -> Fate {
        if session_of(operation).is_some_and(|session| self.sessions.contains_key(&session))
            || queue_of(operation).is_some_and(|queue| self.queues.contains(queue))
        {
            return Fate::Void;
        }
        match operation {
            Operation::MessageAdded { message, .. } => undone(self.messages.remove(message)),
            Operation::MessageRemoved { message } => {
                self.messages.insert(*message, index);
                Fate::Kept
            }
            Operation::Queued { session, number, .. } => undone(self.deliveries.remove(&(*session, *number))),
            Operation::Dequeued { session, number } => {
                self.deliveries.insert((*session, *number), index);
                Fate::Kept
            }
            Operation::Released { session, number } => {
                if self.deliveries.contains_key(&(*session, *number)) {
                    Fate::Void
                } else {
                    Fate::Kept
                }
            }
            Operation::SessionCreated { session, .. } => undone(self.sessions.remove(session)),
            Operation::SessionRemoved { session } => {
                self.sessions.insert(*session, index);
                Fate::Kept
            }
            Operation::SessionChanged { session, .. } => self.last(Subject::Changed(*session), index),
            Operation::WillChanged { session, .. } => self.last(Subject::Will(*session), index),
            Operation::SubscriptionAdded { session, sid, .. }
            | Operation::SubscriptionRemoved { session, sid } => {
                self.last(Subject::Subscription(*session, *sid), index)
            }
            Operation::Sent { session, .. } => self.last(Subject::Sent(*session), index),
            Operation::Received { session, id } => self.begins(Subject::Received(*session, *id), index),
            Operation::Forgotten { session, id } => self.ends(Subject::Received(*session, *id), index),
            Operation::Retained { topic, .. } | Operation::RetainedRemoved { topic } => {
                self.last(Subject::Retained(topic), index)
            }
            Operation::QueueAdded { queue, .. } => self.last(Subject::Queue(queue), index),
            Operation::QueueRemoved { queue } => {
                self.queues.insert(queue);
                Fate::Kept
            }
            Operation::TaskAdded { queue, task, .. } => {
                match self.next.remove(&Subject::Task(queue, *task)) {
                    Some((removal, true)) => Fate::Undone(removal),
                    _ => Fate::Kept,
                }
            }
            Operation::TaskReturned { queue, task, .. } => self.last(Subject::Task(queue, *task), index),
            Operation::TaskRemoved { queue, task } => self.ends(Subject::Task(queue, *task), index),
            Operation::Recorded { topic, offset, .. } => {
                if self.histories.get(&**topic).is_some_and(|first| offset < first) {
                    Fate::Void
                } else {
                    Fate::Kept
                }
            }
            Operation::HistoryBegan { .. } => Fate::Kept,
            Operation::HistoryTrimmed { topic, first } => match self.histories.get(&**topic) {
                Some(later) if later >= first => Fate::Void,
                _ => {
                    self.histories.insert(topic, *first);
                    Fate::Kept
                }
            },
        }
    }

    /// Only the last operation about this counts.
    fn last(&mut self, subject: Subject<'a>, index: usize) -> Fate {
        if self.next.contains_key(&subject) {
            return Fate::Void;
        }
        self.next.insert(subject, (index, false));
        Fate::Kept
    }

    /// The same; and if what is about begins in this batch, this undoes that.
    fn ends(&mut self, subject: Subject<'a>, index: usize) -> Fate {
        if self.next.contains_key(&subject) {
            return Fate::Void;
        }
        self.next.insert(subject, (index, true));
        Fate::Kept
    }

    /// There was none of this before.
    fn begins(&mut self, subject: Subject<'a>, index: usize) -> Fate {
        match self.next.get(&subject) {
            Some((_, false)) => Fate::Void,
            Some((end, true)) => {
                let end = *end;
                self.next.remove(&subject);
                Fate::Undone(end)
            }
            None => {
                self.next.insert(subject, (index, false));
                Fate::Kept
            }
        }
    }
}

fn undone(by: Option<usize>) -> Fate {
    by.map_or(Fate::Kept, Fate::Undone)
}

/// The session that takes this with it when it ends; not for its own beginning and end.
fn session_of(operation: &Operation) -> Option<u64> {
    match operation {
        Operation::SessionChanged { session, .. }
        | Operation::WillChanged { session, .. }
        | Operation::SubscriptionAdded { session, .. }
        | Operation::SubscriptionRemoved { session, .. }
        | Operation::Queued { session, .. }
        | Operation::Dequeued { session, .. }
        | Operation::Sent { session, .. }
        | Operation::Released { session, .. }
        | Operation::Received { session, .. }
        | Operation::Forgotten { session, .. } => Some(*session),
        _ => None,
    }
}

/// The queue that takes this with it when it ends: all that is about it, as one that begins again under
/// the same name is another.
fn queue_of(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::QueueAdded { queue, .. }
        | Operation::QueueRemoved { queue }
        | Operation::TaskAdded { queue, .. }
        | Operation::TaskReturned { queue, .. }
        | Operation::TaskRemoved { queue, .. } => Some(queue),
        _ => None,
    }
}
