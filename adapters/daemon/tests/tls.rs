//! TLS at the program's door.

mod common;

use std::io::{Read, Write};

use common::{Server, run};

/// Who begins a handshake and does not end it has as long as anybody has to say something.
#[test]
fn a_slow_tls_handshake_is_cut_off_at_the_deadline() {
    let place = tempfile::tempdir().expect("there is room");
    let at = |name: &str| place.path().join(name).to_str().expect("a plain path").to_owned();
    for line in [&["ca"][..], &["server", "localhost"]] {
        run(&[&["cert", "--directory", &at("")], line].concat()).expect(0);
    }
    let server = Server::start_with(&[
        ("BOWLINE_TLS__CERT", &format!("{:?}", at("localhost.pem"))),
        ("BOWLINE_TLS__KEY", &format!("{:?}", at("localhost.key"))),
        ("BOWLINE_SESSION__HANDSHAKE", "1s"),
        ("BOWLINE_LOG__LEVEL", "debug"),
    ]);
    let mut stream = server.dial();
    // The head of a record of 200 octets, and of a ClientHello in it.
    stream.write_all(&[22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]).expect("it is taken");
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, [], "nothing is said to who has said nothing");
    let told = server.program.err_line("TLS ended");
    assert!(told.contains("handshake"), "{told}");
    server.run_client(&["ping", "-c", "1"]).expect(0);
}
