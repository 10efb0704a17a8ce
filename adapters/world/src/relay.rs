//! The story of a relay: tunnels to targets that this story plays, and through one relay to another.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::Poll;

use bowline_driver::client::{Client, Error, Request, Through};
use bowline_driver::handler::Text;
use bowline_driver::server::{Allowed, RelayConfig, Server};
use bowline_driver::{Address, Listener, Runtime, Transport};

use crate::{PATIENCE, Story};

/// What [`relay_story`] must return.
pub const RELAY_LOG: &str = include_str!("relay.log");

pub(crate) async fn read(from: &mut impl Transport, most: usize) -> io::Result<Vec<u8>> {
    let mut memory = vec![0; most];
    let n = poll_fn(|cx| from.poll_read(cx, &mut memory)).await?;
    memory.truncate(n);
    Ok(memory)
}

/// What is read next, in words.
pub(crate) async fn hear(from: &mut impl Transport) -> String {
    match read(from, 4096).await {
        Ok(octets) if octets.is_empty() => "the end".into(),
        Ok(octets) => format!("{:?}", String::from_utf8_lossy(&octets)),
        Err(error) => format!("{}", error.kind()),
    }
}

pub(crate) async fn say(to: &mut impl Transport, mut octets: &[u8]) {
    while !octets.is_empty() {
        let n = poll_fn(|cx| to.poll_write_vectored(cx, &[IoSlice::new(octets)])).await.expect("it is open");
        octets = &octets[n..];
    }
}

pub(crate) async fn end(of: &mut impl Transport) {
    poll_fn(|cx| of.poll_shutdown(cx)).await.expect("it is open");
}

/// A target: what connects to it is taken by hand.
pub(crate) struct Target<L> {
    listener: L,
    pub(crate) address: String,
}

impl<L: Listener> Target<L> {
    pub(crate) fn bind<R: Runtime<Listener = L>>(runtime: &R) -> Self {
        let listener = runtime.bind(&Address::Tcp("127.0.0.1:0".into())).expect("loopback has a free port");
        let Ok(Address::Tcp(address)) = listener.local_address() else { panic!("an address of TCP") };
        Self { listener, address }
    }

    pub(crate) async fn accept(&mut self) -> L::Stream {
        poll_fn(|cx| self.listener.poll_accept(cx)).await.expect("a connection").0
    }
}

async fn serve<R: Runtime>(runtime: &R, allowed: &[&str]) -> (Server<R>, String) {
    let allowed = Allowed::new(allowed.iter().map(|t| t.parse().expect("a good pattern")));
    let server = Server::builder_on(runtime.clone())
        .listen("127.0.0.1:0")
        .relay(RelayConfig { allowed, ..RelayConfig::default() })
        .serve("upper", |Text(word): Text| async move { word.to_uppercase() })
        .start()
        .await
        .expect("loopback has a free port");
    let address = server.addresses()[0].to_string();
    (server, address)
}

pub(crate) fn failed(error: &Error) -> String {
    match error {
        Error::Status { status, reason } => format!("{status:?}, {reason}"),
        e => e.to_string(),
    }
}

/// Runs the story of a relay on `runtime`, and returns its log.
///
/// # Panics
///
/// Where a step fails that has no line of its own for that.
pub async fn relay_story<R: Runtime>(runtime: R) -> String {
    let mut log = Story(String::new());
    let mut target = Target::bind(&runtime);
    let gone = Target::bind(&runtime).address;
    let (inner, inside) = serve(&runtime, &[&target.address]).await;
    let inside = inside.replace("bowline://", "");
    let (outer, address) = serve(&runtime, &[&target.address, &inside, &gone]).await;
    let client = Client::builder_on(runtime.clone(), &address).connect().await.expect("the relay is there");

    both_ways(&mut log, &client, &mut target).await;
    refusals(&mut log, &client, &gone).await;
    breaks(&mut log, &client, &mut target).await;
    stall(&mut log, &client, &mut target).await;
    relay_in_relay(&mut log, &client, &inside, &mut target).await;
    let reason = client.close().await;
    log.tell(format!("the client ends: {reason}"));
    inner.drain(PATIENCE).await;
    outer.drain(PATIENCE).await;
    log.tell(format!("connections: {}", inner.connections() + outer.connections()));
    log.0
}

async fn both_ways<R: Runtime>(log: &mut Story, client: &Client<R>, target: &mut Target<R::Listener>) {
    let mut near = client.tunnel(&target.address).await.expect("it is allowed");
    let mut far = target.accept().await;
    say(&mut near, b"a question").await;
    log.tell(format!("the target hears {}", hear(&mut far).await));
    end(&mut near).await;
    log.tell(format!("the target hears {}", hear(&mut far).await));
    say(&mut far, b"an answer, though it has ended").await;
    log.tell(format!("the client hears {}", hear(&mut near).await));
    end(&mut far).await;
    log.tell(format!("the client hears {}", hear(&mut near).await));
}

async fn refusals<R: Runtime>(log: &mut Story, client: &Client<R>, gone: &str) {
    for (what, to) in [("forbidden", "127.0.0.2:1"), ("nonsense", "127.1:80"), ("closed", gone)] {
        let refused = client.tunnel(to).await.expect_err("it is refused");
        log.tell(format!("a {what} target: {}", failed(&refused)));
    }
}

/// What was broken off is not taken for an end, on either side.
async fn breaks<R: Runtime>(log: &mut Story, client: &Client<R>, target: &mut Target<R::Listener>) {
    let mut near = client.tunnel(&target.address).await.expect("it is allowed");
    let mut far = target.accept().await;
    far.abort();
    drop(far);
    log.tell(format!("the target breaks off, the client hears {}", hear(&mut near).await));
    let mut near = client.tunnel(&target.address).await.expect("it is allowed");
    let mut far = target.accept().await;
    near.abort();
    log.tell(format!("the client breaks off, the target hears {}", hear(&mut far).await));
    let mut near = client.tunnel(&target.address).await.expect("it is allowed");
    let mut far = target.accept().await;
    say(&mut near, b"last words").await;
    drop(near);
    log.tell(format!("the client drops it, the target hears {}", hear(&mut far).await));
    log.tell(format!("and then {}", hear(&mut far).await));
}

/// A target that does not read stops who writes to it, and nobody else.
async fn stall<R: Runtime>(log: &mut Story, client: &Client<R>, target: &mut Target<R::Listener>) {
    let mut slow = client.tunnel(&target.address).await.expect("it is allowed");
    let mut slow_far = target.accept().await;
    let mut fast = client.tunnel(&target.address).await.expect("it is allowed");
    let mut fast_far = target.accept().await;
    let chunk: Vec<u8> = (0..=250).cycle().take(251 * 100).collect();
    let (mut written, mut patience) = (0, 0);
    while patience < 50 && written < 64 << 20 {
        let at = written % chunk.len();
        let piece = [IoSlice::new(&chunk[at..])];
        let taken = poll_fn(|cx| Poll::Ready(slow.poll_write_vectored(cx, &piece))).await;
        match taken {
            Poll::Ready(n) => (written, patience) = (written + n.expect("it is open"), 0),
            Poll::Pending => patience += 1,
        }
        if patience > 0 {
            say(&mut fast, b"ping").await;
            assert_eq!(read(&mut fast_far, 4).await.expect("it is open"), b"ping");
        }
    }
    log.tell(format!("the slow one stops: {}", written < 64 << 20));
    say(&mut fast, b"I go by").await;
    log.tell(format!("the fast target hears {}", hear(&mut fast_far).await));
    end(&mut slow).await;
    let (mut came, mut in_order) = (0, true);
    loop {
        let octets = read(&mut slow_far, 65_536).await.expect("it is open");
        if octets.is_empty() {
            break;
        }
        in_order &= octets.iter().enumerate().all(|(i, octet)| *octet == ((came + i) % 251) as u8);
        came += octets.len();
    }
    log.tell(format!("then all of it comes: {}, in order: {in_order}", came == written));
}

/// A client within a tunnel, and a tunnel through it.
async fn relay_in_relay<R: Runtime>(
    log: &mut Story,
    client: &Client<R>,
    inside: &str,
    target: &mut Target<R::Listener>,
) {
    let second = Client::builder_on(Through::new(client.clone()), inside);
    let second = second.connect().await.expect("the second relay is reached through the first");
    let answer = second.request(Request::new("upper", "through two")).await;
    log.tell(format!("the second relay answers {answer:?}"));
    let mut near = second.tunnel(&target.address).await.expect("it is allowed");
    let mut far = target.accept().await;
    say(&mut near, b"from far away").await;
    log.tell(format!("the target hears {}", hear(&mut far).await));
    say(&mut far, b"and back").await;
    log.tell(format!("the client hears {}", hear(&mut near).await));
    end(&mut far).await;
    log.tell(format!("the client hears {}", hear(&mut near).await));
    drop(near);
    log.tell(format!("the target hears {}", hear(&mut far).await));
    log.tell(format!("the second client ends: {}", second.close().await));
}
