//! Networks made of network namespaces, cut off from the machine's own network.
//!
//! ```text
//!   namespace "internet"                       namespace per Host
//!   any address of 203.0.113.0/24  ┐           ┌ 198.51.100.N
//!   and of 2001:db8:c::/48         ├─ bridge ──┤ 2001:db8:51::N
//!   (the clients)                  ┘           └ own resolv.conf, port 25 and 53 free
//! ```
//!
//! The addresses are those set aside for documentation (RFC 5737, RFC 3849): the table's
//! never-list takes out private ones, which would make the tests' clients unlistable.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use super::clock::remove_remains;
use super::process::{finished, is_dead, run};
use super::wait::wait_until;

/// All names of namespaces start so, followed by the number of the process that made them.
const PREFIX: &str = "eximrbl-";

/// One network namespace; its processes, its `/etc/netns` folder and itself go when it is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one with a name that no other test has, and its loopback up.
    pub fn new(what: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static LEFTOVERS: Once = Once::new();
        LEFTOVERS.call_once(remove_leftovers);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{what}", std::process::id());
        // Of a killed run whose process number was the same.
        if Path::new("/run/netns").join(&name).exists() {
            remove(&name);
        }
        let made = finished(Command::new("ip").args(["netns", "add", &name]));
        let error = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "no network namespace (root is needed): {error}");
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` for it, with the arguments as one would type them.
    pub fn ip(&self, arguments: &str) {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments.split(' ')));
    }

    /// Puts a file into its own `/etc`: programs started inside from now on see it there.
    ///
    /// The machine must have a file of that name, for `ip netns exec` mounts ours upon it.
    pub fn etc_file(&self, name: &str, text: &str) {
        let folder = Path::new("/etc/netns").join(&self.name);
        // Whoever removes the last other namespace takes away /etc/netns, perhaps just now.
        wait_until("the namespace has its own /etc", || std::fs::create_dir_all(&folder).is_ok());
        std::fs::write(folder.join(name), text).unwrap();
    }

    /// Lets its programs ask this resolver, with patience: the machine may be busy, and Exim takes an
    /// answer that is late for none.
    pub fn set_resolver(&self, address: IpAddr) {
        let text = format!("nameserver {address}\noptions timeout:5 attempts:3\n");
        self.etc_file("resolv.conf", &text);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Ends every process in the namespace, then takes the namespace and its folder away.
fn remove(name: &str) {
    if let Ok(found) = Command::new("ip").args(["netns", "pids", name]).output() {
        for process in String::from_utf8_lossy(&found.stdout).split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", process]).output();
            remove_remains(process.parse().unwrap_or(0));
        }
    }
    let _ = Command::new("ip").args(["netns", "del", name]).output();
    let _ = std::fs::remove_dir_all(Path::new("/etc/netns").join(name));
    // Only goes when it is empty.
    let _ = std::fs::remove_dir("/etc/netns");
}

/// Removes what test runs that were killed have left: namespaces whose maker is dead.
fn remove_leftovers() {
    let Ok(folder) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for name in folder.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        if is_dead(&name, PREFIX) {
            remove(&name);
        }
    }
}

/// An internet with clients, and a place for servers.
#[derive(Debug)]
pub struct Lan {
    internet: Namespace,
}

impl Lan {
    /// Makes the internet's namespace, its bridge, and the clients' addresses.
    pub fn new() -> Self {
        let internet = Namespace::new("internet");
        run(internet.command("sysctl").args([
            "-qw",
            // Without this the kernel lets a socket bind only to single configured IPv6 addresses.
            "net.ipv6.ip_nonlocal_bind=1",
            // The clients' neighbours are asked for from the bridge's own address, which else could not be
            // used for the first seconds.
            "net.ipv6.conf.all.accept_dad=0",
            "net.ipv6.conf.default.accept_dad=0",
        ]));
        internet.ip("link add bridge0 type bridge");
        internet.ip("addr add 198.51.100.254/24 dev bridge0");
        internet.ip("-6 addr add 2001:db8:51::ffff/64 dev bridge0 nodad");
        internet.ip("link set bridge0 up");
        // AnyIP: every address of these networks is local, so a client may be any of them.
        internet.ip("route add local 203.0.113.0/24 dev lo");
        internet.ip("-6 route add local 2001:db8:c::/48 dev lo");
        Self { internet }
    }

    /// The namespace in which the clients live.
    pub fn internet(&self) -> &Namespace {
        &self.internet
    }

    /// A new server's namespace at 198.51.100.`number` and 2001:db8:51::`number` (in decimal).
    pub fn host(&self, what: &str, number: u8) -> Host {
        let namespace = Namespace::new(what);
        let port = format!("port{number}");
        run(Command::new("ip").args(["link", "add", "eth0", "netns", namespace.name()]).args([
            "type",
            "veth",
            "peer",
            "name",
            &port,
            "netns",
            self.internet.name(),
        ]));
        self.internet.ip(&format!("link set {port} master bridge0 up"));
        let v4 = Ipv4Addr::new(198, 51, 100, number);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, number.into());
        namespace.ip(&format!("addr add {v4}/24 dev eth0"));
        namespace.ip(&format!("-6 addr add {v6}/64 dev eth0 nodad"));
        namespace.ip("link set eth0 up");
        // To the clients, and nowhere else: a resolver that looks for the rest of the world gets
        // "network unreachable" at once, not a time-out.
        namespace.ip("route add 203.0.113.0/24 via 198.51.100.254");
        namespace.ip("-6 route add 2001:db8:c::/48 via 2001:db8:51::ffff");
        Host { namespace, v4, v6 }
    }

    /// The client 203.0.113.`number`.
    pub fn client(&self, number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, number))
    }

    /// The client `number` of the network 2001:db8:c:`network`::/64.
    pub fn client_v6(&self, network: u16, number: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xc, network, 0, 0, 0, number))
    }
}

/// A server's namespace with its addresses.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl std::ops::Deref for Host {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}
