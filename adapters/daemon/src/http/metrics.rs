//! Metrics in the text format of Prometheus, 0.0.4.

use std::fmt::{Display, Write};

use bowline_tokio::server::{DialectCounters, ServerCounters};

/// The type of [`text`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric, with what it means.
pub(super) fn text(counters: &ServerCounters) -> String {
    let mut out = Metrics(String::with_capacity(8 << 10));
    connections(&mut out, counters);
    messages(&mut out, counters);
    hub(&mut out, counters);
    out.0
}

/// What was written so far.
struct Metrics(String);

impl Metrics {
    fn head(&mut self, name: &str, sort: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP bowline_{name} {help}\n# TYPE bowline_{name} {sort}");
    }

    fn value(&mut self, name: &str, labels: impl Display, value: u64) {
        let _ = writeln!(self.0, "bowline_{name}{labels} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.value(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.value(name, "", value);
    }

    /// One value for each value of a label.
    fn by(&mut self, name: &str, sort: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, sort, help);
        for (of, value) in values {
            self.value(name, format_args!("{{{label}=\"{of}\"}}"), *value);
        }
    }
}

fn connections(out: &mut Metrics, counters: &ServerCounters) {
    out.head("build_info", "gauge", "The version, as a label.");
    out.value("build_info", format_args!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
    let help = "Connections that are open, by what is spoken and over what.";
    out.head("connections_active", "gauge", help);
    for d in &counters.dialects {
        let label = d.dialect.label();
        let plain = d.connections - d.over_websocket;
        for (layer, count) in [("none", plain), ("websocket", d.over_websocket)] {
            let labels = format_args!("{{dialect=\"{label}\",layer=\"{layer}\"}}");
            out.value("connections_active", labels, count);
        }
    }
    out.counter("connections_total", "Connections accepted.", counters.connections_accepted);
    out.counter("received_bytes_total", "Octets taken from transports.", counters.bytes_in);
    out.counter("sent_bytes_total", "Octets given to transports.", counters.bytes_out);
    out.counter("packets_received_total", "Packets and frames handled.", counters.packets_in);
    out.counter("packets_sent_total", "Packets and frames sent.", counters.packets_out);
    let hub = &counters.hub;
    out.gauge("sessions", "Sessions that there are, with a connection or without.", hub.sessions);
    out.gauge(
        "sessions_active",
        "Sessions that a connection serves, the program's own included.",
        hub.attached,
    );
    out.counter("sessions_opened_total", "Sessions opened or resumed.", counters.sessions_opened);
    out.counter("sessions_expired_total", "Sessions that no client came back to.", counters.sessions_expired);
}

fn messages(out: &mut Metrics, counters: &ServerCounters) {
    let by = |of: fn(&DialectCounters) -> u64| -> Vec<(&str, u64)> {
        let spoken = counters.dialects.iter().filter(|d| d.dialect.label() != "http");
        spoken.map(|d| (d.dialect.label(), of(d))).collect()
    };
    let help = "Messages that clients published.";
    out.by("messages_in_total", "counter", help, "dialect", &by(|d| d.messages_in));
    let help = "Messages handed out to clients.";
    out.by("messages_out_total", "counter", help, "dialect", &by(|d| d.messages_out));
    let hub = &counters.hub;
    out.counter("message_bytes_in_total", "Octets of published messages.", hub.bytes_in);
    out.counter("message_bytes_out_total", "Octets of messages handed out.", hub.bytes_out);
    out.counter("messages_duplicate_total", "Messages known by their de-duplication id.", hub.duplicates);
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
    out.by("messages_dropped_total", "counter", help, "reason", &reasons);
}

fn hub(out: &mut Metrics, counters: &ServerCounters) {
    let hub = &counters.hub;
    out.gauge("subscriptions", "Subscriptions that there are.", hub.subscriptions);
    out.gauge("queued_messages", "Deliveries that wait in sessions' queues.", hub.queued);
    out.gauge("queued_bytes", "Octets of them, counted for each delivery.", hub.queued_bytes);
    out.gauge("stored_messages", "Messages kept in memory for any purpose, each once.", hub.messages);
    out.gauge("stored_message_bytes", "Octets of them.", hub.message_bytes);
    out.gauge("retained_messages", "Retained messages.", hub.retained);
    out.gauge("retained_bytes", "Octets of them.", hub.retained_bytes);
    out.gauge("history_messages", "Messages in the histories of topics.", hub.history);
    out.gauge("history_bytes", "Octets of them.", hub.history_bytes);
    out.counter("history_refused_total", "Messages that a full history did not take.", hub.history_refused);
    out.gauge("queues", "Queues that there are.", hub.queues);
    out.gauge("queue_tasks", "Tasks in them.", hub.tasks);
    out.counter("queue_dead_letters_total", "Tasks that were given up.", hub.dead_letters);
    out.counter("requests_total", "Requests made.", hub.requests);
    out.counter("responses_total", "Responses handed out.", hub.responses);
    out.gauge("requests_active", "Requests that wait for their answers.", hub.requests_in_flight);
    out.counter("wills_total", "Wills published.", hub.wills);
    let help = "Operations that were given to the store.";
    out.counter("store_operations_total", help, counters.store_issued);
    out.counter("store_operations_committed_total", "Those that it has committed.", counters.store_committed);
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;

    use bowline_core::endpoint::server::{Server, ServerConfig};
    use bowline_core::entropy::Seeded;

    /// What a scraper relies on: each metric is announced once, before its values, has a good name,
    /// and counters end in `_total`.
    #[test]
    fn the_text_is_as_prometheus_wants_it() {
        let server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
        let text = text(&server.counters());
        let mut announced = BTreeSet::new();
        let (mut name, mut sort) = ("", "");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                name = help.split_once(' ').unwrap().0;
                assert!(announced.insert(name), "{name} twice");
            } else if let Some(of) = line.strip_prefix("# TYPE ") {
                sort = of.strip_prefix(name).unwrap().trim();
                assert_eq!(sort == "counter", name.ends_with("_total"), "{line}");
            } else {
                let (of, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(of.split('{').next().unwrap(), name, "{line}");
                value.parse::<u64>().unwrap();
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            }
        }
        assert!(announced.len() > 35 && sort == "counter", "{}", announced.len());
        assert!(text.contains("bowline_messages_in_total{dialect=\"mqtt5\"} 0\n"));
        assert!(text.contains("bowline_connections_active{dialect=\"mqtt311\",layer=\"websocket\"} 0\n"));
        assert!(text.ends_with('\n'));
    }
}
