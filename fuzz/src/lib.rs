//! Fuzz targets. Each is a function over bytes, so that three things can run it:
//!
//! - the fuzzer: `cargo +nightly fuzz run framers`;
//! - the tests, over the committed corpus: `cargo test --manifest-path fuzz/Cargo.toml`;
//! - a stable compiler, over given files: `cargo run --manifest-path fuzz/Cargo.toml --bin framers FILE...`.
//!
//! A new target takes a function in [`targets`], a line in [`TARGETS`], a file of one line in
//! `fuzz_targets/`, its `[[bin]]` in `Cargo.toml`, and a corpus.

pub mod targets;

/// A target: it panics where the code under test is wrong.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("compression", targets::compression),
    ("datagram", targets::datagram),
    ("framers", targets::framers),
    ("prx1", targets::prx1),
    ("session_client", targets::session_client),
    ("session_pair", targets::session_pair),
    ("session_server", targets::session_server),
    ("http", targets::http),
    ("hub", targets::hub),
    ("json", targets::json),
    ("json_server", targets::json_server),
    ("secure", targets::secure),
    ("serial", targets::serial),
    ("server", targets::server),
    ("mqtt_server", targets::mqtt_server),
    ("client", targets::client),
    ("client_websocket", targets::client_websocket),
    ("mqtt_codec", targets::mqtt_codec),
    ("mqtt_pair", targets::mqtt_pair),
    ("tunnels", targets::tunnels),
    ("websocket", targets::websocket),
    ("websocket_pair", targets::websocket_pair),
];

/// Runs `target` over each file that the command line names.
///
/// # Errors
///
/// A file cannot be read.
pub fn run_files(target: Target) -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        eprintln!("{}", path.display());
        target(&std::fs::read(path)?);
    }
    Ok(())
}

/// The whole of a file in `fuzz_targets/`, after `#![cfg_attr(fuzzing, no_main)]`.
#[macro_export]
macro_rules! fuzz {
    ($target:ident) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::targets::$target(data));

        #[cfg(not(fuzzing))]
        fn main() -> ::std::io::Result<()> {
            $crate::run_files($crate::targets::$target)
        }
    };
}
