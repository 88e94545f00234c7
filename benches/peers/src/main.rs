//! Measures eximrbl beside other name servers, and Exim with and without it.
//!
//! Started by `benches/dns.sh`, `benches/exim.sh` and `benches/gathering.sh`, which install what it needs
//! and make the namespaces that it works in. The servers run on one processor, the load on another.
//!
//! * [`dns`]: the comparison; [`servers`] has the servers, [`data`] their entries, [`saturate`] and
//!   [`paced`] the two kinds of load, [`echo`] the floor, [`record`] the live writes.
//! * [`exim`]: what a session costs Exim, and how soon after a 550 the client is listed.
//! * [`gathering`]: reports from other hosts, and what Exim waits for.
//! * [`report`] and [`chart`] write what comes of it, [`document`] puts it into the documents.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
mod chart;
mod data;
mod dlfunction;
mod dns;
mod dnsperf;
mod document;
mod echo;
mod entries;
mod exim;
mod gathering;
mod machine;
mod paced;
mod process;
mod query;
mod record;
mod report;
mod saturate;
mod servers;
mod settings;
mod stage;
mod statistics;

use std::path::Path;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["dns"] => compare_name_servers(),
        ["exim"] => compare_exims(),
        ["gathering"] => measure_gathering(),
        ["echo", address] => echo::run(address.parse()?),
        ["record", library, rate, milliseconds] => record::run(library, rate, milliseconds),
        ["put", document, name, results] => {
            document::put(Path::new(document), name, Path::new(results))
        }
        _ => bail!("start it with benches/dns.sh, benches/exim.sh or benches/gathering.sh"),
    }
}

fn compare_name_servers() -> Result<()> {
    let settings = settings::Settings::from_environment()?;
    let machine = take_the_stage()?;
    let comparisons = dns::run(&settings)?;
    let listed = if settings.servers.contains(&servers::Which::Eximrbld) {
        println!("\nFrom Exim's 550 to a listed answer");
        let listed = exim::listed::run(&data::Data::new(settings.entries[0])?);
        let show = |listed: &exim::listed::Listed| println!("  {listed:?}");
        let complain = |error: &anyhow::Error| println!("  LEFT OUT: {error:#}");
        listed.inspect(show).inspect_err(complain).ok()
    } else {
        None
    };
    result("dns.md", &report::dns(&machine, &comparisons, listed.as_ref()))?;
    result("dns-short.md", &report::dns_short(&machine, &comparisons))?;
    result("dns.svg", &chart::dns(&machine, &comparisons))
}

fn compare_exims() -> Result<()> {
    let settings = settings::Settings::from_environment()?;
    let machine = take_the_stage()?;
    let data = data::Data::new(settings.entries[0])?;
    let figures = exim::run(&data, &settings)?;
    result("exim.md", &report::exim(&machine, &figures))?;
    result("exim.svg", &chart::exim(&machine, &figures))
}

fn measure_gathering() -> Result<()> {
    let settings = settings::Settings::from_environment()?;
    let machine = take_the_stage()?;
    if settings.parts.contains(&settings::Part::Limits) {
        let figures = gathering::run(&settings)?;
        result("gathering.md", &gathering::limits(&machine, &figures))?;
    }
    if settings.parts.contains(&settings::Part::Latency) {
        let waits = gathering::run_mail()?;
        result("gathering-latency.md", &gathering::waits(&machine, &waits))?;
    }
    Ok(())
}

/// Makes ready, and says what the machine is.
fn take_the_stage() -> Result<String> {
    stage::set()?;
    process::pin(process::LOAD)?;
    let machine = machine::describe();
    println!("{machine}");
    Ok(machine)
}

/// Writes a file of the results.
fn result(name: &str, text: &str) -> Result<()> {
    let path = Path::new(stage::FOLDER).join("results").join(name);
    std::fs::write(&path, text).with_context(|| format!("{}", path.display()))
}
