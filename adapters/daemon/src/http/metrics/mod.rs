//! What is counted, as metrics.
//!
//! No label has values that a client can choose, so that the number of time series is that of this file
//! and of the configuration.

mod format;
#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use bowline_core::endpoint::server::Server;
use bowline_driver::datagram::{Counters, DropReason, Gauge};
use bowline_tokio::server::{CompressionCounters, DialectCounters, ServerCounters, TunnelCounters};
use bowline_tokio::tls::{Failure as TlsFailure, Server as Tls};

pub(super) use format::Format;
use format::{Metrics, Unit};

use bowline_core::plugin::PluginInfo;

use crate::otlp::Counts;
use crate::plugins::Counts as Alerts;

/// What a listener has had to do.
#[derive(Clone, Debug)]
pub(super) struct ListenerCounts {
    pub(super) name: String,
    pub(super) connections: usize,
    pub(super) accepted: u64,
    pub(super) refused: u64,
}

impl ListenerCounts {
    /// Of all that have a name.
    pub(super) fn all(server: &Server) -> Vec<Self> {
        let named = server.listeners().filter(|info| !info.removed && !info.config.name.is_empty());
        let counts = named.map(|info| Self {
            name: info.config.name.clone(),
            connections: info.connections,
            accepted: info.accepted,
            refused: info.refused,
        });
        counts.collect()
    }
}

/// What sessions over UDP have counted, on all sockets.
#[derive(Clone, Debug, Default)]
pub(super) struct DatagramCounts {
    pub(super) sessions: usize,
    /// Of each socket.
    pub(super) counters: Vec<Counters>,
}

impl DatagramCounts {
    /// Nothing where no socket ever was.
    pub(super) fn of(gauges: &[Gauge]) -> Option<Self> {
        let sessions = gauges.iter().map(Gauge::sessions).sum();
        let counters: Vec<_> = gauges.iter().map(Gauge::counters).collect();
        (!gauges.is_empty()).then_some(Self { sessions, counters })
    }

    fn sum(&self, of: impl Fn(&Counters) -> u64) -> u64 {
        self.counters.iter().map(of).sum()
    }
}

/// Every metric, with what it means, of a process that began then.
pub(super) fn text(
    format: Format,
    counters: &ServerCounters,
    places: &[ListenerCounts],
    started: SystemTime,
    (spans, alerts): (&Counts, &Alerts),
    chain: &[PluginInfo],
    (secured, datagrams): (Option<&Tls>, Option<&DatagramCounts>),
) -> String {
    let mut out = Metrics::new(format);
    process(&mut out, started);
    connections(&mut out, counters);
    listeners(&mut out, places);
    messages(&mut out, counters);
    hub(&mut out, counters);
    rooms(&mut out, counters);
    store(&mut out, counters);
    round_trips(&mut out, counters);
    compression(&mut out, &counters.compression);
    tunnels(&mut out, &counters.tunnels);
    traces(&mut out, counters, spans);
    plugins(&mut out, chain, alerts);
    if let Some(secured) = secured {
        tls(&mut out, secured);
    }
    if let Some(datagrams) = datagrams {
        udp(&mut out, datagrams);
    }
    out.end()
}

/// Their names are the operator's, letters and digits.
fn plugins(out: &mut Metrics, chain: &[PluginInfo], alerts: &Alerts) {
    type Count = fn(&PluginInfo) -> u64;
    let counts: [(&str, &str, Count); 4] = [
        ("bowline_plugin_messages_total", "Messages that a plugin judged, on their way in and out.", |p| {
            p.messages
        }),
        ("bowline_plugin_changed_total", "Messages that a plugin changed.", |p| p.changed),
        ("bowline_plugin_dropped_total", "Messages that a plugin dropped.", |p| p.dropped),
        ("bowline_plugin_refused_total", "Messages, clients and else that a plugin refused.", |p| p.refused),
    ];
    for (name, help, count) in counts {
        out.head(name, "counter", help);
        for plugin in chain {
            out.value(name, format_args!("{{plugin=\"{}\"}}", plugin.name), count(plugin));
        }
    }
    let help = "Alerts for the webhook, by what became of them.";
    out.by("bowline_alerts_total", "counter", help, "outcome", &alerts.by_outcome());
}

fn process(out: &mut Metrics, started: SystemTime) {
    out.head("bowline_build_info", "gauge", "The version, as a label.");
    out.value("bowline_build_info", format_args!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
    let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = format_args!("{}.{:03}", since.as_secs(), since.subsec_millis());
    out.gauge(
        "process_start_time_seconds",
        "When the process began, in seconds since 1970-01-01 UTC.",
        since,
    );
}

/// Of the counters of datagram sessions: the name, what it means, and which it is.
type DatagramMetric = (&'static str, &'static str, fn(&Counters) -> u64);

const DATAGRAMS: [DatagramMetric; 17] = [
    ("bowline_udp_sessions_opened_total", "Sessions over UDP that were opened.", |c| c.opened),
    ("bowline_udp_sessions_ended_total", "Sessions over UDP that have ended.", |c| c.ended),
    ("bowline_udp_cookies_total", "Clients that were asked to show where they are first.", |c| c.cookies),
    ("bowline_udp_refused_total", "Clients that were refused, since there were too many.", |c| c.refused),
    ("bowline_udp_datagrams_received_total", "Datagrams that came.", |c| c.received),
    ("bowline_udp_received_bytes_total", "Octets of datagrams that came.", |c| c.received_octets),
    ("bowline_udp_datagrams_sent_total", "Datagrams that went out.", |c| c.sent),
    ("bowline_udp_sent_bytes_total", "Octets of datagrams that went out.", |c| c.sent_octets),
    ("bowline_udp_packets_lost_total", "Packets that were lost on their way to clients.", |c| c.lost),
    ("bowline_udp_packets_retransmitted_total", "Packets with content that was sent again.", |c| c.repeated),
    ("bowline_udp_messages_dropped_total", "Messages that were late or one too many.", |c| {
        c.stale + c.overflowed
    }),
    ("bowline_udp_migrations_total", "Sessions' changes of address.", |c| c.moved),
    ("bowline_udp_black_holes_total", "Paths that carried large packets no more.", |c| c.black_holes),
    ("bowline_udp_ecn_received_total", "Packets that came with a router's mark of congestion.", |c| {
        c.congested_received
    }),
    ("bowline_udp_ecn_reported_total", "Times that clients reported such marks.", |c| c.congested_sent),
    ("bowline_udp_ecn_failed_total", "Paths that were found not to carry such marks.", |c| c.ecn_failed),
    ("bowline_udp_unknown_total", "Data packets of sessions that are not known, which was said.", |c| {
        c.forgotten
    }),
];

fn udp(out: &mut Metrics, counts: &DatagramCounts) {
    out.gauge(
        "bowline_udp_sessions",
        "Sessions over UDP, those that open and end included.",
        counts.sessions,
    );
    for (name, help, of) in DATAGRAMS {
        out.counter(name, help, counts.sum(of));
    }
    let dropped: Vec<(&str, u64)> = DropReason::ALL
        .into_iter()
        .map(|why| (why.name(), counts.sum(|c| c.dropped[why as usize])))
        .collect();
    let help = "Datagrams that were as if they had not come, by why.";
    out.by("bowline_udp_datagrams_dropped_total", "counter", help, "reason", &dropped);
}

fn tls(out: &mut Metrics, tls: &Tls) {
    let counters = tls.counters();
    out.head("bowline_tls_handshakes_total", "counter", "Handshakes of TLS that were done.");
    let whole = counters.handshakes - counters.resumed;
    for (label, count) in [("false", whole), ("true", counters.resumed)] {
        out.value("bowline_tls_handshakes_total", format_args!("{{resumed=\"{label}\"}}"), count);
    }
    let help = "Connections without TLS where it was begun, or that lost it, by why.";
    out.head("bowline_tls_failures_total", "counter", help);
    for (failure, count) in TlsFailure::ALL.into_iter().zip(counters.failures) {
        let labels = format_args!("{{reason=\"{}\"}}", failure.label());
        out.value("bowline_tls_failures_total", labels, count);
    }
    out.counter("bowline_tls_reloads_total", "Certificates read anew.", counters.reloads);
    let help = "Certificates that changed and could not be taken over, so that the old ones stay.";
    out.counter("bowline_tls_reload_failures_total", help, counters.reload_failures);
    let name = "bowline_tls_certificate_expiry_timestamp_seconds";
    out.head(name, "gauge", "Until when a certificate is valid, in seconds since 1970-01-01 UTC.");
    for certificate in tls.certificates() {
        let file = certificate.file.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        out.value(name, format_args!("{{file=\"{}\"}}", file.replace('\n', "\\n")), certificate.not_after);
    }
}

fn connections(out: &mut Metrics, counters: &ServerCounters) {
    let help = "Connections that are open, by what is spoken and over what.";
    out.head("bowline_connections_active", "gauge", help);
    for d in &counters.dialects {
        let label = d.dialect.label();
        let plain = d.connections - d.over_websocket;
        for (layer, count) in [("none", plain), ("websocket", d.over_websocket)] {
            let labels = format_args!("{{dialect=\"{label}\",layer=\"{layer}\"}}");
            out.value("bowline_connections_active", labels, count);
        }
    }
    out.counter("bowline_connections_total", "Connections accepted.", counters.connections_accepted);
    out.counter("bowline_received_bytes_total", "Octets taken from transports.", counters.bytes_in);
    out.counter("bowline_sent_bytes_total", "Octets given to transports.", counters.bytes_out);
    out.counter("bowline_packets_received_total", "Packets and frames handled.", counters.packets_in);
    out.counter("bowline_packets_sent_total", "Packets and frames sent.", counters.packets_out);
    let hub = &counters.hub;
    out.gauge("bowline_sessions", "Sessions that there are, with a connection or without.", hub.sessions);
    out.gauge(
        "bowline_sessions_active",
        "Sessions that a connection serves, the program's own included.",
        hub.attached,
    );
    out.counter("bowline_sessions_opened_total", "Sessions opened or resumed.", counters.sessions_opened);
    out.counter(
        "bowline_sessions_expired_total",
        "Sessions that no client came back to.",
        counters.sessions_expired,
    );
}

/// The names are the operator's own.
fn listeners(out: &mut Metrics, all: &[ListenerCounts]) {
    let names: Vec<String> = all
        .iter()
        .map(|one| one.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "))
        .collect();
    let by = |of: fn(&ListenerCounts) -> u64| -> Vec<(&str, u64)> {
        names.iter().map(String::as_str).zip(all.iter().map(of)).collect()
    };
    let help = "Connections that are open, by where they came in.";
    let open = by(|one| one.connections as u64);
    out.by("bowline_listener_connections", "gauge", help, "listener", &open);
    let help = "Connections that were taken, by where they came in.";
    out.by("bowline_listener_accepted_total", "counter", help, "listener", &by(|one| one.accepted));
    let help = "Connections that were refused: too many or too fast, from elsewhere, without a PROXY header.";
    out.by("bowline_listener_refused_total", "counter", help, "listener", &by(|one| one.refused));
}

fn messages(out: &mut Metrics, counters: &ServerCounters) {
    let by = |of: fn(&DialectCounters) -> u64| -> Vec<(&str, u64)> {
        let spoken = counters.dialects.iter().filter(|d| d.dialect.label() != "http");
        spoken.map(|d| (d.dialect.label(), of(d))).collect()
    };
    let help = "Messages that clients published.";
    out.by("bowline_messages_in_total", "counter", help, "dialect", &by(|d| d.messages_in));
    let help = "Messages handed out to clients.";
    out.by("bowline_messages_out_total", "counter", help, "dialect", &by(|d| d.messages_out));
    let hub = &counters.hub;
    out.counter("bowline_message_bytes_in_total", "Octets of published messages.", hub.bytes_in);
    out.counter("bowline_message_bytes_out_total", "Octets of messages handed out.", hub.bytes_out);
    let sizes = "bowline_message_size_bytes";
    out.head(sizes, "histogram", "Octets of each published message: topic, properties and payload.");
    out.histogram(sizes, "", Unit::Bytes, &counters.message_sizes);
    out.counter(
        "bowline_denied_total",
        "What the access rules denied: publishing, subscribing, requests, queues.",
        hub.denied,
    );
    out.counter(
        "bowline_messages_duplicate_total",
        "Messages known by their de-duplication id.",
        hub.duplicates,
    );
    let drops = &hub.dropped;
    let reasons = [
        ("oldest", drops.oldest),
        ("newest", drops.newest),
        ("expired", drops.expired),
        ("detached", drops.detached),
        ("unsubscribed", drops.unsubscribed),
        ("ended", drops.ended),
        ("refused", drops.refused),
    ];
    let help = "Deliveries that were dropped, by reason.";
    out.by("bowline_messages_dropped_total", "counter", help, "reason", &reasons);
}

fn hub(out: &mut Metrics, counters: &ServerCounters) {
    let hub = &counters.hub;
    out.gauge("bowline_subscriptions", "Subscriptions that there are.", hub.subscriptions);
    out.gauge("bowline_queued_messages", "Deliveries that wait in sessions' queues.", hub.queued);
    out.gauge("bowline_queued_bytes", "Octets of them, counted for each delivery.", hub.queued_bytes);
    out.gauge("bowline_stored_messages", "Messages kept in memory for any purpose, each once.", hub.messages);
    out.gauge("bowline_stored_message_bytes", "Octets of them.", hub.message_bytes);
    out.gauge("bowline_retained_messages", "Retained messages.", hub.retained);
    out.gauge("bowline_retained_bytes", "Octets of them.", hub.retained_bytes);
    out.gauge("bowline_history_messages", "Messages in the histories of topics.", hub.history);
    out.gauge("bowline_history_bytes", "Octets of them.", hub.history_bytes);
    out.counter(
        "bowline_history_refused_total",
        "Messages that a full history did not take.",
        hub.history_refused,
    );
    out.gauge("bowline_queues", "Queues that there are.", hub.queues);
    out.gauge("bowline_queue_tasks", "Tasks in them.", hub.tasks);
    out.counter("bowline_queue_dead_letters_total", "Tasks that were given up.", hub.dead_letters);
    out.counter("bowline_requests_total", "Requests made.", hub.requests);
    out.counter("bowline_responses_total", "Responses handed out.", hub.responses);
    out.gauge("bowline_requests_active", "Requests that wait for their answers.", hub.requests_in_flight);
    out.counter("bowline_wills_total", "Wills published.", hub.wills);
}

fn rooms(out: &mut Metrics, counters: &ServerCounters) {
    let hub = &counters.hub;
    out.gauge("bowline_rooms", "Rooms that somebody is in.", hub.rooms);
    out.gauge("bowline_room_members", "Members of all rooms.", hub.members);
    let help = "Octets of rooms' messages that wait in sessions' queues, among bowline_queued_bytes.";
    out.gauge("bowline_room_queued_bytes", help, hub.room_queued_bytes);
}

fn store(out: &mut Metrics, counters: &ServerCounters) {
    let help = "Operations that were given to the store.";
    out.counter("bowline_store_operations_total", help, counters.store_issued);
    let help = "Those that it has committed.";
    out.counter("bowline_store_operations_committed_total", help, counters.store_committed);
    let help = "How often the store did not commit what it was given.";
    out.counter("bowline_store_failures_total", help, counters.store_failures);
    let commits = "bowline_store_commit_seconds";
    out.head(commits, "histogram", "How long the store took for each commit.");
    out.histogram(commits, "", Unit::Seconds, &counters.store_commits);
    let waited = "bowline_publish_acknowledgement_seconds";
    let help = "From taking a message that has to be stored until it can be acknowledged.";
    out.head(waited, "histogram", help);
    out.histogram(waited, "", Unit::Seconds, &counters.acknowledgements);
}

fn round_trips(out: &mut Metrics, counters: &ServerCounters) {
    let name = "bowline_ping_round_trip_seconds";
    out.head(name, "histogram", "From a ping of the server to its answer, by the protocol that pings.");
    for (of, times) in &counters.round_trips {
        out.histogram(name, &format!("protocol=\"{}\",", of.label()), Unit::Seconds, times);
    }
}

fn compression(out: &mut Metrics, counters: &CompressionCounters) {
    let payloads = [
        ("passed", counters.passed),
        ("inflated", counters.inflated),
        ("malformed", counters.malformed),
        ("refused", counters.refused),
    ];
    let help = "Compressed payloads: passed on as they came (each delivery), inflated (once for many), malformed \
                (they did not inflate to what they said), refused (they would inflate to more than is taken).";
    out.by("bowline_compressed_payloads_total", "counter", help, "outcome", &payloads);
    let octets = [("compressed", counters.octets_compressed), ("inflated", counters.octets_inflated)];
    let help = "Octets of payloads that were inflated, before and after.";
    out.by("bowline_inflated_bytes_total", "counter", help, "form", &octets);
}

fn tunnels(out: &mut Metrics, counters: &TunnelCounters) {
    out.gauge("bowline_tunnels", "Tunnels that there are.", counters.open);
    out.counter("bowline_tunnels_opened_total", "Tunnels whose target was reached.", counters.connected);
    let refused = counters.refused.map(|(why, count)| (why.label(), count));
    let help = "Tunnels that were refused, by reason.";
    out.by("bowline_tunnels_refused_total", "counter", help, "reason", &refused);
    let octets = [("in", counters.octets_in), ("out", counters.octets_out)];
    let help = "Octets of tunnels that have ended: in, from clients to targets.";
    out.by("bowline_tunnel_bytes_total", "counter", help, "direction", &octets);
    let name = "bowline_tunnel_connect_seconds";
    out.head(name, "histogram", "How long connecting to the targets of tunnels took.");
    out.histogram(name, "", Unit::Seconds, &counters.connect_times);
}

fn traces(out: &mut Metrics, counters: &ServerCounters, spans: &Counts) {
    let traces = &counters.traces;
    let stages = [("received", traces.received), ("made", traces.made), ("delivered", traces.delivered)];
    let help = "Messages with a trace, where traces are made or told of: those that came with one or were given one, \
                those that were given one, and deliveries.";
    out.by("bowline_traced_messages_total", "counter", help, "stage", &stages);
    let help = "Spans for OpenTelemetry, by what became of them.";
    out.by("bowline_otlp_spans_total", "counter", help, "outcome", &spans.by_outcome());
}
