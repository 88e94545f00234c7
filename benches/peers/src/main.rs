//! Measures eximrbl beside other name servers, and Exim with and without it.
//!
//! Started by `benches/dns.sh` and `benches/exim.sh`, which install what it needs and make the
//! namespaces that it works in. The servers run on one processor, the load on another.
//!
//! * [`dns`]: the comparison; [`servers`] has the servers, [`data`] their entries, [`saturate`] and
//!   [`paced`] the two kinds of load, [`echo`] the floor, [`record`] the live writes.
//! * `report` and `chart` write what comes of it.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
mod data;
mod dlfunction;
mod dns;
mod dnsperf;
mod echo;
mod entries;
mod exim;
mod machine;
mod paced;
mod process;
mod query;
mod record;
mod saturate;
mod servers;
mod settings;
mod stage;
mod statistics;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["dns"] => compare_name_servers(),
        ["exim"] => compare_exims(),
        ["listed"] => time_to_listed(),
        ["echo", address] => echo::run(address.parse()?),
        ["record", library, rate, milliseconds] => record::run(library, rate, milliseconds),
        _ => bail!("start it with benches/dns.sh or benches/exim.sh"),
    }
}

fn compare_name_servers() -> Result<()> {
    let settings = settings::Settings::from_environment()?;
    stage::set()?;
    process::pin(process::LOAD)?;
    println!("{}", machine::describe());
    dns::run(&settings)?;
    Ok(())
}

fn compare_exims() -> Result<()> {
    let settings = settings::Settings::from_environment()?;
    stage::set()?;
    process::pin(process::LOAD)?;
    println!("{}", machine::describe());
    let data = data::Data::new(1_000_000)?;
    exim::run(&data, &settings)?;
    Ok(())
}

fn time_to_listed() -> Result<()> {
    stage::set()?;
    process::pin(process::LOAD)?;
    println!("{:?}", exim::listed::run(&data::Data::new(1_000_000)?)?);
    Ok(())
}
