//! The configuration file: any bytes are a configuration that can be served, or one clear error.
#![no_main]

#[path = "support/memory_file.rs"]
mod memory_file;

use std::path::Path;
use std::sync::LazyLock;

use eximrbl_table::WritableTable;
use eximrbl_zone::{Answer, Config, QueryType, Zones, answer};
use libfuzzer_sys::fuzz_target;
use memory_file::MemoryFile;

static FILE: LazyLock<MemoryFile> = LazyLock::new(MemoryFile::new);

fuzz_target!(|data: &[u8]| {
    FILE.set(data);
    let loaded = Config::load(FILE.path());
    if let Ok(text) = str::from_utf8(data) {
        let parsed = Config::parse(text, FILE.path());
        assert_eq!(parsed.is_ok(), loaded.is_ok(), "the file and its text are one");
    }
    match loaded {
        Ok(config) => serve(&config),
        Err(error) => {
            let lines = data.iter().filter(|&&byte| byte == b'\n').count();
            is_clear(&error.to_string(), FILE.path(), lines);
        }
    }
});

/// Does with a valid configuration what the daemon does, short of opening sockets.
fn serve(config: &Config) {
    // Too large to be made anew for every input; its dictionary, which fills up, is the only
    // thing that is changed.
    let table = WritableTable::on_heap(16).expect("memory");
    table.set_policy(&config.policy).expect("a configuration's policy is valid");
    assert_eq!(table.policy().threshold, config.policy.threshold);
    assert!(!config.zones.is_empty() && !config.dns.listen.is_empty());
    assert!(config.table.path.is_absolute());
    // May fail, with a reason too many.
    let Ok(zones) = Zones::resolve(config, &table) else { return };
    for zone in zones.iter() {
        let answered = answer(zone.name().wire(), QueryType::SOA, &zones, &table, 0);
        assert!(matches!(answered, Answer::Apex { soa: true, .. }), "{:?}", zone.name());
        let test = [b"\x012\x010\x010\x03127", zone.name().wire()].concat();
        let answered = answer(&test, QueryType::TXT, &zones, &table, u32::MAX);
        if let Answer::Listed(listing) = answered {
            assert!(listing.text(&table.reasons(), 0).as_bytes().len() <= 255);
        }
    }
}

/// An error names the file, and a line that is in it or behind its end.
fn is_clear(error: &str, path: &Path, lines: usize) {
    let rest = error.strip_prefix(path.to_str().unwrap()).and_then(|rest| rest.strip_prefix(':'));
    let (line, problem) = rest.and_then(|rest| rest.split_once(": ")).expect("a line");
    assert!((1..=lines + 1).contains(&line.parse().unwrap()), "{error}");
    assert!(!problem.is_empty() && !error.contains(char::is_control), "{error:?}");
}
