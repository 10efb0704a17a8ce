//! TLS echo over loopback: 64 connections, 1 KiB, ours and tokio-rustls in turns, in one run; and what an idle
//! session takes.
//!
//! ```sh
//! cargo bench -p bowline-tls --bench echo
//! ```

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::Peer;
use bowline_driver::core::stack::Alpn;
use bowline_tls::make::Authority;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 64;
const SIZE: usize = 1024;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
const IDLE: usize = 1000;

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

struct Setup {
    ours: bowline_tls::Server,
    theirs: tokio_rustls::TlsAcceptor,
    client: tokio_rustls::TlsConnector,
    own_client: bowline_tls::Client,
}

fn setup() -> Setup {
    use bowline_tls::rustls::pki_types::pem::PemObject;
    use bowline_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use bowline_tls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs};
    let authority = Authority::new("bench", 1).unwrap();
    let made = authority.server(&["localhost"], 1).unwrap();
    let trusted = authority.to_pem().chain;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(made.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Setup {
        ours: bowline_tls::Server::builder()
            .certificate_pem(&made.chain, made.key.as_bytes())
            .build()
            .unwrap(),
        theirs: Arc::new(server).into(),
        client: Arc::new(client).into(),
        own_client: bowline_tls::Client::builder().authority_pem(trusted).build().unwrap(),
    }
}

/// Echoes a second, with the same clients against either server.
fn round(setup: &Setup, ours: bool) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let began = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, theirs) = (setup.ours.clone(), setup.theirs.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                if ours {
                    tokio::spawn(echo(server.accept(Tcp(stream), Peer::default()).unwrap()));
                } else {
                    let accept = theirs.accept(stream);
                    tokio::spawn(async move { echo_theirs(accept.await.unwrap()).await });
                }
            }
        });
        let name = bowline_tls::rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            clients.push(setup.client.connect(name.clone(), stream).await.unwrap());
        }
        for mut client in clients {
            let count = count.clone();
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
        count.store(0, Ordering::Relaxed);
        let began = Instant::now();
        tokio::time::sleep(ROUND).await;
        began
    });
    count.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Octets of this process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Octets of memory that one side of a connection takes that has said something and is idle, all that
/// libraries have beside included: sockets' own memory is the system's.
fn idle(setup: &Setup) -> usize {
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
            let mut server = setup.ours.accept(Tcp(stream), Peer::default()).unwrap();
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
    let setup = setup();
    let per_session = idle(&setup);
    println!("idle: {per_session} octets a side ({IDLE} connections, TLS 1.3; 24 KiB are {})", 24 << 10);
    let mut ratios = Vec::new();
    for n in 0..ROUNDS {
        // In turns, and each first as often as the other.
        let (ours, theirs) = if n % 2 == 0 {
            let ours = round(&setup, true);
            (ours, round(&setup, false))
        } else {
            let theirs = round(&setup, false);
            (round(&setup, true), theirs)
        };
        println!("echo: ours {ours:.0}/s, tokio-rustls {theirs:.0}/s: {:.3}", ours / theirs);
        ratios.push(ours / theirs);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "echo, {CONNECTIONS} connections, {SIZE} octets: {:.3} x tokio-rustls (median)",
        ratios[ROUNDS / 2]
    );
}
