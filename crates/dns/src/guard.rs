//! What is done with a client: one decision for every way of answering.
//!
//! ```text
//! by TCP                                  -> Answer
//! cookies are required: a valid one       -> Answer
//!                       another           -> BadCookie, within the limit, else nothing
//!                       none              -> Truncate, within the limit, else nothing
//! a valid cookie                          -> Answer
//! all others, within the limit            -> Answer
//!             over it                     -> Truncate, or nothing
//! ```
//!
//! Who may ask at all ([`Access`](crate::Access)) is another matter: a refusal is a response, too.

use std::net::IpAddr;
use std::sync::Arc;

use eximrbl_table::UnixSeconds;
use eximrbl_zone::{CookieUse, DnsSettings, RateLimit};

use crate::Transport;
use crate::cookie::{COOKIE, Cookie, Cookies, Secret, Standing};
use crate::edns::Malformed;
use crate::limit::{Limiter, Verdict};

/// What is done with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is answered.
    Answer,
    /// It gets an empty response that tells to ask again by TCP.
    Truncate,
    /// It gets BADCOOKIE, with a good cookie to ask again with (RFC 7873 section 5.2.3).
    BadCookie,
    /// It gets nothing.
    Drop,
}

/// Guards against those who are not where they say they are.
pub struct Guard {
    cookies: Option<Cookies>,
    are_required: bool,
    limits: RateLimit,
    limiter: Arc<Limiter>,
}

impl Guard {
    /// Makes a guard. The first of `secrets` makes cookies, all verify them; without any, cookies are
    /// off. `key` should be random. `before` is the guard that this one replaces: what it has counted
    /// counts on, if the limits are the same.
    pub fn new(
        settings: &DnsSettings,
        secrets: &[Secret],
        key: [u8; 16],
        before: Option<&Self>,
    ) -> Self {
        let limits = settings.rate_limit.clone();
        let kept = before.filter(|before| before.limits == limits);
        Self {
            cookies: match settings.cookies {
                CookieUse::Off => None,
                CookieUse::On | CookieUse::Required => Cookies::new(secrets),
            },
            are_required: settings.cookies == CookieUse::Required,
            limiter: kept.map_or_else(
                || Arc::new(Limiter::new(&limits, key)),
                |before| before.limiter.clone(),
            ),
            limits,
        }
    }

    /// What a query's cookie shows, and the data of the COOKIE option to answer with. `option` is the
    /// data of the query's.
    pub fn judge(
        &self,
        option: Option<&[u8]>,
        client: IpAddr,
        now: UnixSeconds,
    ) -> Result<(Standing, Option<[u8; COOKIE]>), Malformed> {
        let (Some(cookies), Some(data)) = (&self.cookies, option) else {
            return Ok((Standing::Without, None));
        };
        let (standing, reply) = cookies.judge(Cookie::read(data)?, client, now);
        Ok((standing, Some(reply)))
    }

    /// What is done with a query. Counts it: to be asked once for each, by the way that answers it.
    pub fn treat(
        &self,
        transport: Transport,
        standing: Standing,
        client: IpAddr,
        now: UnixSeconds,
    ) -> Treatment {
        if transport == Transport::Tcp || standing == Standing::Valid {
            return Treatment::Answer;
        }
        let within = match (self.are_required && self.cookies.is_some(), standing) {
            (false, _) => Treatment::Answer,
            (true, Standing::Without) => Treatment::Truncate,
            (true, _) => Treatment::BadCookie,
        };
        match (self.limiter.check(client, now), within) {
            (Verdict::Answer, within) => within,
            (Verdict::Slip, Treatment::Answer) => Treatment::Truncate,
            // No smaller than what it would get within the limit.
            (Verdict::Slip | Verdict::Drop, _) => Treatment::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: UnixSeconds = 1_795_326_190;
    const STANDINGS: [Standing; 4] =
        [Standing::Without, Standing::New, Standing::Invalid, Standing::Valid];

    fn settings(cookies: CookieUse, responses: u32, slip: u32) -> DnsSettings {
        let rate_limit =
            RateLimit { responses_per_second: responses, slip, ..RateLimit::default() };
        DnsSettings { cookies, rate_limit, ..DnsSettings::default() }
    }

    fn guard(settings: &DnsSettings, before: Option<&Guard>) -> Guard {
        Guard::new(settings, &[Secret::new([7; 16])], [9; 16], before)
    }

    /// The table in the module's head. Caught: a valid cookie that is counted; BADCOOKIE without
    /// any limit; TCP that is limited.
    #[test]
    fn every_standing_gets_its_treatment_within_and_over_the_limit() {
        use CookieUse::{Off, On, Required};
        use Treatment::{Answer, BadCookie, Drop, Truncate};
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for (cookies, slip, within, over) in [
            (On, 1, [Answer; 4], [Truncate, Truncate, Truncate, Answer]),
            (On, 0, [Answer; 4], [Drop, Drop, Drop, Answer]),
            (Off, 1, [Answer; 4], [Truncate, Truncate, Truncate, Answer]),
            (Required, 1, [Truncate, BadCookie, BadCookie, Answer], [Drop, Drop, Drop, Answer]),
        ] {
            for (at, standing) in STANDINGS.into_iter().enumerate() {
                let guard = guard(&settings(cookies, 1, slip), None);
                let treat = |transport| guard.treat(transport, standing, client, NOW);
                assert_eq!(treat(Transport::Tcp), Answer);
                assert_eq!(treat(Transport::Udp), within[at], "{cookies:?} {standing:?}");
                assert_eq!(treat(Transport::Udp), over[at], "{cookies:?} {standing:?}");
                assert_eq!(treat(Transport::Tcp), Answer);
            }
        }
    }

    #[test]
    fn a_cookie_is_judged_only_where_cookies_are_on() {
        let client = "192.0.2.1".parse().unwrap();
        let on = guard(&settings(CookieUse::On, 0, 1), None);
        assert_eq!(on.judge(None, client, NOW), Ok((Standing::Without, None)));
        assert_eq!(on.judge(Some(b"short"), client, NOW), Err(Malformed));
        let (standing, reply) = on.judge(Some(b"client--"), client, NOW).unwrap();
        assert_eq!(standing, Standing::New);
        let (standing, same) = on.judge(reply.as_ref().map(|r| &r[..]), client, NOW).unwrap();
        assert_eq!((standing, same), (Standing::Valid, reply));
        let off = guard(&settings(CookieUse::Off, 0, 1), None);
        for option in [&b"client--"[..], b"short"] {
            assert_eq!(off.judge(Some(option), client, NOW), Ok((Standing::Without, None)));
        }
    }

    /// Caught: a reload that sets the counts back to nought.
    #[test]
    fn what_was_counted_outlives_a_reload_that_leaves_the_limits() {
        let client = "192.0.2.1".parse().unwrap();
        let treat = |guard: &Guard| guard.treat(Transport::Udp, Standing::Without, client, NOW);
        let first = guard(&settings(CookieUse::On, 1, 1), None);
        assert_eq!(treat(&first), Treatment::Answer);
        let same = guard(&settings(CookieUse::Off, 1, 1), Some(&first));
        assert_eq!(treat(&same), Treatment::Truncate);
        let other = guard(&settings(CookieUse::On, 1, 0), Some(&same));
        assert_eq!(treat(&other), Treatment::Answer);
        assert_eq!(treat(&other), Treatment::Drop);
    }
}
