//! Every vector that a socket can show, over every adapter: garbage, half frames, frames too large,
//! forged resumes and acknowledgements, and all that is right.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Mutex;

use bowline_conformance::dialect::Dialect;
use bowline_conformance::runner::Outcome;
use bowline_conformance::socket;
use bowline_conformance::vector::{self, Vector};
use bowline_core::endpoint::server::{Compression, ServerConfig};

/// So many vectors at once: most of the time they wait.
const THREADS: usize = 16;

/// Runs all vectors of our own protocol and of MQTT, each thread against a server of its own: topics of
/// different vectors have the same names. `start` gives a server's address, and what keeps it running.
fn all_pass<S>(start: impl Fn() -> (String, S) + Sync) {
    let vectors: Vec<Vector> = vector::builtin().unwrap().into_iter().filter(tried).collect();
    assert!(vectors.len() > 800, "{} vectors", vectors.len());
    let (queue, failed) = (Mutex::new(vectors.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let (address, _server) = start();
                while let Some(v) = { queue.lock().unwrap().next() } {
                    if let Outcome::Fail { step, what } = socket::run(&v, &address) {
                        failed.lock().unwrap().push(format!("{}, step {step}: {what}", v.name));
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), [""; 0]);
}

fn tried(vector: &Vector) -> bool {
    vector.socket && vector.dialect != Dialect::Prx1
}

const ANY_PORT: &str = "127.0.0.1:0";

/// As the vectors want a server: pages may have their messages compressed.
fn config() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.http.compression = Some(Compression::default());
    config
}

/// `HOST:PORT`, as the runner wants it.
fn host_and_port(address: &impl ToString) -> String {
    address.to_string().trim_start_matches("bowline://").to_owned()
}

#[test]
fn over_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    all_pass(|| {
        let server = bowline_tokio::Server::builder().config(config()).listen(ANY_PORT);
        let server = runtime.block_on(server.start()).unwrap();
        (host_and_port(&server.addresses()[0]), server)
    });
}

#[test]
fn over_smol() {
    all_pass(|| {
        let server = bowline_smol::Server::builder().config(config()).listen(ANY_PORT);
        let server = smol::block_on(server.start()).unwrap();
        (host_and_port(&server.addresses()[0]), server)
    });
}

#[test]
fn over_async_std() {
    all_pass(|| {
        let server = bowline_async_std::Server::builder().config(config()).listen(ANY_PORT);
        let server = async_std::task::block_on(server.start()).unwrap();
        (host_and_port(&server.addresses()[0]), server)
    });
}

#[test]
fn over_blocking_sockets() {
    all_pass(|| {
        let server = bowline_blocking::Server::builder().config(config()).listen(ANY_PORT).start().unwrap();
        (host_and_port(&server.addresses()[0]), server)
    });
}

#[test]
fn what_is_not_for_sockets_is_not_failed() {
    let vectors = vector::builtin().unwrap();
    let other = vectors.iter().find(|v| !v.socket).unwrap();
    assert!(matches!(socket::run(other, "127.0.0.1:1"), Outcome::Unsupported(_)));
}

#[test]
fn a_server_of_another_protocol_fails() {
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        listener.incoming().flatten().try_for_each(|mut s| s.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    });
    let ours = |v: &&Vector| v.socket && v.dialect == Dialect::Bowline;
    for v in vector::builtin().unwrap().iter().filter(ours).step_by(10) {
        assert!(matches!(socket::run(v, &address), Outcome::Fail { .. }), "{}", v.name);
    }
}
