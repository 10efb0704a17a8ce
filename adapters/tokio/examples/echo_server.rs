//! A session of one's own without a hub: `echo_server PORT` sends every message back to who sent it.

use std::collections::VecDeque;

use bowline_driver::core::session::{Config, Event, Message, SendError, Session, Welcome};
use bowline_driver::core::time::Instant;
use bowline_driver::session::{Application, SessionMachine};
use bowline_driver::{Engine, Listener, Output, Runtime, clock};
use bowline_tokio::Tokio;

/// What could not be sent yet for want of credit: topic and payload. The client has as much credit
/// of ours, so it is bounded by that.
#[derive(Default)]
struct Echo(VecDeque<(String, Vec<u8>)>);

impl Application for Echo {
    fn event(&mut self, now: Instant, event: Event<'_>, session: &mut Session, output: &mut Output) {
        match event {
            Event::Hello(_) => {
                let _ = session.welcome(now, output, &Welcome::default(), None);
            }
            Event::Publish(m) => {
                let echo = Message { topic: m.topic, payload: m.payload, ..Message::new("", &[]) };
                if !self.0.is_empty() || matches!(session.publish(now, output, &echo), Err(SendError::Credit))
                {
                    self.0.push_back((m.topic.into(), m.payload.into()));
                }
            }
            _ => {}
        }
    }

    fn send(&mut self, now: Instant, session: &mut Session, output: &mut Output) {
        while let Some((topic, payload)) = self.0.front() {
            if session.publish(now, output, &Message::new(topic, payload)).is_err_and(|e| e.is_blocked()) {
                return;
            }
            self.0.pop_front();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or("7790".into());
    let mut listener = Tokio.bind(&format!("127.0.0.1:{port}").parse()?)?;
    println!("listening on {}", listener.local_address()?);
    loop {
        let (stream, _) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await?;
        let config = Config::default();
        let session = Session::accept(clock::now(), &config);
        let machine = SessionMachine::new(session, Echo::default());
        Tokio.spawn(Engine::new(stream, machine, Tokio.timer(), config.limits.max_frame));
    }
}
