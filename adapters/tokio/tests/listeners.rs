//! Listeners of a server on tokio, seen from plain sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bowline_driver::core::endpoint::server::{Refused, ServerEvent};
use bowline_driver::core::proxy::Fault;
use bowline_driver::{ListeningSocket, SocketOptions};
use bowline_tokio::Server;
use bowline_tokio::server::{Listen, Peer, Speaks, StartError};
use tokio::sync::mpsc;

const CONNECT: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";

/// A server, and what it tells of connections: whose, and why not.
async fn server(listen: Listen) -> (Server, mpsc::UnboundedReceiver<(Peer, Option<Refused>)>) {
    let (tell, told) = mpsc::unbounded_channel();
    let on_event = move |event: &ServerEvent| {
        let said = match event {
            ServerEvent::Opened { peer, .. } => (*peer, None),
            ServerEvent::Refused { peer, reason } => (*peer, Some(*reason)),
            _ => return,
        };
        let _ = tell.send(said);
    };
    let server = Server::builder().listen_on(listen).on_event(on_event).start().await.unwrap();
    (server, told)
}

/// What is answered to these octets: nothing, where the connection ends without.
async fn answer(address: &str, octets: Vec<u8>) -> Vec<u8> {
    let address = address.strip_prefix("bowline://").unwrap().to_string();
    let asking = move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = socket.write_all(&octets);
        let mut answer = [0; 64];
        let n = socket.read(&mut answer).unwrap_or(0);
        answer[..n].to_vec()
    };
    tokio::task::spawn_blocking(asking).await.unwrap()
}

const WELCOME: &[u8] = b"\x20\x02\0\0";

#[tokio::test]
async fn a_balancer_says_whose_a_connection_is() {
    let networks = ["127.0.0.0/8".parse().unwrap()];
    let anyone = bowline_tokio::server::Anonymous::Always;
    let (server, mut told) = server(Listen::on("127.0.0.1:0").anonymous(anyone).proxied_by(networks)).await;
    let address = server.addresses()[0].to_string();

    let introduced = [b"PROXY TCP4 192.0.2.7 192.0.2.8 5000 1883\r\n", CONNECT].concat();
    assert_eq!(answer(&address, introduced).await, WELCOME);
    let (peer, _) = told.recv().await.unwrap();
    assert_eq!(peer.socket(), Some("192.0.2.7:5000".parse().unwrap()));

    // The balancer's own: its health check.
    let own = [b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", CONNECT].concat();
    assert_eq!(answer(&address, own).await, WELCOME);
    assert!(told.recv().await.unwrap().0.is_local());

    assert_eq!(answer(&address, CONNECT.to_vec()).await, b"", "it has to say whose it is");
    assert_eq!(told.recv().await.unwrap().1, Some(Refused::Proxy(Fault::Missing)));
}

#[tokio::test]
async fn who_is_no_balancer_says_nothing_of_others() {
    let networks = ["192.0.2.0/24".parse().unwrap()];
    let (server, mut told) = server(Listen::on("127.0.0.1:0").proxied_by(networks)).await;
    let address = server.addresses()[0].to_string();
    let introduced = b"PROXY TCP4 192.0.2.7 192.0.2.8 5000 1883\r\n\r\n".to_vec();
    let told_off = answer(&address, introduced).await;
    assert!(
        told_off.starts_with(b"HTTP/1.1 505 "),
        "a request of a version of HTTP that nobody speaks: {}",
        told_off.escape_ascii()
    );
    assert_eq!(answer(&address, CONNECT.to_vec()).await, WELCOME);
    let (peer, _) = told.recv().await.unwrap();
    assert!(peer.is_local());
}

#[tokio::test]
async fn listeners_come_and_go_while_it_runs() {
    let (server, _told) = server(Listen::on("127.0.0.1:0").speaks(Speaks::BOWLINE)).await;
    let first = server.addresses()[0].to_string();
    assert_ne!(answer(&first, CONNECT.to_vec()).await, WELCOME, "MQTT is not spoken there");

    let devices = || Listen::on("127.0.0.1:0").named("devices").speaks(Speaks::MQTT);
    let second = server.listen(devices()).unwrap().to_string();
    assert_eq!(answer(&second, CONNECT.to_vec()).await, WELCOME);
    assert!(server.listen(devices()).unwrap_err().to_string().contains("\"devices\""));

    assert!(server.close_listener("devices", true) && !server.close_listener("devices", true));
    // Its port is free as soon as its task has seen that.
    let socket = second.strip_prefix("bowline://").unwrap().to_string();
    let again = move || while std::net::TcpListener::bind(&socket).is_err() {};
    tokio::task::spawn_blocking(again).await.unwrap();
    assert!(server.listen(devices()).is_ok(), "its name is free too");
}

#[tokio::test]
async fn several_workers_and_sockets_of_others_take_connections() {
    let options = SocketOptions { workers: 3, ..SocketOptions::default() };
    let (server, _told) = server(Listen::on("127.0.0.1:0").options(options)).await;
    let address = server.addresses()[0].to_string();
    for _ in 0..20 {
        assert_eq!(answer(&address, CONNECT.to_vec()).await, WELCOME);
    }
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.listen(Listen::sockets([ListeningSocket::Tcp(bound)])).unwrap().to_string();
    assert_eq!(answer(&address, CONNECT.to_vec()).await, WELCOME);
    assert!(server.listen(Listen::sockets([])).is_err());
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let only = Listen::sockets([ListeningSocket::Tcp(bound)]).tls_only();
    let error = server.listen(only).unwrap_err();
    assert!(matches!(error, StartError::NoTls(_)), "nothing is taken in the clear there: {error}");
}
