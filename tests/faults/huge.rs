//! A table in huge pages, as docs/benchmarks.md advises for large lists.

use std::fs;
use std::path::Path;

use crate::programs::run_tool;
use crate::stage::{CLIENT, Stage, mount, with_own_mounts};

/// Slots of a table of 18 MB: several huge pages.
const SLOTS: u64 = 1 << 18;

/// With the document's mount options. Caught: options without `huge`; a table that is carried over without
/// its entries.
#[test]
fn a_table_in_huge_pages_is_one_like_any_other() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    let document = fs::read_to_string(document).unwrap();
    let line = document.lines().find(|line| line.starts_with("tmpfs ")).unwrap();
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [device, "/var/lib/eximrbl", kind, options, "0", "0"] = fields[..] else {
        panic!("{line}")
    };
    with_own_mounts(|| {
        let stage = Stage::bare();
        let state = stage.state();
        mount(&["-t", kind, "-o", options, device, state.to_str().unwrap()]);
        let table = stage.make_table(SLOTS);
        let mut caller = stage.start();
        caller.call("rbl_record", &[CLIENT]);
        assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
        assert!(caller.end().is_empty());
        let entries = table.entries(eximrbl_table::now()).count();
        assert_eq!(entries, 1);
        assert!(kilobytes_in_huge_pages(&stage.table_path()) >= 2048);

        // Over a restart of the machine.
        let list = stage.path("list.json");
        let export = format!("export --format json -o {}", list.display());
        assert_eq!(run_tool(&stage.table_path(), &export).status, Some(0));
        drop(table);
        fs::remove_file(stage.table_path()).unwrap();
        stage.make_table(SLOTS);
        assert!(stage.entry(CLIENT).is_none());
        let import = run_tool(&stage.table_path(), &format!("import {}", list.display()));
        assert_eq!(import.status, Some(0), "{}", import.errors);
        assert!(stage.entry(CLIENT).is_some());
    });
}

/// How much of a file this process has mapped in huge pages (proc(5), smaps).
fn kilobytes_in_huge_pages(file: &Path) -> u64 {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let file = file.to_str().unwrap();
    let mut of_file = maps.lines().skip_while(|line| !line.ends_with(file));
    let line = of_file.find(|line| line.starts_with("ShmemPmdMapped:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
