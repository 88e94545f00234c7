//! In a real Exim.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::driver::Stage;

/// What `exim -be` makes of some texts, a line each, and what it wrote to standard error. All of
/// them are expanded in one process. (Exim takes 256 characters at most in a text.)
fn expand(stage: &Stage, texts: &[&str]) -> (String, String) {
    let exim = Path::new("/usr/sbin/exim4");
    assert!(exim.exists(), "{}: install Debian's package exim4-daemon-heavy", exim.display());
    let configuration = stage.path("exim.conf");
    fs::write(
        &configuration,
        format!(
            "keep_environment =\nadd_environment = EXIMRBL_TABLE={}\n\
             spool_directory = {}\n",
            stage.table_path().display(),
            stage.path("spool").display()
        ),
    )
    .unwrap();
    let library = stage.library().to_str().unwrap();
    let output = Command::new(exim)
        .arg("-C")
        .arg(configuration)
        .arg("-be")
        .args(texts.iter().map(|text| text.replace("LIB", library)))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn exim_calls_and_understands_the_functions() {
    let stage = Stage::new();
    let (output, errors) = expand(
        &stage,
        &[
            "${dlfunc{LIB}{rbl_version}}",
            "[${dlfunc{LIB}{rbl_preload}}]",
            "[${dlfunc{LIB}{rbl_record}{203.0.113.7}{rcpt}{3}}]",
            "${dlfunc{LIB}{rbl_listed}{203.0.113.7}}",
            "${extract{count}{${dlfunc{LIB}{rbl_lookup}{203.0.113.7}}}}",
            "${extract{reason}{${dlfunc{LIB}{rbl_lookup}{203.0.113.7}}}}",
            "[${dlfunc{LIB}{rbl_forgive}{203.0.113.7}}]",
            "${dlfunc{LIB}{rbl_listed}{203.0.113.7}}",
            "[${dlfunc{LIB}{rbl_allow}{203.0.113.8}{3600}}]",
            "${extract{white}{${dlfunc{LIB}{rbl_lookup}{203.0.113.8}}}}",
        ],
    );
    let version = concat!("eximrbl ", env!("CARGO_PKG_VERSION"));
    let expected = [version, "[]", "[]", "yes", "3", "rcpt", "[]", "no", "[]", "yes"];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
    assert_eq!(errors, "");
    assert!(stage.entry("203.0.113.8").unwrap().white);
}

/// Exim 4.96 passes a garbage count with eight arguments.
#[test]
fn exim_with_too_many_arguments() {
    let stage = Stage::new();
    let eight = "[${dlfunc{LIB}{rbl_record}{203.0.113.7}{rcpt}{1}{4}{5}{6}{7}{8}}]";
    assert_eq!(expand(&stage, &[eight]).0, "[]");
    assert!(stage.entry("203.0.113.7").is_none_or(|entry| entry.count == 1));
}

/// Exim's own log gets the line, and the expansion succeeds.
#[test]
fn exim_without_a_table() {
    let stage = Stage::bare();
    let (output, log) = expand(
        &stage,
        &[
            "[${dlfunc{LIB}{rbl_record}{203.0.113.7}}]",
            "[${dlfunc{LIB}{rbl_record}{203.0.113.8}}]",
            "${dlfunc{LIB}{rbl_listed}{203.0.113.7}}",
        ],
    );
    assert_eq!(output.lines().collect::<Vec<_>>(), ["[]", "[]", "no"]);
    // Under -be, the main log is standard error.
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains("eximrbl: ") && log.contains("no such table"), "{log}");
}
