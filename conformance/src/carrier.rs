//! What the octets of vectors go over on their way to a server: a socket, and the layers on it.
//!
//! An address says which: `host:port`, `unix:/path`, `bowlines://host` (TLS), `ws://host/path`, `wss://host/path`,
//! `bowline+udp://host`; and with the server's key, in the records of Noise. The layers are those of our own
//! clients; all calls block.

mod noise;
mod stream;
mod web;

use std::future::poll_fn;
use std::io;

use bowline_blocking::{Threads, block_on};
use bowline_core::secure::{PublicKey, SecretKey};
use bowline_core::stack::Alpn;
use bowline_driver::datagram::{self, NoiseKeys, Security};
use bowline_driver::{Address, AddressError, Connector, OsEntropy, Runtime, Transport};

pub(crate) use stream::Stream;

use crate::dialect::Dialect;
use crate::pattern::Token;
use crate::vector::{Vector, What};

/// A server, and what vectors' octets go over to it.
#[derive(Clone, Debug)]
pub struct Carrier {
    address: Address,
    tls: Option<bowline_tls::Client>,
    noise: Option<PublicKey>,
    insecure_datagrams: bool,
    target: Option<String>,
}

impl Carrier {
    /// To the server at `address`.
    ///
    /// ```
    /// use bowline_conformance::carrier::Carrier;
    /// assert!(Carrier::new("unix:/run/hub.sock").is_ok());
    /// assert!(Carrier::new("http://hub.example").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// It makes no sense.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        Ok(Self {
            address: address.parse()?,
            tls: None,
            noise: None,
            insecure_datagrams: false,
            target: None,
        })
    }

    /// Whom to trust where the address is for TLS. It should offer no protocol (ALPN): which dialect a vector
    /// speaks is for the server to find by the first octets, on every transport.
    #[must_use]
    pub fn tls(self, tls: bowline_tls::Client) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The server's public key: octets go in the records of Noise, and sessions over UDP are secured so.
    #[must_use]
    pub fn noise(self, server: PublicKey) -> Self {
        Self { noise: Some(server), ..self }
    }

    /// Sessions over UDP are not secured.
    #[must_use]
    pub fn insecure_datagrams(self) -> Self {
        Self { insecure_datagrams: true, ..self }
    }

    /// The server relays to this [target](crate::target::Target).
    #[must_use]
    pub fn target(self, target: &str) -> Self {
        Self { target: Some(target.to_owned()), ..self }
    }

    /// Where the server relays to; nothing where none is known.
    pub(crate) fn relays_to(&self) -> &str {
        self.target.as_deref().unwrap_or_default()
    }

    /// Where the server is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    const fn is_web(&self) -> bool {
        matches!(self.address, Address::WebSocket { .. } | Address::TlsWebSocket { .. })
    }

    /// Why this cannot carry `vector`, where it cannot.
    #[must_use]
    pub fn skips(&self, vector: &Vector) -> Option<&'static str> {
        if vector.config.relay && self.target.is_none() {
            return Some("nothing says to which target the server relays");
        }
        if vector.dialect != Dialect::Bowline {
            if self.noise.is_some() {
                return Some("Noise carries our own protocol alone");
            }
            if matches!(self.address, Address::Udp(_)) {
                return Some("sessions over UDP carry our own protocol alone");
            }
        }
        if !self.is_web() {
            return None;
        }
        match vector.dialect {
            Dialect::Http => Some("HTTP goes in no WebSocket"),
            Dialect::Json if !opens_itself(vector) => Some("these requests of HTTP go in no WebSocket"),
            Dialect::Websocket | Dialect::Json => None,
            _ if hears_after_its_end(vector) => Some("a WebSocket ends in both directions at once"),
            _ => None,
        }
    }

    /// Opens a connection on which `dialect` is spoken.
    ///
    /// # Errors
    ///
    /// Nobody is there, or a layer cannot be opened.
    pub(crate) fn open(&self, dialect: Dialect) -> io::Result<Stream> {
        let mut stream = Stream::new(block_on(self.transport())?);
        // Who speaks WebSocket opens it by its own octets.
        if let (Some(protocol), Address::WebSocket { to, target } | Address::TlsWebSocket { to, target }) =
            (protocol(dialect), &self.address)
        {
            stream.add(Box::new(web::Web::new(to, target, protocol)))?;
        }
        if let (Some(server), false) = (&self.noise, matches!(self.address, Address::Udp(_))) {
            stream.add(Box::new(noise::Noise::new(*server)?))?;
        }
        Ok(stream)
    }

    async fn transport(&self) -> io::Result<Box<dyn Transport>> {
        if let Address::Udp(to) = &self.address {
            return Ok(Box::new(datagram::connect(&Threads, to, self.datagrams()?).await?));
        }
        let stream = Threads.connect(self.address.clone().transport()).await?;
        let (Address::Tls(to) | Address::TlsWebSocket { to, .. }) = &self.address else {
            return Ok(Box::new(stream));
        };
        let unsaid = "the address is for TLS, and nothing says whom to trust";
        let tls = self.tls.as_ref().ok_or_else(|| io::Error::other(unsaid))?;
        let host = to.rsplit_once(':').map_or(to.as_str(), |(host, _)| host);
        let mut stream =
            Connector::connect(tls, Box::new(stream), host.trim_matches(['[', ']']), Alpn::Bowline)?;
        poll_fn(|cx| stream.poll_open(cx)).await?;
        Ok(stream)
    }

    fn datagrams(&self) -> io::Result<datagram::Config> {
        let security = match self.noise {
            Some(server) => {
                let own = SecretKey::generate(&mut OsEntropy);
                Security::Noise(NoiseKeys::new().own(own).server(server).into())
            }
            None if self.insecure_datagrams => Security::Insecure,
            None => {
                let unsaid = "sessions over UDP are secured by Noise: the server's public key is missing";
                return Err(io::Error::other(unsaid));
            }
        };
        Ok(datagram::Config::new(security))
    }
}

/// The subprotocol by which a WebSocket carries a dialect; nothing where that is WebSocket itself.
const fn protocol(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::Bowline => Some("bowline"),
        Dialect::Mqtt3 | Dialect::Mqtt5 => Some("mqtt"),
        Dialect::Prx1 => Some("prx1"),
        Dialect::Http | Dialect::Websocket | Dialect::Json => None,
    }
}

/// Whether a connection of this vector becomes a WebSocket.
fn opens_itself(vector: &Vector) -> bool {
    let opens = |token: &Token| matches!(token, Token::Response(response) if response.opens());
    vector.steps.iter().any(|step| matches!(&step.what, What::Out(all) if all.0.iter().any(opens)))
}

/// Whether the server still has something to say to a client that has ended.
fn hears_after_its_end(vector: &Vector) -> bool {
    let mut steps = vector.steps.iter();
    while let Some(step) = steps.next() {
        let after = |s: &&crate::vector::Step| s.conn == step.conn && matches!(s.what, What::Out(_));
        if step.what == What::Eof && steps.clone().any(|s| after(&s)) {
            return true;
        }
    }
    false
}
