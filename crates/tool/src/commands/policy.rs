//! `eximrbl policy`: shows the policy in force, or puts another in force.

use std::io::Write;
use std::path::{Path, PathBuf};

use eximrbl_table::{DEFAULT_PATH, Network, NetworkError, Policy, Table, WritableTable};
use eximrbl_zone::Config;

use super::Finding;
use crate::arguments;
use crate::failure::Failure;
use crate::json::PolicyObject;
use crate::output::Output;
use crate::text::span;

/// Changes the policy if asked to, and prints the one that is then in force.
///
/// The table is the `named` one, else the one that the configuration file names: a policy belongs
/// to the table that stands beside it.
pub(super) fn run(
    named: Option<PathBuf>,
    arguments: &arguments::Policy,
    output: &mut Output,
) -> Result<Finding, Failure> {
    let config = match &arguments.config {
        None => None,
        Some(file) => Some(Config::load(file).map_err(|e| Failure::Configuration(e.to_string()))?),
    };
    let (by_file, from_file) =
        config.map_or((None, None), |config| (Some(config.table.path), Some(config.policy)));
    let path = named.or(by_file).unwrap_or_else(|| DEFAULT_PATH.into());
    let policy = if from_file.is_none() && arguments.set.is_empty() {
        Table::open(&path)?.policy()
    } else {
        change(&path, from_file, &arguments.set)?
    };
    if output.json() {
        output.object(&PolicyObject::new(&policy))?;
    } else {
        print(&policy, output)?;
    }
    Ok(Finding::Positive)
}

/// The file's policy, or else the one in force, with the single settings on top.
fn change(
    path: &Path,
    from_file: Option<Policy>,
    settings: &[(String, String)],
) -> Result<Policy, Failure> {
    let table = WritableTable::open(path)?;
    let mut policy = from_file.unwrap_or_else(|| table.policy());
    for (key, value) in settings {
        set(&mut policy, key, value).map_err(|problem| Failure::Setting {
            key: key.clone(),
            value: value.clone(),
            problem,
        })?;
    }
    table.set_policy(&policy)?;
    Ok(table.policy())
}

/// Changes one setting. Whether it makes sense is for [`Policy::validate`] to say.
fn set(policy: &mut Policy, key: &str, value: &str) -> Result<(), String> {
    match key {
        "base_ttl" => policy.base_ttl = number(value)?,
        "max_ttl" => policy.max_ttl = number(value)?,
        "floor" => policy.floor = number(value)?,
        "threshold" => policy.threshold = number(value)?,
        "ipv6_prefix" => policy.ipv6_prefix = number(value)?,
        "never" => policy.never = networks(value).map_err(|error| error.to_string())?,
        _ => match key.strip_prefix("weights.") {
            Some(reason) => set_weight(policy, reason, number(value)?),
            None => {
                return Err("no such setting; there are base_ttl, max_ttl, floor, threshold, \
                            ipv6_prefix, never and weights.REASON"
                    .to_owned());
            }
        },
    }
    Ok(())
}

fn number<N: std::str::FromStr>(value: &str) -> Result<N, String> {
    value.parse().map_err(|_| "a whole number is wanted, without a unit".to_owned())
}

/// Networks with commas between them; an empty text is none.
fn networks(value: &str) -> Result<Vec<Network>, NetworkError> {
    value.split(',').map(str::trim).filter(|text| !text.is_empty()).map(str::parse).collect()
}

/// Replaces a reason's weight; 0 takes it away.
fn set_weight(policy: &mut Policy, reason: &str, weight: u32) {
    policy.weights.retain(|(name, _)| name != reason);
    if weight > 0 {
        policy.weights.push((reason.to_owned(), weight));
    }
}

/// Prints the policy as it would stand in the configuration file.
fn print(policy: &Policy, output: &mut Output) -> Result<(), Failure> {
    let never: Vec<_> = policy.never.iter().map(|network| format!("\"{network}\"")).collect();
    let weights: Vec<_> =
        policy.weights.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let weights =
        if weights.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", weights.join(", ")) };
    writeln!(output, "[policy]")?;
    writeln!(
        output,
        "base_ttl = {}  # {} for each rejection",
        policy.base_ttl,
        span(policy.base_ttl)
    )?;
    writeln!(output, "max_ttl = {}  # {} at most", policy.max_ttl, span(policy.max_ttl))?;
    writeln!(
        output,
        "floor = {}  # gone with less life than {}",
        policy.floor,
        span(policy.floor)
    )?;
    writeln!(output, "threshold = {}  # rejections that list", policy.threshold)?;
    writeln!(output, "ipv6_prefix = {}  # bits that stand for an IPv6 client", policy.ipv6_prefix)?;
    writeln!(output, "never = [{}]  # beside reserved space", never.join(", "))?;
    writeln!(
        output,
        "weights = {weights}  # rejections that one of a reason counts for, if not 1"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn settings_change_one_thing_each() {
        let mut policy = Policy::default();
        for (key, value) in [
            ("base_ttl", "300"),
            ("threshold", "3"),
            ("ipv6_prefix", "48"),
            ("never", "192.0.2.0/24, 2001:db8::/32"),
            ("weights.auth", "3"),
            ("weights.auth", "4"),
            ("weights.rcpt", "2"),
            ("weights.rcpt", "0"),
        ] {
            set(&mut policy, key, value).unwrap();
        }
        let expected = Policy {
            base_ttl: 300,
            threshold: 3,
            ipv6_prefix: 48,
            never: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            weights: vec![("auth".to_owned(), 4)],
            ..Policy::default()
        };
        assert_eq!(policy, expected);
        set(&mut policy, "never", "").unwrap();
        assert_eq!(policy.never, []);
    }

    #[test]
    fn refuses_what_is_not_a_setting() {
        for (key, value) in [
            ("ttl", "5"),
            ("base_ttl", "5m"),
            ("base_ttl", "-1"),
            ("ipv6_prefix", "300"),
            ("never", "192.0.2.1/24"),
            ("weights", "5"),
            ("weights.auth", "x"),
        ] {
            let mut policy = Policy::default();
            assert!(set(&mut policy, key, value).is_err(), "{key}={value}");
            assert_eq!(policy, Policy::default(), "{key}={value}");
        }
    }
}
