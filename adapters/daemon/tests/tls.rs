//! TLS of a running server: on sockets that others made, and what a hangup changes of it.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use common::{Program, Server, run, shell_with_input, start};
use tempfile::TempDir;

/// A directory with an authority, and certificates by it.
struct Pki(TempDir);

impl Pki {
    fn new(servers: &[&str]) -> Self {
        let pki = Self(TempDir::new().unwrap());
        pki.make(&["ca"]);
        for name in servers {
            pki.make(&["server", name]);
        }
        pki.make(&["client", "ann"]);
        pki
    }

    fn make(&self, what: &[&str]) {
        run(&[&["cert", "--directory", &self.path("")], what].concat()).expect(0);
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A configuration, with this in its `[tls]`.
    fn write(&self, listen: &str, tls: &str) -> String {
        let file = self.path("bowline.toml");
        let text = format!("[store]\nmemory = true\n[tls]\n{tls}\n{listen}");
        std::fs::write(&file, text.replace("DIR", &self.path(""))).unwrap();
        file
    }

    /// Whether a client of this port publishes in TLS.
    fn publishes(&self, port: u16, more: &[&str]) -> bool {
        let (to, ca) = (format!("bowlines://localhost:{port}"), self.path("ca.pem"));
        let line = [&["pub", &to, "--cafile", &ca, "-W", "20"], more, &["a", "b"]].concat();
        run(&line).code == Some(0)
    }
}

const LOCALHOST: &str = "cert = \"DIRlocalhost.pem\"\nkey = \"DIRlocalhost.key\"";

/// A server that systemd would have started with this socket.
fn activated(socket: impl Into<OwnedFd>, config: &str) -> Program {
    let bowline = env!("CARGO_BIN_EXE_bowline");
    let line = format!(
        "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=handed exec {bowline} serve -c {config}"
    );
    let server = shell_with_input(&line, Stdio::from(socket.into()));
    server.err_line("serving");
    server
}

#[test]
fn a_socket_that_was_handed_over_takes_tls_alone_where_that_is_said() {
    let pki = Pki::new(&["localhost"]);
    let plainly = |to: &str| run(&["pub", "-s", to, "-W", "20", "a", "b"]).code == Some(0);
    for (said, everything) in [("tls = true", false), ("", true), ("tls = false", true)] {
        let config = pki.write(&format!("[[listen]]\nsystemd = \"handed\"\n{said}"), LOCALHOST);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let _server = activated(socket, &config);
        assert!(pki.publishes(port, &[]), "{said}");
        assert_eq!(plainly(&format!("127.0.0.1:{port}")), everything, "{said}");
    }
    // What counts for TCP ports counts for those that were handed over; a Unix socket does not leave the machine,
    // unless it says of itself that it takes TLS alone.
    let no_plain = format!("{LOCALHOST}\nplain = false");
    let config = pki.write("[[listen]]\nsystemd = \"handed\"", &no_plain);
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let _server = activated(socket, &config);
    assert!(pki.publishes(port, &[]) && !plainly(&format!("127.0.0.1:{port}")));
    for (said, everything) in [("", true), ("tls = true", false)] {
        let config = pki.write(&format!("[[listen]]\nsystemd = \"handed\"\n{said}"), &no_plain);
        let path = pki.path("sock");
        let _server = activated(UnixListener::bind(&path).unwrap(), &config);
        assert_eq!(plainly(&format!("unix:{path}")), everything, "{said}");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_hangup_takes_over_what_is_said_of_tls() {
    let pki = Pki::new(&["localhost", "second"]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("[[listen]]\ntcp = \"127.0.0.1:{port}\"");
    let server = start(&["serve", "-c", &pki.write(&listen, LOCALHOST)]);
    server.err_line("serving");
    let (to, ca) = (format!("bowlines://localhost:{port}"), pki.path("ca.pem"));
    let sub = start(&["sub", &to, "--cafile", &ca, "--say-ready", "-C", "4", "#"]);
    sub.err_line("subscribed to");
    let (cert, key) = (pki.path("ann.pem"), pki.path("ann.key"));
    let ann = ["--cert", &*cert, "--key", &*key];
    assert!(pki.publishes(port, &[]));

    // Certificates of clients are asked for.
    let wants =
        format!("{LOCALHOST}\nclient_ca = \"DIRca.pem\"\nrequire_client_cert = true\nmin_version = \"1.3\"");
    pki.write(&listen, &wants);
    server.signal("HUP");
    server.err_line("what is said of TLS counts");
    assert!(!pki.publishes(port, &[]), "who has none");
    assert!(pki.publishes(port, &ann));

    // What is wrong changes nothing.
    pki.write(&listen, "cert = \"DIRlocalhost.pem\"\nkey = \"DIRsecond.key\"");
    server.signal("HUP");
    assert!(server.err_line("certificates were not reloaded").contains("does not belong"));
    server.err_line("what is said of TLS is not taken over");
    assert!(!pki.publishes(port, &[]) && pki.publishes(port, &ann));

    // And back, with other files; whether there is any TLS is for the next start.
    pki.write(&listen, "cert = \"DIRsecond.pem\"\nkey = \"DIRsecond.key\"");
    server.signal("HUP");
    server.err_line("what is said of TLS counts");
    assert!(!pki.publishes(port, &[]), "it is for another name");
    pki.write(&listen, LOCALHOST);
    server.signal("HUP");
    server.err_line("what is said of TLS counts");
    assert!(pki.publishes(port, &[]));
    pki.write(&listen, "");
    server.signal("HUP");
    server.err_line("other settings are different too");
    // One connection saw it all.
    assert_eq!(sub.finish().expect(0).out.lines().count(), 4);
}

/// Who begins a handshake and does not end it has as long as anybody has to say something.
#[test]
fn a_slow_tls_handshake_is_cut_off_at_the_deadline() {
    let pki = Pki::new(&["localhost"]);
    let server = Server::start_with(&[
        ("BOWLINE_TLS__CERT", &format!("{:?}", pki.path("localhost.pem"))),
        ("BOWLINE_TLS__KEY", &format!("{:?}", pki.path("localhost.key"))),
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
