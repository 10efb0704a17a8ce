//! TLS echo over loopback: 64 connections, 1 KiB, ours and tokio-rustls in turns, in one run, the server on a core
//! of its own; and what an idle session takes.
//!
//! ```sh
//! cargo bench -p bowline-tls --bench echo
//! ```

use std::future::poll_fn;
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::Peer;
use bowline_driver::core::stack::Alpn;
use bowline_tls::make::{Authority, Made};
use bowline_tls::rustls::crypto::aws_lc_rs;
use bowline_tls::rustls::pki_types::pem::PemObject;
use bowline_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use bowline_tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 64;
const SIZE: usize = 1024;
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 21;
const IDLE: usize = 1000;

/// What the process is told that serves.
const OURS: &str = "serve-ours";
const THEIRS: &str = "serve-theirs";

struct Tcp(TcpStream);

impl Transport for Tcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(to);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match from {
            [one] => Pin::new(&mut self.0).poll_write(cx, one),
            _ => Pin::new(&mut self.0).poll_write_vectored(cx, from),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn echo(mut t: impl Transport) {
    let mut buf = vec![0; 16 << 10];
    loop {
        let Ok(n @ 1..) = poll_fn(|cx| t.poll_read(cx, &mut buf)).await else { return };
        let mut done = 0;
        while done < n {
            let Ok(w) = poll_fn(|cx| t.poll_write_vectored(cx, &[IoSlice::new(&buf[done..n])])).await else {
                return;
            };
            done += w;
        }
    }
}

async fn echo_theirs(mut t: tokio_rustls::server::TlsStream<TcpStream>) {
    let mut buf = vec![0; 16 << 10];
    loop {
        let Ok(n @ 1..) = t.read(&mut buf).await else { return };
        if t.write_all(&buf[..n]).await.is_err() || t.flush().await.is_err() {
            return;
        }
    }
}

/// Both servers, with the same certificate.
struct ServerSide {
    ours: bowline_tls::Server,
    theirs: tokio_rustls::TlsAcceptor,
}

impl ServerSide {
    fn new(chain: &str, key: &str) -> Self {
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let ours = bowline_tls::Server::builder().certificate_pem(chain, key.as_bytes()).build().unwrap();
        Self { ours, theirs: Arc::new(server).into() }
    }
}

struct Setup {
    made: Made,
    client: tokio_rustls::TlsConnector,
    own_client: bowline_tls::Client,
}

fn setup() -> Setup {
    let authority = Authority::new("bench", 1).unwrap();
    let trusted = authority.to_pem().chain;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Setup {
        made: authority.server(&["localhost"], 1).unwrap(),
        client: Arc::new(client).into(),
        own_client: bowline_tls::Client::builder().authority_pem(trusted).build().unwrap(),
    }
}

/// What serves is a process of its own, on a core of its own.
struct Serving {
    process: Child,
    address: SocketAddr,
    said: BufReader<ChildStdout>,
}

impl Serving {
    fn start(made: &Made, ours: bool) -> Self {
        let itself = std::env::current_exe().unwrap();
        let mut process = Command::new(itself)
            .arg(if ours { OURS } else { THEIRS })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.as_mut().unwrap();
        write!(input, "{}\n{}\n\n", made.chain.trim(), made.key.trim()).unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap(), said }
    }

    /// What it has worked so far, by its processor's time.
    fn worked(&mut self) -> Duration {
        let mut line = String::new();
        self.process.stdin.as_mut().unwrap().write_all(b"worked\n").unwrap();
        self.said.read_line(&mut line).unwrap();
        Duration::from_nanos(line.trim().parse().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// That process: takes its certificate and key from its input, says where it listens, and then when it is
/// asked what it has worked.
fn serve(ours: bool) {
    pin(1);
    let mut pem = String::new();
    for line in io::stdin().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        pem.push_str(&line);
        pem.push('\n');
    }
    std::thread::spawn(move || {
        for _ in io::stdin().lines() {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            println!("{}", time.tv_sec * 1_000_000_000 + time.tv_nsec);
        }
        std::process::exit(0);
    });
    let server = ServerSide::new(&pem, &pem);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            if ours {
                tokio::spawn(echo(server.ours.accept(Tcp(stream), Peer::default()).unwrap()));
            } else {
                let accept = server.theirs.accept(stream);
                tokio::spawn(async move { echo_theirs(accept.await.unwrap()).await });
            }
        }
    });
}

/// On this core, where there is one.
fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// What was echoed.
struct Echoed {
    per_second: f64,
    /// Of the server's processor.
    micros_each: f64,
}

/// Echoes for a while, with the same clients against either server.
fn round(setup: &Setup, ours: bool) -> Echoed {
    let mut serving = Serving::start(&setup.made, ours);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    runtime.block_on(async {
        let name = bowline_tls::rustls::pki_types::ServerName::try_from("localhost").unwrap();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(serving.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut client = setup.client.connect(name.clone(), stream).await.unwrap();
            let count = Arc::clone(&counted);
            tokio::spawn(async move {
                let (out, mut back) = ([7; SIZE], [0; SIZE]);
                loop {
                    client.write_all(&out).await.unwrap();
                    client.flush().await.unwrap();
                    client.read_exact(&mut back).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tokio::time::sleep(ROUND / 10).await;
        let (worked, before) = (serving.worked(), count.load(Ordering::Relaxed));
        let began = Instant::now();
        tokio::time::sleep(ROUND).await;
        let echoed = (count.load(Ordering::Relaxed) - before) as f64;
        let (worked, took) = (serving.worked() - worked, began.elapsed());
        Echoed { per_second: echoed / took.as_secs_f64(), micros_each: worked.as_secs_f64() * 1e6 / echoed }
    })
}

/// Octets of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Octets of memory that one side of a connection takes that has said something and is idle, all that
/// libraries have beside included: sockets' own memory is the system's.
fn idle(setup: &Setup) -> usize {
    let ours = ServerSide::new(&setup.made.chain, &setup.made.key).ours;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut clients, mut servers) = (Vec::with_capacity(IDLE), Vec::with_capacity(IDLE));
        let mut buf = vec![0; 16 << 10];
        let mut before = 0;
        for n in 0..IDLE + 50 {
            if n == 50 {
                // What is taken once for all is there.
                before = resident();
            }
            let stream = TcpStream::connect(address).await.unwrap();
            let mut client = setup.own_client.connect(Tcp(stream), "localhost", Alpn::Mqtt).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = ours.accept(Tcp(stream), Peer::default()).unwrap();
            let (mut a, mut b) = (false, false);
            poll_fn(|cx| {
                a |= client.poll_open(cx).is_ready();
                b |= server.poll_open(cx).is_ready();
                if a && b { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            poll_fn(|cx| client.poll_write_vectored(cx, &[IoSlice::new(&[7; SIZE])])).await.unwrap();
            let mut came = 0;
            while came < SIZE {
                came += poll_fn(|cx| server.poll_read(cx, &mut buf)).await.unwrap();
            }
            poll_fn(|cx| server.poll_write_vectored(cx, &[IoSlice::new(&buf[..SIZE])])).await.unwrap();
            // It looks for more, and there is none.
            assert!(poll_fn(|cx| Poll::Ready(server.poll_read(cx, &mut buf).is_pending())).await);
            clients.push(client);
            servers.push(server);
        }
        (resident() - before) / (2 * IDLE)
    })
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(OURS) => return serve(true),
        Some(THEIRS) => return serve(false),
        _ => {}
    }
    let setup = setup();
    let per_session = idle(&setup);
    println!("idle: {per_session} octets a side ({IDLE} connections, TLS 1.3; 24 KiB are {})", 24 << 10);
    pin(0);
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        // In turns, and each first as often as the other.
        let first = round(&setup, n % 2 == 0);
        let second = round(&setup, n % 2 != 0);
        let (ours, theirs) = if n % 2 == 0 { (first, second) } else { (second, first) };
        let (rate, cost) = (ours.per_second / theirs.per_second, theirs.micros_each / ours.micros_each);
        println!(
            "echo: ours {:.0}/s, {:.2} us of the server's processor each; tokio-rustls {:.0}/s, {:.2} us: {rate:.3} x \
             by rate, {cost:.3} x by processor",
            ours.per_second, ours.micros_each, theirs.per_second, theirs.micros_each
        );
        rates.push(rate);
        costs.push(cost);
    }
    for ratios in [&mut rates, &mut costs] {
        ratios.sort_by(f64::total_cmp);
    }
    println!(
        "echo, {CONNECTIONS} connections, {SIZE} octets: {:.3} x tokio-rustls by rate, {:.3} x by processor (medians)",
        rates[ROUNDS / 2],
        costs[ROUNDS / 2]
    );
}
