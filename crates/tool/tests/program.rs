//! The command line itself: help, man pages, completions, errors; and `policy`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use eximrbl_table::WritableTable;
use support::{Home, Ran, assert_keys, network, text};

const COMMANDS: [&str; 15] = [
    "create",
    "info",
    "show",
    "list",
    "black",
    "white",
    "forgive",
    "verify",
    "resize",
    "purge",
    "import",
    "export",
    "policy",
    "completions",
    "man",
];

#[test]
fn help_is_a_manual() {
    let home = Home::empty();
    let all = home.done(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command}");
        let help = home.done(&[command, "--help"]);
        assert_eq!(help, home.done(&["help", command]));
        assert!(help.contains(&format!("Usage: eximrbl {command}")), "{help}");
        assert!(help.contains("Examples:\n  "), "{command}");
        let longest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= 100, "{command}: a line of {longest}");
    }
    assert!(all.contains("Exit status:"), "{all}");
    assert!(home.done(&["--version"]).starts_with("eximrbl "), "for support");
}

#[test]
fn a_man_page_for_each_command() {
    let home = Home::empty();
    let page = home.done(&["man"]);
    for part in [".TH eximrbl 8", ".SH NAME", ".SH OPTIONS", ".SH \"EXIT STATUS\"", ".SH \"FILES\""]
    {
        assert!(page.contains(part), "{part}");
    }
    let directory = home.directory.path();
    let said = home.done(&["man", text(directory)]);
    assert_eq!(said.lines().count(), COMMANDS.len() + 1);
    for command in COMMANDS {
        let page = std::fs::read_to_string(directory.join(format!("eximrbl-{command}.8"))).unwrap();
        assert!(page.contains(&format!(".TH eximrbl-{command} 8")), "{page}");
        assert!(page.contains("eximrbl 0."), "the version: {page}");
    }
    let complaint = home.failed(&["man", "/nonexistent"]);
    assert!(complaint.contains("/nonexistent/eximrbl.8: man pages not written"), "{complaint}");
}

#[test]
fn completions_for_each_shell() {
    let home = Home::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.done(&["completions", shell]);
        assert!(script.contains("forgive"), "{shell}");
    }
    home.failed(&["completions", "command.com"]);
}

#[test]
fn no_table_is_told_with_what_to_do() {
    let home = Home::empty();
    for arguments in [
        &["info"][..],
        &["show", "192.0.2.1"],
        &["list"],
        &["black", "192.0.2.1"],
        &["white", "192.0.2.1"],
        &["forgive", "192.0.2.1"],
        &["verify"],
        &["policy"],
    ] {
        let complaint = home.failed(arguments);
        assert!(complaint.starts_with(&format!("eximrbl: {}: ", text(&home.table))), "{complaint}");
        assert!(complaint.contains("eximrbl create"), "{complaint}");
        assert_eq!(complaint.lines().count(), 1);
        assert!(!home.table.exists(), "nothing but create makes one");
    }
}

#[test]
fn what_is_no_table_is_told() {
    let home = Home::empty();
    for bytes in [&b""[..], b"short", &[b'x'; 100_000]] {
        std::fs::write(&home.table, bytes).unwrap();
        home.failed(&["info"]);
        home.failed(&["black", "192.0.2.1"]);
        assert_eq!(std::fs::read(&home.table).unwrap(), bytes, "left as it is");
    }
    std::fs::remove_file(&home.table).unwrap();
    std::fs::create_dir(&home.table).unwrap();
    home.failed(&["info"]);
}

#[test]
fn the_option_names_another_table_than_the_environment() {
    let home = Home::new();
    let other = home.directory.path().join("other");
    home.done(&["--table", text(&other), "create", "--slots", "64"]);
    home.done(&["black", "192.0.2.1", "--table", text(&other)]);
    home.negative(&["show", "192.0.2.1"]);
    home.done(&["show", "192.0.2.1", "--table", text(&other)]);
}

#[test]
fn an_empty_variable_names_no_table_and_an_empty_option_is_a_mistake() {
    // As in Exim's library. The usual table may or may not be there on this machine.
    let home = Home::new();
    let mut command = home.command(&["show", "192.0.2.1"]);
    let complaint = Ran::of(command.env("EXIMRBL_TABLE", "").output().unwrap()).stderr;
    let without = Ran::of(command.env_remove("EXIMRBL_TABLE").output().unwrap()).stderr;
    assert_eq!(complaint, without);
    assert!(
        complaint.is_empty() || complaint.contains(": /var/lib/eximrbl/table: "),
        "{complaint}"
    );
    let complaint = home.failed(&["--table", "", "info"]);
    assert!(complaint.contains("--table <PATH>"), "{complaint}");
}

#[test]
fn wrong_command_lines_fail() {
    let home = Home::new();
    for arguments in [&[][..], &["shew", "192.0.2.1"], &["show"], &["info", "more"], &["--colour"]]
    {
        let ran = home.run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}");
        assert!(ran.stderr.contains("Usage: eximrbl"), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn policy_prints_what_is_in_force() {
    let home = Home::new();
    let printed = home.done(&["policy"]);
    assert!(printed.starts_with("[policy]\nbase_ttl = 600  # 10 min"), "{printed}");
    let (status, object) = home.json(&["policy"]);
    assert_eq!(status, 0);
    assert_eq!(
        object,
        serde_json::json!({
            "base_ttl": 600, "max_ttl": 604_800, "floor": 60, "threshold": 1, "ipv6_prefix": 64,
            "never": [], "weights": {}
        })
    );
    assert_keys(
        &object,
        &["base_ttl", "max_ttl", "floor", "threshold", "ipv6_prefix", "never", "weights"],
    );
}

#[test]
fn policy_changes_single_settings_for_everybody() {
    let home = Home::new();
    let open_before = home.open();
    home.done(&[
        "policy",
        "--set",
        "base_ttl=300",
        "--set",
        "threshold=2",
        "--set",
        "never=192.0.2.0/24,2001:db8::/32",
        "--set",
        "weights.auth=3",
    ]);
    let policy = open_before.policy();
    assert_eq!((policy.base_ttl, policy.threshold, policy.max_ttl), (300, 2, 604_800));
    assert_eq!(policy.never, [network("192.0.2.0/24"), network("2001:db8::/32")]);
    assert_eq!(policy.weights, [("auth".to_owned(), 3)]);
    home.failed(&["black", "192.0.2.1"]);
    home.done(&["policy", "--set", "never=", "--set", "weights.auth=0"]);
    assert_eq!(open_before.policy().never, []);
    assert_eq!(open_before.policy().weights, []);
}

#[test]
fn policy_refuses_what_contradicts_itself_and_keeps_the_old_one() {
    let home = Home::new();
    let before = home.open().policy();
    for (setting, complaint) in [
        ("base_ttl=30", "the policy was left as it was: base_ttl: "),
        ("max_ttl=1", "the policy was left as it was: max_ttl: "),
        ("threshold=0", "the policy was left as it was: threshold: "),
        ("weights.auth=10001", "the policy was left as it was: weights: "),
        ("base_ttl=5m", "--set base_ttl=5m: a whole number is wanted"),
        ("ttl=5", "--set ttl=5: no such setting; there are base_ttl, "),
        ("never=192.0.2.1/24", "--set never=192.0.2.1/24: address bits are set past"),
    ] {
        let said = home.failed(&["policy", "--set", "threshold=5", "--set", setting]);
        assert!(said.starts_with(&format!("eximrbl: {complaint}")), "{said}");
        assert_eq!(home.open().policy(), before, "{setting}");
    }
    home.failed(&["policy", "--set", "base_ttl"]);
}

#[test]
fn policy_takes_the_configuration_files() {
    let home = Home::new();
    let file = home.file(
        "eximrbl.toml",
        "version = 1\n[policy]\nbase_ttl = 300\nnever = [\"192.0.2.0/24\"]\nweights = { auth = 3 }\n\
         [[zone]]\nname = \"rbl.example.org\"\n",
    );
    home.done(&["policy", "--config", text(&file), "--set", "threshold=4"]);
    let policy = home.open().policy();
    assert_eq!((policy.base_ttl, policy.threshold), (300, 4));
    assert_eq!(policy.never, [network("192.0.2.0/24")]);
    assert_eq!(policy.weights, [("auth".to_owned(), 3)]);

    // What `policy` prints is what the file takes.
    let printed = home.done(&["policy"]);
    home.done(&["policy", "--set", "base_ttl=900", "--set", "never=", "--set", "weights.auth=0"]);
    let zone = "[[zone]]\nname = \"rbl.example.org\"\n";
    let file = home.file("again.toml", &format!("version = 1\n{printed}{zone}"));
    home.done(&["policy", "--config", text(&file)]);
    assert_eq!(home.open().policy(), policy);

    let bad = home.file("bad.toml", &format!("version = 1\n[policy]\nbase_tll = 300\n{zone}"));
    let complaint = home.failed(&["policy", "--config", text(&bad)]);
    assert!(complaint.contains("bad.toml") && complaint.contains("base_tll"), "{complaint}");
    let missing = home.directory.path().join("missing.toml");
    let complaint = home.failed(&["policy", "--config", text(&missing)]);
    assert!(complaint.contains("missing.toml"), "{complaint}");
    assert_eq!(home.open().policy(), policy, "a bad file changes nothing");
}

#[test]
fn policy_changes_the_table_that_the_configuration_file_names() {
    let home = Home::new();
    let own = home.directory.path().join("own");
    home.done(&["--table", text(&own), "create", "--slots", "64"]);
    let file = home.file(
        "eximrbl.toml",
        &format!(
            "version = 1\n[table]\npath = \"{}\"\n[policy]\nbase_ttl = 300\n\
             [[zone]]\nname = \"rbl.example.org\"\n",
            text(&own)
        ),
    );
    let base_ttls = || {
        let of = |table| WritableTable::open(table).unwrap().policy().base_ttl;
        (of(&home.table), of(&own))
    };
    let run = |variable: Option<&std::path::Path>, arguments: &[&str]| {
        let mut command = home.command(&[&["policy", "--config", text(&file)], arguments].concat());
        command.env_remove("EXIMRBL_TABLE");
        let ran =
            Ran::of(command.envs(variable.map(|path| ("EXIMRBL_TABLE", path))).output().unwrap());
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    };
    run(None, &[]);
    assert_eq!(base_ttls(), (600, 300));
    // An option goes before it, and so does the environment.
    run(Some(&home.table), &["--set", "base_ttl=700"]);
    assert_eq!(base_ttls(), (700, 300));
    run(Some(&own), &["--table", text(&home.table), "--set", "base_ttl=800"]);
    assert_eq!(base_ttls(), (800, 300));
    run(Some("".as_ref()), &["--set", "base_ttl=900"]);
    assert_eq!(base_ttls(), (800, 900));
}
