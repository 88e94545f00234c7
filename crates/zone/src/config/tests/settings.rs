//! Every setting is taken over, and what is left out has its documented default.

use super::*;

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

#[test]
fn an_empty_path_means_no_control_socket() {
    let config = parse(&format!("{SMALLEST}[control]\nsocket = \"\"\n")).unwrap();
    assert_eq!(config.control.socket, None);
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

/// In all forms that a size may have. Caught: K as a thousand; a size of 0 as a limit.
#[test]
fn the_trails_size_is_a_number_or_has_a_unit() {
    let audit =
        |text: &str| parse(&format!("{SMALLEST}[audit]\n{text}\n")).map(|it| it.audit.unwrap());
    for (text, size) in [
        ("", Some(67_108_864)),
        ("size = 4096", Some(4096)),
        ("size = \"8192\"", Some(8192)),
        ("size = \"4K\"", Some(4096)),
        ("size = \"1024G\"", Some(1 << 40)),
        ("size = 0", None),
        ("size = \"0\"", None),
    ] {
        assert_eq!(audit(text).unwrap().size, size, "{text}");
    }
    for bad in [
        "-1",
        "4095",
        "\"\"",
        "\"K\"",
        "\"+4K\"",
        "\"4k\"",
        "\"1025G\"",
        "\"99999999999999999999\"",
        "\"99999999999999999G\"",
        "[]",
    ] {
        assert!(audit(&format!("size = {bad}")).is_err(), "{bad}");
    }
    let named = audit("file = \"/srv/trail\"\nkeep = 1000").unwrap();
    assert_eq!(
        named,
        AuditSettings { file: "/srv/trail".into(), size: Some(64 << 20), keep: 1000 }
    );
    assert_eq!(parse(SMALLEST).unwrap().audit, None);
}

/// Caught: a list of servers of which one is taken.
#[test]
fn every_setting_of_the_exchange_is_taken_over() {
    let nats = |text: &str| {
        let text = format!("{SMALLEST}[nats]\nsite = \"paris\"\n{text}\n");
        parse(&text).unwrap().nats.unwrap()
    };
    let name = |text: &str| eximrbl_table::Name::new(text.as_bytes()).unwrap();
    let all = nats(
        r#"
url = ["nats://192.0.2.1", "tls://[2001:db8::1]:4222", "tls://n.example.org:4223"]
user = "paris"
password_file = "/p"
ca = "/ca"
certificate = "/c"
key = "/k"
stream = "RBL_1"
subject = "rbl.all-sites"
replicas = 3
max_age = 3600
reporters = ["local", "admin"]
"#,
    );
    let servers = ["nats://192.0.2.1", "tls://[2001:db8::1]:4222", "tls://n.example.org:4223"];
    let expected = NatsSettings {
        servers: servers.map(str::to_owned).to_vec(),
        login: NatsLogin::Password { user: "paris".to_owned(), file: "/p".into() },
        ca: Some("/ca".into()),
        identity: Some(("/c".into(), "/k".into())),
        site: name("paris"),
        stream: "RBL_1".to_owned(),
        subject: "rbl.all-sites".to_owned(),
        replicas: 3,
        max_age: Some(3600),
        reporters: Some(vec![name("local"), name("admin")]),
    };
    assert_eq!(all, expected);
    let one = nats("url = \"nats://n:4222\"\nnkey_file = \"/n\"");
    assert_eq!((one.servers.len(), one.login), (1, NatsLogin::Nkey("/n".into())));
    assert_eq!(nats("url = \"nats://n:4222\"").login, NatsLogin::Nobody);
    assert_eq!(parse(SMALLEST).unwrap().nats, None);
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
