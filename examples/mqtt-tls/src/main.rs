//! MQTT over TLS with a certificate of one's own, and clients who are known by theirs.
//!
//! Alone, it makes an authority and certificates, and lets a client of its own publish and hear. With files
//! it serves with them, until it is interrupted, and takes new ones over as they come:
//!
//! ```sh
//! bowline cert ca && bowline cert server localhost && bowline cert client ann
//! cargo run -p example-mqtt-tls localhost.pem localhost.key ca.pem
//! mosquitto_sub -h localhost -p 8883 --cafile ca.pem --cert ann.pem --key ann.key -t 'demo/#' -v
//! ```

use std::error::Error;
use std::time::Duration;

use bowline_tls::make::{Authority, DAYS};
use bowline_tokio::mqtt::{Client, Publish, Qos, SubscriptionOptions};
use bowline_tokio::server::{Anonymous, NameKind, Users};
use bowline_tokio::tls;
use bowline_tokio::{Server, ServerConfig};

/// Nobody comes in without a certificate; its common name is who it is.
fn known_by_certificates() -> ServerConfig {
    let mut users = Users::new(Anonymous::Never);
    users.name_certificates_by(Some(NameKind::CommonName));
    ServerConfig { users, ..ServerConfig::default() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match &std::env::args().skip(1).collect::<Vec<_>>()[..] {
        [chain, key, authority] => serve(chain, key, authority).await,
        [] => show().await,
        _ => Err("give a certificate, its key, and the authority for clients; or nothing".into()),
    }
}

async fn serve(chain: &str, key: &str, authority: &str) -> Result<(), Box<dyn Error>> {
    let secure = tls::Server::builder()
        .certificate(chain, key)
        .client_authority(authority)
        .on_failure(|peer, _, why| eprintln!("no TLS with {:?}: {why}", peer.address))
        .on_reload(|done| eprintln!("certificates: {done:?}"))
        .build()?;
    let _watch = secure.watch(Duration::from_secs(5));
    let server = Server::builder()
        .config(known_by_certificates())
        .tls(secure)
        .listen("mqtts://0.0.0.0")
        .on_event(|event| println!("{event:?}"))
        .start()
        .await?;
    println!("{} takes MQTT; interrupt it to end", server.addresses()[0]);
    tokio::signal::ctrl_c().await?;
    server.drain(Duration::from_secs(5)).await;
    Ok(())
}

async fn show() -> Result<(), Box<dyn Error>> {
    let authority = Authority::new("An authority of our own", DAYS)?;
    let (hub, ann) = (authority.server(&["localhost"], DAYS)?, authority.client("ann", DAYS)?);
    let trusted = authority.to_pem().chain;
    let secure = tls::Server::builder()
        .certificate_pem(&hub.chain, hub.key.as_bytes())
        .client_authority_pem(&trusted)
        .build()?;
    let builder = Server::builder().config(known_by_certificates()).tls(secure.clone());
    let server = builder.listen("bowlines://127.0.0.1:0").start().await?;

    let identity = tls::Client::builder().authority_pem(&trusted);
    let identity = identity.identity_pem(&ann.chain, ann.key.as_bytes()).build()?;
    let address = server.addresses()[0].to_string().replace("127.0.0.1", "localhost");
    let client = Client::builder(&address).tls(identity).client_id("thermometer").connect().await?;
    let mut heard = client.subscribe("demo/+", SubscriptionOptions::default()).await?;
    client.publish(Publish { qos: Qos::AtLeastOnce, ..Publish::new("demo/room", "21.5") }).await?;
    let message = heard.next().await.ok_or("it comes")?;
    println!("{}: {}", message.topic(), String::from_utf8_lossy(message.payload()));

    // Whoever shows no certificate is nobody here.
    let stranger = tls::Client::builder().authority_pem(&trusted).build()?;
    let refused = Client::builder(&address).tls(stranger).connect().await.err().ok_or("it is refused")?;
    println!("without a certificate: {refused}");
    println!("handshakes: {}", secure.counters().handshakes);
    server.drain(Duration::from_secs(5)).await;
    Ok(())
}
