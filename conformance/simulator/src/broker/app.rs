//! What the applications do.

use bowline_core::buf::SharedSendBuf;
use bowline_core::mqtt::client::Message;
use bowline_core::mqtt::{Filters, Properties, Qos, SendError, Subscription, Subscriptions};

use super::client::Asked;
use super::oracle::{Fate, Published, Standing};
use super::plan::{FILTERS, GROUP, PASSING, QUEUES, TOPICS};
use super::{Broker, Phase, Wake};
use crate::trace::say;

/// What a client publishes where its value is retained.
pub(super) const VALUES: [(&str, Qos); 2] = [("a", Qos::AtLeastOnce), ("b", Qos::ExactlyOnce)];

impl Broker {
    /// A client's application does something, and will again.
    pub(super) fn act(&mut self, c: u32) {
        if self.phase != Phase::Work {
            return;
        }
        // What had no room.
        if self.players[c as usize].open {
            self.subscribe_standing(c);
        }
        if self.rng.chance(60) {
            self.subscribe_in_passing(c);
        } else {
            for _ in 0..self.rng.range(1, self.plan.burst) {
                self.publish(c);
            }
        }
        let pause = self.plan.pause.as_nanos() as u64;
        let next = self.now + pause / 2 + self.rng.below(pause);
        self.at(next, Wake::App(c));
    }

    fn publish(&mut self, c: u32) {
        let qos = self.rng.pick(&[
            Qos::AtMostOnce,
            Qos::AtLeastOnce,
            Qos::AtLeastOnce,
            Qos::ExactlyOnce,
            Qos::ExactlyOnce,
        ]);
        let dice = self.rng.below(10);
        let (topic, retain, qos) = match dice {
            0 => (self.rng.pick(&QUEUES).to_owned(), false, Qos::AtLeastOnce),
            // Of a value that is retained there is one publisher, who is told; and one QoS, as one
            // that is said again with QoS 1 may take the place of a later one that was said once.
            1 | 2 => {
                let (name, qos) = self.rng.pick(&VALUES);
                (format!("r/{c}/{name}"), true, qos)
            }
            _ => (self.rng.pick(&TOPICS).to_owned(), false, qos),
        };
        let clears = retain && self.rng.chance(150);
        let number = self.oracle.next();
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(4 + self.rng.below(self.plan.payload + 1) as usize, b'.');
        if clears {
            payload.clear();
        }
        let message = Message { retain, ..Message::new(&topic, &payload).with_qos(qos) };
        let sent = self.with_machine(c, |machine, at, out| machine.publish(at, out, &message));
        let fate = match sent {
            Some(Ok(Some(id))) => {
                self.players[c as usize].publishing.insert(id.get(), number);
                Fate::Open
            }
            Some(Ok(None)) => Fate::Void,
            _ => return,
        };
        self.step += 1;
        say!(self, "client {c} publishes message {number} to {topic}, {qos:?}, clears: {clears}");
        self.trace.mix(9, u64::from(c), u64::from(number));
        let step = self.step;
        self.oracle.published.push(Published { by: c, topic, qos, clears, fate, step });
        self.wake_client(c, self.now);
    }

    /// Calls a client's machine with its line's buffer, or with none.
    fn with_machine<T>(
        &mut self,
        c: u32,
        call: impl FnOnce(
            &mut bowline_core::mqtt::client::Client<super::session::Shelf, bowline_core::mqtt::AliasTable>,
            bowline_core::time::Instant,
            &mut SharedSendBuf,
        ) -> T,
    ) -> Option<T> {
        let at = self.instant();
        let player = &mut self.players[c as usize];
        let link = player.link.and_then(|l| self.links[l as usize].as_mut());
        match link.and_then(|link| link.client.as_mut()) {
            Some(side) => Some(call(&mut player.machine, at, &mut side.out)),
            None => Some(call(&mut player.machine, at, &mut SharedSendBuf::new(0))),
        }
    }

    fn subscribe(&mut self, c: u32, filter: &str, qos: Qos, asked: Asked) {
        let list = [Subscription::new(filter, qos)];
        let sent = self.with_machine(c, |machine, at, out| {
            machine.subscribe(at, out, Subscriptions::list(&list), Properties::NONE)
        });
        self.note_asked(c, sent, asked);
    }

    fn note_asked(
        &mut self,
        c: u32,
        sent: Option<Result<bowline_core::mqtt::PacketId, SendError>>,
        asked: Asked,
    ) {
        if let Some(Ok(id)) = sent {
            self.players[c as usize].asked.insert(id.get(), asked);
            self.wake_client(c, self.now);
        }
    }

    /// What a client subscribes to for good, as far as its session does not have it.
    pub(super) fn subscribe_standing(&mut self, c: u32) {
        if c as usize == self.plan.clients {
            return self.subscribe(c, "r/#", Qos::AtLeastOnce, Asked::Passing);
        }
        if self.players[c as usize].standing.is_empty() {
            self.choose_standing(c);
        }
        for s in self.players[c as usize].standing.clone() {
            let Standing { filter, qos, there, .. } = self.oracle.standing[s as usize];
            let asked = |a: &Asked| matches!(a, Asked::Standing(of) if *of == s);
            if there || self.players[c as usize].asked.values().any(asked) {
                continue;
            }
            self.subscribe(c, filter, qos, Asked::Standing(s));
        }
    }

    fn choose_standing(&mut self, c: u32) {
        let mut filters = Vec::new();
        // What a member took whose session is not kept may be lost with it.
        let in_group = self.rng.chance(400) && self.players[c as usize].durable;
        // Who is in the group gets what the group gets by no other filter.
        let known = if in_group { 3 } else { FILTERS.len() };
        for _ in 0..self.rng.range(1, 3) {
            filters.push(FILTERS[self.rng.below(known as u64) as usize]);
        }
        if in_group {
            filters.push(GROUP);
        }
        // The first does what nobody else may.
        for queue in QUEUES {
            if c == 0 || self.rng.chance(300) {
                filters.push(queue);
            }
        }
        filters.sort_unstable();
        filters.dedup();
        for filter in filters {
            let qos = self.rng.pick(&[Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::ExactlyOnce]);
            let s = self.oracle.standing.len() as u32;
            let client = c;
            self.oracle.standing.push(Standing { client, filter, qos, since: None, there: false });
            self.players[c as usize].standing.push(s);
        }
    }

    fn subscribe_in_passing(&mut self, c: u32) {
        let filter = self.rng.pick(&PASSING);
        if !self.players[c as usize].open {
            return;
        }
        if self.rng.chance(500) {
            let qos = self.rng.pick(&[Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]);
            say!(self, "client {c} subscribes to {filter} in passing");
            return self.subscribe(c, filter, qos, Asked::Passing);
        }
        say!(self, "client {c} unsubscribes from {filter}");
        let list = [filter];
        let sent = self.with_machine(c, |machine, at, out| {
            machine.unsubscribe(at, out, Filters::list(&list), Properties::NONE)
        });
        self.note_asked(c, sent, Asked::Passing);
    }
}
