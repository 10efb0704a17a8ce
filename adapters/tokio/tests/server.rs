//! A server on tokio, seen from a plain socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bowline_driver::core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_driver::core::session::{Code, Config, Connect, Event, Message, Session, Subscribe};
use bowline_driver::core::time::Instant;
use bowline_tokio::Server;
use bowline_tokio::server::Listen;

/// A session over a blocking socket, its time standing still.
struct Peer {
    socket: TcpStream,
    session: Session,
    input: GrowingRecvBuf,
    output: SharedSendBuf,
}

const NOW: Instant = Instant::ZERO;

impl Peer {
    fn connect(address: &str) -> Peer {
        let mut output = SharedSendBuf::new(1 << 24);
        let session = Session::connect(NOW, &Config::default(), &Connect::default(), &mut output).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut peer = Peer { socket, session, input: GrowingRecvBuf::new(1 << 24), output };
        peer.until(|event| matches!(event, Event::Welcome(_)));
        peer
    }

    fn flush(&mut self) {
        let _ = self.session.poll_transmit(NOW, &mut self.output);
        let all: Vec<u8> = self.output.slices().flatten().copied().collect();
        self.output.sent(all.len());
        self.socket.write_all(&all).unwrap();
    }

    /// Reads until an event is the one that is wanted.
    fn until(&mut self, mut wanted: impl FnMut(&Event<'_>) -> bool) {
        loop {
            while let Some(event) = self.session.recv(NOW, &mut self.input) {
                if wanted(&event) {
                    return;
                }
            }
            self.flush();
            let n = self.socket.read(self.input.spare(4096)).unwrap();
            assert!(n > 0, "the server ended the stream");
            self.input.commit(n);
        }
    }

    fn subscribe(&mut self, filter: &str) {
        let s = Subscribe { id: 1, filter, reliable: true, ..Subscribe::default() };
        self.session.subscribe(NOW, &mut self.output, &s).unwrap();
        self.until(|event| matches!(event, Event::Result(o) if o.status.is_ok()));
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn port(server: &Server) -> String {
    server.addresses()[0].to_string().replace("bowline://", "")
}

#[tokio::test]
async fn messages_cross_and_connections_end() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let address = port(&server);
    blocking(move || {
        let (mut a, mut b) = (Peer::connect(&address), Peer::connect(&address));
        b.subscribe("t/#");
        for size in [0, 64, 5000, 500_000] {
            let payload = vec![7; size];
            let message = Message { reliable: true, ..Message::new("t/x", &payload) };
            a.session.publish(NOW, &mut a.output, &message).unwrap();
            a.flush();
            b.until(|event| matches!(event, Event::Message(1, m) if m.payload == &payload[..]));
        }
        a.session.close(NOW, Code::Normal, "");
        a.until(|event| matches!(event, Event::Closed(c) if c.clean));
    })
    .await;
    server.drain(Duration::from_secs(5)).await;
    server.stopped().await;
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_address_that_is_taken_is_left_out_where_that_is_allowed() {
    let free = |address: &str| Listen::on(address).if_free();
    let first = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let taken = first.addresses()[0].to_string();
    let second =
        Server::builder().listen_on(free(&taken)).listen_on(free("127.0.0.1:0")).start().await.unwrap();
    assert_eq!(second.addresses().len(), 1);
    assert_ne!(second.addresses()[0].to_string(), taken);
    // One that was asked for, and one that was the last, is an error.
    for builder in
        [Server::builder().listen("127.0.0.1:0").listen(&taken), Server::builder().listen_on(free(&taken))]
    {
        let refused = builder.start().await.unwrap_err();
        assert!(refused.to_string().contains("cannot listen on"), "{refused}");
    }
}

/// The driver's engine and this are one task of 256 octets; the next size is 384.
#[test]
fn a_transport_is_small() {
    assert!(size_of::<bowline_tokio::Stream>() <= 48, "{}", size_of::<bowline_tokio::Stream>());
}
