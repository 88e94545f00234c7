//! What the shipped file is: small, needing libc alone, exporting the seven functions.

use std::process::Command;

use crate::artifacts;
use crate::driver::{Driver, Stage, plain_program};

/// The size that may not be reached, in bytes.
const SIZE_LIMIT: u64 = 400_000;

const FUNCTIONS: [&str; 7] = [
    "rbl_allow",
    "rbl_forgive",
    "rbl_listed",
    "rbl_lookup",
    "rbl_preload",
    "rbl_record",
    "rbl_version",
];

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(artifacts::library())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; install Debian's package binutils"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn needs_libc_alone() {
    let dynamic = output_of("readelf", &["--dynamic", "--wide"]);
    let needed: Vec<_> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert_eq!(needed.len(), 1, "{needed:?}");
    assert!(needed[0].ends_with("[libc.so.6]"), "{needed:?}");
}

#[test]
fn exports_the_seven_functions_and_nothing_else() {
    let symbols = output_of("nm", &["--dynamic", "--defined-only", "--format=just-symbols"]);
    let mut exported: Vec<_> = symbols.lines().collect();
    exported.sort_unstable();
    assert_eq!(exported, FUNCTIONS);
}

/// Whatever is not in libc must be weak: the library loads without it.
#[test]
fn everything_of_exim_is_weak() {
    let symbols = output_of("nm", &["--dynamic", "--undefined-only"]);
    for name in ["log_write", "debug_printf", "debug_selector", "host_checking"] {
        let line = symbols.lines().find(|line| line.ends_with(name));
        assert!(line.is_some_and(|line| line.trim_start().starts_with("w ")), "{name}: {line:?}");
    }
}

#[test]
fn is_small_and_stripped() {
    let size = artifacts::library().metadata().unwrap().len();
    assert!(size < SIZE_LIMIT, "{size} bytes");
    let sections = output_of("readelf", &["--sections", "--wide"]);
    assert!(!sections.contains(".symtab") && !sections.contains(".debug_"), "not stripped");
}

/// Another program's process, where nothing of Exim's is.
#[test]
fn serves_in_any_program() {
    let stage = Stage::new();
    let mut program = Driver::start(&mut stage.command(plain_program()));
    assert_eq!(program.call("rbl_version", &[]), concat!("eximrbl ", env!("CARGO_PKG_VERSION")));
    program.call("rbl_record", &["203.0.113.1"]);
    program.call("rbl_record", &["no address"]);
    assert_eq!(program.call("rbl_listed", &["203.0.113.1"]), "yes");
    assert_eq!(program.end(), [""; 0]);
}
