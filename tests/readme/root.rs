//! A view of this machine that can be written to and thrown away.
//!
//! In a mount namespace of its own, an overlay is laid upon each of the machine's file systems: the
//! machine is read from below, and what is written goes to a tmpfs that only this namespace has.
//! The kernel throws it away with the last process inside. The network is a namespace's own too,
//! with nothing but a loopback: a command that needs the internet fails, and no port is taken.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::harness::{Namespace, Scratch, finished, root as checkout};

/// Makes the view, says so, and keeps it until standard input ends.
///
/// `/proc`, `/dev` and `/sys` stay the machine's; `/run` is empty, as after a start. The build
/// folder is where `cargo` looks for it, and also where the documents say it is.
const MAKE: &str = r#"
set -e
base=$1 checkout=$2 target=$3
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
        / | /proc* | /sys* | /dev* | /run* | "$base") ;;
        # What cannot be a layer (a single file, say) is not missed.
        *) [ ! -d "$place" ] || layer "$place" 2>"$base/error" || true ;;
    esac
done
for place in proc sys dev; do mount --rbind "/$place" "$base/root/$place"; done
mount -t tmpfs -o mode=755 tmpfs "$base/root/run"
mkdir "$base/root/run/notify"
mount --bind "$4" "$base/root/run/notify"
if [ "$target" != "$checkout/target" ]; then
    mkdir -p "$base/root$checkout/target"
    mount --bind "$base/root$target" "$base/root$checkout/target"
fi
exec chroot "$base/root" sh -c 'cd "$1" && echo ready && exec cat' sh "$checkout"
"#;

/// No command of the documents takes longer, in seconds.
const PATIENCE: &str = "600";

/// What cargo sets for the tests that it runs. A cargo inside must not see it.
const OF_CARGO: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "OUT_DIR", "LD_LIBRARY_PATH"];

/// The view; what runs in it ends with it.
#[derive(Debug)]
pub struct ThrowAwayRoot {
    // The last processes inside end with it.
    _namespace: Namespace,
    keeper: Child,
    scratch: Scratch,
}

impl ThrowAwayRoot {
    /// Makes it.
    pub fn new() -> Self {
        let namespace = Namespace::new("readme");
        let scratch = Scratch::new("readme");
        for folder in ["view", "notify"] {
            std::fs::create_dir(scratch.join(folder)).unwrap();
        }
        let mut command = namespace.command("sh");
        command.args(["-c", MAKE, "sh"]);
        command.arg(scratch.join("view")).arg(checkout()).arg(target());
        command.arg(scratch.join("notify"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let root = Self { _namespace: namespace, keeper, scratch };
        assert_eq!(said, "ready\n", "no throw-away root: overlayfs and root's rights are needed");
        root
    }

    /// A command that will run inside, in the checkout, as root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.keeper.id().to_string());
        command.args(["--mount", "--net", "--root", "--wd", "--", program]);
        without_cargos_variables(&mut command);
        // For systemctl: do what can be done without a running systemd, as in any chroot. It
        // mostly finds out by itself, but not where /proc/1 is closed.
        command.env("CARGO_TARGET_DIR", target()).env("SYSTEMD_OFFLINE", "1");
        command
    }

    /// Runs commands as an administrator types them, but stops at the first that fails.
    #[track_caller]
    pub fn run(&self, commands: &str) -> Output {
        finished(self.command("timeout").args([PATIENCE, "bash", "-e", "-c", commands]))
    }

    /// The same; gives what was written to standard output.
    ///
    /// # Panics
    ///
    /// When one of the commands fails, with all that was written.
    #[track_caller]
    pub fn succeed(&self, commands: &str) -> String {
        let output = self.run(commands);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{commands}\n{printed}\n{error}", output.status);
        printed
    }

    /// A path on the machine of a file that programs inside find in `/run/notify`.
    pub fn notify(&self, name: &str) -> PathBuf {
        self.scratch.join("notify").join(name)
    }

    /// Where the output of a program that runs for a while is kept.
    pub fn output(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }
}

impl Drop for ThrowAwayRoot {
    fn drop(&mut self) {
        // The keeper's standard input ends, and so does the keeper.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Takes away from a command what cargo has set for this test.
pub fn without_cargos_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_CARGO.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
}

/// The build folder, as cargo finds it.
///
/// # Panics
///
/// When the release form is not built: the first command of the documents would take minutes.
pub fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let path = checkout().join(Path::new(&named));
    let built = path.join("release/eximrbld").exists();
    assert!(built, "{} has no release build. Run tests/run.sh", path.display());
    path.canonicalize().unwrap()
}
