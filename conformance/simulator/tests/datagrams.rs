//! Datagram sessions over bad paths.

use std::time::Duration;

use bowline_core::datagram::{Config, Security};
use bowline_simulator::datagrams::{CLIENT, Path, SERVER, Wire};

fn config() -> Config {
    Config::new(Security::Insecure)
}

/// Sends `total` octets from the client to the server; how long it took, in seconds.
fn bulk(mut wire: Wire, total: usize) -> f64 {
    let [client, server] = wire.connect(5_000).expect("it opens");
    let start = wire.now;
    let (mut wrote, mut read) = (0, 0);
    let chunk = vec![7; 1 << 16];
    let mut to = vec![0; 1 << 16];
    let until = wire.now + 1_000_000_000_000;
    while read < total {
        while wrote < total {
            let n = wire.sides[CLIENT].endpoint.write(client, &chunk[..chunk.len().min(total - wrote)]).unwrap();
            if n == 0 {
                break;
            }
            wrote += n;
        }
        while let Some(n) = wire.sides[SERVER].endpoint.read(server, &mut to) {
            read += n.expect("it lives on");
        }
        wire.sides.iter_mut().for_each(|side| side.events.clear());
        assert!(wire.step(until), "it goes on: {read} of {total} at {}: {:?}", wire.now, wire.sides[0].endpoint.stats(client));
    }
    (wire.now - start) as f64 / 1e9
}

#[test]
fn bulk_prints() {
    for seed in 1..=3 {
        let wire = Wire::new(seed, &config(), Path::lossy(Duration::from_millis(25), 100));
        let total = 8 << 20;
        let took = bulk(wire, total);
        println!("seed {seed}: {:.0} kB/s", total as f64 / took / 1000.0);
    }
}
