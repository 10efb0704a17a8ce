//! What a broker costs around its store: messages a second at QoS 1 from 50 publishers into 50 durable
//! sessions, acknowledged through the whole server over loopback, against the same rows in commits of
//! the size that the server reached, with nothing around them. `cargo bench -p bowline-sqlite --bench
//! durable`; an argument chooses the directory, so the disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use bowline_core::hub::Operation;
use bowline_driver::store::{Calendar, Storage, StorageError};
use bowline_sqlite::{DATABASE, Options, Store};
use bowline_tokio::{Server, ServerConfig};
use rusqlite::{Connection, params};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long each figure is measured.
const TIME: Duration = Duration::from_secs(3);

/// How often, in turns: the median of the ratios counts.
const ROUNDS: usize = 5;

/// Publishers, and durable sessions: each publisher's messages are for one session.
const PUBLISHERS: u64 = 50;

/// What a publisher has in flight.
const WINDOW: usize = 64;

/// The octets of a payload.
const PAYLOAD: usize = 64;

fn main() {
    let directory = std::env::args().nth(1).filter(|arg| !arg.starts_with('-')).unwrap_or_else(|| ".".into());
    println!("{:>8} {:>12} {:>12} {:>14} {:>8}", "", "bare", "server", "in a commit", "ratio");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        // In turns, because neither disk nor machine is the same from one second to the next. The rows
        // before and after the server: what became of the machine meanwhile counts half.
        let batch = ratios.last().map_or(1000, |(_, batch)| *batch);
        let before = bare(directory.as_ref(), batch);
        let (server, batch) = served(directory.as_ref());
        let bare = before.midpoint(bare(directory.as_ref(), batch));
        let ratio = server / bare;
        println!("{round:>8} {bare:>12.0} {server:>12.0} {batch:>14} {ratio:>8.2}");
        ratios.push((ratio, batch));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("messages/s; median of the ratios: {:.2}", ratios[ROUNDS / 2].0);
}

fn topic(publisher: u64) -> String {
    format!("bench/publisher/{publisher:02}")
}

/// Messages a second of the same rows with nothing around them.
fn bare(at: &Path, batch: u64) -> f64 {
    let directory = tempfile::tempdir_in(at).expect("a directory");
    drop(Store::open(directory.path(), &Options::default()).expect("it opens"));
    let mut connection = Connection::open(directory.path().join(DATABASE)).expect("it opens");
    for (name, value) in [("synchronous", 2), ("wal_autocheckpoint", 4096), ("cache_size", -32 << 10)] {
        connection.pragma_update(None, name, value).expect("it is set");
    }
    let (payload, topics) = ([7_u8; PAYLOAD], (0..PUBLISHERS).map(topic).collect::<Vec<_>>());
    let (began, mut next) = (Instant::now(), 0);
    while began.elapsed() < TIME {
        let transaction = connection.transaction().expect("it begins");
        let sql = "INSERT INTO messages VALUES (?, ?, ?, NULL, 0, 1, 0, NULL)";
        let mut message = transaction.prepare_cached(sql).expect("it is prepared");
        let sql = "INSERT INTO deliveries VALUES (?, ?, ?, 1, NULL, 1, 0, 0)";
        let mut delivery = transaction.prepare_cached(sql).expect("it is prepared");
        for number in next..next + batch {
            let (publisher, id) = (number % PUBLISHERS, number as i64 + 1);
            message.execute(params![id, topics[publisher as usize], payload]).expect("it is written");
            let row = params![publisher as i64 + 1, (number / PUBLISHERS) as i64, id];
            delivery.execute(row).expect("it is written");
        }
        drop((message, delivery));
        transaction.commit().expect("it is committed");
        next += batch;
    }
    next as f64 / began.elapsed().as_secs_f64()
}

/// A store that counts its commits, and the messages in them.
struct Counted(Store, Arc<[AtomicU64; 2]>);

impl Storage for Counted {
    fn load(&mut self, calendar: Calendar, each: &mut dyn FnMut(Operation)) -> Result<(), StorageError> {
        Storage::load(&mut self.0, calendar, each)
    }

    fn apply(&mut self, calendar: Calendar, batch: &[Operation]) -> Result<(), StorageError> {
        let messages = batch.iter().filter(|o| matches!(o, Operation::MessageAdded { .. })).count();
        self.1[0].fetch_add(u64::from(messages > 0), Relaxed);
        self.1[1].fetch_add(messages as u64, Relaxed);
        Storage::apply(&mut self.0, calendar, batch)
    }
}

/// Messages a second that the whole server acknowledges, and how many it commits at once.
fn served(at: &Path) -> (f64, u64) {
    let directory = tempfile::tempdir_in(at).expect("a directory");
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let store = Store::open(directory.path(), &Options::default()).expect("it opens");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut config = ServerConfig { sys_interval: Duration::ZERO, ..ServerConfig::default() };
    (config.queue.max_messages, config.queue.max_bytes) = (1 << 24, 1 << 32);
    let builder = Server::builder().listen("127.0.0.1:0").config(config);
    let builder = builder.storage(Counted(store, Arc::clone(&counts)));
    let server = runtime.block_on(builder.start()).expect("it starts");
    let address = server.addresses()[0].to_string().replace("bowline://", "");
    let load = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(load(&address)).expect("the server answers")
    });
    let rate = load.join().expect("it does not panic");
    server.stop();
    runtime.block_on(server.stopped());
    (rate, (counts[1].load(Relaxed) / counts[0].load(Relaxed).max(1)).max(1))
}

/// Has all sessions made, then publishes for a while; messages acknowledged a second.
async fn load(address: &str) -> io::Result<f64> {
    for number in 0..PUBLISHERS {
        let mut session = connect(address, "session", number, false).await?;
        let filter = topic(number);
        let mut packet = vec![0x82, filter.len() as u8 + 5, 0, 1, 0, filter.len() as u8];
        packet.extend_from_slice(filter.as_bytes());
        packet.push(1);
        session.write_all(&packet).await?;
        expect(&mut session, &[0x90, 3, 0, 1, 1]).await?;
    }
    let until = Instant::now() + TIME;
    let mut publishers = JoinSet::new();
    for number in 0..PUBLISHERS {
        let publisher = connect(address, "publisher", number, true).await?;
        publishers.spawn(publish(publisher, topic(number), until));
    }
    let (began, mut acknowledged) = (Instant::now(), 0);
    while let Some(count) = publishers.join_next().await {
        acknowledged += count.expect("it does not panic")?;
    }
    Ok(acknowledged as f64 / began.elapsed().as_secs_f64())
}

/// A connection of MQTT 3.1.1.
async fn connect(address: &str, name: &str, number: u64, clean: bool) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = format!("{name}-{number}");
    let mut packet = vec![0x10, name.len() as u8 + 12];
    packet.extend_from_slice(b"\0\x04MQTT\x04");
    packet.extend_from_slice(&[u8::from(clean) << 1, 0, 0, 0, name.len() as u8]);
    packet.extend_from_slice(name.as_bytes());
    stream.write_all(&packet).await?;
    expect(&mut stream, &[0x20, 2, 0, 0]).await?;
    Ok(stream)
}

async fn expect(stream: &mut TcpStream, octets: &[u8]) -> io::Result<()> {
    let mut got = vec![0; octets.len()];
    stream.read_exact(&mut got).await?;
    if got == octets { Ok(()) } else { Err(io::Error::other(format!("{got:x?} and not {octets:x?}"))) }
}

/// Keeps a window of messages in flight; gives how many were acknowledged.
async fn publish(mut stream: TcpStream, topic: String, until: Instant) -> io::Result<u64> {
    let mut packet = vec![0x32, (2 + topic.len() + 2 + PAYLOAD) as u8, 0, topic.len() as u8];
    packet.extend_from_slice(topic.as_bytes());
    let at = packet.len();
    packet.extend_from_slice(&[0; 2]);
    packet.extend_from_slice(&[7; PAYLOAD]);
    let (mut id, mut output, mut input) = (0_u16, Vec::new(), vec![0; 4 * WINDOW]);
    let (mut room, mut acknowledged, mut filled) = (WINDOW, 0, 0);
    while Instant::now() < until {
        output.clear();
        for _ in 0..std::mem::take(&mut room) {
            id = id.checked_add(1).unwrap_or(1);
            packet[at..at + 2].copy_from_slice(&id.to_be_bytes());
            output.extend_from_slice(&packet);
        }
        stream.write_all(&output).await?;
        let read = stream.read(&mut input[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        room = filled / 4;
        let whole = room * 4;
        if input[..whole].chunks(4).any(|ack| ack[..2] != [0x40, 2]) {
            return Err(io::Error::other("not an acknowledgement"));
        }
        acknowledged += room as u64;
        input.copy_within(whole..filled, 0);
        filled -= whole;
    }
    Ok(acknowledged)
}
