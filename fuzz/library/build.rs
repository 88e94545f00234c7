//! Builds what the library's sources need around them: declarations, the shim, a stand-in for Exim.

use std::path::PathBuf;

const HEADERS: &str = "../../exim-headers";

fn main() {
    println!("cargo::rerun-if-changed={HEADERS}");
    println!("cargo::rerun-if-changed=exim.c");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindgen::builder()
        .header(format!("{HEADERS}/shim.h"))
        .allowlist_item("(EXIM|exim|eximrbl)_.*")
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .use_core()
        .layout_tests(false)
        .generate()
        .expect("declarations of exim-headers/shim.h")
        .write_to_file(out.join("exim.rs"))
        .expect("a file in OUT_DIR");
    cc::Build::new()
        .files([format!("{HEADERS}/shim.c"), "exim.c".to_owned()])
        .include(HEADERS)
        .std("c11")
        .compile("eximrbl_fuzz");
}
