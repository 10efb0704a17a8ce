//! Scenarios end to end, against small servers in this process. Nothing here looks at speed.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn, yield_now};
use std::time::Instant as StdInstant;

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::{ConnectionKey, Peer, Server, ServerConfig};
use bowline_core::entropy::Seeded;
use bowline_core::session::Transport;
use bowline_core::time::Instant;
use clap::{CommandFactory, Parser};

use super::*;

/// A hub on a thread: the core's server, and non-blocking sockets that are tried in turns.
struct Hub {
    address: SocketAddrV4,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Link {
    stream: TcpStream,
    key: ConnectionKey,
    received: GrowingRecvBuf,
    out: SharedSendBuf,
}

impl Hub {
    fn start() -> Hub {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = v4(&listener);
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        Hub { address, stop, thread: Some(spawn(move || serve(&listener, &seen))) }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn v4(listener: &TcpListener) -> SocketAddrV4 {
    match listener.local_addr().unwrap() {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(_) => unreachable!("it was bound to an IPv4 address"),
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool) {
    let epoch = StdInstant::now();
    let mut server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
    let mut links: Vec<Link> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::from_nanos(1 + epoch.elapsed().as_nanos() as u64);
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).unwrap();
            let key = server.accept(now, Peer::default()).unwrap();
            let (received, out) = (GrowingRecvBuf::new(1 << 21), SharedSendBuf::new(1 << 20));
            links.push(Link { stream, key, received, out });
        }
        links.retain_mut(|link| {
            let stays = carry(&mut server, now, link);
            if !stays {
                server.disconnect(now, link.key);
            }
            stays
        });
        while server.poll_ready().is_some() {}
        while server.poll_event().is_some() {}
        yield_now();
    }
}

/// Moves what there is to move; whether the connection goes on.
fn carry(server: &mut Server, now: Instant, link: &mut Link) -> bool {
    match link.stream.read(link.received.spare(65_536)) {
        Ok(0) => return false,
        Ok(n) => link.received.commit(n),
        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    server.recv(now, link.key, &mut link.received, &mut link.out);
    server.handle_timeout(now, link.key);
    let transport = server.poll_transmit(now, link.key, &mut link.out);
    let waiting: Vec<u8> = link.out.slices().flatten().copied().collect();
    match link.stream.write(&waiting) {
        Ok(n) => link.out.sent(n),
        Err(e) if e.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    transport == Transport::Open
}

/// Runs a command line's scenario against a server.
fn run(words: &str, address: SocketAddrV4, protocol: Protocol) -> Figures {
    let line = format!("bowline-bench run {words} --duration 200ms --warmup 20ms --sleep");
    let Command::Run(run) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
        unreachable!("the line says run")
    };
    run.scenario.run(&run.common, &Target { protocol, address, trust: None, pid: None }).unwrap()
}

fn assert_clean(figures: &Figures) {
    for name in ["missing", "duplicates", "out_of_order", "corrupt", "closed"] {
        assert_eq!(figures.get(name), Some(0.0), "{name}: {figures:?}");
    }
    assert!(figures.get("delivered_per_s").unwrap() > 0.0);
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn messages_reach_all_through_a_hub() {
    let hub = Hub::start();
    for words in [
        "fanout --subscribers 3",
        "pairs --pairs 3 --reliable",
        "fanin --publishers 3 --subscribers 2",
        "pingpong",
        "pairs --pairs 2 --payload 40000 --backlog 100",
    ] {
        assert_clean(&run(words, hub.address, Protocol::Bowline));
    }
}

#[test]
fn idle_sessions_are_counted() {
    let hub = Hub::start();
    let figures = run("idle --sessions 20 --subscribe", hub.address, Protocol::Bowline);
    assert_eq!((figures.get("ready"), figures.get("refused")), (Some(20.0), Some(0.0)));
    assert_eq!(figures.get("closed_while_idle"), Some(0.0));
}

#[test]
fn harm_is_done_beside_a_healthy_client() {
    let hub = Hub::start();
    let figures = run("flood --kind garbage --connections 3", hub.address, Protocol::Bowline);
    assert!(figures.get("closed_by_server").unwrap() > 0.0, "{figures:?}");
    assert_eq!(figures.get("serves_new_clients"), Some(1.0));
    let figures = run("slowloris --connections 3 --watch 300ms", hub.address, Protocol::Bowline);
    assert_eq!(figures.get("bad_connections"), Some(3.0));
    assert_eq!(figures.get("missing"), Some(0.0));
    let figures = run("stall --subscribers 2", hub.address, Protocol::Bowline);
    assert_eq!(figures.get("missing"), Some(0.0));
}

#[test]
fn frames_come_back_from_the_tokio_server() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = v4(&listener);
    // It ends with the process.
    spawn(move || tokio_echo::serve_on(listener));
    assert_clean(&run("echo --connections 3 --depth 4", address, Protocol::Raw));
}

/// Sends everything back, in TLS, by the certificate in this directory; it ends with the process.
fn tls_echo(directory: &std::path::Path) -> SocketAddrV4 {
    use bowline_tls::rustls::pki_types::pem::PemObject;
    use bowline_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use bowline_tls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs};
    let chain = vec![CertificateDer::from_pem_file(directory.join("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = v4(&listener);
    spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut line = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            spawn(move || {
                let mut octets = vec![0; 1 << 16];
                while let Ok(n @ 1..) = line.read(&mut octets) {
                    if line.write_all(&octets[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn load_is_put_on_in_tls() {
    let directory = std::env::temp_dir().join(format!("bowline-bench-tls-{}", process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    tls::make(&directory).unwrap();
    let (address, trust) = (tls_echo(&directory), tls::Trust::in_directory(&directory).unwrap());
    let target = Target { protocol: Protocol::Raw, address, trust: Some(trust), pid: None };
    let with = |words: &str, target: &Target| {
        let line = format!("bowline-bench run {words} --duration 200ms --warmup 20ms --sleep");
        let Command::Run(run) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            unreachable!("the line says run")
        };
        run.scenario.run(&run.common, target)
    };
    assert_clean(&with("echo --connections 3 --depth 4", &target).unwrap());
    // More than a record, and more than rustls takes at once.
    assert_clean(&with("echo --connections 2 --depth 8 --payload 100000", &target).unwrap());
    let figures = with("idle --sessions 20", &target).unwrap();
    assert_eq!((figures.get("ready"), figures.get("refused")), (Some(20.0), Some(0.0)));
    assert!(matches!(with("slowloris --connections 1", &target), Err(Failure::Unfit)));
    // Somebody else's authority.
    tls::make(&directory).unwrap();
    let trust = Some(tls::Trust::in_directory(&directory).unwrap());
    let error = with("echo --connections 1", &Target { trust, ..target }).unwrap_err();
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    std::fs::write(directory.join("ca.pem"), "nothing").unwrap();
    assert!(tls::Trust::in_directory(&directory).unwrap_err().to_string().contains("no certificate"));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_server_of_another_protocol_is_an_error_and_not_a_hang() {
    let hub = Hub::start();
    let line = "bowline-bench run pingpong --protocol nats";
    let Command::Run(run) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
        unreachable!("the line says run")
    };
    let target = Target { protocol: Protocol::Nats, address: hub.address, trust: None, pid: None };
    let error = run.scenario.run(&run.common, &target).unwrap_err();
    assert!(matches!(error, Failure::NotReady { ready: 0, of: 2, .. }), "{error}");
    let raw = Target { protocol: Protocol::Raw, ..target.clone() };
    assert!(matches!(run.scenario.run(&run.common, &raw), Err(Failure::Unfit)));
}

#[test]
fn only_this_machine_is_loaded() {
    assert!(loopback("127.0.0.1:4222").is_ok());
    assert!(loopback("192.0.2.1:4222").is_err());
    assert!(loopback("somewhere").is_err());
}
