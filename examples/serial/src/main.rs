//! Two sessions on a serial line, in a program that has no allocator, no libc and no standard
//! library: what a firmware has.
//!
//! The one idea: a session owns no memory and calls nothing. Its buffers are arrays, its clock is a
//! counter, its line is a copy from one array to another, eleven octets a millisecond as at 115,200
//! baud. A sensor (the client) reports to a base station (the server); the line is cut in the
//! middle, and the session goes on afterwards with exactly what was missing.
//!
//! `cargo run --manifest-path examples/serial/Cargo.toml` exits with 0, or with the number of the
//! step that failed, which it names. That it links at all is the proof that the core needs no
//! allocator; `--features allocates` gives the core something to allocate, and must fail to build.

#![no_std]
#![no_main]

mod line;
mod mem;
mod story;
mod sys;

use story::Step;

/// Called by [`sys`] when the program starts; returns the exit code.
fn run() -> u8 {
    match story::run() {
        Ok(()) => {
            sys::say("serial: handshake, messages, request, keepalive, cut, resume, close: all well\n");
            0
        }
        Err(step) => {
            sys::say("serial: failed at ");
            sys::say(step.name());
            sys::say("\n");
            step as u8
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::say("serial: panicked\n");
    sys::exit(Step::PANICKED)
}
