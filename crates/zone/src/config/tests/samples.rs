//! The sample configuration: what it shows is true.

use super::*;

/// What the sample says in its head: "What is commented out here shows the default".
#[test]
fn the_sample_shows_the_defaults() {
    let sample = include_str!("../../../../../examples/eximrbl.toml");
    let plain = parse(sample).unwrap();
    // Settings have no blank after the `#`. Of some the default is to have none.
    let without_default =
        ["reasons", "allow_query", "cookie_secret_file", "nsid", "version", "hostname"];
    let with_defaults: String = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                setting
            }
            _ => line,
        })
        .filter(|line| {
            let key = line.split(" = ").next().unwrap_or_default();
            *line == "version = 1"
                || !without_default.contains(&key)
                || sample.lines().any(|whole| whole == *line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(with_defaults.lines().count() > 90 && with_defaults.contains("\nslots = "));
    let told = parse(&with_defaults).unwrap();
    assert_eq!(told.table, plain.table);
    assert_eq!(told.policy, plain.policy);
    assert_eq!(told.dns, plain.dns);
    assert_eq!(told.control, plain.control);
    assert_eq!((plain.audit, told.audit), (None, Some(AuditSettings::default())));
    assert_eq!(told.zones, plain.zones);
}

/// Caught: a key of the sample that is no key.
#[test]
fn the_samples_further_sections_are_good() {
    let sample = include_str!("../../../../../examples/eximrbl.toml");
    let whole: String =
        sample.lines().flat_map(|line| [line.strip_prefix("## ").unwrap_or(line), "\n"]).collect();
    let config = parse(&whole).unwrap();
    let forward = config.forward.unwrap();
    assert_eq!((forward.tls, forward.buffer, forward.reporters.len()), (true, 1000, 3));
    let collector = config.collector.unwrap();
    let default = CollectorSettings::default();
    assert_eq!(
        (collector.connections, collector.connections_per_client),
        (default.connections, default.connections_per_client)
    );
    assert_eq!(
        (collector.idle_timeout, collector.line_timeout),
        (default.idle_timeout, default.line_timeout)
    );
    assert_eq!((collector.tcp.len(), collector.udp.len(), collector.tls.len()), (1, 1, 2));
    let shown = &config.reporters[0];
    // All that has a default shows it.
    let least = parse(&format!("{SMALLEST}[[reporter]]\nname = \"mx2\"\nsecret_file = \"/s\"\n"));
    let least = least.unwrap().reporters.remove(0);
    let (secret_file, certificate) = (shown.secret_file.clone(), shown.certificate.clone());
    let networks = shown.networks.clone();
    assert_eq!(*shown, ReporterSettings { networks, secret_file, certificate, ..least });
}

/// Caught: a key of the sample's exchange that is no key.
#[test]
fn the_samples_exchange_is_good() {
    let sample = include_str!("../../../../../examples/eximrbl.toml");
    let whole = sample.lines().map(|line| line.strip_prefix("## ").unwrap_or(line));
    let nats = parse(&whole.flat_map(|line| [line, "\n"]).collect::<String>()).unwrap().nats;
    let nats = nats.unwrap();
    let least = parse(&format!("{SMALLEST}[nats]\nurl = \"tls://n\"\nsite = \"paris\"\n"));
    let least = least.unwrap().nats.unwrap();
    assert_eq!(
        (&nats.stream, &nats.subject, nats.replicas),
        (&least.stream, &least.subject, least.replicas)
    );
    assert_eq!((nats.max_age, least.max_age), (Some(Policy::default().max_ttl), None));
    assert_eq!(nats.login, NatsLogin::Credentials("/etc/eximrbl/nats.creds".into()));
}

#[test]
fn the_sample_says_how_much_the_table_takes() {
    let sample = include_str!("../../../../../examples/eximrbl.toml");
    let directory = tempfile::tempdir().unwrap();
    let bytes = |slots| {
        let path = directory.path().join(format!("{slots}"));
        let options = CreateOptions { slots, ..CreateOptions::default() };
        let table = eximrbl_table::WritableTable::create(&path, &options).unwrap();
        table.info(eximrbl_table::now()).bytes
    };
    let default = TableSettings::default().slots;
    let whole = bytes(default);
    let each = (whole - bytes(default / 2)) / (default - default / 2);
    let megabytes = (whole + 500_000) / 1_000_000;
    let said = format!("{each} bytes each: the default takes {megabytes} MB");
    assert!(sample.contains(&said), "{said}");
}
