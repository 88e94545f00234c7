//! The blocks of ACL.md that are run here; tests/acl looks whether one is left out.

/// Configurations that report, and as whom and for how much two refused recipients then count.
pub const REPORTING: [(&str, &str); 7] = [
    ("report", "2 rcpt by mx2"),
    ("report-instead", "2 rcpt by mx2"),
    ("report-sha3", "4 rcpt by mx2"),
    ("report-hmac", "4 rcpt by mx2"),
    ("report-udp", "2 rcpt by mx2"),
    ("report-udp-sha3", "4 rcpt by mx2"),
    ("report-line", "2 rcpt by collector"),
];

/// Commands.
pub const COMMANDS: [&str; 1] = ["report-secret"];
