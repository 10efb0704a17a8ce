//! The three commands.

use std::pin::{Pin, pin};
use std::time::SystemTime;

use bowline_driver::core::topic::{matches, parse_filter};
use bowline_driver::mqtt::{
    Error, Filter, Message, Property, PropertyBlock, Publish, Qos, ReasonCode, RetainHandling, Subscribe,
    SubscriptionOptions, Version,
};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

use super::Connection;
use super::format::Format;
use super::properties::Command;
use crate::cli::{MqttPubArgs, MqttReqArgs, MqttSubArgs};
use crate::client::publish::Source;
use crate::client::{after, interrupted, print};
use crate::failure::Failure;
use crate::net::{MqttClient as Client, MqttSubscription as Subscription};
use crate::output;
use crate::text::format_duration;

/// Messages on their way that the server has not acknowledged yet.
const WINDOW: usize = 512;

type Pending = Pin<Box<dyn Future<Output = Result<ReasonCode, Error>>>>;

/// `bowline pub --mqtt`.
pub(crate) async fn publish(args: MqttPubArgs) -> Result<(), Failure> {
    let source = Source::open(args.content()?, args.repeat, false).await?;
    let connection = Connection::open(&args.connect, "pub", None).await?;
    let outcome = {
        let all = pin!(publish_all(&args, &connection, source));
        tokio::select! {
            outcome = all => outcome,
            () = interrupted() => Err(Failure::new("interrupted")),
        }
    };
    match outcome {
        Ok(()) => connection.close().await,
        Err(_) => connection.abandon().await,
    }
    outcome
}

async fn publish_all(args: &MqttPubArgs, connection: &Connection, mut source: Source) -> Result<(), Failure> {
    let to = args.content.topic(&args.connect);
    let properties = connection.given.block(Command::Publish)?;
    let alias = connection.given.alias();
    let mut open: FuturesUnordered<Pending> = FuturesUnordered::new();
    let mut published = 0;
    while let Some(payload) = source.next(published).await? {
        if published > 0 && source.repeats() && !args.repeat_delay.is_zero() {
            sleep(args.repeat_delay).await;
        }
        published += 1;
        let (client, topic, properties) = (connection.client.clone(), to.to_owned(), properties.clone());
        let (qos, retain) = (args.content.qos, args.content.retain);
        let mut publish: Pending = Box::pin(async move {
            client.publish(Publish { qos, retain, properties, alias, ..Publish::new(&topic, payload) }).await
        });
        // The first step queues it: messages keep their order.
        match (&mut publish).now_or_never() {
            Some(done) => acknowledged(to, done)?,
            None => open.push(publish),
        }
        while open.len() >= WINDOW {
            if let Some(done) = open.next().await {
                acknowledged(to, done)?;
            }
        }
    }
    while let Some(done) = open.next().await {
        acknowledged(to, done)?;
    }
    Ok(())
}

fn acknowledged(topic: &str, done: Result<ReasonCode, Error>) -> Result<(), Failure> {
    done.map(drop).map_err(|error| Failure::new(format!("not published on {topic}: {error}")))
}

/// `bowline sub --mqtt`.
pub(crate) async fn subscribe(mut args: MqttSubArgs) -> Result<(), Failure> {
    args.topics.extend(args.connect.url.as_ref().map(|url| url.topic.clone()));
    let format = Format::new(&args.output)?;
    for filter in args.topics.iter().chain(&args.filter_out).chain(&args.unsubscribe) {
        parse_filter(filter).map_err(|error| Failure::usage(format!("`{filter}`: {error}")))?;
    }
    let connection = Connection::open(&args.connect, "sub", args.timeout).await?;
    let outcome = {
        let listening = pin!(listen(&args, &connection, &format));
        tokio::select! {
            outcome = listening => outcome,
            limit = after(args.timeout) => {
                Err(Failure::mqtt_timeout(format!("{} have passed", format_duration(limit))))
            }
            () = interrupted() => Ok(()),
        }
    };
    connection.close().await;
    outcome
}

async fn listen(args: &MqttSubArgs, connection: &Connection, format: &Format) -> Result<(), Failure> {
    let client = &connection.client;
    if !args.unsubscribe.is_empty() {
        let filters: Vec<&str> = args.unsubscribe.iter().map(String::as_str).collect();
        let done = client.unsubscribe_filters(&filters).await;
        done.map_err(|error| Failure::new(format!("not unsubscribed: {error}")))?;
        if args.topics.is_empty() {
            return Ok(());
        }
    }
    let options = SubscriptionOptions {
        qos: args.qos,
        no_local: false,
        retain_as_published: args.retain_as_published,
        retain_handling: match args.connect.protocol_version {
            // 3.1.1 cannot leave them out: what comes is.
            Version::V5 if args.no_retained => RetainHandling::Never,
            _ => RetainHandling::Send,
        },
    };
    let filters: Vec<Filter<'_>> = args.topics.iter().map(|filter| Filter { filter, options }).collect();
    let properties = connection.given.block(Command::Subscribe)?;
    let subscription = client.subscribe_all(Subscribe { properties, ..Subscribe::new(&filters) }).await;
    let mut subscription = subscription
        .map_err(|error| Failure::new(format!("{} was not subscribed: {error}", args.topics.join(", "))))?;
    for (filter, reason) in args.topics.iter().zip(subscription.reasons()).filter(|(_, r)| r.is_error()) {
        output::warning(&format!("{filter} was not subscribed: {}", reason.name()));
    }
    if args.exit_after_subscribe {
        keep(args, subscription);
        return Ok(());
    }
    if !args.connect.quiet && (args.connect.debug || output::is_watched()) {
        output::note(&format!("subscribed to {}; Ctrl-C ends", args.topics.join(", ")));
    }
    let outcome = print_all(args, client, &mut subscription, format).await;
    keep(args, subscription);
    outcome
}

/// A subscription that is dropped is given up; one of a session that is left behind is not.
fn keep(args: &MqttSubArgs, subscription: Subscription) {
    if args.connect.disable_clean_session || args.connect.session_expiry_interval.is_some() {
        subscription.keep();
    }
}

async fn print_all(
    args: &MqttSubArgs,
    client: &Client,
    subscription: &mut Subscription,
    format: &Format,
) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut came = 0;
    loop {
        let message = tokio::select! {
            message = subscription.next() => message,
            Some(message) = client.next_unasked() => Some(message),
        };
        let Some(message) = message else {
            return Err(Failure::new(format!("the connection has ended: {}", client.closed().await)));
        };
        if message.is_retained() && args.remove_retained {
            let clear = Publish { retain: true, qos: Qos::AtLeastOnce, ..Publish::new(message.topic(), "") };
            acknowledged(message.topic(), client.publish(clear).await)?;
        }
        if args.retained_only && !message.is_retained() {
            return Ok(());
        }
        if (args.no_retained && message.is_retained()) || is_left_out(args, &message) {
            continue;
        }
        if !print(&mut out, &format.print(&message, SystemTime::now())).await? {
            return Ok(());
        }
        came += 1;
        if args.count == Some(came) {
            return Ok(());
        }
    }
}

fn is_left_out(args: &MqttSubArgs, message: &Message) -> bool {
    args.filter_out.iter().any(|filter| matches(filter, message.topic()))
}

/// `bowline req --mqtt`.
pub(crate) async fn request(args: MqttReqArgs) -> Result<(), Failure> {
    if args.connect.protocol_version == Version::V311 {
        return Err(Failure::usage("requests need MQTT 5: leave -V out"));
    }
    let format = Format::new(&args.output)?;
    let payload = Source::open(args.content.one()?, 1, false).await?.next(0).await?.unwrap_or_default();
    let connection = Connection::open(&args.connect, "req", Some(args.timeout)).await?;
    let outcome = {
        let asking = pin!(ask(&args, &connection, payload, &format));
        tokio::select! {
            outcome = asking => outcome,
            limit = after(Some(args.timeout)) => Err(Failure::mqtt_timeout(format!(
                "no answer on {} within {}; -W gives it longer",
                args.content.topic(&args.connect),
                format_duration(limit)
            ))),
            () = interrupted() => Err(Failure::new("interrupted")),
        }
    };
    connection.close().await;
    outcome
}

async fn ask(
    args: &MqttReqArgs,
    connection: &Connection,
    payload: Bytes,
    format: &Format,
) -> Result<(), Failure> {
    let client = &connection.client;
    let own = || format!("bowline/reply/{}", client.client_id());
    let answers_to = args.response_topic.clone().unwrap_or_else(own);
    let options = SubscriptionOptions { qos: Qos::AtLeastOnce, ..SubscriptionOptions::default() };
    let mut answers = client
        .subscribe(&answers_to, options)
        .await
        .map_err(|error| Failure::new(format!("no answer could come on {answers_to}: {error}")))?;
    let correlation = rand::random::<[u8; 8]>();
    let given = connection.given.block(Command::Publish)?;
    let mut list: Vec<Property<'_>> = given.get().iter().collect();
    list.retain(|p| !matches!(p, Property::ResponseTopic(_) | Property::CorrelationData(_)));
    list.extend([Property::ResponseTopic(&answers_to), Property::CorrelationData(&correlation)]);
    let properties = PropertyBlock::of_message(&list).map_err(|error| Failure::usage(error.to_string()))?;
    // So that the server says when nobody is there to answer.
    let qos = args.content.qos.max(Qos::AtLeastOnce);
    let (topic, retain) = (args.content.topic(&args.connect), args.content.retain);
    let asked = client.publish(Publish { qos, retain, properties, ..Publish::new(topic, payload) }).await;
    match asked {
        Ok(ReasonCode::NoMatchingSubscribers) => {
            return Err(Failure::no_responder(format!("nobody answers requests on {topic}")));
        }
        asked => acknowledged(topic, asked)?,
    }
    let mut out = tokio::io::stdout();
    while let Some(answer) = answers.next().await {
        let all = answer.properties();
        let ours = all.iter().any(|p| p == Property::CorrelationData(&correlation));
        if ours {
            print(&mut out, &format.print(&answer, SystemTime::now())).await?;
            return Ok(());
        }
    }
    Err(Failure::new(format!("the connection has ended: {}", client.closed().await)))
}
