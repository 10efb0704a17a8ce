//! Sessions that begin, and go on over another connection (§3.1.2.4, §3.1.4, §4.1).

use super::super::connection::Turn;
use super::super::registry::{Name, Sought};
use super::Connection;
use super::connect::{Refused, Wish};
use crate::access::Who;
use crate::hub::{Refusal, SessionKey, SessionOptions};
use crate::mqtt::ReasonCode;

impl Connection {
    /// Serves the client's session from now on: the one it had, or a new one. Says which, whether it
    /// is one that goes on, and what must be committed before the client may know.
    pub(super) fn attach(
        &mut self,
        turn: &mut Turn<'_>,
        who: &Who<'_>,
        wish: &Wish,
    ) -> Result<(SessionKey, bool, Option<u64>), Refused> {
        let sought = Sought::Mqtt(&wish.client_id);
        if let Some(old) = turn.server.registry.find(sought) {
            if turn.server.hub.identity(old) != Some(who.user) {
                return Err((ReasonCode::NotAuthorized, "the client identifier is another user's"));
            }
            // [MQTT-3.1.4-3]. A will is published now, or after its delay unless the session goes on.
            turn.server.take_over(turn.now, old);
            turn.server.release(turn.now, old);
        }
        // The session may have ended with its connection.
        let old = turn.server.registry.find(sought);
        let (hub, resumed, commit) = match old {
            Some(old) if !wish.clean_start => (self.go_on_with(turn, old, who, wish)?, true, None),
            old => {
                if let Some(old) = old {
                    turn.server.remove(turn.now, old); // [MQTT-3.1.2-4]
                }
                // However one has ended, a crash must not bring it back to a client that has forgotten it.
                let commit = turn.server.registry.ended(sought);
                (self.begin(turn, who, wish)?, false, commit)
            }
        };
        turn.server.registry.serve(hub, turn.key);
        let _ = turn.server.hub.set_by_messages(hub, self.line.version().is_v5());
        (self.hub, self.resumed) = (Some(hub), resumed);
        Ok((hub, resumed, commit))
    }

    fn go_on_with(
        &self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        who: &Who<'_>,
        wish: &Wish,
    ) -> Result<SessionKey, Refused> {
        let in_flight = self.in_flight(turn);
        let server = &mut *turn.server;
        let done = server.hub.reattach(turn.now, hub, in_flight, None);
        done.and_then(|()| server.hub.set_expiry(hub, wish.expiry)).map_err(refused)?;
        let _ = server.hub.set_client(hub, who);
        Ok(hub)
    }

    fn begin(&self, turn: &mut Turn<'_>, who: &Who<'_>, wish: &Wish) -> Result<SessionKey, Refused> {
        let in_flight = self.in_flight(turn);
        let server = &mut *turn.server;
        let name = Name::Mqtt(who.client_id.into());
        let text = server.stored_name(Some(&name).filter(|_| !wish.expiry.is_zero()));
        let options = SessionOptions {
            identity: who.user,
            client_id: who.client_id,
            address: who.address,
            listener: who.listener,
            secured: who.secured,
            name: &text,
            expiry: wish.expiry,
            in_flight,
            by_id: true,
            ..server.session_options()
        };
        let hub = server.hub.attach(turn.now, &options).map_err(refused)?;
        server.registry.name(hub, name);
        Ok(hub)
    }

    /// How many messages with QoS 1 and 2 the client is sent at a time ([MQTT-3.3.4-9]).
    fn in_flight(&self, turn: &Turn<'_>) -> u32 {
        u32::from(self.line.receive_maximum().min(turn.server.config.mqtt.in_flight).max(1))
    }
}

fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Quota(_) => (ReasonCode::QuotaExceeded, "too many sessions"),
        _ => (ReasonCode::ServerUnavailable, "the session cannot begin"),
    }
}
