#![allow(clippy::unwrap_used)]
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn cookies(secrets: &[&str]) -> Cookies {
    Cookies::new(&Secret::read_all(secrets.join("\n").as_bytes()).unwrap()).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const FIRST: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715";
const NEW: &str = "445536bcd2513298075a5d379663c962";

/// RFC 9018 appendix A, all of it. Caught: the hash in the other byte order; reserved bytes that are
/// taken for zero; a cookie of an old secret that is not renewed.
#[test]
fn the_examples_of_rfc_9018() {
    for (secrets, client, now, sent, standing, answered) in [
        // A.1: learning a new server cookie.
        (
            &[FIRST][..],
            "198.51.100.100",
            1_559_731_985,
            "2464c4abcf10c957",
            Standing::New,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
        ),
        // A.2: the same client learning a renewed server cookie.
        (
            &[FIRST],
            "198.51.100.100",
            1_559_734_385,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            Standing::Valid,
            "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
        ),
        // A.3: another client learning a renewed server cookie; its reserved bytes are set.
        (
            &[FIRST],
            "203.0.113.203",
            1_559_734_700,
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            Standing::Invalid,
            "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
        ),
        // The same, when it was not yet older than an hour.
        (
            &[FIRST],
            "203.0.113.203",
            1_559_727_985 + 3600,
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            Standing::Valid,
            "",
        ),
        // A.4: IPv6, and a secret that was rolled over.
        (
            &[NEW, OLD],
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            1_559_741_961,
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            Standing::Valid,
            "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
        ),
    ] {
        let sent = bytes(sent);
        let cookie = Cookie::read(&sent).unwrap();
        let (found, reply) = cookies(secrets).judge(cookie, address(client), now);
        assert_eq!(found, standing, "{client} {now}");
        if !answered.is_empty() {
            assert_eq!(reply[..], bytes(answered), "{client} {now}");
        }
    }
}

/// Caught: a bound that is off by one second.
#[test]
fn a_cookie_is_good_from_five_minutes_ahead_to_an_hour_and_renewed_after_half_of_it() {
    let cookies = cookies(&[FIRST]);
    let client = address("192.0.2.1");
    for made in [1_559_731_985, 100, u32::MAX - 100, 0] {
        let server = cookies.make(*b"client--", client, made);
        let cookie = Cookie { client: *b"client--", server: Some(&server) };
        for (age, standing, is_kept) in [
            (-301_i32, Standing::Invalid, false),
            (-300, Standing::Valid, true),
            (0, Standing::Valid, true),
            (1800, Standing::Valid, true),
            (1801, Standing::Valid, false),
            (3600, Standing::Valid, false),
            (3601, Standing::Invalid, false),
            (i32::MIN, Standing::Invalid, false),
        ] {
            let now = made.wrapping_add_signed(age);
            let (found, reply) = cookies.judge(cookie, client, now);
            assert_eq!(found, standing, "{age}");
            assert_eq!(reply[8..] == server, is_kept, "{age}");
            assert_eq!(reply[..8], *b"client--");
            let again = Cookie::read(&reply).unwrap();
            assert_eq!(cookies.judge(again, client, now).0, Standing::Valid, "{age}");
        }
    }
}

/// Every bit of it counts, and so does whose it is. Caught: an address of which a part is left out.
#[test]
fn no_other_cookie_client_or_secret_will_do() {
    let ours = cookies(&[FIRST]);
    let now = 1_795_326_190;
    for client in ["192.0.2.1", "2001:db8::1"] {
        let client = address(client);
        let server = ours.make(*b"client--", client, now);
        let verify = |cookies: &Cookies, own, server: &[u8], client| {
            cookies.verify(own, Some(server), client, now)
        };
        assert_eq!(verify(&ours, *b"client--", &server, client), Standing::Valid);
        for bit in 0..128 {
            let mut other = server;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&ours, *b"client--", &other, client), Standing::Invalid, "{bit}");
        }
        assert_eq!(verify(&ours, *b"client-!", &server, client), Standing::Invalid);
        let mut neighbour = match client {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        neighbour[15] ^= 1;
        let neighbour = IpAddr::from(neighbour).to_canonical();
        assert_eq!(verify(&ours, *b"client--", &server, neighbour), Standing::Invalid);
        let others = cookies(&[OLD]);
        assert_eq!(verify(&others, *b"client--", &server, client), Standing::Invalid);
        // The other lengths that a server's cookie may have are not ours.
        for length in 8..=32 {
            let mut other = server.to_vec();
            other.resize(length, 0);
            let good = if length == 16 { Standing::Valid } else { Standing::Invalid };
            assert_eq!(verify(&ours, *b"client--", &other, client), good, "{length}");
        }
    }
    let mapped = address("::ffff:192.0.2.1");
    let server = ours.make(*b"client--", mapped, now);
    let plain = ours.verify(*b"client--", Some(&server), address("192.0.2.1"), now);
    assert_eq!(plain, Standing::Valid, "a mapped address is the same address");
}

/// RFC 9018 section 5: at no step of a roll-over a cookie of the step before is refused, on whichever
/// of the servers. Caught: only the first secret verifies.
#[test]
fn a_roll_over_refuses_nobody() {
    let steps = [&[OLD][..], &[OLD, NEW], &[NEW, OLD], &[NEW]].map(cookies);
    // The last step is made when all cookies of the old secret have ended: an hour later.
    let (client, now) = (address("192.0.2.1"), 1_795_326_190);
    for (step, pair) in steps.windows(2).enumerate() {
        for (made_by, asked) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
            let server = pair[made_by].make(*b"client--", client, now);
            let found = pair[asked].verify(*b"client--", Some(&server), client, now);
            assert_eq!(found, Standing::Valid, "step {step}, {made_by} to {asked}");
        }
    }
}

#[test]
fn lengths_that_no_cookie_has_are_malformed() {
    for length in 0..60 {
        let data = vec![7; length];
        let is_good = length == 8 || (16..=40).contains(&length);
        assert_eq!(Cookie::read(&data).is_ok(), is_good, "{length}");
    }
    assert_eq!(Cookie::read(b"client--").unwrap().server, None);
    assert_eq!(Cookie::read(b"client--server--").unwrap().server, Some(&b"server--"[..]));
}

#[test]
fn a_file_of_secrets_is_read_by_line() {
    let text = format!("# active\n{FIRST}\n\n  {} # old\r\n", OLD.to_uppercase());
    let secrets = Secret::read_all(text.as_bytes()).unwrap();
    assert_eq!(secrets, [FIRST, OLD].map(|hex| Secret(bytes(hex).try_into().unwrap())));
    assert!(!format!("{secrets:?}").contains("e5"), "secrets are shown to nobody");
    let five: String = (0..5).map(|n| format!("{n:032}\n")).collect();
    for (text, expected) in [
        (String::new(), "1: no secret in it"),
        ("# nothing\n".to_owned(), "1: no secret in it"),
        (format!("{FIRST}\n{}\n", &OLD[1..]), "2: not a secret"),
        (format!("{FIRST}0\n"), "1: not a secret"),
        (format!("{}\n", FIRST.replace('e', "g")), "1: not a secret"),
        (format!("{FIRST}\n{FIRST}\n"), "2: this secret is here twice"),
        (five, "5: more than 4 secrets"),
    ] {
        let error = Secret::read_all(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
