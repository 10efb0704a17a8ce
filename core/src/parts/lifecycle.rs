//! The life of a connection, from opening to its one reason for ending.
//!
//! ```text
//!            opened          drain           close, timeout        ended, timeout
//! Opening ----------> Open --------> Draining ------------> Closing -------------> Closed
//! ```
//!
//! Every state may go to `Closing` by a close, and to `Closed` when the transport ends. What each
//! state does with each input is [`TABLE`], and nothing else:
//!
//! | state | opened | drain | close | ended | timeout |
//! |---|---|---|---|---|---|
//! | Opening | Open | – | Closing | Closed | Closing |
//! | Open | – | Draining | Closing | Closed | – |
//! | Draining | – | – | Closing | Closed | Closing |
//! | Closing | – | – | – | Closed | Closed |
//! | Closed | – | – | – | – | – |
//!
//! `–` means that the state stays. Draining again is the one input that may change something
//! without changing the state: it can only bring the deadline forward.

use core::time::Duration;

use crate::time::{Deadline, Instant, Why};

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The handshake is under way, and has a deadline.
    Opening,
    /// Both sides may send.
    Open,
    /// What is in flight is finished, and nothing new taken; this has a deadline.
    Draining,
    /// We owe or have sent a close, and wait for the peer's, or for the end of the stream, until
    /// a deadline.
    Closing,
    /// It is over.
    Closed,
}

impl State {
    /// All states, in the order of a life.
    pub const ALL: [State; 5] = [State::Opening, State::Open, State::Draining, State::Closing, State::Closed];
}

/// What the transport owes once the output that waits has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the transport has to be shut or dropped when the machine says so"]
pub enum Transport {
    /// Stay as it is.
    Open,
    /// End this side's direction of the stream, and go on reading.
    Shut,
    /// Drop the connection, after what waits was written.
    Drop,
    /// Drop the connection now; what waits will not be read.
    Abort,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// This side: its application, a deadline, or because the peer broke a rule.
    Local,
    /// The peer, by saying so.
    Remote,
    /// The transport ended, and the peer had not said so: a truncation.
    Transport,
}

/// What can happen to a connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The handshake is done.
    Opened,
    /// We want to finish.
    Drain,
    /// One of the sides closes.
    Close,
    /// The transport ended, or both sides have closed.
    Ended,
    /// The state's deadline has passed.
    Timeout,
}

impl Input {
    /// All inputs.
    pub const ALL: [Input; 5] = [Input::Opened, Input::Drain, Input::Close, Input::Ended, Input::Timeout];
}

/// What becomes of each state (rows, in the order of [`State::ALL`]) by each input (columns, in
/// the order of [`Input::ALL`]).
pub const TABLE: [[State; 5]; 5] = {
    use State::{Closed, Closing, Draining, Open, Opening};
    [
        [Open, Opening, Closing, Closed, Closing],
        [Open, Draining, Closing, Closed, Open],
        [Draining, Draining, Closing, Closed, Closing],
        [Closing, Closing, Closing, Closed, Closed],
        [Closed, Closed, Closed, Closed, Closed],
    ]
};

/// The state that follows `state` by `input`; it reads [`TABLE`].
#[must_use]
pub const fn next(state: State, input: Input) -> State {
    TABLE[state as usize][input as usize]
}

/// One connection's life, with `R` as the reason for its end.
///
/// It has at most 40 bytes for an `R` of up to 16. Every method may be called in any state; what a
/// state does not know changes nothing. The first reason stays, whatever follows.
///
/// ```
/// use bowline_core::lifecycle::{Lifecycle, State};
/// use bowline_core::time::{Deadline, Instant, Why};
/// use core::time::Duration;
/// # #[derive(Clone, Copy, Debug, PartialEq)]
/// enum End { Normal, Lost, TooSlow }
/// let at = Instant::from_millis;
/// let mut life = Lifecycle::new(at(0), Duration::from_secs(5), Duration::from_secs(2));
/// assert_eq!(life.poll_timeout(), Some(Deadline::new(at(5000), Why::Handshake)));
/// life.opened();
/// life.close(at(70), End::Normal); // now write a close, and wait for the peer's
/// assert_eq!((life.state(), life.closed()), (State::Closing, None));
///
/// assert_eq!(life.handle_timeout(at(2070), |_| End::TooSlow), Some(Why::Close));
/// life.ended(End::Lost); // too late to matter
/// assert_eq!(life.closed(), Some(End::Normal));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lifecycle<R> {
    /// Of the present state; meaningless in `Open` and `Closed`.
    deadline: Instant,
    /// Set from `Closing` on.
    reason: Option<R>,
    /// How long `Closing` may last, in milliseconds.
    close_within: u32,
    state: State,
}

impl<R: Copy> Lifecycle<R> {
    /// A connection that starts its handshake at `now` and must be open within `open_within`.
    ///
    /// `close_within` (whole milliseconds, at most 49 days) is how long a close may take. It runs
    /// from when the close was asked for, whether or not the transport takes it.
    #[must_use]
    pub fn new(now: Instant, open_within: Duration, close_within: Duration) -> Self {
        Self {
            deadline: now + open_within,
            reason: None,
            close_within: u32::try_from(close_within.as_millis()).unwrap_or(u32::MAX),
            state: State::Opening,
        }
    }

    /// Where it is.
    #[inline]
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether messages may still be exchanged: open or draining.
    #[inline]
    #[must_use]
    pub const fn is_established(&self) -> bool {
        matches!(self.state, State::Open | State::Draining)
    }

    /// The handshake is done. Returns whether this opened it.
    pub fn opened(&mut self) -> bool {
        self.step(Input::Opened)
    }

    /// Wants to finish within `within`, from `now`. Returns whether this began it.
    ///
    /// While it drains already, an earlier deadline replaces the present one and a later one is
    /// ignored. While it opens nothing is in flight and this does nothing: close it instead.
    pub fn drain(&mut self, now: Instant, within: Duration) -> bool {
        let until = now + within;
        if self.state == State::Draining {
            self.deadline = self.deadline.min(until);
        }
        let began = self.step(Input::Drain);
        if began {
            self.deadline = until;
        }
        began
    }

    /// One of the sides closes, for `reason`. Returns whether this was the first: then the owner
    /// owes the peer a close, by the deadline given to [`new`](Self::new).
    pub fn close(&mut self, now: Instant, reason: R) -> bool {
        self.begin_closing(Input::Close, now, reason)
    }

    /// Nothing more will come or go: the transport ended, or both sides have closed. `reason`
    /// counts unless there was one before. Returns whether this ended it.
    pub fn ended(&mut self, reason: R) -> bool {
        let ended = self.step(Input::Ended);
        if ended {
            self.reason.get_or_insert(reason);
        }
        ended
    }

    /// Acts on a deadline that has passed, and says which: [`Why::Handshake`] and [`Why::Drain`]
    /// begin to close, for the reason that `reason` gives (the owner owes the peer a close);
    /// [`Why::Close`] ends it. `None` when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant, reason: impl FnOnce(Why) -> R) -> Option<Why> {
        let due = self.poll_timeout().filter(|d| now >= d.at)?;
        if due.why == Why::Close {
            self.step(Input::Timeout);
        } else {
            self.begin_closing(Input::Timeout, now, reason(due.why));
        }
        Some(due.why)
    }

    /// The deadline of the present state: [`Why::Handshake`], [`Why::Drain`] or [`Why::Close`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let why = match self.state {
            State::Opening => Why::Handshake,
            State::Draining => Why::Drain,
            State::Closing => Why::Close,
            State::Open | State::Closed => return None,
        };
        Some(Deadline::new(self.deadline, why))
    }

    /// Why it ends, known from `Closing` on.
    #[must_use]
    pub const fn reason(&self) -> Option<R> {
        self.reason
    }

    /// Why it ended, once it has. It never changes.
    #[must_use]
    pub fn closed(&self) -> Option<R> {
        self.reason.filter(|_| self.state == State::Closed)
    }

    fn begin_closing(&mut self, input: Input, now: Instant, reason: R) -> bool {
        let began = self.step(input);
        if began {
            self.reason = Some(reason);
            self.deadline = now + Duration::from_millis(self.close_within.into());
        }
        began
    }

    fn step(&mut self, input: Input) -> bool {
        let before = self.state;
        self.state = next(before, input);
        before != self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;

    const OPEN: Duration = Duration::from_millis(5000);
    const DRAIN: Duration = Duration::from_millis(10_000);
    const CLOSE: Duration = Duration::from_millis(2000);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// A connection at 0 ms in `state`; from `Closing` on with the reason 1.
    fn life_in(state: State) -> Lifecycle<u8> {
        let mut life = Lifecycle::new(at(0), OPEN, CLOSE);
        if matches!(state, State::Open | State::Draining) {
            assert!(life.opened());
        }
        match state {
            State::Opening | State::Open => true,
            State::Draining => life.drain(at(0), DRAIN),
            State::Closing => life.close(at(0), 1),
            State::Closed => life.ended(1),
        };
        assert_eq!(life.state(), state);
        life
    }

    fn apply(life: &mut Lifecycle<u8>, now: Instant, input: Input, reason: u8) -> bool {
        match input {
            Input::Opened => life.opened(),
            Input::Drain => life.drain(now, DRAIN),
            Input::Close => life.close(now, reason),
            Input::Ended => life.ended(reason),
            Input::Timeout => life.handle_timeout(now, |_| reason).is_some(),
        }
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Lifecycle<[u64; 2]>>() <= 40);
        assert!(size_of::<Lifecycle<u8>>() <= 24);
    }

    #[test]
    fn every_state_does_what_the_table_says_with_every_input() {
        for state in State::ALL {
            for input in Input::ALL {
                let mut life = life_in(state);
                let changed = apply(&mut life, at(20_000), input, 2);
                assert_eq!(life.state(), next(state, input), "{state:?} {input:?}");
                assert_eq!(changed, state != next(state, input), "{state:?} {input:?}");
                let reason = match (state, life.state()) {
                    (State::Closing | State::Closed, _) => Some(1),
                    (_, State::Closing | State::Closed) => Some(2),
                    _ => None,
                };
                assert_eq!(life.reason(), reason, "{state:?} {input:?}");
                assert_eq!(life.closed(), reason.filter(|_| life.state() == State::Closed));
            }
        }
    }

    #[test]
    fn the_graph_is_this_one() {
        let mut graph = String::new();
        for state in State::ALL {
            for input in Input::ALL {
                if next(state, input) != state {
                    graph += &format!("{state:?} --{input:?}--> {:?}\n", next(state, input));
                }
            }
        }
        assert_eq!(
            graph,
            "Opening --Opened--> Open\n\
             Opening --Close--> Closing\n\
             Opening --Ended--> Closed\n\
             Opening --Timeout--> Closing\n\
             Open --Drain--> Draining\n\
             Open --Close--> Closing\n\
             Open --Ended--> Closed\n\
             Draining --Close--> Closing\n\
             Draining --Ended--> Closed\n\
             Draining --Timeout--> Closing\n\
             Closing --Ended--> Closed\n\
             Closing --Timeout--> Closed\n"
        );
    }

    #[test]
    fn the_documentation_prints_the_table() {
        let source = include_str!("lifecycle.rs");
        for state in State::ALL {
            let mut row = format!("//! | {state:?} |");
            for input in Input::ALL {
                let to = next(state, input);
                row += &if to == state { String::from(" – |") } else { format!(" {to:?} |") };
            }
            assert!(source.lines().any(|line| line == row), "not in the documentation: {row}");
        }
    }

    #[test]
    fn each_deadline_says_why_and_is_exact() {
        let cases = [
            (State::Opening, 5000, Why::Handshake, State::Closing),
            (State::Draining, 10_000, Why::Drain, State::Closing),
            (State::Closing, 2000, Why::Close, State::Closed),
        ];
        for (state, ms, why, then) in cases {
            let mut life = life_in(state);
            assert_eq!(life.poll_timeout(), Some(Deadline::new(at(ms), why)));
            assert_eq!(life.handle_timeout(at(ms - 1), |_| 9), None);
            assert_eq!(life.state(), state);
            assert_eq!(life.handle_timeout(at(ms), |w| if w == why { 7 } else { 8 }), Some(why));
            assert_eq!(life.state(), then);
            assert_eq!(life.reason(), Some(if state == State::Closing { 1 } else { 7 }));
        }
        assert_eq!(life_in(State::Open).poll_timeout(), None);
        assert_eq!(life_in(State::Closed).poll_timeout(), None);
    }

    #[test]
    fn a_second_drain_only_hastens() {
        let mut life = life_in(State::Draining);
        assert!(!life.drain(at(0), DRAIN * 2));
        assert_eq!(life.poll_timeout(), Some(Deadline::new(at(10_000), Why::Drain)));
        assert!(!life.drain(at(100), Duration::from_millis(50)));
        assert_eq!(life.poll_timeout(), Some(Deadline::new(at(150), Why::Drain)));
        assert!(life.is_established());
    }

    #[test]
    fn closing_starts_its_own_time_and_does_not_prolong_it() {
        let mut life = life_in(State::Open);
        assert!(life.close(at(100), 3));
        assert!(!life.close(at(900), 4));
        assert_eq!(life.poll_timeout(), Some(Deadline::new(at(2100), Why::Close)));
        assert!(life.ended(5));
        assert_eq!(life.closed(), Some(3));
    }

    proptest! {
        /// Whatever happens, in any order and at any time: life only goes forward, the first
        /// reason stays, and whoever obeys the deadlines comes to the end.
        #[test]
        fn life_goes_one_way_and_ends_for_its_first_reason(
            inputs in proptest::collection::vec((0..5usize, 0..30_000u64), 0..40),
        ) {
            let mut life = Lifecycle::new(at(0), OPEN, CLOSE);
            let (mut state, mut reason) = (State::Opening, None);
            for (i, (input, now)) in inputs.into_iter().enumerate() {
                apply(&mut life, at(now), Input::ALL[input], i as u8);
                prop_assert!(life.state() >= state);
                if reason.is_some() { prop_assert_eq!(life.reason(), reason); }
                (state, reason) = (life.state(), life.reason());
                prop_assert_eq!(reason.is_some(), state >= State::Closing);
            }
            life.drain(at(30_000), DRAIN);
            while let Some(due) = life.poll_timeout() {
                prop_assert_eq!(life.handle_timeout(due.at, |_| 99), Some(due.why));
            }
            prop_assert!(life.closed().is_some());
        }
    }
}
