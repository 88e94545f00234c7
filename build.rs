//! Builds the C side of the library: declarations for Rust, the shim, and the linker's script.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=exim-headers");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    if let Err(problem) = build() {
        println!("cargo::error={problem}");
    }
}

fn build() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run cargo")?);
    declare(&out)?;
    cc::Build::new()
        .file("exim-headers/shim.c")
        .std("c11")
        .flag_if_supported("-fvisibility=hidden")
        .try_compile("eximrbl_shim")
        .map_err(|error| format!("the C shim was not built ({error}); is gcc installed?"))?;
    if env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") {
        link_libc_alone(&out)?;
        load_quickly();
    }
    Ok(())
}

/// Writes the Rust declarations of `exim-headers/shim.h`.
fn declare(out: &Path) -> Result<(), String> {
    let builder = bindgen::builder()
        .header("exim-headers/shim.h")
        .allowlist_item("(EXIM|exim|eximrbl)_.*")
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .use_core()
        .layout_tests(false);
    // bindgen panics when it finds no libclang. Its own text is long and names no remedy.
    panic::set_hook(Box::new(|_| {}));
    let generated = panic::catch_unwind(AssertUnwindSafe(|| builder.generate()));
    let _ = panic::take_hook();
    match generated {
        Ok(Ok(bindings)) => bindings
            .write_to_file(out.join("exim.rs"))
            .map_err(|error| format!("{}: {error}", out.join("exim.rs").display())),
        Ok(Err(error)) => Err(format!("exim-headers/shim.h was not understood: {error}")),
        Err(_) => Err("libclang was not found; install it (Debian: apt-get install libclang-dev) \
             or set LIBCLANG_PATH to the folder of libclang.so"
            .into()),
    }
}

/// Has the library need `libc.so.6` at run time, and nothing else.
///
/// Every further file is found, mapped and relocated anew in each Exim process that calls the
/// library, which costs more than the call. The linker takes the first file of a name, and a
/// script for a library:
///
/// * Rust's std asks for `-lgcc_s`, to unwind after a panic. The static form of it is given
///   instead, which halves the time of the first call.
/// * The system's own `libc.so` is a script as well. It adds the dynamic loader to the needed
///   files of whoever has thread-local variables (std has), although no process runs without it.
fn link_libc_alone(out: &Path) -> Result<(), String> {
    for (name, script) in [
        ("libgcc_s.so", "INPUT(-lgcc_eh)\n"),
        ("libc.so", "GROUP(-l:libc.so.6 -l:libc_nonshared.a)\n"),
    ] {
        let path = out.join(name);
        fs::write(&path, script).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    println!("cargo::rustc-link-search=native={}", out.display());
    Ok(())
}

/// Has the library loaded with fewer steps. (A linker that does not know them ignores `-z` words.)
fn load_quickly() {
    // rustc has every function looked up at loading. Most of those that go by the PLT belong to
    // the unwinder and are called after a panic alone: let the loader find them when they are.
    println!("cargo::rustc-link-arg-cdylib=-Wl,-z,lazy");
    // Segments that start on pages of their own touch three pages less, each a copy at loading.
    println!("cargo::rustc-link-arg-cdylib=-Wl,-z,separate-loadable-segments");
}
