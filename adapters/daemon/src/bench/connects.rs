//! Clients that come and go, beside others that stay: what a server's handshakes and reloads are tried with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::connect;
use super::measure::{Latency, Outcome, Shared};
use super::pace::Pace;
use crate::cli::BenchArgs;
use crate::failure::Failure;
use crate::net::{Client, Event, Target};

/// How often those who stay look whether the server is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What has no answer after so long has failed.
const ANSWER: Duration = Duration::from_secs(30);

/// Runs the scenario. Of those who stay, who loses the connection counts as lost.
pub(super) async fn run(args: &BenchArgs, target: &Target, shared: &Shared) -> Result<Outcome, Failure> {
    let (over, is_over) = watch::channel(());
    let mut staying = JoinSet::new();
    for number in 0..args.clients {
        let client = connect(target, "stay", number).await?;
        shared.add_connected();
        staying.spawn(stay(client, is_over.clone()));
    }
    drop(is_over);
    let began = Instant::now();
    let mut pace = Pace::new(began, args.rate, 1, args.duration, args.messages);
    let turns = Arc::new(Semaphore::new(args.window as usize));
    let mut outcome = Outcome {
        sent: 0,
        accepted: 0,
        expected: args.clients.into(),
        received: 0,
        failed: 0,
        elapsed: Duration::ZERO,
        latency: Latency::new(),
        trouble: None,
    };
    let mut going = JoinSet::new();
    while let Some(due) = pace.next().await {
        let turn = Arc::clone(&turns).acquire_owned().await;
        let target = comer(target, outcome.sent);
        let (number, shared) = (u32::try_from(outcome.sent).unwrap_or(u32::MAX), shared.clone());
        outcome.sent += 1;
        shared.add_sent();
        going.spawn(async move {
            let _turn = turn;
            let took = come_and_go(&target, number, began + due).await;
            if took.is_ok() {
                shared.add_received();
            }
            took
        });
        while let Some(done) = going.try_join_next() {
            outcome.count(done);
        }
    }
    while let Some(done) = going.join_next().await {
        outcome.count(done);
    }
    outcome.elapsed = began.elapsed();
    drop(over);
    while let Some(stayed) = staying.join_next().await {
        match stayed {
            Ok(Ok(())) => outcome.received += 1,
            Ok(Err(why)) => _ = outcome.trouble.get_or_insert(why),
            Err(error) => _ = outcome.trouble.get_or_insert(error.to_string()),
        }
    }
    Ok(outcome)
}

/// In TLS every second one makes a whole handshake, as whoever comes for the first time; the others may go on
/// from an earlier connection.
fn comer(target: &Target, number: u64) -> Target {
    let whole = number % 2 == 0;
    let tls = target.tls.as_ref().map(|tls| if whole { tls.without_memory() } else { tls.clone() });
    Target { tls, ..target.clone() }
}

impl Outcome {
    fn count(&mut self, done: Result<Result<Duration, Failure>, JoinError>) {
        let why = match done {
            Ok(Ok(took)) => {
                self.accepted += 1;
                self.latency.record(took);
                return;
            }
            Ok(Err(failure)) => failure.message().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        };
        self.failed += 1;
        self.trouble.get_or_insert(why);
    }
}

/// Connects, hears from the server, and leaves. Says how long it took until that was heard.
async fn come_and_go(target: &Target, number: u32, due: Instant) -> Result<Duration, Failure> {
    let came = timeout(ANSWER, connect(target, "come", number)).await;
    let client = came.map_err(|_| Failure::new("a connection was not made in time"))??;
    let heard = timeout(ANSWER, client.ping()).await;
    let took = due.elapsed();
    client.close().await;
    match heard {
        Ok(Some(_)) => Ok(took),
        _ => Err(Failure::new("a connection was lost as soon as it was made")),
    }
}

/// Stays until the others are done. Says why it did not.
async fn stay(client: Client, mut over: watch::Receiver<()>) -> Result<(), String> {
    let mut events = client.events();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stayed = loop {
        let is_over = tokio::select! {
            event = events.next() => match event {
                Some(Event::Connected { .. } | Event::Draining { .. }) => continue,
                Some(Event::Disconnected { reason, .. } | Event::Closed { reason }) => break Err(reason),
                None => break Err("the session has ended".to_owned()),
            },
            // Only its end is told.
            _ = over.changed() => true,
            _ = looks.tick() => false,
        };
        match timeout(ANSWER, client.ping()).await {
            Ok(Some(_)) if is_over => break Ok(()),
            Ok(Some(_)) => {}
            // Why, is told by an event.
            Ok(None) if !is_over => {}
            _ => break Err("the server gave no answer".to_owned()),
        }
    };
    client.close().await;
    stayed
}
