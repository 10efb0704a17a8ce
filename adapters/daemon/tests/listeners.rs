//! Listeners of a running server: their settings, and how they come and go.

mod common;

use std::net::TcpListener;
use std::path::PathBuf;

use common::{run, start};

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let at = std::env::temp_dir().join(format!("bowline-listeners-{}", std::process::id()));
        std::fs::create_dir_all(&at).unwrap();
        Self(at)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn publishes(server: &str) -> bool {
    run(&["pub", "-s", server, "-W", "20", "a", "b"]).code == Some(0)
}

#[test]
fn a_hangup_opens_and_closes_listeners_and_drops_nobody() {
    let place = Place::new();
    let (file, socket) = (place.path("bowline.toml"), place.path("sock"));
    let (first, second) = (free_port(), free_port());
    let always = format!("[store]\nmemory = true\n[[listen]]\ntcp = \"127.0.0.1:{first}\"\n");
    let write = |listeners: &str| std::fs::write(&file, format!("{always}{listeners}")).unwrap();
    write(&format!("[[listen]]\nname = \"local\"\nunix = {socket:?}\nmode = \"600\"\n"));
    let server = start(&["serve", "-c", &file]);
    server.err_line("serving");
    let (tcp, unix) = (format!("127.0.0.1:{first}"), format!("unix:{socket}"));
    let sub = start(&["sub", "-s", &unix, "--say-ready", "-C", "3", "#"]);
    sub.err_line("subscribed to");
    assert!(publishes(&tcp) && publishes(&unix));

    write(&format!("[[listen]]\nname = \"devices\"\ntcp = \"127.0.0.1:{second}\"\nspeaks = [\"mqtt\"]\n"));
    server.signal("HUP");
    server.err_line("no longer listening on local");
    server.err_line(&format!("listening on 127.0.0.1:{second}"));
    let devices = format!("127.0.0.1:{second}");
    assert!(!publishes(&unix) && !std::path::Path::new(&socket).exists());
    assert!(!publishes(&devices), "our own protocol is not spoken there");
    run(&["pub", "--mqtt", "-p", &second.to_string(), "-t", "a", "-m", "b"]).expect(0);

    write(&format!("[[listen]]\nname = \"devices\"\ntcp = \"127.0.0.1:{second}\"\nworkers = 2\n"));
    server.signal("HUP");
    assert!(server.err_line("stays as it is").contains("devices"));
    // One connection, over the socket that is gone, saw it all.
    let ended = sub.finish();
    assert_eq!(ended.expect(0).out.lines().count(), 3);
}
