//! What the compiler calls for copies and comparisons, and expects from a libc.
#![allow(unsafe_code, reason = "these are the functions that a libc gives, and nothing is linked that does")]

// Volatile accesses, octet by octet: the compiler would make a plain loop a call of the same function.

/// # Safety
///
/// As C says.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: the caller lends `n` octets at both.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

/// # Safety
///
/// As C says.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize) <= from as usize {
        // SAFETY: upwards, no octet is written over before it was read.
        return unsafe { memcpy(to, from, n) };
    }
    for i in (0..n).rev() {
        // SAFETY: the caller lends `n` octets at both.
        unsafe { to.add(i).write_volatile(from.add(i).read()) };
    }
    to
}

/// # Safety
///
/// As C says.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, octet: i32, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: the caller lends `n` octets.
        unsafe { to.add(i).write_volatile(octet as u8) };
    }
    to
}

/// # Safety
///
/// As C says.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: the caller lends `n` octets at both.
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

/// # Safety
///
/// As C says.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the same duties.
    unsafe { memcmp(a, b, n) }
}

/// Named by tables in the precompiled `core`; never called, since nothing unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
