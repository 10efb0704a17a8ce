//! Answers that the adapter gives in parts.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;

use super::http::{Line, get, handled};
use crate::buf::RecvBuf;
use crate::endpoint::server::{Awaited, HttpResponse, PartError, ServerEvent};
use crate::http::StatusCode;
use crate::lifecycle::Transport;
use crate::session::Code;
use crate::time::Why;

/// A line on which an answer in parts was begun.
fn begun(request: &str) -> Line {
    let mut line = Line::new(handled());
    assert_eq!(line.server.awaited(line.key), Awaited::Nothing);
    line.send(request).asked().unwrap();
    assert_eq!(line.server.awaited(line.key), Awaited::Answer);
    line.server.begin_parts(line.key, HttpResponse::new(StatusCode::OK, "text/event-stream", ":\n\n"));
    assert_eq!(line.server.awaited(line.key), Awaited::Room);
    assert_eq!(line.push("early"), Err(PartError::Full));
    line.run();
    line
}

impl Line {
    fn push(&mut self, part: &'static str) -> Result<(), PartError> {
        self.server.push_part(self.key, Bytes::from_static(part.as_bytes()))
    }

    fn finish(&mut self) -> &mut Self {
        self.server.finish_parts(self.key);
        self.run()
    }
}

/// RFC 9112 §7.1.
#[test]
fn each_part_goes_out_as_a_chunk_when_it_is_given() {
    let mut line = begun(&[get("/1", ""), get("/2", "")].concat());
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(line.take(), format!("{head}3\r\n:\n\n\r\n"));
    assert_eq!(line.server.awaited(line.key), Awaited::Part);
    assert!(line.asked().is_none(), "the second request waits");
    line.push("data: 1\n\n").unwrap();
    assert_eq!(line.push("data: 2\n\n"), Err(PartError::Full), "one at a time");
    assert_eq!(line.run().take(), "9\r\ndata: 1\n\n\r\n");
    // An empty part says nothing: an empty chunk would be the last.
    line.push("").unwrap();
    assert_eq!(line.run().take(), "");
    assert_eq!(line.server.awaited(line.key), Awaited::Part);
    line.push("data: 3\n\n").unwrap();
    assert_eq!(line.finish().take(), "9\r\ndata: 3\n\n\r\n0\r\n\r\n");
    assert_eq!(line.push("late"), Err(PartError::Gone));
    assert_eq!(line.asked().unwrap().path, "/2");
    assert_eq!(line.respond(HttpResponse::empty(StatusCode::NO_CONTENT)).transport, Transport::Open);
}

#[test]
fn an_old_client_gets_the_parts_as_they_are_and_the_end_of_the_stream() {
    let mut line = begun("GET / HTTP/1.0\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    assert_eq!(line.take(), format!("{head}:\n\n"));
    line.push("data: 1\n\n").unwrap();
    assert_eq!(line.run().take(), "data: 1\n\n");
    assert_eq!((line.finish().take(), line.transport), (String::new(), Transport::Shut));
}

#[test]
fn to_head_and_to_what_has_no_body_no_part_is_sent() {
    let mut line = begun(&get("/", "").replace("GET", "HEAD"));
    assert!(line.take().ends_with("content-type: text/event-stream\r\n\r\n"));
    assert_eq!((line.server.awaited(line.key), line.push("x")), (Awaited::Nothing, Err(PartError::Gone)));
    // And the connection goes on.
    line.send(get("/", "")).asked().unwrap();
    line.server.begin_parts(line.key, HttpResponse::empty(StatusCode::NO_CONTENT));
    assert!(line.run().take().starts_with("HTTP/1.1 204 "));
    assert_eq!(line.server.awaited(line.key), Awaited::Nothing);
    assert!(line.send(get("/", "")).asked().is_some());
}

#[test]
fn what_cannot_be_written_is_an_answer_of_its_own() {
    let mut line = Line::new(handled());
    line.send(get("/", "")).asked().unwrap();
    line.server.begin_parts(line.key, HttpResponse::empty(StatusCode::OK).with("a", "b\r\nc: d"));
    assert!(line.run().take().starts_with("HTTP/1.1 500 "));
    assert_eq!(line.push("x"), Err(PartError::Gone));
    // Nobody asked.
    let mut line = Line::new(handled());
    line.server.begin_parts(line.key, HttpResponse::empty(StatusCode::OK));
    assert_eq!((line.server.awaited(line.key), line.push("x")), (Awaited::Nothing, Err(PartError::Gone)));
    line.server.finish_parts(line.key);
    assert!(line.run().sent.is_empty());
}

/// A peer that reads nothing costs one part, and no more than the time for a write.
#[test]
fn who_reads_nothing_is_given_nothing_more_and_cut_off() {
    let mut line = begun(&get("/", ""));
    line.take();
    let mut given = 0;
    while line.server.awaited(line.key) == Awaited::Part {
        let part = vec![b'x'; 1000];
        line.server.push_part(line.key, part.into()).unwrap();
        given += 1000;
        assert_eq!(line.server.poll_transmit(line.now, line.key, &mut line.out), Transport::Open);
        assert!(given < 10_000, "it takes all that there is");
    }
    assert_eq!(line.server.awaited(line.key), Awaited::Room);
    let waiting = line.out.slices().map(<[u8]>::len).sum::<usize>();
    assert!(waiting <= 4096 && given >= 4000, "of {given}, {waiting} are in the buffer");
    line.server.handle_written(line.now, line.key, 0, waiting);
    let deadline = line.server.poll_timeout(line.key).unwrap();
    assert_eq!((deadline.why, deadline.at), (Why::Write, line.now + Duration::from_secs(10)));
    line.server.handle_timeout(deadline.at, line.key);
    assert_eq!(line.server.poll_transmit(deadline.at, line.key, &mut line.out), Transport::Abort);
    assert_eq!((line.server.awaited(line.key), line.push("x")), (Awaited::Nothing, Err(PartError::Gone)));
    let told = core::iter::from_fn(|| line.server.poll_event()).last();
    let Some(ServerEvent::Closed { code, .. }) = told else { panic!("{told:?}") };
    assert_eq!(code, Some(Code::KeepaliveTimeout));
}

#[test]
fn a_part_larger_than_the_room_goes_out_bit_by_bit() {
    let mut line = begun(&get("/", ""));
    line.take();
    let body: Vec<u8> = (0..50_000u32).map(|i| b'a' + (i % 26) as u8).collect();
    line.server.push_part(line.key, body.clone().into()).unwrap();
    line.finish();
    let (mut chunks, mut rest, mut read) = (crate::http::Chunked::new(), &line.sent[..], Vec::new());
    loop {
        match chunks.next(rest).unwrap() {
            crate::http::Chunk::Data { skip, len } => {
                read.extend_from_slice(&rest[skip..skip + len]);
                rest = &rest[skip + len..];
            }
            crate::http::Chunk::End(n) => break assert_eq!(rest.len(), n),
            crate::http::Chunk::NeedMore(_) => panic!("the end is missing"),
        }
    }
    assert!(read == body && line.server.awaited(line.key) == Awaited::Nothing);
}

#[test]
fn a_peer_that_is_gone_or_a_server_that_drains_ends_it() {
    let mut line = begun(&get("/", ""));
    line.server.disconnect(line.now, line.key);
    assert_eq!((line.server.awaited(line.key), line.push("x")), (Awaited::Nothing, Err(PartError::Gone)));

    let mut line = begun(&get("/", ""));
    line.take();
    line.push("data: last\n\n").unwrap();
    line.server.drain(line.now, Duration::from_secs(5), Duration::ZERO, "");
    let said = line.run().take();
    assert_eq!((&*said, line.transport), ("c\r\ndata: last\n\n\r\n0\r\n\r\n", Transport::Shut));
    assert_eq!(line.server.awaited(line.key), Awaited::Nothing);

    // The peer will ask for nothing more; what it asked for goes on, and then the connection ends.
    let mut line = begun(&get("/", ""));
    line.server.handle_eof(line.now, line.key);
    line.push("data: 1\n\n").unwrap();
    assert!(line.run().take().ends_with("data: 1\n\n\r\n") && line.transport == Transport::Open);
    assert_eq!(line.finish().transport, Transport::Drop);
    assert!(line.input.filled().is_empty());
}
