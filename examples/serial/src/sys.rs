//! The start of the program, and what it asks of the kernel.
#![allow(unsafe_code, reason = "without a libc nobody else makes system calls or finds the stack")]

use core::arch::{asm, naked_asm};

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
compile_error!("system calls are written for Linux on x86_64 and aarch64 alone");

/// Where the kernel begins: it aligns nothing and leaves no return address.
///
/// # Safety
///
/// Only the kernel may enter here.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym main);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x29, #0", "mov x30, #0", "bl {main}", "brk #1", main = sym main);
}

extern "C" fn main() -> ! {
    exit(crate::run())
}

/// Writes `text` to standard error. Nothing can be done about a failure.
pub(crate) fn say(text: &str) {
    // SAFETY: `write` only reads the octets, which are a string's.
    unsafe { system_call([1, 64], [2, text.as_ptr() as usize, text.len(), 0]) };
}

/// Ends the program.
pub(crate) fn exit(code: u8) -> ! {
    loop {
        // SAFETY: it takes no memory.
        unsafe { system_call([231, 94], [code.into(), 0, 0, 0]) };
    }
}

/// Makes the system call with this number (on x86_64, on aarch64). What it returns below zero is an error.
///
/// # Safety
///
/// The kernel reads and writes what the arguments point to, as the call's page of the manual says.
pub(crate) unsafe fn system_call([x86_64, aarch64]: [usize; 2], [a, b, c, d]: [usize; 4]) -> isize {
    let returned: isize;
    // SAFETY: the caller lends what the call needs. It overwrites the registers named and nothing else.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        let _ = aarch64;
        asm!(
            "syscall",
            inlateout("rax") x86_64 => returned,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        let _ = x86_64;
        asm!("svc 0", in("x8") aarch64, inlateout("x0") a => returned, in("x1") b, in("x2") c, in("x3") d, options(nostack));
    }
    returned
}
