//! Enhanced authentication (§4.12): SCRAM-SHA-256, as the standard's own example has it.

use alloc::boxed::Box;

use super::super::connection::Turn;
use super::Connection;
use super::connect::Proving;
use crate::buf::SendBuf;
use crate::mqtt::{Auth, Properties, Property, PropertyId, ReasonCode};
use crate::scram::{MAX_MESSAGE, ScramServer};

/// The only method.
pub(super) const METHOD: &str = "SCRAM-SHA-256";

const FAILED: &str = "authentication failed";

impl Connection {
    /// The first message of the exchange, in CONNECT.
    pub(super) fn scram_first(
        &mut self,
        turn: &mut Turn<'_>,
        properties: &Properties<'_>,
        out: &mut impl SendBuf,
    ) {
        match self.challenge(turn, properties, out) {
            Some(scram) => {
                if let Some(proving) = &mut self.proving {
                    proving.scram = Some(Box::new(scram));
                }
            }
            None => self.refuse(turn, (ReasonCode::NotAuthorized, FAILED)),
        }
    }

    /// Answers a first message with a challenge.
    fn challenge(
        &mut self,
        turn: &mut Turn<'_>,
        properties: &Properties<'_>,
        out: &mut impl SendBuf,
    ) -> Option<ScramServer> {
        let server = &mut *turn.server;
        let users = &server.config.users;
        let lookup = |user: &str| users.credential(user);
        let (first, entropy) = (data(properties), &mut &mut *server.entropy);
        let mut challenge = [0; MAX_MESSAGE];
        let (scram, n) = ScramServer::first(first, lookup, &server.decoy, entropy, &mut challenge).ok()?;
        self.go_on(turn, ReasonCode::ContinueAuthentication, &challenge[..n], out).then_some(scram)
    }

    fn go_on(&mut self, turn: &Turn<'_>, reason: ReasonCode, data: &[u8], out: &mut impl SendBuf) -> bool {
        let list = [Property::AuthMethod(METHOD), Property::AuthData(data)];
        let auth = Auth { reason, properties: Properties::list(&list) };
        self.line.auth(turn.now, out, &auth).is_ok()
    }

    /// AUTH: a further step, or the first of another exchange.
    pub(super) fn authenticate_further(
        &mut self,
        turn: &mut Turn<'_>,
        auth: &Auth<'_>,
        out: &mut impl SendBuf,
    ) {
        let (wish, scram) = self.proving.take().map_or((None, None), |proving| (proving.wish, proving.scram));
        if let Some(wish) = wish {
            let mut last = [0; MAX_MESSAGE];
            let finished = scram.and_then(|s| finish(*s, data(&auth.properties), &mut last));
            return match finished {
                Some((scram, n)) => self.establish(turn, scram.user(), wish, &last[..n], out),
                None => self.refuse(turn, (ReasonCode::NotAuthorized, FAILED)),
            };
        }
        let done = match (auth.reason, scram) {
            (ReasonCode::ReAuthenticate, _) => self.challenge(turn, &auth.properties, out).map(|scram| {
                let scram = Some(Box::new(scram));
                self.proving = Some(Box::new(Proving { wish: None, verification: None, scram }));
            }),
            (_, Some(scram)) => self.finish_again(turn, *scram, &auth.properties, out),
            _ => None,
        };
        if done.is_none() {
            // [MQTT-4.12.1-2]
            self.end_with(turn, ReasonCode::NotAuthorized, FAILED);
        }
    }

    /// Nobody becomes somebody else within a session.
    fn finish_again(
        &mut self,
        turn: &Turn<'_>,
        scram: ScramServer,
        properties: &Properties<'_>,
        out: &mut impl SendBuf,
    ) -> Option<()> {
        let mut last = [0; MAX_MESSAGE];
        let (scram, n) = finish(scram, data(properties), &mut last)?;
        let same = turn.server.hub.identity(self.hub?) == Some(scram.user());
        (same && self.go_on(turn, ReasonCode::Success, &last[..n], out)).then_some(())
    }
}

fn finish(mut scram: ScramServer, data: &[u8], last: &mut [u8; MAX_MESSAGE]) -> Option<(ScramServer, usize)> {
    let n = scram.handle_client_final(data, last).ok()?;
    Some((scram, n))
}

/// The data of a step.
fn data<'b>(properties: &Properties<'b>) -> &'b [u8] {
    match properties.get(PropertyId::AuthData) {
        Some(Property::AuthData(data)) => data,
        _ => &[],
    }
}
