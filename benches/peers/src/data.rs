//! The entries in every server's own form. Made once and kept: a million take half a minute, most
//! of it for the SQLite database.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use eximrbl_table::{CreateOptions, Report, Table, WritableTable};
use nix::unistd::{User, geteuid};

use crate::entries::{ipv4, ipv6};
use crate::query::{ZONE, name};
use crate::stage::FOLDER;

/// Entries of the table live for a week; one that is older than this, in seconds, is made anew.
const TABLE_AGE: u32 = 3 * 86_400;
/// `PowerDNS`'s tables, of its Debian package.
const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

/// Room in the table for clients that the measurements record.
pub(crate) const NEW_CLIENTS: u32 = 1 << 16;
/// The user that eximrbld becomes here.
pub(crate) const EXIMRBLD_USER: &str = "nobody";

/// A number of entries, and the folder of their files.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// IPv4 addresses that are listed: those of the numbers from 0 up to this.
    pub(crate) entries: u32,
    folder: PathBuf,
}

impl Data {
    /// The data of so many entries; nothing is made yet.
    pub(crate) fn new(entries: u32) -> Result<Self> {
        let folder = Path::new(FOLDER).join(format!("entries-{entries}"));
        fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(Self { entries, folder })
    }

    /// IPv6 networks that are listed, in the servers that can.
    pub(crate) fn networks(&self) -> u32 {
        self.entries / 16
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// eximrbl's table, with IPv4 addresses and IPv6 networks, at most half full.
    pub(crate) fn table(&self) -> Result<PathBuf> {
        let path = self.folder.join("table");
        if path.exists() {
            // One of another version of the format is of no use, either. The file's own time is that
            // of its last change.
            let now = eximrbl_table::now();
            let is_young = |table: Table| now.saturating_sub(table.created()) < TABLE_AGE;
            if Table::open(&path).is_ok_and(is_young) {
                return Ok(path);
            }
            fs::remove_file(&path)?;
        }
        self.make("table", |aside| {
            let entries = self.entries + self.networks();
            let options = CreateOptions {
                slots: 2 * u64::from(entries + NEW_CLIENTS),
                // eximrbld gives up root's rights before it opens the table.
                owner: eximrbld_user(),
                ..CreateOptions::default()
            };
            let table = WritableTable::create(aside, &options)?;
            let now = eximrbl_table::now();
            let addresses = self.addresses().map(IpAddr::V4);
            for address in addresses.chain(self.networks_64().map(IpAddr::V6)) {
                let network = table.client_network(address);
                // 1,008 rejections: a week.
                let report =
                    Report { network, reason: 1, reporter: 0, weight: Some(1008), seconds: None };
                table
                    .record(&report, now)
                    .map_err(|refusal| anyhow::anyhow!("{address}: {refusal:?}"))?;
            }
            Ok(())
        })
    }

    /// rbldnsd's `ip4set`.
    pub(crate) fn ip4set(&self) -> Result<PathBuf> {
        self.make_text("ip4set", |out| {
            self.write_rbldnsd_head(out)?;
            self.addresses().try_for_each(|address| writeln!(out, "{address}"))
        })
    }

    /// rbldnsd's `ip6tset`, of /64 networks.
    pub(crate) fn ip6tset(&self) -> Result<PathBuf> {
        self.make_text("ip6tset", |out| {
            self.write_rbldnsd_head(out)?;
            self.networks_64().try_for_each(|network| {
                let [a, b, c, d, ..] = network.segments();
                writeln!(out, "{a:x}:{b:x}:{c:x}:{d:x}")
            })
        })
    }

    fn write_rbldnsd_head(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "$SOA 3600 {ZONE} hostmaster.{ZONE} 0 600 300 86400 60")?;
        writeln!(out, "$NS 3600 {ZONE}")?;
        writeln!(out, ":127.0.0.2:$ was rejected here")
    }

    /// A zone file, with A and TXT records.
    pub(crate) fn zone_file(&self) -> Result<PathBuf> {
        self.make_text("zone", |out| {
            writeln!(out, "$ORIGIN {ZONE}.\n$TTL 300")?;
            writeln!(out, "@ 3600 SOA {ZONE}. hostmaster.{ZONE}. 1 600 300 86400 60")?;
            writeln!(out, "@ 3600 NS {ZONE}.")?;
            self.addresses().try_for_each(|address| {
                let [a, b, c, d] = address.octets();
                writeln!(out, "{d}.{c}.{b}.{a} A 127.0.0.2\n TXT \"{address} was rejected here\"")
            })
        })
    }

    /// `PowerDNS`'s SQLite database, with A and TXT records.
    pub(crate) fn database(&self) -> Result<PathBuf> {
        self.make("database", |aside| {
            let schema = fs::read_to_string(SCHEMA).context(SCHEMA)?;
            let mut shell = Command::new("sqlite3")
                .arg(aside)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .context("sqlite3 cannot be started")?;
            let input = shell.stdin.take().context("no input")?;
            let mut out = BufWriter::new(input);
            writeln!(
                out,
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;\n{schema}\nBEGIN;"
            )?;
            writeln!(out, "INSERT INTO domains (id, name, type) VALUES (1, '{ZONE}', 'NATIVE');")?;
            let mut record = |name: &str, kind: &str, content: &str, ttl: u32| {
                writeln!(
                    out,
                    "INSERT INTO records (domain_id, name, type, content, ttl, auth) \
                     VALUES (1, '{name}', '{kind}', '{content}', {ttl}, 1);"
                )
            };
            let soa = format!("{ZONE} hostmaster.{ZONE} 1 600 300 86400 60");
            record(ZONE, "SOA", &soa, 3600)?;
            record(ZONE, "NS", ZONE, 3600)?;
            for number in 0..self.entries {
                let name = name(number);
                record(&name, "A", "127.0.0.2", 300)?;
                record(&name, "TXT", &format!("\"{} was rejected here\"", ipv4(number)), 300)?;
            }
            writeln!(out, "COMMIT; ANALYZE;")?;
            out.flush()?;
            drop(out);
            ensure!(shell.wait()?.success(), "sqlite3 failed");
            Ok(())
        })
    }

    fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        (0..self.entries).map(ipv4)
    }

    fn networks_64(&self) -> impl Iterator<Item = Ipv6Addr> {
        (0..self.networks()).map(ipv6)
    }

    fn make_text(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<PathBuf> {
        self.make(name, |aside| {
            let mut out = BufWriter::new(File::create(aside)?);
            write(&mut out)?;
            Ok(out.flush()?)
        })
    }

    /// Makes a file aside and puts it into place when it is whole; one that is there stays.
    fn make(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.exists() {
            eprintln!("making {}", path.display());
            let aside = self.folder.join(format!("{name}.new"));
            let _ = fs::remove_file(&aside);
            make(&aside).with_context(|| format!("cannot make {}", path.display()))?;
            fs::rename(&aside, &path)?;
        }
        Ok(path)
    }
}

/// The identifier of that user; none for who is not root, and may not give files away.
pub(crate) fn eximrbld_user() -> Option<u32> {
    let user = User::from_name(EXIMRBLD_USER).ok().flatten()?;
    geteuid().is_root().then(|| user.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use eximrbl_table::Network;

    use super::*;

    /// Caught: networks left out of the table.
    #[test]
    fn the_table_has_the_entries_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data { entries: 1600, folder: folder.path().to_owned() };
        let table = Table::open(&data.table().unwrap()).unwrap();
        let now = eximrbl_table::now();
        assert_eq!(table.entries(now).count(), 1700);
        let is_there = |address| table.entry(Network::host(address), now).is_some();
        assert!((0..1600).all(|number| is_there(ipv4(number).into())));
        assert!(!(1600..3200).any(|number| is_there(ipv4(number).into())));
    }

    /// Caught: any file taken for a table.
    #[test]
    fn what_is_no_table_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data { entries: 1600, folder: folder.path().to_owned() };
        fs::write(folder.path().join("table"), "of another time").unwrap();
        let path = data.table().unwrap();
        assert!(Table::open(&path).is_ok());
        // And what is one stays.
        fs::rename(&path, folder.path().join("first")).unwrap();
        fs::hard_link(folder.path().join("first"), &path).unwrap();
        let again = data.table().unwrap();
        let same = |path: &Path| path.metadata().unwrap().ino();
        assert_eq!(same(&again), same(&folder.path().join("first")));
    }

    /// Caught: a file that was broken off taken for the whole.
    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data { entries: 10, folder: folder.path().to_owned() };
        let broken = data.make("file", |aside| {
            fs::write(aside, "half")?;
            anyhow::bail!("broken off")
        });
        assert!(broken.is_err());
        let whole = data.make("file", |aside| Ok(fs::write(aside, "whole")?)).unwrap();
        assert_eq!(fs::read_to_string(whole).unwrap(), "whole");
        let kept = data.make("file", |_| anyhow::bail!("made twice")).unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), "whole");
    }

    /// Caught: the octets of the zone file's names not reversed.
    #[test]
    fn text_files_name_the_same_addresses() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data { entries: 100, folder: folder.path().to_owned() };
        let zone = fs::read_to_string(data.zone_file().unwrap()).unwrap();
        let set = fs::read_to_string(data.ip4set().unwrap()).unwrap();
        for number in 0..100 {
            let label = name(number).replace(&format!(".{ZONE}"), " A 127.0.0.2");
            assert!(zone.lines().any(|line| line == label), "{label}");
            assert!(set.lines().any(|line| line == ipv4(number).to_string()));
        }
        let networks = fs::read_to_string(data.ip6tset().unwrap()).unwrap();
        assert_eq!(networks.lines().filter(|line| line.starts_with("2a00:")).count(), 6);
    }
}
