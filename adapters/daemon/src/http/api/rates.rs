//! How often something is said, from what was counted when somebody last looked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

/// What was counted up to now is of use for a rate once it is so old.
const AGE: f64 = 1.0;

/// Of so many it is remembered at most.
const REMEMBERED: usize = 1 << 16;

/// Counts of one moment, by what they are of.
#[derive(Debug)]
struct Counted {
    at: Instant,
    counts: HashMap<u64, u64>,
}

/// What was counted at the last two moments that are apart far enough.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<[Option<Arc<Counted>>; 2]>);

/// A look at all of them, which counts anew.
#[derive(Debug)]
pub(super) struct Look {
    before: Option<Arc<Counted>>,
    now: Instant,
    counts: Option<HashMap<u64, u64>>,
}

impl Rates {
    pub(super) fn look(&self, now: Instant) -> Look {
        let [last, older] = &*self.0.lock();
        let is_old = |counted: &&Arc<Counted>| (now - counted.at).as_secs_f64() >= AGE;
        let before = last.as_ref().filter(is_old).or(older.as_ref()).cloned();
        // What is counted too soon after the last count would only replace a better one.
        let counts = last.as_ref().is_none_or(|last| is_old(&last)).then(HashMap::new);
        Look { before, now, counts }
    }

    /// A look went through all that there is.
    pub(super) fn keep(&self, look: &mut Look) {
        if let Some(counts) = look.counts.take() {
            let mut kept = self.0.lock();
            let counted = Arc::new(Counted { at: look.now, counts });
            *kept = [Some(counted), kept[0].take()];
        }
    }
}

impl Look {
    /// How often a second that was since it was looked at last, to a thousandth, where that is known; its
    /// count began `age` seconds ago, where that is known.
    pub(super) fn rate(&mut self, of: u64, count: u64, age: Option<f64>) -> Option<f64> {
        if let Some(counts) = self.counts.as_mut().filter(|counts| counts.len() < REMEMBERED) {
            counts.insert(of, count);
        }
        let since = self.before.as_ref().and_then(|before| {
            let known = *before.counts.get(&of)?;
            // One that counts anew is another one.
            (known <= count).then(|| ((count - known) as f64, (self.now - before.at).as_secs_f64()))
        });
        let (count, seconds) = since.or_else(|| Some((count as f64, age?.max(AGE))))?;
        Some((count / seconds * 1000.0).round() / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rate_is_of_the_time_since_the_last_look() {
        let (rates, start) = (Rates::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let look = |ms: u64, count: u64, age: Option<f64>| {
            let mut look = rates.look(at(ms));
            let rate = look.rate(7, count, age);
            rates.keep(&mut look);
            rate
        };
        assert_eq!(look(0, 100, None), None, "nothing is known of what was before");
        assert_eq!(look(100, 110, Some(5.0)), Some(22.0), "then since it began");
        assert_eq!(look(2000, 120, None), Some(10.0));
        // Two who look one after the other see the same.
        assert_eq!(look(2100, 121, None), Some(10.0));
        assert_eq!(look(4000, 140, None), Some(10.0));
        assert_eq!(look(8000, 8, Some(4.0)), Some(2.0), "it began anew");
    }
}
