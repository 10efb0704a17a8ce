//! A relay against a plain loop that copies: octets a second, its CPU for them, and the time of a small exchange.
//!
//! `cargo bench -p bowline-tokio --bench relay`. All in one process, over loopback, one after the other; what
//! counts is the ratio. The relay and the loop have a thread each, whose CPU is counted; clients and the target
//! share others. Then the memory of idle tunnels.

use std::time::{Duration, Instant};

use bowline_tokio::server::{Allowed, RelayConfig};
use bowline_tokio::{Client, Server, TunnelStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const BULK: usize = 512 << 20;
const PIECE: usize = 64 << 10;
const EXCHANGES: usize = 20_000;
const IDLE: usize = 1000;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A target: what begins with `b` is counted to its end and answered with the count; all else comes back.
async fn target() -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut memory, mut count) = (vec![0; PIECE], 0_u64);
    let is_bulk = stream.read_u8().await? == b'b';
    loop {
        let n = stream.read(&mut memory).await?;
        match n {
            0 if is_bulk => return stream.write_u64(count).await,
            0 => return Ok(()),
            n if is_bulk => count += n as u64,
            n => stream.write_all(&memory[..n]).await?,
        }
    }
}

/// Runs a server on a thread of its own: where it listens, and the file that says its CPU.
fn apart<F: Future<Output = Result<String, Failed>>>(
    serve: impl FnOnce() -> F + Send + 'static,
) -> Result<(String, Cpu), Failed> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let cpu = std::fs::read_link("/proc/thread-self")
                .map(|path| Cpu(format!("/proc/{}/schedstat", path.display())));
            let _ = tell.send((serve().await, cpu));
            std::future::pending::<()>().await;
        });
        Ok::<_, std::io::Error>(())
    });
    let (address, cpu) = told.recv()?;
    Ok((address?, cpu?))
}

/// The CPU that a thread has had.
struct Cpu(String);

impl Cpu {
    fn now(&self) -> Duration {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        Duration::from_nanos(text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default())
    }
}

/// What moving much costs: MiB a second, and nanoseconds of CPU a KiB of who is between.
async fn weigh(cpu: &Cpu, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(f64, f64), Failed> {
    let before = cpu.now();
    let rate = bulk(stream).await?;
    Ok((rate, (cpu.now() - before).as_nanos() as f64 / (BULK >> 10) as f64))
}

/// A plain loop: each connection is copied both ways.
async fn plain(to: String) -> Result<String, Failed> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await?;
                far.set_nodelay(true)?;
                near.set_nodelay(true)?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    Ok(address)
}

async fn bulk(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<f64, Failed> {
    let piece = vec![7; PIECE];
    stream.write_all(b"b").await?;
    let began = Instant::now();
    for _ in 0..BULK / PIECE {
        stream.write_all(&piece).await?;
    }
    stream.shutdown().await?;
    assert_eq!(stream.read_u64().await?, BULK as u64);
    Ok(BULK as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20))
}

async fn exchanges(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Duration, Failed> {
    stream.write_all(b"e").await?;
    let mut times = Vec::with_capacity(EXCHANGES);
    let mut memory = [0; 64];
    for _ in 0..EXCHANGES {
        let began = Instant::now();
        stream.write_all(&memory).await?;
        stream.read_exact(&mut memory).await?;
        times.push(began.elapsed());
    }
    times.sort();
    Ok(times[EXCHANGES / 2])
}

async fn connect(to: &str) -> Result<TcpStream, Failed> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Resident memory of this process, in octets.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or_default() * 4096
}

/// A relay to this target.
async fn relay(target: String) -> Result<String, Failed> {
    let mut relay = RelayConfig { allowed: Allowed::new([target.parse()?]), ..RelayConfig::default() };
    (relay.max_tunnels, relay.session.max) = (2 * IDLE, 2 * IDLE as u32);
    let server = Server::builder().listen("127.0.0.1:0").relay(relay).start().await?;
    Ok(server.addresses()[0].to_string())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let target = target().await?;
    let (to, of) = (target.clone(), target.clone());
    let (plain, plain_cpu) = apart(move || plain(to))?;
    let (relay, relay_cpu) = apart(move || relay(of))?;
    let client = Client::builder(&relay).connect().await?;
    let open = || TunnelStream::open(&client, &target);
    for round in 1..=5 {
        let direct = bulk(connect(&target).await?).await?;
        let (copied, copied_cpu) = weigh(&plain_cpu, connect(&plain).await?).await?;
        let (relayed, relayed_cpu) = weigh(&relay_cpu, open().await?).await?;
        println!(
            "round {round}, MiB/s: direct {direct:.0}, copy loop {copied:.0}, relay {relayed:.0}: {:.2} of the loop",
            relayed / copied
        );
        println!(
            "round {round}, CPU a KiB: copy loop {copied_cpu:.0} ns, relay {relayed_cpu:.0} ns: {:.2} of the loop",
            relayed_cpu / copied_cpu
        );
        let times = [
            exchanges(connect(&target).await?).await?,
            exchanges(connect(&plain).await?).await?,
            exchanges(open().await?).await?,
        ];
        println!(
            "round {round}, 64 octets: direct {:?}, copy loop {:?}, relay {:?}: {:.2} of the loop",
            times[0],
            times[1],
            times[2],
            times[2].as_secs_f64() / times[1].as_secs_f64()
        );
    }
    let before = resident();
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE / 2 {
        idle.push(open().await?);
    }
    let each = resident().saturating_sub(before) / idle.len();
    println!("an idle tunnel, client, relay and target in one process: {each} octets");
    Ok(())
}
