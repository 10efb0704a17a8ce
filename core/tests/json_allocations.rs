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
    /// What pages ask for beside.
    fields: &'static str,
}

impl World {
    fn new(members: usize) -> World {
        let config = ServerConfig { sys_interval: core::time::Duration::ZERO, ..ServerConfig::default() };
        Self::with(config, "", members)
    }

    fn with(config: ServerConfig, fields: &'static str, members: usize) -> World {
        let server = Server::new(config, Box::new(Seeded::new(1)));
        let mut world = World { server, pages: Vec::new(), fields };
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
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
            self.fields
        );
        self.octets(i, head.as_bytes());
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

/// permessage-deflate: what it costs a room, an idle page, and the server.
#[cfg(feature = "deflate")]
mod deflate {
    use bowline_core::endpoint::server::Compression;
    use bowline_core::websocket::deflate::{Deflate, Options, Pool};
    use bowline_core::websocket::extensions::Params;
    use bowline_core::websocket::{Carries, Config, Event, Kind, Server as Role, WebSocket};

    use super::*;

    fn compressing(takeover: bool, members: usize) -> World {
        let mut config = ServerConfig { sys_interval: core::time::Duration::ZERO, ..ServerConfig::default() };
        config.http.compression =
            Some(Compression { context_takeover: takeover, memory: 1, ..Compression::default() });
        let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
        World::with(config, offer, members)
    }

    /// How often a message of 1 KiB to all allocates, and how many octets each is sent.
    fn broadcast(mut world: World) -> (u64, usize) {
        let payload = "of a length that is worth it, ".repeat(32);
        let text = format!(r#"{{"type":"chat.message","room":"lobby","payload":{{"text":"{payload}"}}}}"#);
        for _ in 0..300 {
            world.say(0, &text);
            world.drain();
        }
        let mut octets = 0;
        let counted = allocation_counter::measure(|| {
            world.say(0, &text);
            octets = world.drain();
        });
        assert_eq!(octets % MEMBERS, 0, "all are told the same");
        (counted.count_total, octets / MEMBERS)
    }

    #[test]
    fn a_room_costs_one_compression_a_message() {
        let (plain, octets) = broadcast(World::new(MEMBERS));
        let (compressed, small) = broadcast(compressing(false, MEMBERS));
        assert!(compressed <= plain, "{compressed} allocations, and {plain} without compression");
        assert!(small * 3 < octets, "{small} octets of {octets}");
    }

    /// What an idle page costs that has heard and said much before: octets beside the plain figure.
    fn idle(takeover: bool) -> u64 {
        let mut world = compressing(takeover, 64);
        let mut clients = Pool::new(Options { threshold: 0, ..Options::default() });
        let params = Params {
            server_no_context_takeover: true,
            client_no_context_takeover: !takeover,
            server_max_window_bits: Some(13),
            client_max_window_bits: Some(13),
        };
        world.pages.reserve(256);
        let counted = allocation_counter::measure(|| {
            for _ in 0..192 {
                world.open();
                let i = world.pages.len() - 1;
                // What a server sends is masked by nobody: here the mask changes nothing.
                let mut deflate = Deflate::client(&params, &mut clients);
                let mut line = WebSocket::new(NOW, Role, Carries::Messages, &Config::default());
                for n in 0..20 {
                    let text =
                        format!(r#"{{"type":"x","payload":{{"text":"{n} {}"}}}}"#, "much ".repeat(200));
                    let mut out = SharedSendBuf::new(1 << 16);
                    line.send_deflated(
                        NOW,
                        &mut out,
                        &mut deflate,
                        &mut clients,
                        Kind::Text,
                        text.as_bytes(),
                    )
                    .unwrap();
                    let frame = out.slices().collect::<Vec<_>>().concat();
                    assert!(frame[0] == 0xc1 && frame[1] < 126);
                    let masked = [&[0xc1, 0x80 | frame[1], 0, 0, 0, 0], &frame[2..]].concat();
                    world.octets(i, &masked);
                    let page = &mut world.pages[i];
                    let _ = world.server.poll_transmit(NOW, page.key, &mut page.out);
                    assert!(!page.out.is_empty(), "it is answered");
                    page.out.sent(usize::MAX);
                }
                world.drain();
                world.pages[i].input.release();
                world.pages[i].out.release();
            }
            clients = Pool::default();
        });
        counted.bytes_current.cast_unsigned() / 192
    }

    /// Without context takeover hardly more than nothing is kept; with it a window of the client's.
    #[test]
    fn an_idle_page_holds_no_compressor() {
        let (alone, takeover) = (idle(false), idle(true));
        // The pair of machines of the whole server is among it.
        let pair = Pool::CONTEXT as u64 / 192;
        assert!(alone <= (3 << 10) + 192 + pair, "{alone} octets a page");
        assert!(takeover <= alone + (10 << 10) + 192, "{takeover} octets a page, {alone} without takeover");
    }

    /// What the limit of memory goes by.
    #[test]
    fn a_context_is_as_large_as_is_said() {
        let mut octets = 0;
        let counted = allocation_counter::measure(|| {
            let mut pool = Pool::new(Options { threshold: 0, level: 9, ..Options::default() });
            let text = "some of it ".repeat(100);
            let mut deflate = Deflate::server(&Params::default(), &mut pool);
            let mut line = WebSocket::new(NOW, Role, Carries::Messages, &Config::default());
            let mut out = SharedSendBuf::new(1 << 16);
            line.send_deflated(NOW, &mut out, &mut deflate, &mut pool, Kind::Text, text.as_bytes()).unwrap();
            let mut client = Deflate::client(&Params::default(), &mut pool);
            let mut page = WebSocket::new(
                NOW,
                bowline_core::websocket::Client::new(Seeded::new(1)),
                Carries::Messages,
                &Config::default(),
            );
            page.allow_compressed();
            let mut input = GrowingRecvBuf::new(1 << 16);
            input.push(&out.slices().collect::<Vec<_>>().concat());
            let Some(Event::Message(message)) = page.recv(NOW, &mut input, &mut out) else { panic!() };
            let mut into = Vec::new();
            octets = client.inflate(&mut pool, message, &mut into).unwrap().payload.len();
        });
        assert_eq!(octets, 1100);
        let most = usize::try_from(counted.bytes_max).unwrap();
        assert!(most <= Pool::CONTEXT + (16 << 10) && most > Pool::CONTEXT / 2, "{most}");
    }
}
