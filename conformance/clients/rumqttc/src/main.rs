//! rumqttc against a Bowline server, in both versions of the protocol: `bowline-conformance-rumqttc PORT`.

#![forbid(unsafe_code)]

mod common;
mod v3;
mod v5;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(port) = std::env::args().nth(1).and_then(|port| port.parse().ok()) else {
        eprintln!("usage: bowline-conformance-rumqttc PORT");
        return ExitCode::from(2);
    };
    let mut report = common::Report::default();
    v3::run(&mut report, port).await;
    v5::run(&mut report, port).await;
    report.print()
}
