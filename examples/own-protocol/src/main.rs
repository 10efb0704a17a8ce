//! A protocol of your own, on the framers alone.
//!
//! The one idea: a framer knows nothing of sockets and nothing of your protocol. You read bytes
//! into a buffer, it lends you whole frames out of it; what a frame means is yours to say. Here it
//! is a tiny key-value store over blocking TCP: a request is a line (`SET key value`, `GET key`,
//! `QUIT`), an answer is a length and as many bytes, so a value may be anything.
//!
//! `cargo run -p example-own-protocol` runs server and client, checks the answers, and exits.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::frame::{EncodeError, Framer, LengthField, LengthFramer, LineEnd, LineFramer};

/// The longest request: enough for a person's typing, little enough to hold for each connection.
const MAX_REQUEST: usize = 1024;
/// The largest answer: the largest value, and a word before it.
const MAX_ANSWER: usize = 2048;

type Failure = Box<dyn Error + Send + Sync>;

fn requests() -> LineFramer {
    LineFramer::new(LineEnd::Either, MAX_REQUEST)
}

fn answers() -> LengthFramer {
    LengthFramer::new(LengthField::Leb128, MAX_ANSWER)
}

/// A socket, what was received, and the framer of that direction.
struct Connection<F> {
    stream: TcpStream,
    input: GrowingRecvBuf,
    reads: F,
}

impl<F: Framer> Connection<F> {
    fn new(stream: TcpStream, reads: F) -> Self {
        let input = GrowingRecvBuf::new(reads.max_frame());
        Self { stream, input, reads }
    }

    /// The next frame, as a copy; `None` at the end of the stream.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(frame) = self.reads.decode(&mut self.input)? {
                return Ok(Some(frame.to_vec()));
            }
            let n = self.stream.read(self.input.spare(256))?;
            if n == 0 {
                // Fails where the other side left in the middle of a frame.
                self.reads.finish(&self.input)?;
                return Ok(None);
            }
            self.input.commit(n);
        }
    }

    /// Writes what was encoded.
    fn flush(&mut self, out: &mut SharedSendBuf) -> io::Result<()> {
        for piece in out.slices() {
            self.stream.write_all(piece)?;
        }
        out.sent(out.len());
        Ok(())
    }
}

/// One request's answer.
fn answer(store: &mut BTreeMap<Vec<u8>, Vec<u8>>, request: &[u8]) -> Vec<u8> {
    let mut words = request.splitn(3, |&b| b == b' ');
    match (words.next(), words.next(), words.next()) {
        (Some(b"SET"), Some(key), Some(value)) => {
            store.insert(key.to_vec(), value.to_vec());
            b"OK".to_vec()
        }
        (Some(b"GET"), Some(key), None) => match store.get(key) {
            Some(value) => [b"VALUE ", &value[..]].concat(),
            None => b"NONE".to_vec(),
        },
        _ => b"ERROR use: SET key value, GET key, QUIT".to_vec(),
    }
}

fn serve(stream: TcpStream) -> Result<(), Failure> {
    let mut connection = Connection::new(stream, requests());
    let mut out = SharedSendBuf::new(answers().max_frame());
    let mut store = BTreeMap::new();
    while let Some(request) = connection.receive()? {
        if request == b"QUIT" {
            break;
        }
        answers().encode(&answer(&mut store, &request), &mut out)?;
        connection.flush(&mut out)?;
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || serve(listener.accept()?.0));

    let mut client = Connection::new(TcpStream::connect(address)?, answers());
    let mut out = SharedSendBuf::new(64 * 1024);
    let dialogue: [(&[u8], &[u8]); 5] = [
        (b"SET knot a bowline holds", b"OK"),
        (b"GET knot", b"VALUE a bowline holds"),
        (b"GET hitch", b"NONE"),
        (b"SET empty ", b"OK"),
        (b"TIE", b"ERROR use: SET key value, GET key, QUIT"),
    ];
    // All requests at once: the framers do not care how the bytes are cut on their way.
    for (request, _) in dialogue {
        requests().encode(request, &mut out)?;
    }
    requests().encode(b"QUIT", &mut out)?;
    // What would be two requests is refused, here and not at the other end.
    let injected = requests().encode(b"GET knot\nQUIT", &mut out);
    assert_eq!(injected, Err(EncodeError::Delimiter { at: 8 }));
    client.flush(&mut out)?;

    for (request, expected) in dialogue {
        let answer = client.receive()?.ok_or("the server left early")?;
        println!("{} -> {}", request.escape_ascii(), answer.escape_ascii());
        if answer != expected {
            return Err(format!("expected {}", expected.escape_ascii()).into());
        }
    }
    if client.receive()?.is_some() {
        return Err("one answer too many".into());
    }
    server.join().map_err(|_| "the server panicked")?
}
