//! What clients do to each block of ACL.md, and what must come of it.

use crate::document;
use crate::frame::Sections;
use crate::machine::Machine;
use crate::transcript::Session;

/// One block of ACL.md in use.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The block's name.
    pub id: &'static str,
    /// Clients that are listed before, with a count of 1 for the reason `manual`.
    pub listed: &'static [u8],
    /// What the clients do.
    pub sessions: &'static [Session],
    /// What the table then says about each client (see [`Machine::recorded`]).
    pub recorded: &'static [(u8, &'static str)],
    /// Texts that are in the replies.
    pub replies: &'static [&'static str],
    /// Texts that are in the main log.
    pub log: &'static [&'static str],
    /// Whether the block only records: then clients see no difference even when all is there.
    pub only_records: bool,
    /// Whether exim4-daemon-light can read it; it has no `crypteq`.
    pub light: bool,
}

impl Case {
    /// The server's complete configuration.
    pub fn configuration(&self) -> String {
        Sections::of_blocks(&[self.id]).text()
    }

    /// Writes what the block needs beside the configuration: its files, users' passwords.
    pub fn write_files(&self, machine: &Machine) {
        for (path, text) in document::files(self.id) {
            machine.write(&path, &text);
        }
        // The password is `pass`.
        machine.write("/etc/exim4/passwd", "user:{sha1}9d4e1e23bd5b727046a9e3b4b7db57bd8d6ee684\n");
    }
}

const NOTHING: Case = Case {
    id: "",
    listed: &[],
    sessions: &[],
    recorded: &[],
    replies: &[],
    log: &[],
    only_records: true,
    light: true,
};

const HELLO: &str = "EHLO client.example";
const MAIL: &str = "MAIL FROM:<sender@client.example>";
const GOOD: &str = "RCPT TO:<good@example.org>";
const BAD: &str = "RCPT TO:<nobody@example.org>";
const POSTMASTER: &str = "RCPT TO:<postmaster@example.org>";
/// User `user`, password `pass`.
const LOGIN: &str = "AUTH PLAIN AHVzZXIAcGFzcw==";
/// User `user`, password `no`.
const WRONG_LOGIN: &str = "AUTH PLAIN AHVzZXIAbm8=";

/// Every kind of verdict that the frame's RCPT and DATA ACLs have: 6 rejections at RCPT, 1 at DATA.
const ALL_VERDICTS: Session = Session {
    client: 1,
    lines: &[
        HELLO,
        MAIL,
        "RCPT TO:<multi@example.org>",
        "RCPT TO:<code@example.org>",
        "RCPT TO:<later@example.org>",
        "RCPT TO:<discard@example.org>",
        "RCPT TO:<verify@example.org>",
        BAD,
        "RCPT TO:<implicit@example.org>",
        GOOD,
        "DATA",
        "Subject: bad",
        "",
        "This is a virus.",
        ".",
        MAIL,
        GOOD,
        "DATA",
        "Subject: good",
        "",
        "This is none.",
        ".",
        MAIL,
        "RCPT TO:<drop@example.org>",
    ],
};

/// A user who has logged in and mistypes an address.
const USER_MISTYPES: Session = Session { client: 2, lines: &[HELLO, LOGIN, MAIL, BAD, "QUIT"] };

/// The blocks that a client can put to the test by SMTP alone.
pub const CASES: &[Case] = &[
    Case {
        id: "wrapper",
        sessions: &[ALL_VERDICTS, USER_MISTYPES],
        recorded: &[(1, "7 data,rcpt"), (2, "0")],
        replies: &[
            "550-first line\nS: 550 second line",
            "553 5.1.3 a code of its own",
            "451 try later",
            "550 Unrouteable address",
            "550 unknown here",
            "550 Administrative prohibition",
            "550 a virus",
            "550 go away",
        ],
        log: &["rejected after DATA: virus in the body", ": two lines"],
        ..NOTHING
    },
    Case {
        id: "wrapper-file",
        sessions: &[ALL_VERDICTS, USER_MISTYPES],
        recorded: &[(1, "6 rcpt"), (2, "0")],
        replies: &["550-first line\nS: 550 second line", "550 go away"],
        ..NOTHING
    },
    Case {
        id: "explicit",
        sessions: &[
            Session {
                client: 1,
                lines: &[
                    HELLO,
                    MAIL,
                    "RCPT TO:<a%b@example.org>",
                    "RCPT TO:<good@elsewhere.example>",
                    BAD,
                    "RCPT TO:<full@example.org>",
                    GOOD,
                    "QUIT",
                ],
            },
            USER_MISTYPES,
        ],
        recorded: &[(1, "14 characters,rcpt,relay"), (2, "0")],
        replies: &[
            "550 restricted characters in address",
            "550 relay not permitted",
            "550 Unrouteable address",
            "550 mailbox is full",
        ],
        log: &[
            "rejected RCPT <a%b@example.org>: restricted characters in address\n",
            "rejected RCPT <good@elsewhere.example>: relay not permitted\n",
            "rejected RCPT <nobody@example.org>: Unrouteable address\n",
        ],
        ..NOTHING
    },
    Case {
        id: "direct",
        sessions: &[Session {
            client: 1,
            lines: &[HELLO, MAIL, "RCPT TO:<good@elsewhere.example>", BAD, BAD, GOOD, "QUIT"],
        }],
        recorded: &[(1, "2 rcpt")],
        replies: &["550 no such user here"],
        // As in every Exim: what `verify` finds goes into the log, `message` to the client.
        log: &["rejected RCPT <nobody@example.org>: Unrouteable address\n"],
        ..NOTHING
    },
    Case {
        id: "quiet",
        sessions: &[
            Session {
                client: 1,
                lines: &[HELLO, MAIL, BAD, "RCPT TO:<full@example.org>", BAD, "QUIT"],
            },
            Session { client: 2, lines: &[HELLO, MAIL, "RCPT TO:<full@example.org>", "QUIT"] },
        ],
        recorded: &[(1, "1 rcpt"), (2, "0")],
        replies: &["550 mailbox is full"],
        ..NOTHING
    },
    Case {
        id: "auth-condition",
        sessions: &[Session {
            client: 1,
            lines: &[HELLO, WRONG_LOGIN, WRONG_LOGIN, LOGIN, MAIL, GOOD, "QUIT"],
        }],
        recorded: &[(1, "2 auth")],
        replies: &["535 Incorrect authentication data", "235 Authentication succeeded"],
        log: &["plain_server authenticator failed"],
        light: false,
        ..NOTHING
    },
    Case {
        id: "auth-quit",
        sessions: &[
            Session { client: 1, lines: &[HELLO, WRONG_LOGIN, WRONG_LOGIN, "QUIT"] },
            Session { client: 2, lines: &[HELLO, WRONG_LOGIN, LOGIN, "QUIT"] },
            Session { client: 3, lines: &[HELLO, "AUTH CRAM-MD5", "AAAA", "X", "X", "X", "X"] },
            Session { client: 4, lines: &[HELLO, MAIL, BAD, "QUIT"] },
        ],
        recorded: &[(1, "1 auth"), (2, "0"), (3, "1 auth"), (4, "0")],
        replies: &["535 Incorrect authentication data", "500 Too many unrecognized commands"],
        ..NOTHING
    },
    Case {
        id: "notquit",
        sessions: &[
            Session { client: 1, lines: &[HELLO, "X", "X", "X", "X"] },
            Session { client: 2, lines: &[HELLO, "NOOP\r\nNOOP"] },
            Session { client: 3, lines: &[HELLO, MAIL, "RCPT TO:<drop@example.org>"] },
            Session { client: 4, lines: &[HELLO, "QUIT"] },
        ],
        recorded: &[(1, "1 bad-commands"), (2, "1 synchronization-error"), (3, "0"), (4, "0")],
        replies: &["500 Too many unrecognized commands", "554 SMTP synchronization error"],
        ..NOTHING
    },
    Case {
        id: "refuse-connect",
        listed: &[7],
        sessions: &[
            Session { client: 1, lines: &[HELLO, MAIL, GOOD, "QUIT"] },
            Session { client: 7, lines: &[HELLO, MAIL, GOOD, "QUIT"] },
        ],
        recorded: &[(1, "0"), (7, "1 manual")],
        replies: &["550 203.0.113.7 was refused before; please try again later"],
        log: &["H=[203.0.113.7] rejected connection in \"connect\" ACL: listed in the local table"],
        only_records: false,
        ..NOTHING
    },
    Case {
        id: "refuse-rcpt",
        listed: &[7],
        sessions: &[
            Session { client: 1, lines: &[HELLO, MAIL, GOOD, BAD, GOOD, GOOD, POSTMASTER, "QUIT"] },
            Session { client: 7, lines: &[HELLO, LOGIN, MAIL, GOOD, "QUIT"] },
        ],
        recorded: &[(1, "3 listed,rcpt"), (7, "1 manual")],
        replies: &["550 203.0.113.1 was refused before; please try again later"],
        log: &["rejected RCPT <good@example.org>: listed in the local table\n"],
        only_records: false,
        ..NOTHING
    },
    Case {
        id: "lookup",
        listed: &[7],
        sessions: &[
            Session { client: 1, lines: &[HELLO, MAIL, BAD, BAD, BAD, GOOD, "QUIT"] },
            Session { client: 7, lines: &[HELLO, MAIL, GOOD, "QUIT"] },
        ],
        recorded: &[(1, "3 rcpt"), (7, "1 manual")],
        // Three times 600 s, less the second that may have passed.
        replies: &[
            "550 refused 3 times; please try again in at most 1",
            "203.0.113.7:\nS: 220 mx.example.org ESMTP",
        ],
        log: &["rejected RCPT <good@example.org>: rcpt\n"],
        only_records: false,
        ..NOTHING
    },
    Case {
        id: "forgive",
        listed: &[7, 8],
        sessions: &[
            Session { client: 7, lines: &[HELLO, LOGIN, MAIL, GOOD, "QUIT"] },
            Session { client: 8, lines: &[HELLO, WRONG_LOGIN, MAIL, GOOD, "QUIT"] },
        ],
        recorded: &[(7, "0"), (8, "1 manual")],
        replies: &["235 Authentication succeeded", "250 Accepted"],
        ..NOTHING
    },
    Case {
        id: "allow",
        listed: &[7, 8],
        sessions: &[
            Session { client: 7, lines: &[HELLO, LOGIN, MAIL, GOOD, "QUIT"] },
            Session { client: 8, lines: &[HELLO, WRONG_LOGIN, MAIL, GOOD, "QUIT"] },
        ],
        // What the white entry says of client 7 is looked at in recording.rs.
        recorded: &[(8, "1 manual")],
        replies: &["235 Authentication succeeded"],
        ..NOTHING
    },
];

/// The case of a block.
#[track_caller]
pub fn case(id: &str) -> &'static Case {
    CASES.iter().find(|case| case.id == id).unwrap_or_else(|| panic!("no case for {id}"))
}
