//! Exim's condition `dnslists`, in all its forms.

use crate::harness::{Exim, EximConfiguration, Reply};
use crate::site::{CLIENTS, Client, Site};

/// Whether a form is true for a client.
type Rule = fn(Client) -> bool;

/// Every form in the document, with a key for the tests' log, and for whom it is true.
pub const FORMS: [(&str, Rule); 13] = [
    ("rbl.example.org", |client| !client.codes().is_empty()),
    ("rbl.example.org=127.0.0.4", |client| client.has(4)),
    ("rbl.example.org=127.0.0.2,127.0.0.8", |client| client.has(2) || client.has(8)),
    ("rbl.example.org!=127.0.0.4", |client| !client.codes().is_empty() && !client.has(4)),
    ("rbl.example.org==127.0.0.4", |client| client.codes() == ["127.0.0.4"]),
    ("rbl.example.org!==127.0.0.4", |client| {
        !client.codes().is_empty() && client.codes() != ["127.0.0.4"]
    }),
    ("rbl.example.org&0.0.0.4", |client| client.has(4)),
    ("rbl.example.org!&0.0.0.4", |client| !client.codes().is_empty() && !client.has(4)),
    ("rbl.example.org=127.0.0.4 : rbl.example.org=127.0.0.8", |client| {
        client.has(4) || client.has(8)
    }),
    ("wl.example.org", Client::is_white),
    ("rbl.example.org/203.0.113.7", |_| true),
    ("rbl.example.org/<;203.0.113.1;203.0.113.7", |_| true),
    ("rbl.example.org/$acl_m_origin", |client| client == ORIGIN),
];

/// The client whose `$acl_m_origin` is a listed address; the others' is empty.
const ORIGIN: Client = Client::Unlisted;

/// The forms for a list that does not answer, and whether they are true then; the last defers.
pub const UNKNOWN: [(&str, Option<bool>); 3] = [
    ("+include_unknown : rbl.example.org", Some(true)),
    ("+exclude_unknown : rbl.example.org", Some(false)),
    ("+defer_unknown : rbl.example.org", None),
];

/// An ACL that notes each form that is true, with what it set, and tells it the client.
fn noting<'f>(forms: impl Iterator<Item = &'f str>) -> String {
    let mut acl = String::new();
    for (number, form) in forms.enumerate() {
        acl.push_str(&format!(
            "  warn dnslists = {form}\n       set acl_c_noted = $acl_c_noted <{number} \
             $dnslist_domain {{$dnslist_value}} $dnslist_matched {{$dnslist_text}}>\n"
        ));
    }
    acl + "  deny message = noted:$acl_c_noted\n"
}

/// What a client reads. Exim folds long replies.
fn noted(reply: &Reply) -> String {
    reply.lines.join(" ")
}

#[test]
fn every_form_is_true_for_whom_it_should_be() {
    let site = Site::new();
    let origin = format!(
        "  warn condition = ${{if eq{{$sender_host_address}}{{{}}}}}\n       \
         set acl_m_origin = 203.0.113.7\n",
        ORIGIN.address()
    );
    let acl = origin + &noting(FORMS.iter().map(|form| form.0));
    let configuration = EximConfiguration::new(&[]).acl("connect", &acl);
    let exim = Exim::start(&site.host, &configuration);
    for client in CLIENTS {
        let reply = noted(&exim.dial(&site.lan, client.address()).reply());
        assert!(reply.starts_with("noted:"), "{client:?}: {reply}");
        let mut times = 0;
        for (number, (form, rule)) in FORMS.iter().enumerate() {
            let expected = rule(client);
            times += usize::from(expected);
            let is_true = reply.contains(&format!("<{number} "));
            assert_eq!(is_true, expected, "{client:?}, {form}: {reply}");
        }
        assert_eq!(reply.matches('<').count(), times, "{client:?}: {reply}");
        variables(client, &reply);
    }
}

/// What the variables are, for the plain form, one of two lists, and a key.
fn variables(client: Client, reply: &str) {
    let address = client.address();
    if !client.codes().is_empty() {
        // The order of several answers is the resolver's affair.
        let values: Vec<String> = match client.codes() {
            [one] => vec![(*one).to_owned()],
            [one, two] => vec![format!("{one}, {two}"), format!("{two}, {one}")],
            _ => panic!("{client:?}"),
        };
        let text = format!("{{{address} is listed in rbl.example.org: rejections ");
        let is_noted = values.iter().any(|value| {
            reply.contains(&format!("<0 rbl.example.org {{{value}}} {address} {text}"))
        });
        assert!(is_noted, "{client:?}: {reply}");
    }
    if client.is_white() {
        let start = format!("<9 wl.example.org {{127.0.0.2}} {address} ");
        assert!(reply.contains(&start), "{client:?}: {reply}");
        assert!(reply.contains(&format!("{{{address} is whitelisted in wl.example.org}}")));
    }
    for number in [10, 11] {
        let start = format!("<{number} rbl.example.org {{127.0.0.2}} 203.0.113.7 {{203.0.113.7 is");
        assert!(reply.contains(&start), "{client:?}: {reply}");
    }
}

#[test]
fn a_list_that_does_not_answer_counts_as_one_wishes() {
    let site = Site::new();
    let form = |form: &str| form.replace("rbl.example.org", "away.example.net");
    // While it answers, the words change nothing.
    let living = noting(UNKNOWN.iter().map(|form| form.0));
    let plain = FORMS[0].0;
    let away: Vec<String> =
        [plain].into_iter().chain(UNKNOWN.iter().map(|form| form.0)).map(form).collect();
    let configuration = EximConfiguration::new(&[])
        .acl("vrfy", &living)
        .acl("mail", &noting(away[..3].iter().map(String::as_str)))
        .acl("connect", &format!("  deny dnslists = {}\n  accept\n", away[0]))
        .acl("etrn", &format!("  deny dnslists = {}\n  accept\n", away[3]));
    let exim = Exim::start(&site.host, &configuration);
    for (client, listed) in [(Client::Unlisted, 0), (Client::Listed, UNKNOWN.len())] {
        let mut smtp = exim.dial(&site.lan, client.address());
        assert_eq!(smtp.reply().code, 220, "it refuses nobody");
        smtp.command("EHLO client.example");
        let reply = noted(&smtp.command("VRFY good@example.org"));
        assert_eq!(reply.matches('<').count(), listed, "{client:?}: {reply}");
        let reply = noted(&smtp.command("MAIL FROM:<sender@client.example>"));
        // Only with +include_unknown; what was noted before is still there.
        assert!(reply.contains("<1 away.example.net "), "{client:?}: {reply}");
        assert_eq!(reply.matches("away.example.net").count(), 1, "{client:?}: {reply}");
        let reply = smtp.command("ETRN #example.org");
        assert_eq!(reply.code, 451, "{client:?}: {}", smtp.transcript());
    }
}
