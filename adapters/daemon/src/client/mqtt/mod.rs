//! `bowline pub|sub|req --mqtt`.

mod format;
mod properties;
mod run;

use std::time::Duration;

use bowline_driver::mqtt::{ClientConfig, ClientEvent, QueueLimits, Reason, ReasonCode, Version, Will};
use tokio::task::JoinHandle;

pub(crate) use run::{publish, request, subscribe};

use super::after;
use crate::cli::{Endpoint, MqttArgs, fields};
use crate::failure::Failure;
use crate::net::{Faults, MqttClient as Client, Outbound, diagnose, is_ours};
use crate::output;
use crate::text::format_duration;
use properties::{Command, Given};

/// More than what the tools have on its way at a time.
const KEPT: QueueLimits = QueueLimits { max_messages: 4096, max_bytes: 256 << 20 };

/// How long the last words may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection, and who tells what becomes of it.
struct Connection {
    client: Client,
    given: Given,
    watch: JoinHandle<()>,
}

impl Connection {
    /// Connects; only a connection that stood once is made again.
    async fn open(args: &MqttArgs, what: &str, limit: Option<Duration>) -> Result<Self, Failure> {
        let given = Given::read(&args.properties, args.protocol_version)?;
        let named = args.server.as_ref().or(args.url.as_ref().map(|url| &url.server));
        let endpoint = match (&args.unix, named) {
            (Some(path), _) => Endpoint::Unix(path.clone()),
            (None, Some(server)) => server.clone(),
            (None, None) => Endpoint::Tcp { host: args.host.clone(), port: args.port },
        };
        let endpoint = args.tls.apply(endpoint);
        let faults = Faults::default();
        let told = faults.clone();
        let tls = args.tls.client(std::slice::from_ref(&endpoint), move |why| told.tell(why))?;
        if let Some(address) = args.bind.filter(|address| !is_ours(*address)) {
            return Err(Failure::usage(format!("-A {address}: this machine has no such address")));
        }
        let config = config(args, &given, what, &endpoint)?;
        let debug = args.debug;
        let mut builder =
            Client::builder_on(Outbound { from: args.bind }, &endpoint.to_string()).config(config);
        if let Some(tls) = tls {
            builder = builder.tls(tls);
        }
        let client = builder.start().map_err(|error| Failure::usage(error.to_string()))?;
        let client = tokio::select! {
            done = welcomed(&client, &endpoint, debug, &faults) => done.map(|()| client)?,
            limit = after(limit) => {
                let within = format_duration(limit);
                return Err(Failure::mqtt_timeout(format!("no connection to {endpoint} within {within}")));
            }
        };
        let (mut events, quiet) = (client.events(), args.quiet);
        let watch = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                tell(&event, debug, quiet);
            }
        });
        Ok(Self { client, given, watch })
    }

    /// Ends: what waits is sent, within a time.
    async fn close(self) {
        self.client.drain(FAREWELL).await;
        self.watch.abort();
    }

    /// Ends at once.
    async fn abandon(self) {
        self.client.disconnect().await;
        self.watch.abort();
    }
}

async fn welcomed(client: &Client, endpoint: &Endpoint, debug: bool, faults: &Faults) -> Result<(), Failure> {
    let mut events = client.events();
    while !client.is_connected() {
        let reason = match events.next().await {
            Some(ClientEvent::Disconnected { reason, .. } | ClientEvent::Closed { reason, .. }) => reason,
            Some(_) => continue,
            None => client.closed().await,
        };
        client.disconnect().await;
        if let Some(failure) = faults.explain("TLS", &[endpoint.to_string()]) {
            return Err(failure);
        }
        return Err(match reason {
            Reason::Unreachable => diagnose(std::slice::from_ref(endpoint)).await,
            Reason::Refused {
                code: ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized, ..
            } => Failure::new(format!("{endpoint}: {reason}; give a user (-u, -P) that the server knows")),
            reason => Failure::new(format!("{endpoint}: {reason}")),
        });
    }
    if debug {
        output::note(&format!("connected to {endpoint} as {}", client.client_id()));
    }
    Ok(())
}

/// Says what became of the connection.
fn tell(event: &ClientEvent, debug: bool, quiet: bool) {
    match event {
        ClientEvent::Connected { session_present, .. } if !quiet => {
            let kept = if *session_present { "the session goes on" } else { "in a new session" };
            output::note(&format!("connected again, {kept}"));
        }
        ClientEvent::Disconnected { reason, .. } if !quiet => {
            output::warning(&format!("the connection is lost ({reason}); trying again"));
        }
        ClientEvent::Closed { reason, .. } if *reason != Reason::Requested => {
            output::warning(&format!("the connection has ended ({reason})"));
        }
        other if debug => output::note(&format!("{other:?}")),
        _ => {}
    }
}

fn config(args: &MqttArgs, given: &Given, what: &str, endpoint: &Endpoint) -> Result<ClientConfig, Failure> {
    let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (of_url, secret) = match &args.url {
        Some(url) => (url.user.as_ref(), url.password.as_ref()),
        None => (None, None),
    };
    let user = args.username.as_ref().or(of_url).cloned().or_else(|| read("BOWLINE_USER"));
    let password = args
        .password
        .as_ref()
        .or(secret)
        .cloned()
        .or_else(|| user.as_ref().and_then(|_| read("BOWLINE_PASSWORD")));
    let secret = password.is_some() || !args.headers.is_empty();
    if secret && !args.insecure && !endpoint.is_local() && !endpoint.is_secured() {
        return Err(Failure::usage(format!(
            "the connection to {endpoint} is not encrypted: whoever sees it could read your password; \
             use --insecure if you trust the network"
        )));
    }
    if password.is_some() && user.is_none() && args.protocol_version == Version::V311 {
        return Err(Failure::usage("MQTT 3.1.1 has no password without a user: -u USER")); // [MQTT-3.1.2-22]
    }
    let number = std::process::id();
    let client_id = match (&args.id, &args.id_prefix) {
        (Some(id), _) => id.clone(),
        (None, Some(prefix)) => format!("{prefix}{number}"),
        (None, None) => format!("bowline-{what}-{number}"),
    };
    let kept = if args.disable_clean_session { u32::MAX } else { 0 };
    let will = args.will_topic.as_ref().map(|topic| -> Result<Will, Failure> {
        Ok(Will {
            topic: topic.clone(),
            payload: args.will_payload.clone().unwrap_or_default().into_bytes(),
            qos: args.will_qos,
            retain: args.will_retain,
            properties: given.block(Command::Will)?,
        })
    });
    let mut config = ClientConfig {
        version: args.protocol_version,
        client_id,
        user,
        password: password.map(|password| password.into_bytes().into()),
        keep_alive: args.keepalive,
        clean_start: !args.disable_clean_session,
        session_expiry: args.session_expiry_interval.unwrap_or(kept),
        properties: given.block(Command::Connect)?,
        will: will.transpose()?,
        outgoing: KEPT,
        request_fields: fields(&args.headers)?,
        ..ClientConfig::default()
    };
    given.limits(&mut config);
    Ok(config)
}
