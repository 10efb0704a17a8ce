//! The firmware on a board that everybody has: a process of Linux with nothing linked to it, no libc and no
//! standard library. Standard input is its UART, standard error its console, `flash.bin` its flash.

#![no_std]
#![no_main]

mod heap;
mod linux;
#[path = "../../../serial/src/mem.rs"]
mod mem;
#[path = "../../../serial/src/sys.rs"]
mod sys;

use example_serial_firmware::{Board, Firmware};
use linux::Linux;

#[global_allocator]
static ALLOCATOR: heap::Counted = heap::Counted::new();

/// Called by [`sys`] when the program starts; returns the exit code.
fn run() -> u8 {
    ALLOCATOR.init();
    let mut board = Linux::default();
    let Some(flash) = linux::flash() else {
        board.tell(format_args!("there is no flash.bin here with this board's key and the hub's"));
        return 2;
    };
    let mut memory = [[0; _]; _];
    let mut firmware = Firmware::new(flash, &mut memory, &mut board);
    while let Some(next) = firmware.turn(&mut board) {
        if !board.sleep(next) {
            board.tell(format_args!("nobody is at the other end"));
            return 3;
        }
    }
    board.tell(format_args!("stopped"));
    0
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    Linux::default().tell(format_args!("{info}"));
    sys::exit(99)
}
