//! Fan-out and pairs: publishers, and subscribers that time what comes.

use std::future::pending;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_driver::client::{RetainHandling, SubscribeOptions};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::measure::{Latency, Outcome, Shared, Stamp};
use super::pace::Pace;
use super::{connect, topic};
use crate::cli::{BenchArgs, Scenario};
use crate::failure::Failure;
use crate::net::{Client, Subscription, Target};

/// When nothing has come for so long after the last was sent, nothing more will.
const QUIET: Duration = Duration::from_secs(2);

/// The most that a publisher sends ahead, in octets: half of what a server by default keeps for a
/// subscriber.
const WINDOW_OCTETS: usize = 2 << 20;

/// Runs the scenario.
pub(super) async fn run(args: &BenchArgs, target: &Target, shared: &Shared) -> Result<Outcome, Failure> {
    let (publishers, copies) = match args.scenario {
        Scenario::Pairs => (args.clients, 1),
        _ => (args.publishers, u64::from(args.clients)),
    };
    let topics: Vec<String> = (0..publishers).map(|number| topic(target, number)).collect();

    // All are connected and subscribed before the first message is sent.
    let (subscribers, subscriptions) = subscribe_all(args, target, &topics, shared).await?;
    let mut senders = Vec::new();
    for number in 0..publishers {
        senders.push(connect(target, "pub", number).await?);
    }

    // All that wait for one subscriber share its queue.
    let heard = if args.scenario == Scenario::Pairs { 1 } else { publishers as usize };
    let window = ((WINDOW_OCTETS / args.size).min(args.window as usize) / heard).max(1);
    let windows: Vec<Arc<Window>> = topics.iter().map(|_| Arc::new(Window::new(window, copies))).collect();
    let began = Instant::now();
    let end = Arc::new(End::default());
    let mut receiving = JoinSet::new();
    for (index, subscription) in subscriptions {
        let (shared, end, window) = (shared.clone(), Arc::clone(&end), Arc::clone(&windows[index]));
        receiving.spawn(async move { receive(subscription, began, &window, &shared, &end).await });
    }
    let mut sending = JoinSet::new();
    for ((client, topic), window) in senders.into_iter().zip(topics).zip(windows) {
        let (args, shared) = (args.clone(), shared.clone());
        let pace = Pace::new(began, args.rate, publishers, args.duration, args.messages);
        sending.spawn(async move { send(&args, &client, &topic, pace, &window, &shared).await });
    }

    let (mut sent, mut accepted) = (0, 0);
    while let Some(done) = sending.join_next().await {
        let (more_sent, more_accepted) = done.unwrap_or_else(|error| Err(broken(&error)))?;
        sent += more_sent;
        accepted += more_accepted;
    }
    let expected = accepted * copies;
    end.tell(expected);
    let mut outcome = Outcome {
        sent,
        accepted,
        expected,
        received: 0,
        failed: sent - accepted,
        elapsed: Duration::ZERO,
        latency: Latency::new(),
        trouble: None,
    };
    while let Some(done) = receiving.join_next().await {
        let part = done.map_err(|error| broken(&error))?;
        outcome.received += part.received;
        outcome.latency.add(&part.latency);
        outcome.elapsed = outcome.elapsed.max(part.last);
    }
    for client in subscribers {
        client.close().await;
    }
    Ok(outcome)
}

/// The subscribers, and their subscriptions by the place of their topic.
async fn subscribe_all(
    args: &BenchArgs,
    target: &Target,
    topics: &[String],
    shared: &Shared,
) -> Result<(Vec<Client>, Vec<(usize, Subscription)>), Failure> {
    let (mut subscribers, mut subscriptions) = (Vec::new(), Vec::new());
    // What an earlier run left behind is not of this one.
    let retained = RetainHandling::Never;
    let options = SubscribeOptions { reliable: args.qos == 1, retained, ..SubscribeOptions::default() };
    for number in 0..args.clients {
        let client = connect(target, "sub", number).await?;
        for index in subscribed(args.scenario, topics.len(), number as usize) {
            subscriptions.push((index, client.subscribe(&topics[index], options).await?));
        }
        subscribers.push(client);
        shared.add_connected();
    }
    Ok((subscribers, subscriptions))
}

/// Which topics a subscriber of this number hears.
fn subscribed(scenario: Scenario, topics: usize, number: usize) -> Range<usize> {
    match scenario {
        Scenario::Pairs => number..number + 1,
        _ => 0..topics,
    }
}

fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::new(format!("a task of the bench failed: {error}"))
}

/// How many messages come altogether, once that is known.
#[derive(Default)]
struct End {
    expected: AtomicU64,
    received: AtomicU64,
    told: Notify,
}

impl End {
    fn tell(&self, expected: u64) {
        // 0 means not known yet, so that one more is kept.
        self.expected.store(expected + 1, Ordering::Release);
        self.told.notify_waiters();
    }

    fn is_reached(&self) -> bool {
        let expected = self.expected.load(Ordering::Acquire);
        expected > 0 && self.received.load(Ordering::Acquire) + 1 >= expected
    }

    fn is_known(&self) -> bool {
        self.expected.load(Ordering::Acquire) > 0
    }
}

/// How far a publisher may be ahead of the slowest of its subscribers. Without this, the faster of
/// the two sides would fill queues, and what is measured would be how long a queue is.
struct Window {
    room: Semaphore,
    /// How many copies have come of each message on its way, by its number modulo the window.
    arrived: Vec<AtomicU64>,
    copies: u64,
}

impl Window {
    fn new(window: usize, copies: u64) -> Self {
        let arrived = (0..window).map(|_| AtomicU64::new(0)).collect();
        Self { room: Semaphore::new(window), arrived, copies }
    }

    /// Waits until one more may be sent; false when a copy was lost, so that it would never be.
    async fn take(&self) -> bool {
        match timeout(QUIET, self.room.acquire()).await {
            Ok(Ok(permit)) => {
                permit.forget();
                true
            }
            _ => false,
        }
    }

    /// One copy of a message has come.
    fn give(&self, number: u64) {
        let slot = &self.arrived[(number % self.arrived.len() as u64) as usize];
        if slot.fetch_add(1, Ordering::AcqRel) + 1 == self.copies {
            slot.store(0, Ordering::Release);
            self.room.add_permits(1);
        }
    }
}

/// What one subscription received.
struct Part {
    received: u64,
    latency: Latency,
    /// When the last came, since the run began.
    last: Duration,
}

async fn receive(
    mut subscription: Subscription,
    began: Instant,
    window: &Window,
    shared: &Shared,
    end: &End,
) -> Part {
    let mut part = Part { received: 0, latency: Latency::new(), last: Duration::ZERO };
    loop {
        let told = end.told.notified();
        if end.is_reached() {
            break;
        }
        // As long as the publishers publish, silence means nothing.
        let quiet = async {
            match end.is_known() {
                true => sleep(QUIET).await,
                false => pending().await,
            }
        };
        let message = tokio::select! {
            message = subscription.next() => message,
            () = told => continue,
            () = quiet => break,
        };
        let Some(message) = message else { break };
        let Some(stamp) = Stamp::read(&message.payload) else { continue };
        part.latency.record(stamp.age(began));
        part.received += 1;
        window.give(stamp.number);
        part.last = began.elapsed();
        shared.add_received();
        end.received.fetch_add(1, Ordering::AcqRel);
        if end.is_reached() {
            end.told.notify_waiters();
        }
    }
    part
}

/// Publishes at its pace; says how many were sent, and accepted.
async fn send(
    args: &BenchArgs,
    client: &Client,
    topic: &str,
    mut pace: Pace,
    window: &Window,
    shared: &Shared,
) -> Result<(u64, u64), Failure> {
    let mut open = FuturesUnordered::new();
    let (mut sent, mut accepted) = (0, 0);
    let mut payload = vec![0; args.size];
    while window.take().await {
        let Some(due) = pace.next().await else { break };
        Stamp { due, number: sent }.write(&mut payload);
        let receipt = client.publish(topic, Bytes::copy_from_slice(&payload), args.qos == 1, false).await?;
        sent += 1;
        shared.add_sent();
        open.push(receipt.accepted());
        // What has come was accepted before, so this waits for little.
        while open.len() >= args.window as usize {
            accepted += u64::from(matches!(open.next().await, Some(Ok(()))));
        }
    }
    while let Some(result) = open.next().await {
        accepted += u64::from(result.is_ok());
    }
    client.close().await;
    Ok((sent, accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_alone_and_a_fan_out_is_for_all() {
        assert_eq!(subscribed(Scenario::Pairs, 2, 1), 1..2);
        assert_eq!(subscribed(Scenario::FanOut, 2, 1), 0..2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_opens_when_every_copy_has_come() {
        let window = Window::new(2, 2);
        assert!(window.take().await && window.take().await);
        window.give(0);
        window.give(1);
        assert!(!window.take().await, "one copy of each is still on its way");
        window.give(0);
        assert!(window.take().await);
        window.give(2);
        window.give(1);
        assert!(window.take().await && !window.take().await);
    }

    #[test]
    fn the_end_is_reached_when_all_has_come() {
        let end = End::default();
        assert!(!end.is_known() && !end.is_reached());
        end.tell(1);
        assert!(end.is_known() && !end.is_reached());
        end.received.fetch_add(1, Ordering::AcqRel);
        assert!(end.is_reached());
        let nothing = End::default();
        nothing.tell(0);
        assert!(nothing.is_reached(), "nothing was sent, so nothing is waited for");
    }
}
