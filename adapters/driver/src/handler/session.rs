//! Who asks.

use std::net::IpAddr;

use bowline_core::endpoint::server::{ClientInfo, Dialect};
use bowline_core::status::Status;

use super::{Call, Failure, FromMessage};

/// Whose request this is, as the hub knows it. For handlers that serve in a server.
///
/// It is looked up when it is taken, so it costs nothing where no handler wants it, and says what is so
/// then: where the requester has ended meanwhile, the handler is not called, for nobody waits for
/// its answer. An `Option<Session>` is nothing for messages, which as in MQTT do not say who published
/// them, and for handlers over a [client](crate::client::Client::serve), which the hub does not tell.
///
/// ```
/// use bowline_driver::handler::{Failure, Session};
/// use bowline_driver::core::status::Status;
///
/// async fn whoami(who: Session) -> Result<String, Failure> {
///     if who.user.is_empty() {
///         return Err(Failure::new(Status::NotAuthorized, "only for those who have said who they are"));
///     }
///     Ok(format!("{} over {}", who.user, who.dialect.map_or("nothing", |d| d.label())))
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// What names it, and never another of this server; no secret.
    pub number: u64,
    /// The user that it proved to be; empty: it said nothing of that.
    pub user: String,
    /// What it calls itself, which proves nothing: MQTT's client id, our own protocol's name.
    pub client_id: String,
    /// Where it connects from; nothing for a Unix socket or a line in memory.
    pub address: Option<IpAddr>,
    /// What it speaks; nothing where its connection is lost.
    pub dialect: Option<Dialect>,
    /// It is the server's own program ([`Hub::request`](super::Hub::request)), which may do everything.
    pub is_program: bool,
}

impl Session {
    pub(crate) fn of_client(info: &ClientInfo<'_>) -> Self {
        let (session, dialect) = (&info.session, info.dialect);
        let who = session.who;
        Self {
            number: session.key.number(),
            user: who.user.into(),
            client_id: who.client_id.into(),
            address: who.address,
            dialect,
            is_program: false,
        }
    }

    pub(crate) fn of_program(number: u64) -> Self {
        let (user, client_id, address, dialect) = (String::new(), String::new(), None, None);
        Self { number, user, client_id, address, dialect, is_program: true }
    }
}

impl<S> FromMessage<S> for Session {
    fn from_message(call: &Call<S>) -> Result<Self, Failure> {
        Self::optional(call)?.ok_or_else(|| Failure::new(Status::NotAuthorized, "it is not known who asks"))
    }

    fn optional(call: &Call<S>) -> Result<Option<Self>, Failure> {
        let Some(number) = call.from else { return Ok(None) };
        let gone = || Failure::new(Status::Cancelled, "who asked is gone");
        call.hub().session(number).ok_or_else(gone).map(Some)
    }
}
