//! A plugin in a box is a plugin, whichever it is.

use alloc::boxed::Box;

use super::{Ask, Client, Context, Interest, Plugin, Rejection, Tags, Verdict};
use crate::hub::{Counters, Message};
use crate::time::Instant;

impl<P: Plugin + ?Sized> Plugin for Box<P> {
    fn interest(&self) -> Interest {
        (**self).interest()
    }

    fn accept(&mut self, cx: &mut Context<'_>, client: &Client<'_>) -> Result<(), Rejection> {
        (**self).accept(cx, client)
    }

    fn connect(
        &mut self,
        cx: &mut Context<'_>,
        client: &Client<'_>,
        tags: &mut Tags,
    ) -> Result<(), Rejection> {
        (**self).connect(cx, client, tags)
    }

    fn opened(&mut self, cx: &mut Context<'_>, client: &Client<'_>, resumed: bool) {
        (**self).opened(cx, client, resumed);
    }

    fn closed(&mut self, cx: &mut Context<'_>, client: &Client<'_>, reason: &str) {
        (**self).closed(cx, client, reason);
    }

    fn denied(&mut self, cx: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>, reason: &str) {
        (**self).denied(cx, client, ask, reason);
    }

    fn asked(&mut self, cx: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>) -> Result<(), Rejection> {
        (**self).asked(cx, client, ask)
    }

    fn message_in(&mut self, cx: &mut Context<'_>, client: &Client<'_>, message: &Message) -> Verdict {
        (**self).message_in(cx, client, message)
    }

    fn message_out(&self, now: Instant, client: &Client<'_>, message: &Message) -> Verdict {
        (**self).message_out(now, client, message)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>, counters: &Counters) {
        (**self).handle_timeout(cx, counters);
    }
}
