//! Where a server's durable state goes: what a store has to do, and the calendar between the
//! machines' instants and the time that outlives a process.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bowline_core::hub::Operation;
use bowline_core::time::Instant;

use crate::clock;

/// Why a store did not do what it was told. Its text tells the operator what to do next.
pub type StorageError = Box<dyn Error + Send + Sync>;

/// Keeps what the hub asks to be kept: [`Operation`]s.
///
/// It is called from one thread of its own, so it may block. A call that failed is made again with the
/// same operations, whether they were kept or not: carrying a batch out twice must be the same as once.
pub trait Storage: Send + 'static {
    /// Tells `each` the fewest operations that lead a new hub to the state that is kept.
    ///
    /// # Errors
    ///
    /// What is kept cannot be read.
    fn load(&mut self, calendar: Calendar, each: &mut dyn FnMut(Operation)) -> Result<(), StorageError>;

    /// Carries out a batch, in order and whole: when it returns, neither the end of the process nor of
    /// the machine's power undoes it; when it fails, none of it was done.
    ///
    /// # Errors
    ///
    /// It was not done.
    fn apply(&mut self, calendar: Calendar, batch: &[Operation]) -> Result<(), StorageError>;
}

/// One instant on two clocks: the machines', which begins anew in each process, and the calendar's, in
/// which stored instants are kept.
///
/// ```
/// use bowline_driver::core::time::Instant;
/// use bowline_driver::store::Calendar;
/// let calendar = Calendar { now: Instant::from_millis(5), unix_ms: 1_000_000 };
/// assert_eq!(calendar.unix_ms(Instant::from_millis(7)), 1_000_002);
/// assert_eq!(calendar.instant(1_000_002), Instant::from_millis(7));
/// assert_eq!(calendar.instant(3), Instant::ZERO, "long ago");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The instant.
    pub now: Instant,
    /// The same in milliseconds since 1970-01-01T00:00Z.
    pub unix_ms: u64,
}

impl Calendar {
    /// The clocks of this process and of its system.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now: clock::now(), unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// An instant in calendar time, in milliseconds, rounded down; saturating.
    #[must_use]
    pub const fn unix_ms(&self, at: Instant) -> u64 {
        let (at, now) = (at.as_nanos(), self.now.as_nanos());
        match at.checked_sub(now) {
            Some(ahead) => self.unix_ms.saturating_add(ahead / 1_000_000),
            None => self.unix_ms.saturating_sub((now - at).div_ceil(1_000_000)),
        }
    }

    /// A calendar time, in milliseconds, as an instant; saturating.
    #[must_use]
    pub const fn instant(&self, unix_ms: u64) -> Instant {
        let now = self.now.as_nanos();
        match unix_ms.checked_sub(self.unix_ms) {
            Some(ahead) => Instant::from_nanos(now.saturating_add(ahead.saturating_mul(1_000_000))),
            None => {
                Instant::from_nanos(now.saturating_sub((self.unix_ms - unix_ms).saturating_mul(1_000_000)))
            }
        }
    }
}

/// What is worth a line in a log about a server's store.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreEvent {
    /// What it held is in the hub.
    Loaded {
        /// So many sessions.
        sessions: u64,
        /// So many messages.
        messages: u64,
        /// So long it took.
        took: Duration,
    },
    /// It does not do what it is told. That is kept and tried again; what would have to be stored is
    /// refused meanwhile, and all else goes on.
    Stalled {
        /// What it says.
        error: StorageError,
        /// So many operations wait.
        waiting: u64,
    },
    /// It does what it is told again.
    Recovered {
        /// So long it did not.
        after: Duration,
    },
    /// The server was stopped while the store did not work: what it was not told to be kept is lost.
    /// Nothing of it was acknowledged.
    Lost {
        /// What the store says.
        error: StorageError,
        /// So many operations.
        operations: u64,
    },
}
