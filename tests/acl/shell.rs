//! The commands of ACL.md that look at a running installation.

use crate::document;
use crate::frame::Sections;
use crate::harness::{Daemon, Lan, Process, artifact, checkout_text, finished};
use crate::machine::Machine;
use crate::recording::list;

/// The blocks of commands that are run here.
pub const BLOCKS: [&str; 4] = ["check-dlfunc", "check-table", "look", "look-calls"];

/// Runs a block on a machine where the tool is installed; gives status and all that was printed.
fn commands(machine: &Machine, id: &str) -> (bool, String) {
    run_here(machine, &document::block(id).text)
}

/// The same for commands that are no block as they stand.
fn run_here(machine: &Machine, script: &str) -> (bool, String) {
    let mut command = machine.command("bash");
    let tool = artifact("eximrbl");
    let path = format!("{}:{}", tool.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = finished(command.args(["-c", script]).env("PATH", path));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn before_you_start() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    machine.write("/etc/exim4/exim4.conf", &Sections::of_blocks(&[]).text());
    let (worked, said) = commands(&machine, "check-dlfunc");
    assert!(worked && said.contains("_HAVE_DLFUNC"), "{said}");
    let (worked, said) = commands(&machine, "check-table");
    assert!(worked && said.contains("1024"), "{said}");
    std::fs::remove_file(machine.real("/var/lib/eximrbl/table")).unwrap();
    let (worked, said) = commands(&machine, "check-table");
    assert!(!worked && said.contains("/var/lib/eximrbl/table"), "{said}");
    machine.mount(crate::light::light_exim(), "/usr/sbin/exim4");
    let (worked, said) = commands(&machine, "check-dlfunc");
    assert!(!worked && said.is_empty(), "{said}");
}

#[test]
fn looking_whether_it_works() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let daemon = Daemon::start(machine.host(), "", None);
    machine.use_table(daemon.table());
    machine.write("/etc/exim4/exim4.conf", &Sections::of_blocks(&[]).text());
    let look = document::block("look").text;
    let on_port_53 = look.replace(" -p 5300", "");
    assert_ne!(look, on_port_53);
    let _other = on_port_5300(&machine);
    // "Once it answers on port 53, leave it out": both ways give the same.
    for text in [&look, &on_port_53] {
        let (worked, said) = run_here(&machine, text);
        assert!(worked && !said.contains("127.0.0.2"), "not listed yet: {said}");
    }
    list(&machine, 7);
    for text in [&look, &on_port_53] {
        let (worked, said) = run_here(&machine, text);
        assert!(worked && said.contains("203.0.113.7"), "{said}");
        assert!(said.ends_with("127.0.0.2\n"), "{said}");
    }
    let (worked, said) = commands(&machine, "look-calls");
    assert!(worked, "{said}");
    assert!(said.starts_with("eximrbl "), "{said}");
    assert!(said.contains("\nlisted=yes code=127.0.0.2 count=1 ttl="), "{said}");
}

/// An eximrbld for the machine's table that listens where examples/eximrbl.toml says.
fn on_port_5300(machine: &Machine) -> Process {
    let listen = checkout_text("examples/eximrbl.toml");
    assert!(listen.contains("\nlisten = [\"127.0.0.1:5300\","), "the configuration as it comes");
    let mut command = machine.command(artifact("eximrbld").to_str().unwrap());
    command.args(["--zone", "rbl.example.org", "--listen", "127.0.0.1:5300", "--user", "nobody"]);
    let mut process = Process::start("eximrbld", command, machine.real("/srv/eximrbld.out"));
    process.wait_until_ready(|process| process.output().contains("INFO ready"));
    process
}
