//! Every vector that a socket can show, over every transport, on every runtime: garbage, half frames, frames too
//! large, forged resumes and acknowledgements, and all that is right.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpListener;
use std::sync::Mutex;

use bowline_conformance::carrier::Carrier;
use bowline_conformance::dialect::Dialect;
use bowline_conformance::runner::Outcome;
use bowline_conformance::socket;
use bowline_conformance::target::Target;
use bowline_conformance::vector::{self, Vector};
use bowline_core::endpoint::server::{Compression, ServerConfig};
use bowline_core::relay::Allowed;
use bowline_driver::Runtime;
use bowline_driver::server::{Builder, Server, StartError};
use bowline_world::{Line, Over, Told};

/// So many vectors at once: most of the time they wait.
const THREADS: usize = 16;

/// What came of the vectors.
#[derive(Default)]
struct Tally {
    failed: Vec<String>,
    /// By transport and dialect.
    passed: BTreeMap<(&'static str, Dialect), usize>,
    /// Why some were not tried, and how many, by transport.
    skipped: BTreeMap<(&'static str, String), usize>,
}

impl Tally {
    fn add(&mut self, over: Over, vector: &Vector, outcome: Outcome) {
        match outcome {
            Outcome::Pass => *self.passed.entry((over.name(), vector.dialect)).or_default() += 1,
            Outcome::Unsupported(why) => *self.skipped.entry((over.name(), why)).or_default() += 1,
            other => self.failed.push(format!("{} over {}: {other:?}", vector.name, over.name())),
        }
    }

    /// What passed over this, as the README's table has it.
    fn line(&self, over: Over) -> String {
        let of = |dialect: Dialect| Some((dialect, *self.passed.get(&(over.name(), dialect))?));
        let all: Vec<String> =
            Dialect::ALL.into_iter().filter_map(of).map(|(d, n)| format!("{} {n}", d.title())).collect();
        all.join(", ")
    }
}

/// Runs all vectors that a server as it comes can show over everything, each thread against a server of its
/// own for each transport: topics of different vectors have the same names, and sessions outlive them.
fn all_pass<R: Runtime>(
    name: &str,
    runtime: R,
    start: impl Fn(Builder<R>) -> Result<Server<R>, StartError> + Sync,
) {
    let vectors: Vec<Vector> = vector::builtin().unwrap().into_iter().filter(|v| v.socket).collect();
    let target = Target::listen("127.0.0.1:0").unwrap().address.to_string();
    let lines = Over::ALL.map(|over| (over, Line::new(over)));
    // A transport after the other, so that what waits for long over one is done beside what follows.
    let work = lines.iter().flat_map(|line| vectors.iter().map(move |v| (line, v)));
    let (queue, tally) = (Mutex::new(work), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut serving: Option<(Over, Carrier, Server<R>)> = None;
                while let Some(((over, line), v)) = { queue.lock().unwrap().next() } {
                    if serving.as_ref().is_none_or(|(served, ..)| served != over) {
                        let server = line.server(Server::builder_on(runtime.clone()), config(&target));
                        let server = start(server).unwrap();
                        serving = Some((*over, carrier(line, &server).target(&target), server));
                    }
                    let Some((_, carrier, _)) = &serving else { continue };
                    let outcome = socket::run(v, carrier);
                    tally.lock().unwrap().add(*over, v, outcome);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    for ((over, why), count) in &tally.skipped {
        println!("not over {over}: {count}, as {why}");
    }
    assert_eq!(tally.failed, [""; 0]);
    let mut told = Told::new(env!("CARGO_TARGET_TMPDIR"), "vectors", name);
    for over in Over::ALL {
        let own = tally.passed.get(&(over.name(), Dialect::Bowline)).copied().unwrap_or_default();
        assert!(own > 250, "{own} of our own protocol over {}", over.name());
        told.well(over, &tally.line(over));
    }
    let all = Dialect::ALL.into_iter().collect::<BTreeSet<_>>();
    for name in ["TCP", "Unix socket", "TLS"] {
        let carried: BTreeSet<_> = tally.passed.keys().filter(|(o, _)| *o == name).map(|(_, d)| *d).collect();
        assert_eq!(carried, all, "{name} carries every dialect");
    }
}

/// As the vectors want a server: pages may have their messages compressed, and it relays to this target.
fn config(target: &str) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.relay.allowed = Allowed::new([target.parse().unwrap()]);
    config.http.compression = Some(Compression::default());
    config
}

fn carrier<R: Runtime>(line: &Line, server: &Server<R>) -> Carrier {
    let mut carrier = Carrier::new(&line.reach(&server.addresses()[0].to_string())).unwrap();
    if let Some(authority) = line.authority() {
        let tls = bowline_tls::Client::builder().authority_pem(authority).alpn::<&str>(&[]);
        carrier = carrier.tls(tls.build().unwrap());
    }
    if let Some(key) = line.key() {
        carrier = carrier.noise(key);
    }
    carrier
}

#[test]
fn on_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    all_pass("tokio", bowline_tokio::Tokio, |server| runtime.block_on(server.start()));
}

#[test]
fn on_smol() {
    all_pass("smol", bowline_smol::Smol, |server| smol::block_on(server.start()));
}

#[test]
fn on_async_std() {
    all_pass("async-std", bowline_async_std::AsyncStd, |server| async_std::task::block_on(server.start()));
}

#[test]
fn on_blocking_sockets() {
    all_pass("blocking", bowline_blocking::Threads, |server| bowline_blocking::block_on(server.start()));
}

#[test]
fn what_is_not_for_sockets_is_not_failed() {
    let vectors = vector::builtin().unwrap();
    let other = vectors.iter().find(|v| !v.socket).unwrap();
    let nowhere = Carrier::new("127.0.0.1:1").unwrap();
    assert!(matches!(socket::run(other, &nowhere), Outcome::Unsupported(_)));
}

#[test]
fn a_server_of_another_protocol_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let carrier = Carrier::new(&listener.local_addr().unwrap().to_string()).unwrap();
    std::thread::spawn(move || {
        listener.incoming().flatten().try_for_each(|mut s| s.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    });
    let ours = |v: &&Vector| v.socket && !v.config.relay && v.dialect == Dialect::Bowline;
    for v in vector::builtin().unwrap().iter().filter(ours).step_by(10) {
        assert!(matches!(socket::run(v, &carrier), Outcome::Fail { .. }), "{}", v.name);
    }
}
