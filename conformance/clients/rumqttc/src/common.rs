//! What both versions need.

use std::fmt::Debug;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

/// How long a check may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The outcome of a check.
pub(crate) type Checked = Result<(), String>;

/// What passed and what did not.
#[derive(Default)]
pub(crate) struct Report {
    passed: u32,
    failed: u32,
}

impl Report {
    /// Runs one check, bounded in time.
    pub(crate) async fn check(&mut self, name: &str, check: impl Future<Output = Checked>) {
        let outcome = match tokio::time::timeout(LIMIT, check).await {
            Ok(outcome) => outcome,
            Err(_) => Err("it took too long".to_owned()),
        };
        match outcome {
            Ok(()) => {
                println!("test {name} ... ok");
                self.passed += 1;
            }
            Err(why) => {
                println!("test {name} ... FAILED: {why}");
                self.failed += 1;
            }
        }
    }

    /// One line as cargo has it.
    pub(crate) fn print(&self) -> ExitCode {
        let word = if self.failed == 0 { "ok" } else { "FAILED" };
        println!("test result: {word}. {} passed; {} failed;", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Says both where they differ.
pub(crate) fn same<T: PartialEq + Debug>(got: &T, expected: &T, what: &str) -> Checked {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?}, not {expected:?}")) }
}

/// What of `seen` came first, in its order.
pub(crate) fn first(seen: &[u32]) -> Vec<u32> {
    let mut known = std::collections::HashSet::new();
    seen.iter().copied().filter(|n| known.insert(*n)).collect()
}

/// The checks of one version: rumqttc has its types twice.
macro_rules! checks {
    ($version:literal) => {
        use std::time::Duration;

        use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
        use tokio::task::JoinHandle;

        use crate::common::{Checked, Report, first, same};

        /// What a client saw.
        #[derive(Debug)]
        enum Seen {
            Connected {
                present: bool,
            },
            Granted(usize),
            Message(Message),
            /// PUBACK or PUBCOMP.
            Settled,
        }

        #[derive(Debug, PartialEq)]
        struct Message {
            topic: String,
            payload: String,
            qos: u8,
            retain: bool,
        }

        impl Message {
            fn new(topic: &str, payload: &str, qos: u8, retain: bool) -> Self {
                Self { topic: topic.to_owned(), payload: payload.to_owned(), qos, retain }
            }
        }

        /// A client whose event loop runs beside it.
        struct Connected {
            client: AsyncClient,
            seen: UnboundedReceiver<Seen>,
            cut: UnboundedSender<()>,
            task: JoinHandle<()>,
        }

        impl Drop for Connected {
            fn drop(&mut self) {
                // The socket goes with it, without DISCONNECT.
                self.task.abort();
            }
        }

        impl Connected {
            /// Connects; says whether there was a session.
            async fn new(options: MqttOptions) -> Result<(Self, bool), String> {
                let (client, mut events) = AsyncClient::new(options, 10);
                let (tell, seen) = unbounded_channel();
                let (cut, mut cuts) = unbounded_channel();
                let task = tokio::spawn(async move {
                    let mut ending = false;
                    loop {
                        let event = tokio::select! {
                            event = events.poll() => event,
                            Some(()) = cuts.recv() => {
                                events.clean();
                                continue;
                            }
                        };
                        match event {
                            Ok(event) => {
                                ending |= is_disconnect(&event);
                                if let Some(seen) = note(event) {
                                    // Whoever waits for it may be gone.
                                    let _ = tell.send(seen);
                                }
                            }
                            Err(_) if ending => break,
                            Err(_) => tokio::task::yield_now().await,
                        }
                    }
                });
                let mut connected = Self { client, seen, cut, task };
                match connected.next().await? {
                    Seen::Connected { present } => Ok((connected, present)),
                    other => Err(format!("{other:?} came before CONNACK")),
                }
            }

            async fn next(&mut self) -> Result<Seen, String> {
                self.seen.recv().await.ok_or_else(|| "the client has ended".to_owned())
            }

            async fn message(&mut self) -> Result<Message, String> {
                loop {
                    if let Seen::Message(message) = self.next().await? {
                        return Ok(message);
                    }
                }
            }

            async fn subscribe(&mut self, filter: &str, qos: QoS) -> Checked {
                self.client.subscribe(filter, qos).await.map_err(|error| error.to_string())?;
                loop {
                    if let Seen::Granted(count) = self.next().await? {
                        return same(&count, &1, "SUBACK");
                    }
                }
            }

            /// Returns when it is settled; at QoS 0, at once.
            async fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) -> Checked {
                self.send(topic, payload, qos, retain).await?;
                while qos != QoS::AtMostOnce {
                    if let Seen::Settled = self.next().await? {
                        break;
                    }
                }
                Ok(())
            }

            async fn send(&self, topic: &str, payload: &str, qos: QoS, retain: bool) -> Checked {
                let sent = self.client.publish(topic, qos, retain, payload.to_owned()).await;
                sent.map_err(|error| error.to_string())
            }

            /// DISCONNECT, and the connection closed.
            async fn end(mut self) -> Checked {
                self.client.disconnect().await.map_err(|error| error.to_string())?;
                (&mut self.task).await.map_err(|error| error.to_string())
            }
        }

        async fn fresh(port: u16, name: &str) -> Result<Connected, String> {
            Ok(Connected::new(options(port, name, true)).await?.0)
        }

        const QUALITIES: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

        /// All checks of this version.
        pub(crate) async fn run(report: &mut Report, port: u16) {
            let name = |what: &str| format!("rumqttc, {}: {what}", $version);
            report.check(&name("each QoS"), qualities(port)).await;
            report.check(&name("retained"), retained(port)).await;
            report.check(&name("will"), will(port)).await;
            report.check(&name("persistent session"), persistent(port)).await;
            report.check(&name("shared subscription"), shared(port)).await;
            report.check(&name("1,000 messages at QoS 1"), integrity(port, QoS::AtLeastOnce)).await;
            report.check(&name("1,000 messages at QoS 2"), integrity(port, QoS::ExactlyOnce)).await;
            more(report, port).await;
        }

        async fn qualities(port: u16) -> Checked {
            let mut publisher = fresh(port, "q-pub").await?;
            for granted in QUALITIES {
                let mut subscriber = fresh(port, "q-sub").await?;
                subscriber.subscribe("rq/+", granted).await?;
                for qos in QUALITIES {
                    publisher.publish("rq/x", "x", qos, false).await?;
                    let expected = Message::new("rq/x", "x", (qos as u8).min(granted as u8), false);
                    same(&subscriber.message().await?, &expected, "the message")?;
                }
                subscriber.end().await?;
            }
            Ok(())
        }

        async fn retained(port: u16) -> Checked {
            let topic = concat!("rr/", $version);
            let mut publisher = fresh(port, "r-pub").await?;
            for payload in ["closed", "open"] {
                publisher.publish(topic, payload, QoS::AtLeastOnce, true).await?;
            }
            let mut live = fresh(port, "r-sub").await?;
            live.subscribe(topic, QoS::AtLeastOnce).await?;
            same(&live.message().await?, &Message::new(topic, "open", 1, true), "the retained one")?;
            publisher.publish(topic, "", QoS::AtLeastOnce, true).await?;
            same(&live.message().await?, &Message::new(topic, "", 1, false), "the cleared one")?;
            live.end().await?;
            let mut late = fresh(port, "r-late").await?;
            late.subscribe("rr/#", QoS::AtLeastOnce).await?;
            publisher.publish("rr/bell", "ring", QoS::AtLeastOnce, false).await?;
            same(&late.message().await?, &Message::new("rr/bell", "ring", 1, false), "nothing is retained")
        }

        async fn will(port: u16) -> Checked {
            let mut watcher = fresh(port, "w-sub").await?;
            watcher.subscribe("rw/#", QoS::AtLeastOnce).await?;
            Connected::new(with_will(options(port, "w-1", true), "ended")).await?.0.end().await?;
            drop(Connected::new(with_will(options(port, "w-2", true), "lost")).await?.0);
            same(&watcher.message().await?, &Message::new("rw/will", "lost", 1, false), "the will")
        }

        async fn persistent(port: u16) -> Checked {
            let (mut away, present) = Connected::new(options(port, "keeper", false)).await?;
            same(&present, &false, "a session at first")?;
            away.subscribe("rk/+", QoS::ExactlyOnce).await?;
            away.end().await?;
            let mut publisher = fresh(port, "k-pub").await?;
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                publisher.publish("rk/x", "later", qos, false).await?;
            }
            let (mut back, present) = Connected::new(options(port, "keeper", false)).await?;
            same(&present, &true, "a session afterwards")?;
            for qos in [1, 2] {
                same(&back.message().await?, &Message::new("rk/x", "later", qos, false), "what waited")?;
            }
            back.end().await?;
            let (_, present) = Connected::new(options(port, "keeper", true)).await?;
            same(&present, &false, "a session after a clean start")
        }

        async fn shared(port: u16) -> Checked {
            let mut members = Vec::new();
            for name in ["s-1", "s-2"] {
                let mut member = fresh(port, name).await?;
                member.subscribe(concat!("$share/g/rs/", $version), QoS::AtLeastOnce).await?;
                member.subscribe("rs-end", QoS::AtLeastOnce).await?;
                members.push(member);
            }
            let mut publisher = fresh(port, "s-pub").await?;
            for n in 0..100_u32 {
                publisher.publish(concat!("rs/", $version), &n.to_string(), QoS::AtLeastOnce, false).await?;
            }
            publisher.publish("rs-end", "", QoS::AtLeastOnce, false).await?;
            let mut all = Vec::new();
            for member in &mut members {
                let before = all.len();
                loop {
                    let message = member.message().await?;
                    if message.topic == "rs-end" {
                        break;
                    }
                    all.push(message.payload.parse::<u32>().map_err(|error| error.to_string())?);
                }
                if all.len() - before < 10 {
                    return Err(format!("one member had {} messages", all.len() - before));
                }
            }
            all.sort_unstable();
            same(&all, &(0..100).collect(), "each message once")
        }

        /// The publisher loses its connection all the time; at QoS 1 the subscriber too, but not at QoS 2:
        /// rumqttc forgets what it has received with the connection, so it would take a message twice.
        async fn integrity(port: u16, qos: QoS) -> Checked {
            let topic = format!("ri/{}/{}", $version, qos as u8);
            let name = |what: &str| format!("{what}-{}", qos as u8);
            let mut subscriber = Connected::new(options(port, &name("i-sub"), false)).await?.0;
            subscriber.subscribe(&topic, qos).await?;
            let mut publisher = Connected::new(options(port, &name("i-pub"), false)).await?.0;
            let (mut seen, mut sent, mut cuts) = (Vec::new(), 0_u32, 0);
            while sent < 1000 {
                let batch = sent + 50;
                while sent < batch {
                    publisher.send(&topic, &sent.to_string(), qos, false).await?;
                    sent += 1;
                }
                // About half of them is settled when the connection goes.
                for settled in 0..50 {
                    while !matches!(publisher.next().await?, Seen::Settled) {}
                    if settled == 20 {
                        let _ = publisher.cut.send(());
                        cuts += 1;
                        if qos == QoS::AtLeastOnce {
                            let _ = subscriber.cut.send(());
                        }
                    }
                }
            }
            let mut known = std::collections::HashSet::new();
            while known.len() < 1000 {
                let n =
                    subscriber.message().await?.payload.parse::<u32>().map_err(|error| error.to_string())?;
                known.insert(n);
                seen.push(n);
            }
            same(&cuts, &20, "connections lost")?;
            if qos == QoS::ExactlyOnce {
                same(&seen.len(), &1000, "each once")?;
            }
            same(&first(&seen), &(0..1000).collect(), "first deliveries in order")
        }
    };
}

pub(crate) use checks;

/// How often a client says that it is there.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(30);
