//! A server: each connection is a request of HTTP, then a WebSocket, with permessage-deflate where the client
//! offers it.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf};
use bowline_core::http::server::{Config as HttpConfig, Event as HttpEvent, Server as Http};
use bowline_core::http::{Body, RequestHead, Response};
use bowline_core::time::{Deadline, Instant};
use bowline_core::websocket::deflate::{Deflate, Options, Pool};
use bowline_core::websocket::extensions::{self, Params, Wanted};
use bowline_core::websocket::handshake::Offer;
use bowline_core::websocket::{self, Carries, Event, HEADROOM, Message, Server, WebSocket};
use bowline_driver::{Address, Engine, Listener, Machine, Next, Output, Runtime, Turn, clock};
use bowline_tokio::Tokio;

use crate::MAX_MESSAGE;

/// The subprotocol that is spoken here, for whoever offers one; most offer none.
const PROTOCOL: &str = "echo";

/// Serves `HOST:PORT` until the program is ended; `ready` is told which port that is, once clients may come.
///
/// # Errors
///
/// The address is taken, or none of this machine's.
#[tokio::main(flavor = "current_thread")]
pub async fn run(address: &Address, ready: impl FnOnce(&str)) -> io::Result<()> {
    let mut listener = Tokio.bind(address)?;
    if let Address::Tcp(at) = listener.local_address()? {
        ready(&at);
    }
    // One for all: a compressor is lent to whoever has something to compress.
    let options = Options { max_message: MAX_MESSAGE, max_ratio: 1000, ..Options::default() };
    let pool = Arc::new(Mutex::new(Pool::new(options)));
    loop {
        let (stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await?;
        let connection = Connection::new(pool.clone());
        Tokio.spawn(Engine::new(stream, connection, Tokio.timer(), (MAX_MESSAGE + HEADROOM) as u32));
    }
}

struct Connection {
    layer: Layer,
    pool: Arc<Mutex<Pool>>,
}

enum Layer {
    Http(Box<Http>),
    WebSocket(Box<Open>),
}

struct Open {
    layer: WebSocket<Server>,
    deflate: Option<Deflate>,
}

impl Connection {
    fn new(pool: Arc<Mutex<Pool>>) -> Self {
        let http = Http::accept(clock::now(), &HttpConfig::default());
        Self { layer: Layer::Http(Box::new(http)), pool }
    }

    /// Takes requests until one opens a WebSocket.
    fn open(&mut self, now: Instant, input: &mut GrowingRecvBuf, output: &mut impl SendBuf) {
        let Layer::Http(http) = &mut self.layer else { return };
        let mut opened = None;
        while opened.is_none()
            && let Some(event) = http.recv(now, input)
        {
            if let HttpEvent::Request(head) = event {
                opened = switch(http, now, &head, output);
            }
        }
        let Some(params) = opened else { return };
        let config = websocket::Config { max_message: MAX_MESSAGE as u64, ..websocket::Config::default() };
        let mut layer = WebSocket::new(now, Server, Carries::Messages, &config);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let deflate = params.map(|params| Deflate::server(&params, &mut pool));
        if deflate.is_some() {
            layer.allow_compressed();
        }
        self.layer = Layer::WebSocket(Box::new(Open { layer, deflate }));
    }

    fn deadline(&self) -> Option<Deadline> {
        match &self.layer {
            Layer::Http(http) => http.poll_timeout(),
            Layer::WebSocket(open) => open.layer.poll_timeout(),
        }
    }
}

/// Answers a request. Where that opens a WebSocket, says how messages are compressed.
fn switch(
    http: &mut Http,
    now: Instant,
    head: &RequestHead<'_>,
    output: &mut impl SendBuf,
) -> Option<Option<Params>> {
    let offer = match Offer::read(head) {
        Ok(offer) => offer,
        Err(refusal) => {
            let text = refusal.to_string();
            let answer = Response {
                headers: refusal.fields(),
                ..Response::new(refusal.status(), Body::Copied(text.as_bytes()))
            };
            // Without room for it nobody reads what is sent.
            let _ = http.respond(now, output, &answer);
            return None;
        }
    };
    let values = offer.extensions().filter_map(|value| str::from_utf8(value).ok());
    let params = extensions::accept(values, &Wanted::default());
    let text = params.map(|params| params.to_string());
    let fields = offer.accept(offer.choose(&[PROTOCOL]), text.as_deref());
    http.switch(now, output, fields.as_slice()).is_ok().then_some(params)
}

impl Open {
    /// Sends back what came, as far as there is room; whether octets are left for lack of it.
    fn echo(
        &mut self,
        now: Instant,
        input: &mut GrowingRecvBuf,
        output: &mut Output,
        pool: &Mutex<Pool>,
    ) -> bool {
        loop {
            if output.is_full() {
                return !input.filled().is_empty();
            }
            match self.layer.recv(now, input, output) {
                Some(Event::Message(message)) => self.answer(now, message, output, pool),
                Some(_) => {}
                None => return false,
            }
        }
    }

    fn answer(&mut self, now: Instant, message: Message<'_>, output: &mut Output, pool: &Mutex<Pool>) {
        // There is room: the output takes a message of any size unless it is full.
        let _ = match &mut self.deflate {
            // The first and last fragment: what came as text was checked, and is not looked at again.
            None => self.layer.send_fragment(now, output, message.kind, true, message.payload),
            Some(deflate) => {
                let (mut pool, mut inflated) =
                    (pool.lock().unwrap_or_else(PoisonError::into_inner), Vec::new());
                match deflate.inflate(&mut pool, message, &mut inflated) {
                    Ok(Message { kind, payload, .. }) => {
                        self.layer.send_deflated(now, output, deflate, &mut pool, kind, payload)
                    }
                    Err(fault) => {
                        self.layer.close_with_fault(now, fault);
                        Ok(())
                    }
                }
            }
        };
    }
}

impl Machine for Connection {
    fn register(&mut self, _: &Waker) {
        // Nobody else has anything for it.
    }

    fn is_woken(&self) -> bool {
        false
    }

    fn turn(&mut self, now: Instant, turn: Turn<'_>) -> Next {
        let Turn { due, eof, input, output } = turn;
        if due {
            match &mut self.layer {
                Layer::Http(http) => _ = http.handle_timeout(now),
                Layer::WebSocket(open) => _ = open.layer.handle_timeout(now),
            }
        }
        self.open(now, input, output);
        let (mut blocked, transport);
        match &mut self.layer {
            Layer::Http(http) => {
                if eof {
                    http.handle_eof(now);
                }
                (blocked, transport) = (false, http.poll_transmit(now, output));
            }
            Layer::WebSocket(open) => {
                blocked = open.echo(now, input, output, &self.pool);
                if eof {
                    open.layer.handle_eof(now);
                    blocked = false;
                }
                transport = open.layer.poll_transmit(now, output);
            }
        }
        Next { transport, deadline: self.deadline(), blocked, reads: true, yields: false }
    }

    fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) -> Option<Deadline> {
        match &mut self.layer {
            Layer::Http(http) => http.handle_written(now, written, waiting),
            Layer::WebSocket(open) => open.layer.handle_written(now, written, waiting),
        }
        self.deadline()
    }

    fn gone(&mut self, _: Instant) {}
}
