//! A process of Linux as a board.
#![allow(unsafe_code, reason = "without a libc nobody else makes system calls")]

use core::fmt::{self, Write};

use bowline_core::entropy::Entropy;
use bowline_core::time::Instant;
use example_serial_firmware::{Board, Flash, HeapUse};

use crate::sys::{say, system_call};

const UART: usize = 0;

const READ: [usize; 2] = [0, 63];
const WRITE: [usize; 2] = [1, 64];
const OPENAT: [usize; 2] = [257, 56];
const PPOLL: [usize; 2] = [271, 73];
const CLOCK_GETTIME: [usize; 2] = [228, 113];
const GETRANDOM: [usize; 2] = [318, 278];

const CLOCK_MONOTONIC: usize = 1;
const AT_FDCWD: usize = -100_isize as usize;
const POLLIN: i16 = 1;

#[repr(C)]
#[derive(Default)]
struct Time {
    seconds: i64,
    nanos: i64,
}

#[repr(C)]
struct Poll {
    file: i32,
    wanted: i16,
    is: i16,
}

/// The board.
#[derive(Default)]
pub(crate) struct Linux {
    measured: u32,
    unplugged: bool,
}

fn read(file: usize, to: &mut [u8]) -> usize {
    // SAFETY: the kernel writes at most as many octets as there are.
    let n = unsafe { system_call(READ, [file, to.as_mut_ptr() as usize, to.len(), 0]) };
    n.max(0) as usize
}

fn write(file: usize, from: &[u8]) -> usize {
    // SAFETY: the kernel reads the octets.
    let n = unsafe { system_call(WRITE, [file, from.as_ptr() as usize, from.len(), 0]) };
    n.max(0) as usize
}

/// What is in `flash.bin` of the folder in which the program was started.
pub(crate) fn flash() -> Option<Flash> {
    // SAFETY: the kernel reads a text that ends with a zero; the last two say: to read.
    let file = unsafe { system_call(OPENAT, [AT_FDCWD, c"flash.bin".as_ptr() as usize, 0, 0]) };
    let mut octets = [0; Flash::SIZE];
    let n = read(usize::try_from(file).ok()?, &mut octets);
    Flash::parse(core::str::from_utf8(&octets[..n]).ok()?)
}

impl Linux {
    /// Waits for octets, until `until` at the latest. False: nobody will ever send any.
    pub(crate) fn sleep(&mut self, until: Instant) -> bool {
        let wait = until.saturating_since(self.now());
        let hour = wait.as_secs().min(3600);
        self.wait(Time { seconds: hour as i64, nanos: wait.subsec_nanos().into() });
        !self.unplugged
    }

    /// Whether octets came within `time`.
    fn wait(&self, mut time: Time) -> bool {
        let mut poll = Poll { file: UART as i32, wanted: POLLIN, is: 0 };
        let (poll, time) = (&raw mut poll as usize, &raw mut time as usize);
        // SAFETY: the kernel reads and writes one `Poll` and one `Time`, which it sets to what was left of it.
        unsafe { system_call(PPOLL, [poll, 1, time, 0]) > 0 }
    }
}

impl Board for Linux {
    fn now(&mut self) -> Instant {
        let mut time = Time::default();
        // SAFETY: the kernel writes one `Time`.
        unsafe { system_call(CLOCK_GETTIME, [CLOCK_MONOTONIC, (&raw mut time) as usize, 0, 0]) };
        Instant::from_nanos(time.seconds as u64 * 1_000_000_000 + time.nanos as u64)
    }

    fn read(&mut self, to: &mut [u8]) -> usize {
        if self.unplugged || !self.wait(Time::default()) {
            return 0;
        }
        let n = read(UART, to);
        self.unplugged = n == 0;
        n
    }

    fn write(&mut self, octets: &[u8]) -> usize {
        if self.unplugged {
            return octets.len();
        }
        // The kernel's buffer is the UART's.
        let n = write(UART, octets);
        self.unplugged = n == 0;
        n
    }

    fn measure(&mut self) -> u32 {
        self.measured += 1;
        2000 + self.measured % 100
    }

    fn heap(&self) -> HeapUse {
        crate::ALLOCATOR.used()
    }

    fn tell(&mut self, what: fmt::Arguments<'_>) {
        let mut line = Text { octets: [0; 200], length: 0 };
        let _ = writeln!(line, "{what}");
        say(core::str::from_utf8(&line.octets[..line.length]).unwrap_or("?\n"));
    }
}

impl Entropy for Linux {
    fn wire(&mut self, out: &mut [u8]) {
        self.secret(out);
    }

    fn secret(&mut self, out: &mut [u8]) {
        let mut at = 0;
        while let Some(rest) = out.get_mut(at..).filter(|rest| !rest.is_empty()) {
            // SAFETY: the kernel writes at most as many octets as there are.
            let n = unsafe { system_call(GETRANDOM, [rest.as_mut_ptr() as usize, rest.len(), 0, 0]) };
            at += n.max(0) as usize;
        }
    }
}

/// A line for the console, cut where it is too long.
struct Text {
    octets: [u8; 200],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let space = &mut self.octets[self.length..];
        let n = space.len().min(text.len());
        space[..n].copy_from_slice(&text.as_bytes()[..n]);
        self.length += n;
        Ok(())
    }
}
