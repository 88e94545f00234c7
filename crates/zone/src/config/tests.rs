#![allow(clippy::unwrap_used)]
use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("test.toml"))
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn tcp(connections: u32, of_client: u32, idle_timeout: u32, io_timeout: u32) -> TcpSettings {
    TcpSettings { connections, connections_per_client: of_client, idle_timeout, io_timeout }
}

const SMALLEST: &str = "version = 1\n[[zone]]\nname = \"rbl.example.org\"\n";

#[test]
fn the_smallest_file_has_the_documented_defaults() {
    let config = parse(SMALLEST).unwrap();
    assert_eq!(config.table.path, Path::new("/var/lib/eximrbl/table"));
    assert_eq!(config.table.slots, 1 << 20);
    assert_eq!(config.policy, Policy::default());
    let listen: Vec<_> = config.dns.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:53", "[::]:53"]);
    assert_eq!((config.dns.positive_ttl_max, config.dns.negative_ttl), (300, 60));
    assert_eq!(config.dns.user, "eximrbl");
    assert_eq!(config.dns.tcp, tcp(256, 32, 10, 10));
    assert_eq!(config.control.socket.as_deref(), Some(Path::new("/run/eximrbl/control")));
    assert_eq!((config.dns.cookies, &config.dns.cookie_secret_file), (CookieUse::On, &None));
    let limit = &config.dns.rate_limit;
    assert_eq!((limit.responses_per_second, limit.slip), (1000, 1));
    assert_eq!((limit.ipv4_prefix, limit.ipv6_prefix), (24, 56));
    assert_eq!(limit.exempt, networks(["127.0.0.0/8", "::1"]));
    let told = [&config.dns.nsid, &config.dns.version, &config.dns.hostname];
    assert_eq!((told, &config.dns.allow_query), ([&None; 3], &None));
    let zone = &config.zones[0];
    assert!(!zone.white && zone.reasons.is_none() && zone.quorum == 1 && zone.codes.is_empty());
    assert_eq!(zone.ns, [DnsName::from_text("rbl.example.org").unwrap()]);
    assert_eq!(zone.contact.to_string(), "hostmaster.rbl.example.org");
    assert_eq!(zone.allow_query, None);
}

/// Who may ask, how often, and what the server tells of itself. Caught: a zone's own list that is
/// not taken over the section's.
#[test]
fn every_setting_of_the_guard_is_taken_over() {
    let config = parse(
        r#"
version = 1
[dns]
cookies = "required"
cookie_secret_file = "/etc/eximrbl/cookie-secrets"
rate_limit = { responses_per_second = 200, ipv4_prefix = 25, ipv6_prefix = 48, slip = 2, exempt = [] }
allow_query = ["192.0.2.0/24"]
nsid = "one of us"
version = "1"
hostname = "mail.example.org"
[[zone]]
name = "rbl.example.org"
[[zone]]
name = "wl.example.org"
allow_query = ["::1", "2001:db8::/32"]
"#,
    )
    .unwrap();
    let dns = &config.dns;
    assert_eq!(dns.cookies, CookieUse::Required);
    assert_eq!(dns.cookie_secret_file.as_deref(), Some(Path::new("/etc/eximrbl/cookie-secrets")));
    let limit = RateLimit {
        responses_per_second: 200,
        ipv4_prefix: 25,
        ipv6_prefix: 48,
        slip: 2,
        exempt: vec![],
    };
    assert_eq!(dns.rate_limit, limit);
    let told = [&dns.nsid, &dns.version, &dns.hostname].map(|text| text.as_deref().unwrap());
    assert_eq!(told, ["one of us", "1", "mail.example.org"]);
    let allowed = config.zones.iter().map(|zone| zone.allow_query.clone().unwrap());
    let expected = [networks(["192.0.2.0/24"]), networks(["::1", "2001:db8::/32"])];
    assert!(allowed.eq(expected));
    assert_eq!(dns.allow_query, Some(networks(["192.0.2.0/24"])));
    assert_eq!(
        parse(&format!("{SMALLEST}[dns]\ncookies = \"off\"\n")).unwrap().dns.cookies,
        CookieUse::Off
    );
}

/// In all forms that TOML has for it, and its keys are known each by itself.
#[test]
fn the_rate_limit_is_a_section_or_a_table() {
    for text in [
        "[dns]\nrate_limit = { slip = 3 }\n",
        "[dns]\nrate_limit.slip = 3\n",
        "[dns.rate_limit]\nslip = 3\n",
    ] {
        let limit = parse(&format!("{SMALLEST}{text}")).unwrap().dns.rate_limit;
        assert_eq!(limit, RateLimit { slip: 3, ..RateLimit::default() }, "{text}");
    }
}

fn networks<const N: usize>(texts: [&str; N]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn an_empty_path_means_no_control_socket() {
    let config = parse(&format!("{SMALLEST}[control]\nsocket = \"\"\n")).unwrap();
    assert_eq!(config.control.socket, None);
}

/// What the sample says in its head: "What is commented out here shows the default".
#[test]
fn the_sample_shows_the_defaults() {
    let sample = include_str!("../../../../examples/eximrbl.toml");
    let plain = parse(sample).unwrap();
    // Settings have no blank after the `#`. Of some the default is to have none.
    let without_default =
        ["reasons", "allow_query", "cookie_secret_file", "nsid", "version", "hostname"];
    let with_defaults: String = sample
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
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
    assert_eq!(told.zones, plain.zones);
}

/// Caught: a key of the sample that is no key.
#[test]
fn the_samples_further_sections_are_good() {
    let sample = include_str!("../../../../examples/eximrbl.toml");
    let whole: String = sample
        .lines()
        .flat_map(|line| [line.strip_prefix("## ").unwrap_or(line), "\n"])
        .collect();
    let config = parse(&whole).unwrap();
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

#[test]
fn every_setting_of_the_collector_is_taken_over() {
    let config = parse(
        r#"
version = 1
[collector]
tcp = ["192.0.2.1:4444"]
udp = ["[::1]:4444", "127.0.0.1:4444"]
tls = ["0.0.0.0:4445"]
unix = "/run/report"
certificate = "/c"
key = "/k"
client_ca = "/ca"
connections = 60000
connections_per_client = 1
idle_timeout = 3600
line_timeout = 1
[[reporter]]
name = "mx2"
networks = ["192.0.2.0/24", "::1"]
secret_file = "/secret"
certificate = "MX2.example.org."
verbs = ["white"]
weight = 100
weight_max = 10000
seconds_max = 31536000
rate = 0
entries = 1
[[reporter]]
name = "program"
networks = ["127.0.0.2"]
[[zone]]
name = "rbl.example.org"
"#,
    )
    .unwrap();
    let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let collector = CollectorSettings {
        tcp: addresses(&["192.0.2.1:4444"]),
        udp: addresses(&["[::1]:4444", "127.0.0.1:4444"]),
        tls: addresses(&["0.0.0.0:4445"]),
        unix: Some("/run/report".into()),
        identity: Some(TlsIdentity { certificate: "/c".into(), key: "/k".into() }),
        client_ca: Some("/ca".into()),
        connections: 60_000,
        connections_per_client: 1,
        idle_timeout: 3600,
        line_timeout: 1,
    };
    assert_eq!(config.collector, Some(collector));
    let reporter = ReporterSettings {
        name: eximrbl_table::Name::new(b"mx2").unwrap(),
        networks: networks(["192.0.2.0/24", "::1"]),
        secret_file: Some("/secret".into()),
        certificate: Some("mx2.example.org".into()),
        verbs: vec!["white".into()],
        weight: 100,
        weight_max: 10_000,
        seconds_max: 31_536_000,
        rate: 0,
        entries: 1,
    };
    assert_eq!(config.reporters[0], reporter);
    assert_eq!(config.reporters[1].networks, networks(["127.0.0.2"]));
    assert_eq!(config.reporters.len(), 2);
    assert_eq!(parse(SMALLEST).unwrap().collector, None);
}

/// Caught: the 41st reporter taken.
#[test]
fn there_are_as_many_reporters_as_the_table_has_room_for() {
    let reporters = |count: usize| -> String {
        let one = |n| format!("[[reporter]]\nname = \"r{n}\"\nnetworks = [\"127.0.0.1\"]\n");
        (0..count).map(one).collect()
    };
    let parse = |count| parse(&format!("{SMALLEST}{}", reporters(count)));
    assert_eq!(parse(REPORTERS_MAX).unwrap().reporters.len(), 40);
    let error = parse(REPORTERS_MAX + 1).unwrap_err().to_string();
    assert!(error.contains("reporter[40]: more than 40 reporters"), "{error}");
}

#[test]
fn the_sample_says_how_much_the_table_takes() {
    let sample = include_str!("../../../../examples/eximrbl.toml");
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

#[test]
fn every_setting_is_taken_over() {
    let config = parse(
        r#"
version = 1
[table]
path = "/srv/t"
slots = 4096
[policy]
base_ttl = 300
max_ttl = 3600
floor = 30
threshold = 3
ipv6_prefix = 56
never = ["192.0.2.0/24", "2001:db8::/32"]
weights = { auth = 3, rcpt = 2 }
[dns]
listen = ["127.0.0.1:5300", "[::1]:5300"]
positive_ttl_max = 120
negative_ttl = 30
workers = 3
user = "nobody"
[dns.tcp]
connections = 10000
connections_per_client = 1
idle_timeout = 3600
io_timeout = 2
[control]
socket = "/srv/control"
[[zone]]
name = "rbl.example.org"
list = "black"
reasons = ["auth", "rcpt"]
quorum = 2
codes = { auth = 4, rcpt = "127.0.1.2" }
txt = "{ip}"
ns = ["a.example.org", "b.example.org."]
contact = "post.master@example.org"
[[zone]]
name = "wl.example.org"
list = "white"
"#,
    )
    .unwrap();
    assert_eq!(config.table, TableSettings { path: "/srv/t".into(), slots: 4096 });
    let policy = Policy {
        base_ttl: 300,
        max_ttl: 3600,
        floor: 30,
        threshold: 3,
        ipv6_prefix: 56,
        never: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        weights: vec![("auth".into(), 3), ("rcpt".into(), 2)],
    };
    assert_eq!(config.policy, policy);
    assert_eq!(
        config.dns.listen,
        ["127.0.0.1:5300".parse().unwrap(), "[::1]:5300".parse().unwrap()]
    );
    assert_eq!((config.dns.positive_ttl_max, config.dns.negative_ttl), (120, 30));
    assert_eq!(config.dns.workers, Some(3));
    assert_eq!(config.dns.user, "nobody");
    assert_eq!(config.dns.tcp, tcp(10_000, 1, 3600, 2));
    assert_eq!(config.control.socket.as_deref(), Some(Path::new("/srv/control")));
    let zone = &config.zones[0];
    assert_eq!(zone.reasons, Some(vec!["auth".into(), "rcpt".into()]));
    assert_eq!(zone.quorum, 2);
    let codes = [("auth", [127, 0, 0, 4]), ("rcpt", [127, 0, 1, 2])];
    assert_eq!(zone.codes, codes.map(|(reason, code)| (reason.to_owned(), code.into())));
    assert_eq!(zone.txt, Template::parse("{ip}").unwrap());
    assert_eq!(zone.ns[1].to_string(), "b.example.org");
    assert_eq!(zone.contact.to_string(), "post\\.master.example.org");
    assert!(config.zones[1].white);
}

#[test]
fn errors_name_file_line_and_key() {
    for (text, expected) in [
        ("", "test.toml:1: version: missing"),
        ("version = 2", "test.toml:1: version: 2 is not known"),
        ("version = 1", "test.toml:1: zone: missing"),
        ("version = 1\n[dsn]", "test.toml:2: dsn: unknown key `dsn`"),
        ("version = 1\n[dns]\nlistn = []", "test.toml:3: dns.listn: unknown key `listn`, expected"),
        ("version = 1\n\n[dns]\nlisten = 53", "test.toml:4: dns.listen: invalid type: integer"),
        ("version = 1\n[[zone]]\nlist = \"black\"", "test.toml:2: zone[0].name: missing"),
        ("version = 1\n[zone]\nname = \"a\"", "test.toml:2: zone: write [[zone]], with two"),
        ("version = 1\n[reporter]\nname = \"a\"", "test.toml:2: reporter: write [[reporter]], with"),
        ("version = 1\nzone = 1", "test.toml:2: zone: invalid type: integer"),
        ("version = \"1\"", "expected a whole number"),
        ("version = 1\nversion = 1", "test.toml:2: not TOML: duplicate key: version"),
        ("version = 1\n[dns\n", "test.toml:2: not TOML: "),
        (
            "version = 1\n[policy]\nnever = [\n  \"192.0.2.0/24\",\n  \"192.0.2.1/24\",\n]",
            "test.toml:5: policy.never[1]: \"192.0.2.1/24\": address bits are set past the prefix",
        ),
        (
            "version = 1\n[policy]\nfloor = 700",
            "test.toml:2: policy.base_ttl: 600 s is under floor",
        ),
        (
            "version = 1\n[policy]\nweights = {\n auth = -1 }",
            "test.toml:4: policy.weights.auth: -1",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text:?} gave {error:?}");
    }
}

#[test]
fn a_number_out_of_range_is_told_the_same_range_on_both_sides_and_the_table_agrees() {
    const YEAR: i64 = 31_536_000;
    let change = |key: &str, number: u32| {
        // Wide enough that no other setting is in the way.
        let mut policy = Policy { floor: 1, max_ttl: YEAR as u32, ..Policy::default() };
        match key {
            "base_ttl" => policy.base_ttl = number,
            "max_ttl" => (policy.base_ttl, policy.max_ttl) = (1, number),
            "floor" => (policy.base_ttl, policy.floor) = (YEAR as u32, number),
            "threshold" => policy.threshold = number,
            _ => policy.weights = vec![("auth".to_owned(), number)],
        }
        policy
    };
    for (key, first, last) in [
        ("base_ttl", 1, YEAR),
        ("max_ttl", 1, YEAR),
        ("floor", 1, YEAR),
        ("threshold", 1, 100_000),
        ("weights.auth", 1, 10_000),
    ] {
        for number in [i64::MIN, -1, first - 1, last + 1, i64::from(u32::MAX) + 1] {
            let error = error(&format!("{SMALLEST}[policy]\n{key} = {number}\n"));
            let expected = format!("policy.{key}: {number} is out of range: {first} to {last}");
            assert!(error.ends_with(&expected), "{error}");
        }
        for (number, ok) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
            let policy = change(key, number as u32);
            assert_eq!(policy.validate().is_ok(), ok, "{key} = {number}: {policy:?}");
        }
    }
}

#[test]
fn the_table_agrees_on_how_many_slots_there_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    for (slots, ok) in [(8, false), (16, true), ((1 << 30) + 1, false)] {
        let text = format!("{SMALLEST}[table]\nslots = {slots}\n");
        match parse(&text) {
            Ok(_) => assert!(ok, "{slots}"),
            Err(error) => {
                let expected = format!("table.slots: {slots} is out of range: 16 to 1073741824");
                assert!(!ok && error.to_string().ends_with(&expected), "{error}");
            }
        }
        let options = CreateOptions { slots, ..CreateOptions::default() };
        let made = eximrbl_table::WritableTable::create(&path, &options);
        assert_eq!(made.is_ok(), ok, "{slots}");
    }
}

#[test]
fn a_key_deep_in_the_second_zone_is_found() {
    let text = format!("{SMALLEST}[[zone]]\nname = \"x.example.org\"\n[zone.codes]\nauth = 1\n");
    let error = error(&text);
    assert!(error.starts_with("test.toml:7: zone[1].codes.auth: 1 is no code"), "{error}");
}

#[test]
fn zones_that_could_hide_addresses_are_refused() {
    for (inner, ok) in [("auth", true), ("4", false), ("127", false), ("a", false), ("1a", true)] {
        let text = format!("{SMALLEST}[[zone]]\nname = \"{inner}.rbl.example.org\"\n");
        assert_eq!(parse(&text).is_ok(), ok, "{inner}");
    }
    let error = error(&format!("{SMALLEST}[[zone]]\nname = \"RBL.example.org.\"\n"));
    assert!(error.starts_with("test.toml:5: zone[1].name: rbl.example.org is the name of two"));
}

#[test]
fn codes_stay_clear_of_addresses_with_a_meaning_of_their_own() {
    for (code, ok) in [
        ("2", true),
        ("255", true),
        ("1", false),
        ("0", false),
        ("256", false),
        ("-1", false),
        ("4.0", false),
        ("\"127.0.0.1\"", false),
        ("\"127.255.255.254\"", false),
        ("\"127.255.254.1\"", true),
        ("\"128.0.0.2\"", false),
        ("\"127.0.0\"", false),
    ] {
        let text = format!("{SMALLEST}codes = {{ auth = {code} }}\n");
        assert_eq!(parse(&text).is_ok(), ok, "{code}");
    }
}

#[test]
fn a_zone_name_leaves_room_for_ipv6() {
    let name = |length: usize| {
        let mut labels = vec!["x".repeat(63); 2];
        labels.push("x".repeat(length - 2 * 64 - 2));
        let text = format!("version = 1\n[[zone]]\nname = \"{}\"\n", labels.join("."));
        parse(&text)
    };
    assert!(name(ZONE_NAME_MAX).is_ok());
    assert!(name(ZONE_NAME_MAX + 1).is_err());
}

#[test]
fn a_file_that_is_not_text_is_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.toml");
    std::fs::write(&path, b"version = 1\n# \xff\n").unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.ends_with("bad.toml:2: not TOML: not UTF-8 text here"), "{error}");
    let error = Config::load(&directory.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none: cannot read the configuration: No such file"), "{error}");
}

#[test]
fn without_a_file_the_names_are_checked_too() {
    let listen = vec!["127.0.0.1:5300".parse().unwrap()];
    let config = Config::without_file(&["rbl.example".into()], listen.clone(), "/t".into());
    assert_eq!(config.unwrap().zones[0].name.to_string(), "rbl.example");
    let error = Config::without_file(&["a..b".into()], listen, "/t".into()).unwrap_err();
    assert!(error.to_string().starts_with("--zone: \"a..b\": an empty label"), "{error}");
}

/// Whatever the file holds, a message is one line, and gives the terminal no orders.
#[test]
fn messages_write_control_characters_out() {
    for text in [
        "version = 1\n[dns]\nlisten = [\"0\\u001b[31m\\n\\u0007x\"]\n",
        "version = 1\n\"a\\u001bb\" = 1\n",
        "version = 1\n[[zone]]\nname = \"rbl\\u001b.example\\n\"\n",
        "version = 1\n[table]\npath = \"\\u009b1m\"\n",
    ] {
        let error = error(text);
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    assert!(error("version = 1\n\"a\\u001bb\" = 1\n").contains("a\\u{1b}b"));
}
