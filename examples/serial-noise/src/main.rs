//! A firmware on a serial line, secured by Noise, and the gateway at the other end.
//!
//! ```sh
//! cargo build --manifest-path examples/serial-noise/firmware/Cargo.toml
//! cargo run -p example-serial-noise demo examples/serial-noise/firmware/target/debug/example-serial-firmware
//! ```
//!
//! runs the firmware against a hub, over a line that is damaged on purpose. `gateway DEVICE BAUD HUB` leads a real
//! line to a hub: see `README.md`.

mod cable;
mod demo;
mod gateway;
mod tty;

use std::error::Error;
use std::path::Path;

use bowline_driver::core::serial::Line;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["demo", firmware] => demo::demo(Path::new(firmware)).await,
        ["gateway", device, baud, hub] => {
            let tty = tty::open_device(Path::new(device), baud.parse()?)?;
            println!("{device} leads to {hub}");
            Ok(gateway::gateway(tty, Line::server(), hub).await?)
        }
        _ => Err("demo FIRMWARE, or gateway DEVICE BAUD HUB".into()),
    }
}
