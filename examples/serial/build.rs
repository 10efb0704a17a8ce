//! Links the program with nothing: no start files, no libc, no dynamic loader (so nothing that it would relocate).

fn main() {
    for flag in ["-nostartfiles", "-nostdlib", "-nodefaultlibs", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bins={flag}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
