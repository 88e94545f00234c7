//! "Install on a Debian mail server", step by step, as the README has it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::harness::{Process, checkout_text, finished, wait_until};
use crate::readme::{code_spans, commands};
use crate::root::ThrowAwayRoot;
use crate::service::Unit;

/// The blocks that are run here, in this order.
pub const BLOCKS: [&str; 9] =
    ["build", "install", "start", "try", "backup", "restore", "manual", "off", "uninstall"];

/// What the build must make: the files that the installation takes.
const BUILT: &str = "target/release/libeximrbl.so target/release/eximrbld target/release/eximrbl";

/// The commands that are not run as they stand: `--now` needs a running systemd.
const ENABLE_AND_START: &str = "systemctl enable --now eximrbld\n";
const DISABLE_AND_STOP: &str = "systemctl disable --now eximrbld\n";

#[test]
fn each_step_of_the_installation_does_what_the_readme_says() {
    let before = traces();
    {
        let root = ThrowAwayRoot::new();
        build(&root);
        install(&root);
        let mut daemon = start(&root);
        try_it(&root);
        commands_in_prose(&root);
        assert!(daemon.is_running());
        let daemon = restart(&root, daemon);
        restore(&root);
        manual(&root);
        switch_off(&root, daemon);
        uninstall(&root);
    }
    assert_eq!(traces(), before, "the machine itself was changed");
}

/// All is installed and built already, so this takes no time; but cargo must find that itself.
fn build(root: &ThrowAwayRoot) {
    // apt-get would bring a package up to date if it knew a newer version, and there is no network.
    root.succeed("echo 'APT::Get::Upgrade \"false\";' > /etc/apt/apt.conf.d/99-no-upgrade");
    // So the files are there afterwards only if these very commands make them.
    root.succeed(&format!("rm {BUILT}"));
    root.succeed(&commands("build"));
    root.succeed(&format!("ls {BUILT}"));
    // "Exim must be the heavy one".
    root.succeed("exim4 -bP macros | grep _HAVE_DLFUNC");
}

/// Whether the package is there: a container may do without it, a mail server rarely does.
fn has_systemd(root: &ThrowAwayRoot) -> bool {
    let found = root.run("command -v systemctl && command -v systemd-analyze").status.success();
    if !found {
        eprintln!(
            "NOT RUN, for the package systemd is not installed: the README's systemctl commands"
        );
    }
    found
}

fn install(root: &ThrowAwayRoot) {
    if !has_systemd(root) {
        root.succeed("mkdir -p /etc/systemd/system");
    }
    root.succeed(&commands("install"));
    let expected = "/usr/lib/exim4/eximrbl.so 644 root:root\n\
                    /usr/sbin/eximrbld 755 root:root\n\
                    /usr/sbin/eximrbl 755 root:root\n\
                    /etc/eximrbl/eximrbl.toml 644 root:root\n\
                    /etc/systemd/system/eximrbld.service 644 root:root\n";
    let files: Vec<_> = expected.lines().filter_map(|line| line.split(' ').next()).collect();
    let files = files.join(" ");
    assert_eq!(root.succeed(&format!("stat -c '%n %a %U:%G' {files}")), expected);

    // A user that nobody can log in as, with nothing of its own and no other group.
    let user = root.succeed("getent passwd eximrbl");
    assert!(user.ends_with(":/nonexistent:/usr/sbin/nologin\n"), "{user}");
    assert_eq!(root.succeed("id -Gn eximrbl"), "eximrbl\n");

    // "`install` puts a new file in the old one's place": the old one, still open, is another file.
    let again = format!("exec 9</usr/lib/exim4/eximrbl.so\n{}", commands("install"));
    root.succeed(&format!("{again}\n! [ /proc/self/fd/9 -ef /usr/lib/exim4/eximrbl.so ]"));

    // Exim can load it, as Exim's user, and says nothing of its own.
    let version = root.succeed(
        "runuser -u Debian-exim -- exim4 -be '${dlfunc{/usr/lib/exim4/eximrbl.so}{rbl_version}}'",
    );
    assert!(version.starts_with("eximrbl "), "{version}");
}

fn start(root: &ThrowAwayRoot) -> Process {
    let text = commands("start");
    let (before, afterwards) = text.split_once(ENABLE_AND_START).expect("the service is started");
    if has_systemd(root) {
        assert!(root.succeed(before).contains("OK"));
        root.succeed("systemctl enable eximrbld");
        assert_eq!(root.succeed("systemctl is-enabled eximrbld"), "enabled\n");
        // It succeeds with unknown settings too, but tells them.
        assert_eq!(root.succeed("systemd-analyze verify eximrbld.service 2>&1"), "");
    } else {
        let others = before.lines().filter(|line| !line.starts_with("systemctl "));
        assert!(root.succeed(&others.collect::<Vec<_>>().join("\n")).contains("OK"));
    }

    // … and so this is the `--now`.
    let daemon = Unit::installed(root).start(root);
    let table = root.succeed("stat -c '%a %U:%G' /var/lib/eximrbl /var/lib/eximrbl/table");
    assert_eq!(table, "755 eximrbl:eximrbl\n660 eximrbl:Debian-exim\n");
    // "never root": all four user numbers.
    let status = format!("awk '/^Uid:/ {{ print $2, $3, $4, $5 }}' /proc/{}/status", daemon.id());
    let user = root.succeed("id -u eximrbl").trim().to_owned();
    assert_eq!(root.succeed(&status), format!("{user} {user} {user} {user}\n"));

    let info = root.succeed(afterwards);
    assert!(info.contains("1048576"), "a million addresses by default: {info}");
    // "70 MB of disk", all of it allocated.
    let blocks = root.succeed("stat -c '%s %b' /var/lib/eximrbl/table");
    let (size, blocks) = blocks.trim().split_once(' ').unwrap();
    let (size, disk) = (size.parse::<u64>().unwrap(), 512 * blocks.parse::<u64>().unwrap());
    assert!((69_500_000..70_500_000).contains(&size) && disk >= size, "{size} {disk}");
    daemon
}

fn try_it(root: &ThrowAwayRoot) {
    let text = commands("try");
    let printed = root.succeed(&text);
    // dig prints the code, and nothing else in the block has a line like it.
    assert_eq!(printed.lines().filter(|line| *line == "127.0.0.2").count(), 1, "{printed}");
    assert!(printed.contains("192.0.2.1 is listed"), "{printed}");
    // And once more after the last command, which forgave: DNS has it no longer.
    let dig = text.lines().find(|line| line.starts_with("dig ")).expect("the block asks DNS");
    assert_eq!(root.succeed(dig), "");
    let show = root.run("eximrbl show 192.0.2.1").stdout;
    assert!(String::from_utf8_lossy(&show).contains("192.0.2.1 is not listed"));

    // What Exim's user records through the library is in DNS at once, and `info` counts it.
    root.succeed(
        "runuser -u Debian-exim -- exim4 -be \
         '${dlfunc{/usr/lib/exim4/eximrbl.so}{rbl_record}{192.0.2.1}{rcpt}}'",
    );
    assert_eq!(root.succeed(dig), "127.0.0.2\n");
}

/// Another `listen`, as for the backup MX: port 53, which takes the unit's capability. "The table
/// keeps what it has".
fn restart(root: &ThrowAwayRoot, mut daemon: Process) -> Process {
    // "A few lines when it starts, then quiet while all is well".
    let said = daemon.output();
    // The commands in the prose resize the table, which the daemon says when it comes to see it.
    let said: Vec<_> = said.lines().filter(|line| !line.contains(" was resized to ")).collect();
    let said = said.join("\n");
    assert!(said.ends_with("ready") && said.lines().count() < 12, "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");

    root.succeed("eximrbl black 192.0.2.2");
    assert!(daemon.stop().success(), "{}", daemon.output());
    root.succeed("sed -i 's/^listen = .*/listen = [\"127.0.0.1:53\"]/' /etc/eximrbl/eximrbl.toml");
    let daemon = Unit::installed(root).start(root);
    assert!(root.succeed("eximrbl show 192.0.2.2").contains("192.0.2.2 is listed"));
    let answer = root.succeed("dig +short @127.0.0.1 2.2.0.192.rbl.example.org");
    assert_eq!(answer, "127.0.0.2\n");
    daemon
}

/// What was listed at the time of the backup is listed again, for DNS and for Exim, and the file is
/// its owner's as before. Caught: a daemon that does not look whether the file is another one.
fn restore(root: &ThrowAwayRoot) {
    let rights = || root.succeed("stat -c '%a %U:%G' /var/lib/eximrbl/table");
    let before = rights();
    let answer = || root.succeed("dig +short @127.0.0.1 2.2.0.192.rbl.example.org");
    root.succeed(&commands("backup"));
    root.succeed("eximrbl forgive 192.0.2.2");
    assert_eq!(answer(), "");
    root.succeed(&commands("restore"));
    wait_until("the daemon has the restored table", || answer() == "127.0.0.2\n");
    let listed = root.succeed(
        "runuser -u Debian-exim -- exim4 -be \
         '${dlfunc{/usr/lib/exim4/eximrbl.so}{rbl_listed}{192.0.2.2}}'",
    );
    assert_eq!((listed.as_str(), rights()), ("yes\n", before));
}

fn manual(root: &ThrowAwayRoot) {
    root.succeed(&commands("manual"));
    let page = root.succeed("cat /usr/local/share/man/man8/eximrbl-show.8");
    assert!(page.contains(".TH eximrbl-show 8"), "{page}");
    let completion = "/usr/local/share/bash-completion/completions/eximrbl";
    let known = format!("source {completion} && complete -p eximrbl");
    assert!(root.succeed(&known).contains("eximrbl"));
}

/// "Moving the library away is enough": a call of the recommended form is quiet, a bare one fails.
fn switch_off(root: &ThrowAwayRoot, mut daemon: Process) {
    let library = "/usr/lib/exim4/eximrbl.so";
    let call = format!("${{dlfunc{{{library}}}{{rbl_listed}}{{192.0.2.2}}}}");
    let guarded = format!("exim4 -be '${{if exists{{{library}}}{{{call}}}}}.'");
    assert_eq!(root.succeed(&guarded), "yes.\n");

    let text = commands("off");
    let before = text.strip_suffix(DISABLE_AND_STOP).expect("the service is stopped");
    root.succeed(before);
    if has_systemd(root) {
        root.succeed("systemctl disable eximrbld");
        assert!(!root.run("systemctl is-enabled eximrbld").status.success());
    }
    // … and so this is the `--now`.
    assert!(daemon.stop().success(), "{}", daemon.output());
    assert_eq!(root.succeed(&guarded), ".\n");
    let bare = root.run(&format!("exim4 -be '{call}'"));
    let said = String::from_utf8_lossy(&bare.stdout) + String::from_utf8_lossy(&bare.stderr);
    assert!(said.contains("Failed"), "the library is still there: {said}");
}

fn uninstall(root: &ThrowAwayRoot) {
    let text = commands("uninstall");
    if has_systemd(root) {
        root.succeed(&text);
    } else {
        let others = text.lines().filter(|line| !line.starts_with("systemctl "));
        root.succeed(&others.collect::<Vec<_>>().join("\n"));
    }
    // What any step has made, wherever it may be.
    // /etc/netns is of the machine below: other tests make and remove namespaces meanwhile.
    let left = root.succeed(
        "find /etc /usr/lib/exim4 /usr/sbin /usr/local /var/lib \
         -path /etc/netns -prune -o -name '*eximrbl*' -print; \
         getent passwd eximrbl || getent group eximrbl || true",
    );
    assert_eq!(left, "");
}

/// The commands inside the README's sentences and tables, with an address for `ADDRESS`.
fn commands_in_prose(root: &ThrowAwayRoot) {
    let text = checkout_text("README.md");
    let mut run = BTreeSet::new();
    for command in code_spans(&text).filter(|span| span.starts_with("eximrbl ")) {
        let output = root.run(&command.replace("ADDRESS", "192.0.2.1"));
        let error = String::from_utf8_lossy(&output.stderr);
        // 1 means "the answer is no".
        assert!(matches!(output.status.code(), Some(0 | 1)), "{command}: {error}");
        assert!(!output.stdout.is_empty(), "{command}");
        run.insert(command);
    }
    assert!(run.len() >= 6, "{run:?}");
    // `white` came last of those that change something: "for good", and nothing is recorded.
    let show = root.run("eximrbl show 192.0.2.1").stdout;
    let show = String::from_utf8_lossy(&show);
    assert!(show.contains("whitelisted without end"), "{show}");
    // Of systemd's commands, that they are about a unit that is there.
    let units = ["eximrbld", "exim4"];
    for command in code_spans(&text).filter(|span| span.starts_with("systemctl ")) {
        let unit = command.split(' ').nth(2);
        assert!(unit.is_none_or(|unit| units.contains(&unit)), "{command}");
    }
    if has_systemd(root) {
        root.succeed("systemctl list-unit-files eximrbld.service exim4.service");
    }
}

/// What the installation would leave, were it done on the machine itself.
fn traces() -> Vec<String> {
    let command = "getent passwd eximrbl; stat -c '%n %i %Y' /usr/lib/exim4/eximrbl.so \
                   /usr/sbin/eximrbl /usr/sbin/eximrbld /etc/eximrbl /var/lib/eximrbl \
                   /etc/systemd/system/eximrbld.service /etc/apt/apt.conf.d/99-no-upgrade";
    let output = finished(Command::new("sh").args(["-c", command]));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
