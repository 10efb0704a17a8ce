//! What a service manager is told, at a socket as systemd has one.

mod common;

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use common::{Program, start_with};
use tempfile::TempDir;

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    path: String,
    _place: TempDir,
}

impl Manager {
    fn new() -> Self {
        let place = TempDir::new().unwrap();
        let path = place.path().join("notify").display().to_string();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { socket, path, _place: place }
    }

    fn start(&self, variables: &[(&str, &str)]) -> Program {
        let variables = [&[("NOTIFY_SOCKET", self.path.as_str())], variables].concat();
        start_with(&["serve", "--listen", "127.0.0.1:0"], &variables)
    }

    /// The next message, by its lines.
    fn told(&self) -> Vec<String> {
        let mut octets = [0; 4096];
        let n = self.socket.recv(&mut octets).expect("the service manager is told");
        String::from_utf8_lossy(&octets[..n]).lines().map(str::to_owned).collect()
    }

    /// The next that is not of the watchdog.
    fn told_of_state(&self) -> Vec<String> {
        loop {
            let told = self.told();
            if told != ["WATCHDOG=1"] {
                return told;
            }
        }
    }
}

#[test]
fn a_service_manager_is_told_what_the_server_does() {
    let manager = Manager::new();
    let server = manager.start(&[]);
    let ready = manager.told();
    assert_eq!(ready[0], "READY=1");
    let address = server.out_line("listens on").trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(ready[1], format!("STATUS=listens on {address}"));
    for _ in 0..2 {
        server.signal("HUP");
        let reloading = manager.told();
        assert_eq!(reloading[0], "RELOADING=1");
        let time = reloading[1].strip_prefix("MONOTONIC_USEC=").expect("when");
        assert!(time.parse::<u64>().unwrap() > 0);
        assert_eq!(manager.told(), ["READY=1"]);
        server.err_line("reloaded");
    }
    server.signal("TERM");
    assert_eq!(manager.told(), ["STOPPING=1", "STATUS=draining"]);
    server.ended().expect(0);
}

#[test]
fn a_reload_that_fails_is_over_all_the_same() {
    let manager = Manager::new();
    let place = TempDir::new().unwrap();
    let file = place.path().join("bowline.toml").display().to_string();
    std::fs::write(&file, "").unwrap();
    let server = manager.start(&[("BOWLINE_CONFIG", &file)]);
    assert_eq!(manager.told()[0], "READY=1");
    std::fs::write(&file, "nonsense").unwrap();
    server.signal("HUP");
    assert_eq!(manager.told()[0], "RELOADING=1");
    assert_eq!(manager.told(), ["READY=1"]);
    server.err_line("nothing was reloaded");
}

#[test]
fn a_watchdog_hears_that_the_server_is_alive_where_it_wants_to() {
    let manager = Manager::new();
    let server = manager.start(&[("WATCHDOG_USEC", "20000")]);
    assert_eq!(manager.told_of_state()[0], "READY=1");
    for _ in 0..5 {
        assert_eq!(manager.told(), ["WATCHDOG=1"]);
    }
    server.signal("TERM");
    assert_eq!(manager.told_of_state()[0], "STOPPING=1");
    server.ended().expect(0);
    // Of another process it is none of its business.
    let manager = Manager::new();
    let server = manager.start(&[("WATCHDOG_USEC", "20000"), ("WATCHDOG_PID", "1")]);
    assert_eq!(manager.told()[0], "READY=1");
    server.signal("TERM");
    assert_eq!(manager.told()[0], "STOPPING=1");
    server.ended().expect(0);
}
