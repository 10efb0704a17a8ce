//! Compressed payloads through a server: clients that like different codecs or none publish, and some octets are
//! made up: lengths that are not so, bombs, compressed octets that were damaged. What an honest client published
//! comes to all as it was, in order and at most once; what nobody published comes to nobody; what a payload
//! inflates to is bounded; and what the codecs make of octets is what they say or an error.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::compression::{Codec, Codecs, Encoding, MAX_RATIO, RATIO_FLOOR};
use bowline_core::endpoint::client::{
    Client, ClientConfig, ClientEvent, Compression, Publish, SubscribeOptions,
};
use bowline_core::endpoint::server::{ConnectionKey, Peer, Server, ServerConfig};
use bowline_core::entropy::Seeded;
use bowline_core::session::{Properties, Property};
use bowline_core::time::Instant;
use bowline_core::varint::leb128;

const NOW: Instant = Instant::from_millis(1);
const STEPS: usize = 40;
/// The largest frame that the server takes; its clients take larger ones.
const FRAME: u32 = 256 << 10;
const BUFFER: usize = 4 << 20;
/// What each client likes, the best first.
const LIKES: [&[Codec]; 4] = [&[Codec::Lz4], &[Codec::Zstd, Codec::Lz4], &[Codec::Zstd], &[]];

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    /// A client publishes this, over and over.
    Publish { from: u8, piece: &'a [u8], times: u16, retain: bool },
    /// A client says that it compressed something so. What it says it was is off by some octets.
    Forge { from: u8, zstd: bool, octets: &'a [u8], length: u32 },
    /// It did compress something, and then it was damaged.
    Damage { from: u8, zstd: bool, piece: &'a [u8], times: u16, at: u16, xor: u8, off: i8, cut: u8 },
    /// Another comes, and hears what was retained.
    Join { likes: u8 },
}

/// One client, and its connection.
struct Line {
    key: ConnectionKey,
    client: Client,
    up: SharedSendBuf,
    down: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
    /// What it is to hear, and has not heard.
    due: VecDeque<Vec<u8>>,
    likes: &'static [Codec],
    /// It has made something up, and may be put out for it.
    dishonest: bool,
    /// It was.
    over: bool,
}

struct World {
    server: Server,
    lines: Vec<Line>,
    codecs: Codecs,
    /// What is retained; nothing where a dishonest client may have changed it.
    retained: Option<Vec<u8>>,
}

fn repeated(piece: &[u8], times: u16) -> Vec<u8> {
    let times = (usize::from(times) + 1).min((200 << 10) / piece.len().max(1));
    piece.repeat(times)
}

const fn codec(zstd: bool) -> Codec {
    if zstd { Codec::Zstd } else { Codec::Lz4 }
}

impl World {
    fn new() -> Self {
        let mut config = ServerConfig::default();
        config.session.limits.max_frame = FRAME;
        let server = Server::new(config, Box::new(Seeded::new(1)));
        let mut world = Self { server, lines: Vec::new(), codecs: Codecs::default(), retained: None };
        LIKES.iter().for_each(|likes| world.join(likes));
        world
    }

    fn join(&mut self, likes: &'static [Codec]) {
        let compression =
            (!likes.is_empty()).then(|| Compression { codecs: likes.to_vec(), ..Compression::default() });
        let mut config = ClientConfig { compression, ..ClientConfig::default() };
        config.session.limits.max_frame = 2 * FRAME;
        let mut client = Client::new(NOW, config, Box::new(Seeded::new(self.lines.len() as u64)));
        client.poll_connect(NOW).expect("at once");
        client.handle_connected(NOW);
        client.subscribe(NOW, "t", SubscribeOptions::default()).expect("a filter");
        let key = self.server.accept(NOW, Peer::default()).expect("room");
        let (out, buf) = (|| SharedSendBuf::new(BUFFER), || GrowingRecvBuf::new(BUFFER));
        let due = self.retained.iter().cloned().collect();
        self.lines.push(Line {
            key,
            client,
            up: out(),
            down: out(),
            at_server: buf(),
            at_client: buf(),
            due,
            likes,
            dishonest: false,
            over: false,
        });
        self.run();
    }

    fn step(&mut self, step: &Step<'_>) {
        match *step {
            Step::Publish { from, piece, times, retain } => {
                self.publish(from, &repeated(piece, times), retain)
            }
            Step::Forge { from, zstd, octets, length } => {
                self.decode(codec(zstd), octets, u64::from(length));
                self.forge(from, codec(zstd), octets, u64::from(length));
            }
            Step::Damage { from, zstd, piece, times, at, xor, off, cut } => {
                let (codec, payload) = (codec(zstd), repeated(piece, times));
                let Some(mut packed) = self.compress(codec, &payload) else { return };
                let at = usize::from(at) % packed.len();
                packed[at] ^= xor;
                packed.truncate(packed.len() - usize::from(cut) % packed.len());
                let length = (payload.len() as u64).saturating_add_signed(off.into());
                self.decode(codec, &packed, length);
                self.forge(from, codec, &packed, length);
            }
            Step::Join { likes } if self.lines.len() < 8 => {
                self.join(LIKES[usize::from(likes) % LIKES.len()]);
            }
            Step::Join { .. } => {}
        }
        self.run();
    }

    /// What is compressed is smaller, is taken, and inflates to itself.
    fn compress(&mut self, codec: Codec, payload: &[u8]) -> Option<Vec<u8>> {
        let packed = self.codecs.compress(codec, payload)?;
        assert!(packed.len() < payload.len());
        let encoding = Encoding { codec, length: payload.len() as u64 };
        assert_eq!(self.codecs.inflate(encoding, &packed, FRAME.into()).as_deref(), Ok(payload));
        Some(packed)
    }

    /// Whatever octets inflate to is as long as they say, and no bomb.
    fn decode(&mut self, codec: Codec, octets: &[u8], length: u64) {
        if let Ok(inflated) = self.codecs.inflate(Encoding { codec, length }, octets, FRAME.into()) {
            assert_eq!(inflated.len() as u64, length);
            assert!(length <= RATIO_FLOOR.max(octets.len() as u64 * MAX_RATIO) && length <= FRAME.into());
        }
    }

    fn publish(&mut self, from: u8, payload: &[u8], retain: bool) {
        let from = usize::from(from) % self.lines.len();
        let publish = Publish { reliable: true, retain, ..Publish::new("t", payload.to_vec()) };
        let line = &mut self.lines[from];
        if line.dishonest || line.client.publish(NOW, publish).is_err() {
            return;
        }
        for line in &mut self.lines {
            line.due.push_back(payload.to_vec());
        }
        if retain {
            // An empty one deletes it.
            self.retained = Some(payload.to_vec()).filter(|payload| !payload.is_empty());
        }
    }

    /// A PUBLISH whose payload says that it is compressed. If it happens to be, all hear it.
    fn forge(&mut self, from: u8, codec: Codec, octets: &[u8], length: u64) {
        let encoding = Encoding { codec, length };
        let mut memory = [0; 32];
        let Ok(properties) = Properties::write(&[Property::Encoding(encoding)], &mut memory) else { return };
        let block = properties.as_bytes();
        let mut body = vec![block.len() as u8];
        body.extend_from_slice(block);
        body.extend_from_slice(b"\x01t");
        body.extend_from_slice(octets);
        let mut frame = vec![10 << 2 | 2];
        frame.extend_from_slice(leb128::encode(body.len() as u64, &mut [0; 9]));
        frame.extend_from_slice(&body);

        let from = usize::from(from) % self.lines.len();
        let line = &mut self.lines[from];
        if core::mem::replace(&mut line.dishonest, true) && line.over {
            return;
        }
        let agreed = line.likes.contains(&codec);
        let inflated = self.codecs.inflate(encoding, octets, FRAME.into()).ok().filter(|_| agreed);
        line.at_server.push(&frame);
        if let Some(inflated) = inflated {
            self.lines.iter_mut().for_each(|line| line.due.push_back(inflated.clone()));
        }
    }

    /// Lets all speak until nobody has anything to say.
    fn run(&mut self) {
        for _ in 0..10_000 {
            let mut moved = 0;
            for line in &mut self.lines {
                let _ = line.client.poll_transmit(NOW, &mut line.up);
                moved += carry(&mut line.up, &mut line.at_server);
                self.server.recv(NOW, line.key, &mut line.at_server, &mut line.down);
                let _ = self.server.poll_transmit(NOW, line.key, &mut line.down);
                moved += carry(&mut line.down, &mut line.at_client);
                line.client.recv(NOW, &mut line.at_client);
                line.hear();
            }
            if moved == 0 {
                return self.check();
            }
        }
        panic!("they never stop");
    }

    /// All that was to be heard was.
    fn check(&mut self) {
        while self.server.poll_event().is_some() {}
        for line in self.lines.iter().filter(|line| !line.dishonest) {
            assert!(line.due.is_empty(), "{} messages never came", line.due.len());
        }
        self.server.hub().check_invariants().expect("invariants");
    }
}

impl Line {
    fn hear(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Message { message, .. } => {
                    // One that was put out misses some.
                    let at = self.due.iter().position(|due| due[..] == message.payload()[..]);
                    let at = at.expect("nobody published this");
                    assert!(at == 0 || self.dishonest, "{at} messages were left out");
                    self.due.drain(..=at);
                }
                ClientEvent::Disconnected { reason, .. } | ClientEvent::Closed { reason, .. } => {
                    assert!(self.dishonest, "{reason:?}");
                    self.over = true;
                }
                _ => {}
            }
        }
    }
}

fn carry(from: &mut SharedSendBuf, to: &mut GrowingRecvBuf) -> usize {
    let octets: Vec<u8> = from.slices().flatten().copied().collect();
    let n = to.push(&octets);
    from.sent(n);
    n
}

/// See the module.
pub fn compression(data: &[u8]) {
    let mut world = World::new();
    let mut input = Unstructured::new(data);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        world.step(&step);
    }
}
