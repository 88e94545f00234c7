//! What systemd does with packaging/eximrbld.service, done where no systemd runs.
//!
//! The user, the groups, the capabilities, the mask, the state directory and the notification of
//! `Type=notify` are as in the unit, read from the installed file. What is left out is the
//! sandbox (`ProtectSystem=` and its kin): `systemd-analyze verify` reads it, and the daemon's own
//! test `sandbox` runs it, under a real systemd.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::harness::{Process, set_mode};
use crate::root::ThrowAwayRoot;

/// Where the installation puts the unit.
const UNIT: &str = "/etc/systemd/system/eximrbld.service";

/// The settings of an installed unit.
#[derive(Debug)]
pub struct Unit {
    text: String,
}

impl Unit {
    /// Reads the one that was installed.
    #[track_caller]
    pub fn installed(root: &ThrowAwayRoot) -> Self {
        Self { text: root.succeed(&format!("cat {UNIT}")) }
    }

    /// The value of a setting that is there once.
    #[track_caller]
    pub fn setting(&self, name: &str) -> &str {
        let start = format!("{name}=");
        let mut values = self.text.lines().filter_map(|line| line.strip_prefix(&start));
        let value = values.next().unwrap_or_else(|| panic!("the unit has no {start}"));
        assert_eq!(values.next(), None, "{start} is there twice");
        value
    }

    /// Starts the service and waits until it says that it is ready, as `systemctl start` does.
    ///
    /// # Panics
    ///
    /// When it ends or keeps silent, with what it wrote.
    #[track_caller]
    pub fn start(&self, root: &ThrowAwayRoot) -> Process {
        assert_eq!(self.setting("Type"), "notify");
        assert_eq!(self.setting("NoNewPrivileges"), "yes");
        let (user, group) = (self.setting("User"), self.setting("Group"));
        root.succeed(&format!(
            "install -d -o {user} -g {group} -m {} /var/lib/{}",
            self.setting("StateDirectoryMode"),
            self.setting("StateDirectory")
        ));
        root.succeed(&format!(
            "install -d -o {user} -g {group} -m {} /run/{}",
            self.setting("RuntimeDirectoryMode"),
            self.setting("RuntimeDirectory")
        ));

        let path = root.notify("socket");
        // An earlier start has left it.
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        set_mode(&path, 0o777);
        socket.set_nonblocking(true).unwrap();

        let mut command = root.command("setpriv");
        command.args(["--reuid", user, "--regid", group, "--no-new-privs"]);
        command.args(["--groups", self.setting("SupplementaryGroups")]);
        let ambient = capabilities(self.setting("AmbientCapabilities"));
        let bounding = capabilities(self.setting("CapabilityBoundingSet"));
        command.args(["--inh-caps", &ambient, "--ambient-caps", &ambient]);
        command.args(["--bounding-set", &bounding, "--"]);
        let start = format!("umask {}; exec {}", self.setting("UMask"), self.setting("ExecStart"));
        command.args(["env", "-i", "NOTIFY_SOCKET=/run/notify/socket", "sh", "-c", &start]);
        let mut process = Process::start("eximrbld", command, root.output("eximrbld.out"));
        process.wait_until_ready(|_| says_ready(&socket));
        process
    }
}

/// The form of `setpriv` for a list of capabilities.
fn capabilities(names: &str) -> String {
    let names = names.split(' ').map(|name| name.strip_prefix("CAP_").unwrap().to_lowercase());
    names.fold("-all".to_owned(), |list, name| format!("{list},+{name}"))
}

/// True when the message of sd_notify(3) that means "ready" has come.
fn says_ready(socket: &UnixDatagram) -> bool {
    let mut message = [0; 4096];
    let Ok(length) = socket.recv(&mut message) else {
        std::thread::sleep(Duration::from_millis(5));
        return false;
    };
    String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1")
}
