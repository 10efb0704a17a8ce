//! The tools over WebSockets: our own protocol and MQTT, and what refuses them.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use common::{Server, run, run_with_input, start};

/// `command ws://127.0.0.1:PORT/path rest`; of `--mqtt` behind it.
fn args(server: &Server, line: &str) -> Vec<String> {
    let url = format!("ws://127.0.0.1:{}/any/path?x=y", server.port);
    let mut args: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let at = 1 + usize::from(args.get(1).is_some_and(|arg| arg == "--mqtt"));
    args.insert(at, url);
    args
}

fn text(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn all_tools_speak_over_it() {
    let server = Server::start();
    let sub = start(&text(&args(&server, "sub demo/# -v -C 4 --say-ready")));
    sub.err_line("subscribed to");
    run(&text(&args(&server, "pub demo/a hi"))).expect(0);
    run_with_input(&text(&args(&server, "pub demo/lines -l")), b"one\ntwo\n").expect(0);
    server.run_client(&["pub", "demo/tcp", "there"]).expect(0);
    assert_eq!(sub.finish().expect(0).out, "demo/a hi\ndemo/lines one\ndemo/lines two\ndemo/tcp there\n");

    let echo = start(&text(&args(&server, "reply echo --echo")));
    echo.err_line("serving");
    assert_eq!(run(&text(&args(&server, "req echo hello"))).expect(0).out, "hello\n");
    run(&text(&args(&server, "ping -C 2 --interval 1ms"))).expect(0);
    run(&text(&args(&server, "bench pairs --clients 2 --messages 50"))).expect(0);
}

#[test]
fn mqtt_speaks_over_it() {
    let server = Server::start();
    for version in ["5", "311"] {
        let line = format!("sub --mqtt -V {version} -t t/# -q 2 -C 3 -d -v");
        let sub = start(&text(&args(&server, &line)));
        sub.err_line("subscribed to t/#");
        run(&text(&args(&server, &format!("pub --mqtt -V {version} -t t/a -m x -q 2")))).expect(0);
        // The path of which mosquitto's clients know, and ours by TCP.
        let url = format!("ws://127.0.0.1:{}/t/url", server.port);
        run(&["pub", "--mqtt", "-L", &url, "-m", "y"]).expect(0);
        run(&["pub", "--mqtt", "-p", &server.port, "-t", "t/tcp", "-m", "z"]).expect(0);
        assert_eq!(sub.ended().out, "t/a x\nt/url y\nt/tcp z\n");
    }
}

#[test]
fn a_client_comes_back_to_a_server_that_was_away() {
    let first = Server::start();
    let address = format!("127.0.0.1:{}", first.port);
    let mut publisher = start(&text(&args(&first, "pub demo -l")));
    let sub = start(&text(&args(&first, "sub demo -C 2 --say-ready")));
    sub.err_line("subscribed to");
    publisher.write(b"one\n");
    sub.out_line("one");
    drop(first);
    publisher.err_line("connection is lost");
    sub.err_line("connection is lost");
    let second = Server::start_at(&address, &[]);
    sub.err_line("connected again");
    second.run_client(&["pub", "demo", "still here"]).expect(0);
    assert_eq!(sub.finish().expect(0).out, "still here\n");
    publisher.err_line("connected again");
    publisher.write(b"two\n");
    assert!(publisher.finish().expect(0).err.contains("2 accepted"));
}

#[test]
fn what_refuses_is_told_with_what_to_do() {
    let server = Server::start();
    for line in [
        "pub t x --header Origin:http://evil.example",
        "pub --mqtt -t t -m x --header Origin:http://evil.example",
    ] {
        let refused = run(&text(&args(&server, line))).expect(1).err;
        for part in ["403 Forbidden", "pages of http://evil.example may not connect here", "Origin"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }
    for (line, code, part) in [
        (&["sub", "wss://localhost:1/", "a"][..], 1, "no server listens there"),
        (&["sub", "ws://localhost/#", "a"], 2, "fragment"),
        (&["sub", "ws://far.example/", "a", "--token", "x"], 2, "--insecure"),
        (&["sub", "ws://localhost:1/", "a"], 1, "no server listens there"),
        (&["sub", "ws://localhost/", "a", "--header", "Upgrade: h2c"], 2, "belongs to the opening handshake"),
    ] {
        let refused = run(line).expect(code).err;
        assert!(refused.contains(part), "{part}: {refused}");
    }
}

/// What answers is no WebSocket.
#[test]
fn other_servers_are_seen_through() {
    for (answer, part) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "there is nothing at this path"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "is the path right?"),
        (
            "HTTP/1.1 301 Moved Permanently\r\nLocation: https://b/\r\nContent-Length: 0\r\n\r\n",
            "(https://b/)",
        ),
        ("220 mail.example ESMTP\r\n\r\n", "no WebSocket server"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let n = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        let refused = run(&["pub", &url, "a", "b"]).expect(1).err;
        assert!(refused.contains(part) && refused.contains(&url), "{part}: {refused}");
        assert!(server.join().unwrap().starts_with("GET / HTTP/1.1\r\n"));
    }
}
