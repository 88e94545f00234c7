//! A machine of its own for a test, in which a real systemd is process 1.
//!
//! All is made of namespaces: the machine's files are this machine's, with all changes kept in
//! memory; its network is a loopback; its processes end with its systemd. So what systemd does
//! with a unit, it does here, and nothing of it is imitated.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// All names of control groups start so, followed by the number of the process that made them.
const PREFIX: &str = "eximrbl-machine-";
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Makes the machine's files and starts its systemd. Arguments: an empty folder, the new control
/// group.
///
/// Every file system of this machine but the special ones becomes the lower layer of an overlay.
/// /dev has what every container has. `pivot_root`, since systemd mounts and unmounts.
const BOOT: &str = r#"
set -e
base=$1
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$base"
number=0
layer() {
    number=$((number + 1))
    mkdir -p "$base/changes$number" "$base/work$number" "$base/root$1" &&
    mount -t overlay -o "lowerdir=$1,upperdir=$base/changes$number,workdir=$base/work$number" \
        overlay "$base/root$1"
}
places=$(cut -d ' ' -f 2 /proc/self/mounts)
layer /
for place in $places; do
    case $place in
        / | /proc* | /sys* | /dev* | /run* | /tmp* | "$base") ;;
        *) [ ! -d "$place" ] || layer "$place" 2>"$base/error" || true ;;
    esac
done
root=$base/root
# Other services of this machine stay out: one of them may have the port.
find "$root/etc/systemd/system" -path '*.wants/*' -delete
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
for place in dev/shm tmp; do mount -t tmpfs -o mode=1777 tmpfs "$root/$place"; done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
exec env -i container=eximrbl PATH="$PATH" /lib/systemd/systemd --unit=basic.target
"#;

/// The machine; all of it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    /// `unshare`, which waits for systemd to end.
    keeper: Child,
    /// The number of its systemd on this machine.
    init: u32,
    group: PathBuf,
    _base: tempfile::TempDir,
}

impl Machine {
    /// Starts it and waits until its systemd is done with that.
    ///
    /// # Panics
    ///
    /// When that does not work: root, the package systemd and cgroup2 are needed.
    pub(crate) fn start() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        remove_leftovers();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = groups().join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&group).unwrap_or_else(|error| {
            panic!("no control group {} (root is needed): {error}", group.display())
        });
        let base = tempfile::tempdir().unwrap();
        fs::set_permissions(base.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = Command::new("setpriv");
        // It ends with the thread that runs the test, whatever happens to that.
        command.args(["--pdeathsig", "KILL", "sh", "-c"]);
        command.arg("echo $$ >\"$0/cgroup.procs\" && exec unshare \"$@\"").arg(&group);
        command.args(["--pid", "--fork", "--kill-child", "--mount", "--net", "--uts", "--ipc"]);
        command.args(["--cgroup", "bash", "-c", BOOT, "bash"]).arg(base.path());
        let keeper = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut machine = Self { keeper, init: 0, group, _base: base };
        machine.wait_until_up();
        machine
    }

    fn wait_until_up(&mut self) {
        let started = Instant::now();
        loop {
            let ended = self.keeper.try_wait().unwrap();
            assert!(ended.is_none(), "the machine did not start: {ended:?}");
            let late = started.elapsed() > PATIENCE;
            // systemd moves itself there, first of all.
            let found = fs::read_to_string(self.group.join("init.scope/cgroup.procs"));
            if let Some(init) = found.ok().and_then(|text| text.lines().next()?.parse().ok()) {
                self.init = init;
                let state = self.run("systemctl is-system-running").stdout;
                // Units of this machine that cannot work there may fail.
                if ["running\n", "degraded\n"].map(str::as_bytes).contains(&&state[..]) {
                    return;
                }
                assert!(!late, "systemd is not up: {}", String::from_utf8_lossy(&state));
            }
            assert!(!late, "no systemd");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The way to one of its files.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// Runs a shell's commands inside, as root.
    pub(crate) fn run(&self, commands: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--all", "--wd=/"]);
        command.args(["timeout", "180", "sh", "-ec", commands]).stdin(Stdio::null());
        command.env_remove("NOTIFY_SOCKET").output().unwrap()
    }

    /// The same, which must succeed; what it writes to standard output.
    #[track_caller]
    pub(crate) fn succeed(&self, commands: &str) -> String {
        let output = self.run(commands);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}: {}\n{printed}\n{error}", output.status);
        printed
    }

    /// What is in the journal of a service, and what systemd says of it.
    pub(crate) fn journal(&self, unit: &str) -> String {
        self.succeed(&format!("journalctl --sync; journalctl -o cat -u {unit} --no-pager"))
    }

    /// Waits until a service has written something.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, unit: &str, text: &str) {
        let started = Instant::now();
        loop {
            let journal = self.journal(unit);
            if journal.contains(text) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "no {text:?} in:\n{journal}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Puts a file into it, for everybody to read, with this mode.
    pub(crate) fn install(&self, from: &Path, to: &str, mode: u32) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // By a process of its own: were this one to write it, a child that another test is just starting
        // could hold it open for writing when systemd is to run it ("text file busy").
        assert!(Command::new("cp").arg(from).arg(&to).status().unwrap().success());
        fs::set_permissions(&to, PermissionsExt::from_mode(mode)).unwrap();
    }

    /// Writes a file in it, for everybody to read.
    pub(crate) fn write(&self, to: &str, text: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, text).unwrap();
        fs::set_permissions(&to, PermissionsExt::from_mode(0o644)).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.init != 0 {
            if std::thread::panicking() {
                eprintln!("{}", self.succeed("journalctl -b --no-pager | tail -n 60"));
            }
            // The end of a pid namespace's process 1 is the end of all in it.
            let _ = Command::new("kill").args(["-KILL", &self.init.to_string()]).status();
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        remove_group(&self.group);
    }
}

/// Where cgroup2 is mounted: alone, or beside the older kind.
fn groups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.find(|fields| fields[2] == "cgroup2");
    found.expect("cgroup2 is mounted nowhere, which systemd needs")[1].into()
}

/// Removes a control group with all below it, once its processes have ended.
fn remove_group(group: &Path) {
    let started = Instant::now();
    while group.exists() && started.elapsed() < Duration::from_secs(5) {
        let _ = Command::new("find")
            .arg(group)
            .args(["-depth", "-type", "d", "-exec", "rmdir"])
            .args(["{}", ";"])
            .stderr(Stdio::null())
            .status();
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Removes the groups that killed test runs have left.
fn remove_leftovers() {
    for entry in fs::read_dir(groups()).unwrap().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if maker.is_some_and(|maker| !Path::new("/proc").join(maker).exists()) {
            remove_group(&entry.path());
        }
    }
}
