//! The stories of a relay that reaches its targets over other transports than TCP, and of targets that it
//! does not trust.

use bowline_driver::client::{Client, Request, Through};
use bowline_driver::core::endpoint::server::Peer;
use bowline_driver::handler::Payload;
use bowline_driver::server::{Allowed, Egress, RelayConfig, Server};
use bowline_driver::{Acceptor, Runtime};

use crate::over::{Line, Over};
use crate::relay::{Target, end, failed, hear, say};
use crate::{PATIENCE, Story};

/// What [`egress_story`] must return, whatever the relay reaches its target over.
pub const EGRESS_LOG: &str = include_str!("egress.log");

/// What [`strangers_story`] must return.
pub const STRANGERS_LOG: &str = include_str!("strangers.log");

/// A server that nobody but the relay reaches, and its place without a scheme.
async fn hub<R: Runtime>(runtime: &R, line: &Line) -> (Server<R>, String) {
    let hub = line.server(Server::builder_on(runtime.clone()));
    let hub = hub.serve("echo", |Payload(octets): Payload| async move { octets });
    let hub = hub.start().await.expect("loopback has a free port");
    let address = hub.addresses()[0].to_string();
    let place = address.rsplit_once("://").map_or(address.clone(), |(_, place)| place.to_owned());
    (hub, place)
}

/// A relay to these targets, and a client of it.
async fn relay<R: Runtime>(runtime: &R, allowed: &[&str], egress: Egress) -> (Server<R>, Client<R>) {
    let allowed = Allowed::new(allowed.iter().map(|target| target.parse().expect("a good pattern")));
    let relay = Server::builder_on(runtime.clone()).listen("127.0.0.1:0").egress(egress);
    let relay = relay.relay(RelayConfig { allowed, ..RelayConfig::default() });
    let relay = relay.start().await.expect("loopback has a free port");
    let address = relay.addresses()[0].to_string();
    let client = Client::builder_on(runtime.clone(), &address).connect().await.expect("the relay is there");
    (relay, client)
}

/// Runs the story of a session through a relay that reaches the server over `over`, and returns its log; none
/// where that is within a tunnel.
///
/// # Panics
///
/// Where a step fails that has no line of its own for that.
pub async fn egress_story<R: Runtime>(runtime: R, over: Over) -> Option<String> {
    let mut log = Story(String::new());
    let line = Line::new(over);
    let (hub, place) = hub(&runtime, &line).await;
    let target = over.target(&place)?;
    let (relay, client) = relay(&runtime, &[&target], line.egress()).await;

    let through = Through::new(client.clone()).target(&target);
    let inner = Client::builder_on(through, "hub.internal").connect().await.expect("it is reached");
    let answer = inner.request(Request::new("echo", "word for word")).await.map(|octets| octets.to_vec());
    log.tell(format!(
        "the hub answers {:?}",
        answer.map(|octets| String::from_utf8_lossy(&octets).into_owned())
    ));
    // More than all the buffers and windows on the way hold together, each way.
    let much: Vec<u8> = (0..=250).cycle().take(900_000).collect();
    for _ in 0..3 {
        let answer = inner.request(Request::new("echo", much.clone())).await.expect("an answer");
        log.tell(format!("and much, unchanged: {}", *answer == *much));
    }
    log.tell(format!("the client ends: {}", inner.close().await));
    let refused = client.tunnel("127.0.0.1:1").await.expect_err("it is not allowed");
    log.tell(format!("another target: {}", failed(&refused)));
    log.tell(format!("the client of the relay ends: {}", client.close().await));
    hub.drain(PATIENCE).await;
    relay.drain(PATIENCE).await;
    log.tell(format!("connections: {}", hub.connections() + relay.connections()));
    Some(log.0)
}

/// Runs the story of targets that are not what they should be, and returns its log.
///
/// # Panics
///
/// Where a step fails that has no line of its own for that.
pub async fn strangers_story<R: Runtime>(runtime: R) -> String {
    let mut log = Story(String::new());
    let (line, other) = (Line::new(Over::Tls), Line::new(Over::Tls));
    let (hub, place) = hub(&runtime, &line).await;
    let port = place.rsplit_once(':').map_or("", |(_, port)| port);
    let mut target = Target::bind(&runtime);
    let secured = format!("tls://{}", target.address);
    let web = format!("ws://{}", target.address);
    let [named, by_address, open] =
        ["tls://localhost:", "tls://127.0.0.1:", "ws://127.0.0.1:"].map(|s| format!("{s}{port}"));
    let allowed = [&*named, &by_address, &open, &secured, &web];

    without_trust(&mut log, &runtime).await;
    let (stranger, client) = relay(&runtime, &allowed, other.egress()).await;
    let refused = client.tunnel(&format!("tls://{place}")).await.expect_err("nobody vouches for it");
    log.tell(format!("of an unknown authority: {}", failed(&refused)));
    client.close().await;
    stranger.drain(PATIENCE).await;

    let (relay, client) = relay(&runtime, &allowed, line.egress()).await;
    for (what, to) in [
        ("of another name", named.clone()),
        ("allowed over TLS alone", place.clone()),
        ("without a subprotocol", format!("ws://{place}/")),
        ("with a path of two meanings", format!("ws://{place}/a/../b")),
    ] {
        let refused = client.tunnel(&to).await.expect_err("it is refused");
        log.tell(format!("{what}: {}", failed(&refused)));
    }
    for (what, to, word) in [
        ("what speaks no TLS", &secured, &b"220 mail.example\r\n"[..]),
        ("where no WebSocket is", &web, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (asked, ()) = both(client.tunnel(to), async {
            let mut far = target.accept().await;
            let _ = hear(&mut far).await;
            say(&mut far, word).await;
            // Until the relay has gone.
            while !matches!(&*hear(&mut far).await, "the end" | "connection reset") {}
        })
        .await;
        log.tell(format!("{what}: {}", failed(&asked.expect_err("it is none"))));
    }
    ends(&mut log, &client, &line, &mut target, &secured).await;
    client.close().await;
    relay.drain(PATIENCE).await;
    hub.drain(PATIENCE).await;
    log.0
}

/// A relay that is to trust nobody does not start.
async fn without_trust<R: Runtime>(log: &mut Story, runtime: &R) {
    for (scheme, pattern) in [("TLS", "wss://*.internal:443"), ("UDP", "bowline+udp://127.0.0.1:*")] {
        let allowed = Allowed::new([pattern.parse().expect("a good pattern")]);
        let relay = Server::builder_on(runtime.clone()).listen("127.0.0.1:0");
        let started = relay.relay(RelayConfig { allowed, ..RelayConfig::default() }).start().await;
        let error = started.err().map(|error| error.to_string()).unwrap_or_default();
        log.tell(format!("told to relay over {scheme}, and not whom to trust: {error}"));
    }
}

/// Ends and breaks of a target over TLS are told apart, each way.
async fn ends<R: Runtime>(
    log: &mut Story,
    client: &Client<R>,
    line: &Line,
    target: &mut Target<R::Listener>,
    secured: &str,
) {
    let acceptor = line.acceptor().expect("it is over TLS").clone();
    for cut in [false, true] {
        let asks = async {
            let mut near = client.tunnel(secured).await.expect("it is allowed and trusted");
            say(&mut near, b"a question").await;
            end(&mut near).await;
            near
        };
        let hears = async {
            let stream = target.accept().await;
            let mut far = Acceptor::accept(&acceptor, Box::new(stream), &Peer::default(), true);
            let heard = [hear(&mut far).await, hear(&mut far).await];
            (far, heard)
        };
        let (mut near, (mut far, heard)) = both(asks, hears).await;
        log.tell(format!("the target hears {}", heard.join(", then ")));
        say(&mut far, b"an answer").await;
        if !cut {
            end(&mut far).await;
        }
        log.tell(format!("the client hears {}", hear(&mut near).await));
        drop(far);
        let how = if cut { "breaks off" } else { "ends" };
        log.tell(format!("the target {how}, the client hears {}", hear(&mut near).await));
    }
}

/// Both, at the same time.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    std::future::poll_fn(move |cx| {
        if of_a.is_none()
            && let std::task::Poll::Ready(done) = a.as_mut().poll(cx)
        {
            of_a = Some(done);
        }
        if of_b.is_none()
            && let std::task::Poll::Ready(done) = b.as_mut().poll(cx)
        {
            of_b = Some(done);
        }
        if of_a.is_none() || of_b.is_none() {
            return std::task::Poll::Pending;
        }
        of_a.take().zip(of_b.take()).map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}
