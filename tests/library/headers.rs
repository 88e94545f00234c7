//! Our declarations of Exim's contract, against Exim's own.

use std::path::Path;
use std::process::Command;

#[test]
fn exim_headers_agree_with_those_installed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = Path::new("/usr/include/exim4");
    assert!(
        installed.join("local_scan.h").is_file(),
        "{}: Exim's headers are missing; install Debian's package exim4-dev",
        installed.display()
    );
    let output = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .arg("-I")
        .arg(installed)
        .arg("-I")
        .arg(root.join("exim-headers"))
        .arg(root.join("tests/library/headers.c"))
        .output()
        .expect("cc could not be started; install gcc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
