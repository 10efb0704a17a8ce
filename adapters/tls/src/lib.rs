//! TLS 1.2 and 1.3 for Bowline, by rustls: a byte layer over any transport, the same on every runtime.
//!
//! - [`Server`] is what a server needs: certificates in files that are taken over as they change, several by
//!   name (SNI), authorities for the certificates of clients.
//! - [`Client`] is what a client needs: whom to trust (the machine's authorities, a file's, or pins), and a
//!   certificate of its own.
//! - [`Tls`] is a connection. Nobody has to make one by hand: the builders of servers and clients take the two.
//!
//! One port takes TLS beside all else, told apart by the first octets, or nothing else. What a client offers
//! by ALPN (`bowline`, `mqtt`, `http/1.1`) is what is spoken inside.
//!
//! ```no_run
//! # fn with<R: bowline_driver::Runtime>(server: bowline_driver::server::Builder<R>) -> Result<(), bowline_tls::Error> {
//! let tls = bowline_tls::Server::builder()
//!     .certificate("chain.pem", "key.pem")
//!     .client_authority("devices.pem")
//!     .build()?;
//! let server = server.listen("0.0.0.0:7790").listen("mqtts://0.0.0.0").tls(tls);
//! # Ok(())
//! # }
//! ```
//!
//! # What is defended, and what is not
//!
//! Old versions, renegotiation, compression and early data are not spoken. Names are checked always, and the
//! purpose of a certificate too. Keys are wiped from memory where this crate has them, and stand in no log. The
//! time that a handshake may take is the driver's, or the server's, to bound; its memory is bounded here.
//! Revoked certificates are not known: short-lived ones need no list.

mod accept;
mod client;
mod failure;
mod files;
#[cfg(feature = "make")]
pub mod make;
mod names;
mod server;
mod session;
mod stream;
mod version;

pub use accept::Incoming;
pub use client::{Builder as ClientBuilder, Client, Pin};
pub use failure::Failure;
pub use files::Error;
pub use rustls;
pub use server::{Builder as ServerBuilder, CertificateInfo, ClientCertificate, Counters, Server, Watch};
pub use session::Handshake;
pub use stream::Tls;
pub use version::Version;
