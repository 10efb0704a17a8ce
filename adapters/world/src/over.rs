//! What the story is told over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use bowline_driver::client::{self, ClientConfig, NoiseConfig, NoiseKeys, ServerTrust};
use bowline_driver::core::secure::{PublicKey, SecretKey};
use bowline_driver::server::{self, Egress, ServerConfig};
use bowline_driver::{Runtime, datagram};
use bowline_tls::make::Authority;

/// What the story is told over: a transport, and the layers on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// TCP alone.
    Tcp,
    /// A Unix socket.
    Unix,
    /// WebSockets.
    WebSocket,
    /// TLS, on the port that takes all else too.
    Tls,
    /// WebSockets in TLS.
    WebSocketInTls,
    /// The secure mode of our own protocol, with keys that change all the time.
    Noise,
    /// The same in WebSockets.
    NoiseInWebSocket,
    /// UDP, secured by Noise.
    Udp,
}

impl Over {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Tcp,
        Self::Unix,
        Self::WebSocket,
        Self::Tls,
        Self::WebSocketInTls,
        Self::Noise,
        Self::NoiseInWebSocket,
        Self::Udp,
    ];

    /// All of them; UDP only where the runtime's crate was built with it.
    pub fn with_udp(udp: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |over| udp || *over != Self::Udp)
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Unix => "Unix socket",
            Self::WebSocket => "WebSocket",
            Self::Tls => "TLS",
            Self::WebSocketInTls => "WebSocket in TLS",
            Self::Noise => "Noise",
            Self::NoiseInWebSocket => "Noise in WebSocket",
            Self::Udp => "UDP",
        }
    }

    /// How a relay is asked to reach a server of ours so, at this place; nothing of what is within a tunnel.
    pub(crate) fn target(self, place: &str) -> Option<String> {
        Some(match self {
            Self::Tcp | Self::Unix => place.to_owned(),
            Self::WebSocket => format!("bowline+ws://{place}/"),
            Self::Tls => format!("tls://{place}"),
            Self::WebSocketInTls => format!("bowline+wss://{place}/"),
            Self::Udp => format!("bowline+udp://{place}"),
            Self::Noise | Self::NoiseInWebSocket => return None,
        })
    }

    const fn is_noise(self) -> bool {
        matches!(self, Self::Noise | Self::NoiseInWebSocket)
    }
}

/// Over what a runtime has told its stories well: kept in a file, of which the README's table is made.
#[derive(Debug)]
pub struct Told {
    file: PathBuf,
    lines: String,
}

impl Told {
    /// Nothing yet of these stories; `directory` is cargo's for tests.
    #[must_use]
    pub fn new(directory: &str, stories: &str, runtime: &str) -> Self {
        let file = PathBuf::from(directory).join(format!("{stories}-{runtime}"));
        // What an earlier run has told is nothing of this one's.
        let _ = std::fs::remove_file(&file);
        Self { file, lines: String::new() }
    }

    /// Over this too, and what there is to say of it.
    ///
    /// # Panics
    ///
    /// The file cannot be written.
    pub fn well(&mut self, over: Over, what: &str) {
        self.lines += &format!("{}\t{what}\n", over.name());
        std::fs::write(&self.file, &self.lines).expect("cargo's directory can be written to");
    }
}

/// The server's key in the secure mode.
const SERVER_KEY: [u8; 32] = [7; 32];

/// What server and clients of one story have in common.
#[derive(Debug)]
pub struct Line {
    over: Over,
    tls: Option<Tls>,
}

/// A server's certificate, and what vouches for it.
#[derive(Debug)]
struct Tls {
    server: bowline_tls::Server,
    authority: String,
}

/// Settings of sessions over UDP: a client's and a server's, each with a key of its own.
#[must_use]
pub fn secured() -> [datagram::Config; 2] {
    let server = SecretKey::from_octets(SERVER_KEY);
    let client = datagram::NoiseKeys::new().own(SecretKey::from_octets([8; 32])).server(server.public());
    let keys = [client, datagram::NoiseKeys::new().own(server)];
    keys.map(|keys| datagram::Config::new(datagram::Security::Noise(keys.into())))
}

impl Line {
    /// For a server of its own.
    ///
    /// # Panics
    ///
    /// No certificate can be made.
    #[must_use]
    pub fn new(over: Over) -> Self {
        let is_tls = matches!(over, Over::Tls | Over::WebSocketInTls);
        Self { over, tls: is_tls.then(Tls::make) }
    }

    /// A server that listens there, with this configuration beside.
    pub fn server<R: Runtime>(
        &self,
        builder: server::Builder<R>,
        mut config: ServerConfig,
    ) -> server::Builder<R> {
        if self.over.is_noise() {
            config.noise.keys.own = Some(SecretKey::from_octets(SERVER_KEY));
            config.noise.plain = false;
            config.noise.rekey.octets = 1000;
        }
        let builder = builder.config(config);
        let builder = match &self.tls {
            Some(tls) => builder.tls(tls.server.clone()),
            None => builder,
        };
        match self.over {
            Over::Unix => builder.listen(&unix()),
            Over::Udp => {
                let [_, config] = secured();
                builder.datagrams(config).listen("bowline+udp://127.0.0.1:0")
            }
            _ => builder.listen("127.0.0.1:0"),
        }
    }

    /// Whom clients are to trust, in PEM, where there is TLS.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.authority.as_str())
    }

    /// The server's key, where there is Noise: in the records of our own protocol, or in datagrams.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        let has_key = self.over.is_noise() || self.over == Over::Udp;
        has_key.then(|| SecretKey::from_octets(SERVER_KEY).public())
    }

    /// A client that speaks so.
    pub(crate) fn client<R: Runtime>(&self, builder: client::Builder<R>) -> client::Builder<R> {
        let mut config = ClientConfig::default();
        if self.over.is_noise() {
            let server = ServerTrust::Keys(vec![SecretKey::from_octets(SERVER_KEY).public()]);
            let mut noise = NoiseConfig::new(NoiseKeys::Static { own: None, server });
            noise.rekey.octets = 500;
            config.noise = Some(noise);
        }
        let builder = builder.config(config);
        if self.over == Over::Udp {
            let [config, _] = secured();
            return builder.datagrams(config);
        }
        match &self.tls {
            Some(tls) => builder.tls(tls.client()),
            None => builder,
        }
    }

    /// How a relay reaches a server that listens there.
    pub(crate) fn egress(&self) -> Egress {
        match (&self.tls, self.over) {
            (Some((_, tls)), _) => Egress::new().tls(tls.clone()),
            (None, Over::Udp) => {
                let [config, _] = secured();
                Egress::new().datagrams(config)
            }
            _ => Egress::new(),
        }
    }

    /// The server's side of TLS.
    pub(crate) fn acceptor(&self) -> Option<&bowline_tls::Server> {
        self.tls.as_ref().map(|(tls, _)| tls)
    }

    /// What clients connect to of a server that listens there.
    #[must_use]
    pub fn reach(&self, address: &str) -> String {
        let scheme = match self.over {
            Over::Tcp | Over::Unix | Over::Noise | Over::Udp => return address.to_owned(),
            Over::WebSocket | Over::NoiseInWebSocket => "ws://",
            Over::Tls => "bowlines://",
            Over::WebSocketInTls => "wss://",
        };
        address.replace("bowline://", scheme)
    }
}

/// A path that no other story has.
fn unix() -> String {
    static STORIES: AtomicU32 = AtomicU32::new(0);
    let name = format!("bowline-story-{}-{}", std::process::id(), STORIES.fetch_add(1, Ordering::Relaxed));
    format!("unix:{}", std::env::temp_dir().join(name).display())
}

impl Tls {
    fn make() -> Self {
        let authority = Authority::new("the world", 1).expect("there is randomness");
        let made = authority.server(&["127.0.0.1"], 1).expect("it is an address");
        let server = bowline_tls::Server::builder().certificate_pem(&made.chain, made.key.as_bytes());
        Self { server: server.build().expect("they fit"), authority: authority.to_pem().chain }
    }

    fn client(&self) -> bowline_tls::Client {
        bowline_tls::Client::builder().authority_pem(&self.authority).build().expect("it is one")
    }
}
