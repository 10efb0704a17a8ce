//! How often a server allocates for a room of pages, and how many octets of memory one costs.

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::{ConnectionKey, Peer, Server, ServerConfig};
use bowline_core::entropy::Seeded;
use bowline_core::time::Instant;

const NOW: Instant = Instant::from_millis(1);
const MEMBERS: usize = 500;

struct Page {
    key: ConnectionKey,
    input: GrowingRecvBuf,
    out: SharedSendBuf,
}

struct World {
    server: Server,
    pages: Vec<Page>,
}

impl World {
    fn new(members: usize) -> World {
        let config = ServerConfig { sys_interval: core::time::Duration::ZERO, ..ServerConfig::default() };
        let mut world = World { server: Server::new(config, Box::new(Seeded::new(1))), pages: Vec::new() };
        for _ in 0..members {
            world.open();
        }
        world
    }

    fn open(&mut self) {
        let key = self.server.accept(NOW, Peer::default()).unwrap();
        let (input, out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
        self.pages.push(Page { key, input, out });
        let i = self.pages.len() - 1;
        let head = b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        self.octets(i, head);
        self.say(i, r#"{"type":"$join","room":"lobby"}"#);
        self.drain();
    }

    fn octets(&mut self, i: usize, octets: &[u8]) {
        let page = &mut self.pages[i];
        page.input.push(octets);
        self.server.recv(NOW, page.key, &mut page.input, &mut page.out);
    }

    /// A short text message, whose mask changes nothing.
    fn say(&mut self, i: usize, text: &str) {
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend((text.len() as u16).to_be_bytes());
        if text.len() < 126 {
            frame.truncate(1);
            frame.push(0x80 | text.len() as u8);
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.octets(i, &frame);
    }

    /// Everybody takes what there is; says how many octets that were.
    fn drain(&mut self) -> usize {
        let mut octets = 0;
        while let Some(key) = self.server.poll_ready() {
            let Some(page) = self.pages.iter_mut().find(|page| page.key == key) else { continue };
            let _ = self.server.poll_transmit(NOW, key, &mut page.out);
            octets += page.out.len();
            page.out.sent(usize::MAX);
            assert!(page.input.filled().is_empty());
        }
        octets
    }
}

/// Octets of one delivery beside what the member said.
const AROUND: usize = 4 + 178;

#[test]
fn a_room_costs_one_encoding_a_message() {
    let mut world = World::new(MEMBERS);
    let payload = "x".repeat(100);
    let text = format!(r#"{{"type":"chat.message","room":"lobby","payload":{{"text":"{payload}"}}}}"#);
    let mut octets = 0;
    for _ in 0..300 {
        world.say(0, &text);
        world.drain();
    }
    let counted = allocation_counter::measure(|| {
        world.say(0, &text);
        octets = world.drain();
    });
    // The message in the hub, its frame, and what shares each of them; the frame of the test itself.
    assert!(counted.count_total <= 16, "{counted:?}");
    let told = octets / MEMBERS;
    assert!(told <= text.len() + AROUND, "{told} octets a delivery");
    assert_eq!(octets % MEMBERS, 0, "all are told the same");
}

/// An idle page: its session, its place in the room, its connection. Buffers are the adapter's.
#[test]
fn an_idle_page_is_small() {
    let mut world = World::new(64);
    world.pages.reserve(256);
    let counted = allocation_counter::measure(|| {
        for _ in 0..192 {
            world.open();
            world.pages.last_mut().unwrap().input.release();
            world.pages.last_mut().unwrap().out.release();
        }
    });
    let each = counted.bytes_current / 192;
    assert!(each <= 3 << 10, "{each} octets a page in a room");
}

/// A page that waits for its poll: its session, what keeps its place, and its request.
#[test]
fn a_waiting_poll_is_small() {
    let mut world = World::new(8);
    world.pages.reserve(256);
    let counted = allocation_counter::measure(|| {
        for _ in 0..192 {
            let key = world.server.accept(NOW, Peer::default()).unwrap();
            let (input, out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
            world.pages.push(Page { key, input, out });
            let i = world.pages.len() - 1;
            world.octets(i, b"GET /ws/poll?session_id=room:lobby HTTP/1.1\r\nHost: h\r\n\r\n");
            world.drain();
            world.pages[i].input.release();
            assert!(world.pages[i].out.is_empty(), "it waits");
        }
    });
    let each = counted.bytes_current / 192;
    assert!(each <= 8 << 10, "{each} octets a poll that waits");
    world.say(0, r#"{"type":"m","room":"lobby"}"#);
    let before: usize = world.pages[8..].iter().map(|page| page.out.len()).sum();
    let told = world.drain();
    assert!(before == 0 && told > 192 * 200, "{told}");
}
